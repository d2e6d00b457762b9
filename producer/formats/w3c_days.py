"""W3C logs whose lines have a clock's time only: the day stands above them, in ``#Date:``. Pure.

    #Date: 2026-11-27 10:00:00
    #Fields: time c-ip cs-method cs-uri-stem sc-status

Where the clock goes back by more than servers mix up their lines, it is the next day. What holds before a line is a text, the
header and below it the latest time, so that reading can go on anywhere: ``#Fields: ...`` and ``#Date: ...`` in two lines.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

HEADER = "#Fields:"
DATE = "#Date:"
# Fields that have the day, too.
_WITH_DAY = ("date", "timestamp", "x-timestamp")
_DAY = timedelta(days=1)
# How far a line's time may lie before that of the line above it, on the same day.
_DISORDER = timedelta(minutes=10)
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
_DATE_LINE = re.compile(rf"{DATE}\s*(\d{{4}}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d))?", re.ASCII)


@dataclass(frozen=True)
class Above:
    """What holds for a line.

    :param header: the line with the names of the fields.
    :param time: of the line above it or of ``#Date:``, where the fields have no day.
    """

    header: str | None = None
    time: datetime | None = None

    @classmethod
    def from_text(cls, text: str | None) -> "Above":
        """From what ``text`` was."""
        header, _, date = (text or "").partition("\n")
        return cls(header or None, _date(date))

    @property
    def text(self) -> str | None:
        """The header, and the time below it if there is one."""
        if self.header is None or self.time is None:
            return self.header
        return f"{self.header}\n{DATE} {self.time.strftime(_TIME_FORMAT)}"


def above_each(lines: pl.Series, before: Above) -> Iterator[Above]:
    """For each line what holds below it; below lines with a day of their own, the time is that of ``#Date:``."""
    clock = _clock(before.header)
    for line in lines:
        if line.startswith(HEADER):
            before = Above(line, before.time)
            clock = _clock(line)
        elif line.startswith(DATE):
            before = Above(before.header, _date(line))
        elif clock is not None and before.time is not None and (found := clock.match(line)):
            before = Above(before.header, _later(before.time, found[1]))
        yield before


def below(lines: pl.Series, before: Above) -> Above:
    """What holds below the last of the lines."""
    last = before
    for last in above_each(lines, before):  # noqa: B007
        pass
    return last


def lacks_day(header: str | None) -> bool:
    """Whether the fields have a time but no day."""
    names = _names(header)
    return "time" in names and not any(name in names for name in _WITH_DAY)


def with_days(lines: pl.Series, before: Above) -> tuple[pl.Series, pl.Series]:
    """The lines, and the header of each; where their fields have no day, both begin with it."""
    texts, headers = [], []
    for line, above in zip(lines, above_each(lines, before), strict=True):
        is_dated = above.time is not None and lacks_day(above.header) and not line.startswith("#")
        texts.append(f"{above.time:%Y-%m-%d}{_separator(line)}{line}" if is_dated else line)
        headers.append(f"{HEADER} date {' '.join(_names(above.header))}" if is_dated else above.header)
    return pl.Series("line", texts, pl.String), pl.Series("header", headers, pl.String)


def _separator(line: str) -> str:
    return "\t" if "\t" in line else " "


def _names(header: str | None) -> list[str]:
    return (header or "").removeprefix(HEADER).split()


def _clock(header: str | None) -> re.Pattern[str] | None:
    """What finds the clock's time in a line; ``None`` where the fields have the day too."""
    if not lacks_day(header):
        return None
    return re.compile(rf"(?:[^ \t]*[ \t]){{{_names(header).index('time')}}}(\d\d:\d\d:\d\d)", re.ASCII)


def _date(line: str) -> datetime | None:
    match = _DATE_LINE.match(line)
    return None if match is None else _read(f"{match[1]} {match[2] or '00:00:00'}")


def _later(time: datetime, clock: str) -> datetime:
    """The time on the clock at about ``time`` or after it."""
    found = _read(f"{time:%Y-%m-%d} {clock}")
    if found is None:
        return time
    if found < time - _DISORDER:
        return found + _DAY
    return found - _DAY if found > time + _DAY - _DISORDER else found


def _read(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _TIME_FORMAT)  # noqa: DTZ007  (a day and a clock, without a zone)
    except ValueError:
        return None
