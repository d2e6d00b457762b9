"""Times as logs spell them, one at a time, in UTC. Pure.

Known are Combined's ``17/May/2015:10:05:03 +0000`` and ISO 8601 in its usual spellings, epochs in seconds to nanoseconds,
``20150517100503``, and what mail (RFC 5322), C, Java and JavaScript write. Digits beyond the microsecond are cut. A time
without offset is in the zone that is given; of an hour that comes twice it is the first. A second of 60 is the next minute's first.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from producer.formats.zones import in_utc

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONGEST_TEXT = 96
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# From so many on, an epoch counts milliseconds, microseconds, nanoseconds. Below the smallest it is a duration.
_FIRST_SECOND, _MILLISECONDS, _MICROSECONDS, _NANOSECONDS = 10**8, 10**11, 10**14, 10**17
_LATEST_YEAR_OF_DIGITS = 2100
# A year of two digits is of this century until here (RFC 6265).
_LAST_SHORT_YEAR = 69
_LEAP_SECOND = 60

_NAMED = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +)"
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,:](?P<fraction>\d{1,9})\d*)?)?(?: ?(?P<half>[ap]m))?"
)
# Digits with or without a name beside them, which then says the same again, or a name alone.
_OFFSET = (
    r"(?:\s*(?:(?:utc|gmt)?(?P<offset>[+-]\d\d(?::?\d\d)?)(?:\s*(?:[a-z]{1,5}|\([^()]*\)))?|(?P<name>[a-z]{1,5}))"
    r"(?:\[[a-z0-9/_+-]+\]?)?)?"
)
_ISO_CLOCK = r"(?P<hour>\d\d):?(?P<minute>\d\d):?(?P<second>\d\d)(?:[.,:](?P<fraction>\d{1,9})\d*)?"
_SPELLINGS = [
    re.compile(expression, re.ASCII | re.IGNORECASE)
    for expression in (
        rf"(?P<year>\d{{4}})(?P<dash>[-/])(?P<month>\d\d)(?P=dash)(?P<day>\d\d)[T _]{_CLOCK}{_OFFSET}",
        rf"(?P<year>\d{{4}})(?P<dash>[-/]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)[T _]?{_ISO_CLOCK}{_OFFSET}",
        rf"(?P<day>\d{{1,2}})/{_NAMED}/(?P<year>\d{{4}})[: ]{_CLOCK}{_OFFSET}",
        rf"{_WEEKDAY}?(?P<day>\d{{1,2}})(?P<dash>[ -]){_NAMED}(?P=dash)(?P<year>\d{{4}}|\d\d),? {_CLOCK}{_OFFSET}",
        rf"{_WEEKDAY}?{_NAMED} +(?P<day>\d{{1,2}}),? (?P<year>\d{{4}}),? (?:@ )?{_CLOCK}{_OFFSET}",
        rf"{_WEEKDAY}{_NAMED} +(?P<day>\d{{1,2}}) {_CLOCK}{_OFFSET} (?P<year>\d{{4}})",
    )
]
_NUMBER = re.compile(r"(\d{9,19})(?:[.,](\d{1,18}))?|\d\.\d{1,18}e\+?\d\d?", re.ASCII | re.IGNORECASE)


def instant(text: str, zone: str = "UTC") -> datetime | None:
    """The time in UTC, or ``None`` where ``text`` is no time of this calendar.

    :param zone: an IANA name, for times without offset.
    """
    text = text.strip()
    text = text.strip("[]") if text.startswith("[") else text
    if len(text) > _LONGEST_TEXT:
        return None
    try:
        return _from_number(text) or _from_words(text, zone)
    except (ValueError, OverflowError):
        return None


def _from_number(text: str) -> datetime | None:
    number = _NUMBER.fullmatch(text)
    if number is None or (_has_digits_of_date(text) and int(text[:4]) < _LATEST_YEAR_OF_DIGITS):
        return None
    return _from_epoch(Decimal(f"{number[1]}.{number[2] or 0}" if number[1] else text))


def _has_digits_of_date(text: str) -> bool:
    return text.isdecimal() and len(text) == len("20150517100503")


def _from_words(text: str, zone: str) -> datetime | None:
    for spelling in _SPELLINGS:
        if match := spelling.fullmatch(text):
            return _built(match.groupdict(), zone)
    return None


def _built(parts: Mapping[str, str | None], zone: str) -> datetime | None:
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    half = parts.get("half")
    if half is not None:
        hour = _of_twelve(hour) + (12 if half.lower() == "pm" else 0)
    leap = timedelta(seconds=second == _LEAP_SECOND)
    micros = int((parts["fraction"] or "0").ljust(6, "0")[:6])
    day = _year(parts["year"] or ""), _month(parts["month"] or ""), int(parts["day"] or "")
    local = datetime(*day, hour, minute, second - leap.seconds, micros) + leap  # noqa: DTZ001  (its zone comes next)
    return in_utc(local, parts["offset"] or parts["name"], zone)


def _of_twelve(hour: int) -> int:
    if not 1 <= hour <= 12:
        raise ValueError("no hour of a clock with twelve")
    return hour % 12


def _year(digits: str) -> int:
    year = int(digits)
    return year if len(digits) == len("2015") else year + (2000 if year <= _LAST_SHORT_YEAR else 1900)


def _month(text: str) -> int:
    return int(text) if text.isdecimal() else MONTHS.index(text[:3].title()) + 1


def _from_epoch(number: Decimal) -> datetime | None:
    if number < _FIRST_SECOND:
        return None
    if number >= _NANOSECONDS:
        micros = number / 1000
    elif number >= _MICROSECONDS:
        micros = number
    elif number >= _MILLISECONDS:
        micros = number * 1000
    else:
        micros = number * 1_000_000
    return _EPOCH + timedelta(microseconds=int(micros))
