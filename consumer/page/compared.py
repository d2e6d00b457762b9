"""Figures over time beside those of the days that they are compared with. Plain values."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from consumer.page.figures import OVER_TIME, points, start_of
from consumer.page.order import in_order
from consumer.page.panel import Answer, Column
from consumer.page.question import Granularity, Question

BEFORE = (Column("requests_before", "Requests before"), Column("visitors_before", "Visitors before"))
COLUMNS = (*OVER_TIME, *BEFORE)


def beside(now: Answer, before: Answer, question: Question, by: Granularity, shift: timedelta) -> Answer:
    """``over_time`` with two more columns: the requests and visitors of so long before, at the same points.

    :param before: ``over_time`` of the days before: by the hour where ``by`` is the hour, else by the day.
    :param shift: how much later ``now`` is.
    :raises QuestionError: there is no such column to sort by.
    """
    if now.problem or before.problem:
        return replace(now, problem=now.problem or before.problem)
    earlier = _added_up(before.found.rows, by, shift)
    known = {row[0]: row for row in now.found.rows}
    nothing = (0, None if by == "hour" else 0)
    rows = [
        (*known.get(time, (time, *nothing, 0, 0, 0)), *earlier.get(time, nothing))
        for time in _times({*known, *earlier}, by)
    ]
    return replace(now, found=replace(now.found, rows=in_order(rows, COLUMNS, question), columns=COLUMNS))


def _added_up(rows: Sequence[Sequence[Any]], by: Granularity, shift: timedelta) -> dict[str, tuple[int, int | None]]:
    """Requests and visitors by the point that they are shown at."""
    found: dict[str, tuple[int, int | None]] = {}
    for time, requests, visitors, *_ in rows:
        point = _moved(time, by, shift)
        requests_there, visitors_there = found.get(point, (0, None if visitors is None else 0))
        found[point] = requests_there + requests, None if visitors_there is None else visitors_there + visitors
    return found


def _moved(time: str, by: Granularity, shift: timedelta) -> str:
    """The point that lies so much later."""
    if by == "hour":
        length = len("2024-05-17T09:00")
        return f"{datetime.fromisoformat(time[:length]) + shift:%Y-%m-%dT%H:%M}{time[length:]}"
    return start_of(date.fromisoformat(time) + shift, by).isoformat()


def _times(known: Iterable[str], by: Granularity) -> list[str]:
    """These points in order; of days, weeks and months also those between them."""
    if by == "hour":
        return sorted(known)
    return [point.isoformat() for point in points({date.fromisoformat(time) for time in known}, by)]
