"""Fragments of SQL. Made from paths, dates and times of our own alone: no string from a log ever gets into one."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

HOUR = timedelta(hours=1)
Range = tuple[datetime, datetime]


def table(path: Path) -> str:
    """The Delta table at ``path`` as a name in SQL."""
    return f"delta.`{str(path.absolute()).replace('`', '``')}`"


def day_condition(column: str, days: Iterable[date]) -> str:
    """The date ``column`` is one of ``days``, in literals, so that whole partitions are skipped."""
    literals = ", ".join(f"DATE'{day.isoformat()}'" for day in sorted(days))
    return f"{column} IN ({literals})" if literals else "false"


def hour_ranges(hours: Iterable[datetime], max_ranges: int) -> list[Range]:
    """Half-open ranges of time that cover ``hours``, adjacent hours in one.

    :param hours: starts of hours, UTC.
    :param max_ranges: above so many ranges, those of whole days are given instead: planning hundreds costs more than it saves.
    """
    ranges = _joined((hour, hour + HOUR) for hour in sorted(set(hours)))
    if len(ranges) <= max_ranges:
        return ranges
    midnights = sorted({hour.replace(hour=0) for hour in hours})
    return _joined((day, day + 24 * HOUR) for day in midnights)


def range_condition(alias: str, ranges: Iterable[Range]) -> str:
    """``timestamp`` is in one of ``ranges``: literals joined by OR, the form that lets Delta skip files."""
    return "(" + (" OR ".join(_in_range(alias, *r) for r in ranges) or "false") + ")"


def _joined(ranges: Iterable[Range]) -> list[Range]:
    joined: list[Range] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _in_range(alias: str, start: datetime, end: datetime) -> str:
    last_day = (end - timedelta(microseconds=1)).date()
    return (
        f"({alias}.event_date BETWEEN DATE'{start.date()}' AND DATE'{last_day}'"
        f" AND {alias}.timestamp >= {_literal(start)} AND {alias}.timestamp < {_literal(end)})"
    )


def _literal(time: datetime) -> str:
    return f"TIMESTAMP'{time.astimezone(UTC).isoformat(sep=' ')}'"
