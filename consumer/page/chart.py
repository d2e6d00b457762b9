"""Figures over time as shapes: what the page draws as SVG, without JavaScript. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from consumer.page.question import Granularity, Question
from lakehouse.readable import count_text, short_count_text

WIDTH, HEIGHT = 1000, 200
LABELS = 8


@dataclass(frozen=True)
class Bar:
    """A point in time: where its bars stand, and what they say.

    :param link: the same question about this point alone; empty where it cannot be narrowed down.
    """

    x: float
    width: float
    y: float
    height: float
    visitors_y: float | None
    title: str
    link: str


@dataclass(frozen=True)
class Chart:
    """A chart of requests, as bars, and visitors, as a line, on one scale.

    :param ticks: heights with their labels. :param labels: places with theirs.
    :param before: a line of the requests that these are compared with; empty where nothing is compared.
    """

    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]
    labels: Sequence[tuple[float, str]]
    line: str
    before: str = ""


def chart(rows: Sequence[Sequence[Any]], by: Granularity, question: Question, before: Sequence[int]) -> Chart | None:
    """A chart of the rows of ``over_time``; ``None`` of none.

    :param before: for each row the requests that its own are compared with, if any are.
    """
    if not rows:
        return None
    most = max(*(row[1] for row in rows), *before, 1)
    step = nice_step(most)
    top = step * math.ceil(most / step)
    slot = WIDTH / len(rows)
    bars = []
    for n, (time, requests, visitors, *_) in enumerate(rows):
        height = HEIGHT * requests / top
        seen = None if visitors is None else round(HEIGHT - HEIGHT * visitors / top, 1)
        said = f"{time_text(time, by)}: {count_text(requests)} requests"
        said += "" if visitors is None else f", {count_text(visitors)} visitors"
        said += f"; {count_text(before[n])} requests before" if before else ""
        bars.append(
            Bar(
                round(n * slot + slot * 0.1, 2), round(slot * 0.8, 2), round(HEIGHT - height, 1), round(height, 1), seen,
                said, _narrowed(time, by, question),
            )
        )  # fmt: skip
    every = max(1, math.ceil(len(rows) / LABELS))
    return Chart(
        bars,
        ticks=[(HEIGHT - HEIGHT * n * step / top, short_count_text(n * step)) for n in range(round(top / step) + 1)],
        labels=[(round((n + 0.5) * slot, 1), time_text(rows[n][0], by)) for n in range(0, len(rows), every)],
        line=" ".join(f"{bar.x + bar.width / 2:.1f},{bar.visitors_y}" for bar in bars if bar.visitors_y is not None),
        before=" ".join(f"{(n + 0.5) * slot:.1f},{HEIGHT - HEIGHT * then / top:.1f}" for n, then in enumerate(before)),
    )


def nice_step(most: int) -> int:
    """The distance of lines, such that there are four or so up to ``most``: 1, 2 or 5 times a power of ten."""
    rough = max(1.0, most / 4)
    power = 10 ** math.floor(math.log10(rough))
    return int(next(n * power for n in (1, 2, 5, 10) if n * power >= rough))


def time_text(time: str, by: Granularity) -> str:
    """A point in time in a few characters."""
    if by == "hour":
        return f"{time[5:10]} {time[11:16]}"
    return time[:7] if by == "month" else time


def _narrowed(time: str, by: Granularity, question: Question) -> str:
    """The address of this point's days."""
    first = date.fromisoformat(time[:10])
    last = first
    if by == "week":
        last = first + timedelta(days=6)
    if by == "month":
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return question.without_list().link("/", **{"from": str(first), "to": str(last), "range": None, "by": None})
