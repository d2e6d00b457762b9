"""Figures over time beside those of the days that they are compared with. Plain values."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from consumer.page.figures import OVER_TIME, points, start_of
from consumer.page.local_days import EPOCH, HOUR, LocalDays
from consumer.page.order import in_order
from consumer.page.panel import Answer, Column
from consumer.page.question import MAX_ROWS, Granularity, Question

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
    local = LocalDays(question.zone, question.filters.first, question.filters.last, ())
    earlier = _added_up(before.found.rows, by, shift, local)
    known = {row[0]: row for row in now.found.rows}
    of_now, of_before = _nothing(now.found.rows), _nothing(before.found.rows)
    rows = [
        (*known.get(time, (time, *of_now, 0, 0, 0)), *earlier.get(time, of_before))
        for time in _times({*known, *earlier}, by, local)
    ]
    notes = [*now.found.notes, *(f"before: {note}" for note in before.found.notes if note not in now.found.notes)]
    found = replace(now.found, rows=in_order(rows, COLUMNS, question), notes=notes, columns=COLUMNS)
    return replace(now, found=found)


def _nothing(rows: Sequence[Sequence[Any]]) -> tuple[int, int | None]:
    """Requests and visitors at a point without any; ``None`` where visitors are not counted."""
    return 0, None if any(row[2] is None for row in rows) else 0


def _added_up(
    rows: Sequence[Sequence[Any]], by: Granularity, shift: timedelta, local: LocalDays
) -> dict[str, tuple[int, int | None]]:
    """Requests and visitors by the point that they are shown at."""
    found: dict[str, tuple[int, int | None]] = {}
    for time, requests, visitors, *_ in rows:
        point = _moved(time, by, shift, local)
        requests_there, visitors_there = found.get(point, (0, None if visitors is None else 0))
        found[point] = requests_there + requests, None if visitors_there is None else visitors_there + visitors
    return found


def _moved(time: str, by: Granularity, shift: timedelta, local: LocalDays) -> str:
    """The point that lies so much later: an hour by the clocks, which may have changed in between."""
    if by == "hour":
        return local.hour_at(datetime.fromisoformat(time[: len("2024-05-17T09:00")]) + shift)
    return start_of(date.fromisoformat(time) + shift, by).isoformat()


def _times(known: Collection[str], by: Granularity, local: LocalDays) -> list[str]:
    """These points in order, and those between them."""
    if by == "hour":
        return _hours(known, local)
    return [point.isoformat() for point in points({date.fromisoformat(time) for time in known}, by)]


def _hours(known: Collection[str], local: LocalDays) -> list[str]:
    """As ``_times``; beyond ``MAX_ROWS`` those alone that are known."""
    starts = {time: (datetime.fromisoformat(time) - EPOCH) // timedelta(microseconds=1) for time in known}
    first, last = min(starts.values(), default=0), max(starts.values(), default=0)
    if last - first >= MAX_ROWS * HOUR:
        return sorted(known, key=starts.__getitem__)
    # Where clocks change within an hour, its first and last known part may not begin at the full hour.
    every = [*local.hours(first, last + HOUR - 1)]
    at = [n for n, hour in enumerate(every) if hour in starts]
    return every[at[0] : at[-1] + 1] if at else []
