"""Fragments of SQL. Made from paths, dates and times of our own alone: no string from a log ever gets into one."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

HOUR = timedelta(hours=1)
# Of a MERGE with 100 Spark cannot compile the generated code, and runs it interpreted, at half the speed; with 60 it can.
MOST_RANGES = 40
Range = tuple[datetime, datetime]


def table(path: Path) -> str:
    """The Delta table at ``path`` as a name in SQL."""
    return f"delta.`{str(path.absolute()).replace('`', '``')}`"


def day_condition(column: str, days: Iterable[date]) -> str:
    """The date ``column`` is one of ``days``, in literals, so that whole partitions are skipped."""
    literals = ", ".join(f"DATE'{day.isoformat()}'" for day in sorted(days))
    return f"{column} IN ({literals})" if literals else "false"


def hour_ranges(hours: Iterable[datetime], max_ranges: int) -> list[Range]:
    """Half-open ranges of time that cover ``hours``, adjacent hours in one: as many as are wanted, and at most ``MOST_RANGES``.

    :param hours: starts of hours, UTC.
    :param max_ranges: so that there are no more, those with the shortest time between them are made one.
    """
    ranges = _joined(sorted(set(hours)))
    gaps = sorted(pairwise(ranges), key=lambda gap: gap[1][0] - gap[0][1])
    too_many = len(ranges) - min(max_ranges, MOST_RANGES)
    closed = {after[0] for _, after in gaps[: max(0, too_many)]}
    kept: list[Range] = []
    for start, end in ranges:
        kept.append((kept.pop()[0] if start in closed else start, end))
    return kept


def range_condition(alias: str, ranges: Iterable[Range]) -> str:
    """``timestamp`` is in one of ``ranges``: literals joined by OR, the form that lets Delta skip files."""
    return "(" + (" OR ".join(_in_range(alias, *r) for r in ranges) or "false") + ")"


def _joined(hours: Iterable[datetime]) -> list[Range]:
    joined: list[Range] = []
    for hour in hours:
        is_adjacent = joined and joined[-1][1] == hour
        joined.append((joined.pop()[0] if is_adjacent else hour, hour + HOUR))
    return joined


def _in_range(alias: str, start: datetime, end: datetime) -> str:
    last_day = (end - timedelta(microseconds=1)).date()
    return (
        f"({alias}.event_date BETWEEN DATE'{start.date()}' AND DATE'{last_day}'"
        f" AND {alias}.timestamp >= {_literal(start)} AND {alias}.timestamp < {_literal(end)})"
    )


def _literal(time: datetime) -> str:
    return f"TIMESTAMP'{time.astimezone(UTC).isoformat(sep=' ')}'"
