"""Figures over time beside those of the days that they are compared with. Plain values."""

from collections.abc import Sequence
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
    has_visitors = all(row[2] is not None for row in (*now.found.rows, *before.found.rows))
    nothing = (0, 0 if has_visitors else None)
    rows = [(*row, *earlier.pop(_clock(row[0]), ("", *nothing))[1:]) for row in now.found.rows]
    rows += [(time, *nothing, 0, 0, 0, requests, visitors) for time, requests, visitors in earlier.values()]
    if by != "hour":
        known = {row[0] for row in rows}
        times = (point.isoformat() for point in points({date.fromisoformat(time) for time in known}, by))
        rows += [(time, *nothing, 0, 0, 0, *nothing) for time in times if time not in known]
    rows.sort(key=lambda row: _clock(row[0]))
    return replace(now, found=replace(now.found, rows=in_order(rows, COLUMNS, question), columns=COLUMNS))


def _added_up(
    rows: Sequence[Sequence[Any]], by: Granularity, shift: timedelta
) -> dict[str, tuple[str, int, int | None]]:
    """The point that they are shown at, with requests and visitors; by what a clock shows then."""
    found: dict[str, tuple[str, int, int | None]] = {}
    for time, requests, visitors, *_ in rows:
        point = _moved(time, by, shift)
        _, sum_of_requests, sum_of_visitors = found.get(_clock(point), ("", 0, 0))
        both = None if visitors is None or sum_of_visitors is None else sum_of_visitors + visitors
        found[_clock(point)] = point, sum_of_requests + requests, both
    return found


def _clock(time: str) -> str:
    """What a clock shows at an hour, and a calendar on a day, whatever the clock's difference from UTC is."""
    return time[: len("2024-05-17T09:00")]


def _moved(time: str, by: Granularity, shift: timedelta) -> str:
    """The point that lies so much later."""
    if by == "hour":
        clock = _clock(time)
        return f"{datetime.fromisoformat(clock) + shift:%Y-%m-%dT%H:%M}{time[len(clock) :]}"
    return start_of(date.fromisoformat(time) + shift, by).isoformat()
