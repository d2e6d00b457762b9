"""Days and hours of a time zone: as SQL on instants, and beside the days of tables, which are UTC's. Exact where clocks change. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR, SECOND = 3_600_000_000, 1_000_000  # in microseconds
# Beyond these there may be no such date in another zone.
FIRST, LAST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
BEGINNING = -(10**12)  # before all of them, in seconds


@cache
def zone_names() -> frozenset[str]:
    """The names of all time zones, such as ``Europe/Paris``."""
    return frozenset(available_timezones())


def local_time(microseconds: int, zone: str) -> datetime:
    """An instant, in microseconds since 1970, by the clocks of a zone."""
    time = EPOCH + timedelta(microseconds=microseconds)
    return time.astimezone(ZoneInfo(zone)) if FIRST < time < LAST else time


def iso_text(time: datetime, timespec: str = "microseconds") -> str:
    """A time in ISO 8601: with ``Z`` in UTC, else with its difference from that."""
    text = time.isoformat(timespec=timespec)
    return f"{text.removesuffix('+00:00')}Z" if time.tzname() == "UTC" else text


@dataclass(frozen=True)
class Span:
    """Days from the first to the last; ``None``: without a bound."""

    first: date | None
    last: date | None

    def has(self, day: date) -> bool:
        """Whether the day is one of them."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def condition(self, expression: str = "event_date") -> str:
        """In SQL, that a date is one of them."""
        bounds = ((">=", self.first), ("<=", self.last))
        return " AND ".join(f"{expression} {sign} DATE '{day}'" for sign, day in bounds if day) or "true"


@dataclass(frozen=True)
class Offset:
    """From an instant on the zone's clocks differ by so much from UTC. Both in microseconds."""

    since: int
    difference: int


class LocalDays:
    """The days of a question in its time zone.

    :param zone: its name.
    :param first: the first day there; ``None``: all before ``last``. :param last: likewise.
    :param days: those in UTC that there are requests of, in order: offsets are right on these.
    """

    def __init__(self, zone: str, first: date | None, last: date | None, days: Sequence[date]) -> None:
        self.zone = zone
        self.chosen = Span(first, last)
        near = Span(_moved(first, -1), _moved(last, 1))
        self.offsets = _offsets(ZoneInfo(zone), [day for day in days if near.has(day)])
        is_ahead = any(offset.difference > 0 for offset in self.offsets)
        is_behind = any(offset.difference < 0 for offset in self.offsets)
        # Days of UTC that may have some of these requests, and those that have nothing else.
        self.touched = Span(_moved(first, -is_ahead), _moved(last, is_behind))
        self.whole = Span(_moved(first, is_behind), _moved(last, -is_ahead))

    @property
    def is_utc(self) -> bool:
        """Whether days, and hours, are those of UTC."""
        return all(offset.difference == 0 for offset in self.offsets)

    @property
    def has_whole_hours(self) -> bool:
        """Whether an hour of UTC is one here, and belongs to one day."""
        later = (offset.since for offset in self.offsets[1:])
        return all(number % HOUR == 0 for number in (*(offset.difference for offset in self.offsets), *later))

    def time(self, column: str) -> str:
        """In SQL, what the clocks show at an instant: a ``TIMESTAMP``."""
        return f"make_timestamp(epoch_us({column}) + {self._by_offset(column, [o.difference for o in self.offsets])})"

    def day(self, column: str) -> str:
        """In SQL, the day of an instant."""
        return f"{self.time(column)}::DATE"

    def hour(self, column: str) -> str:
        """In SQL, the first instant of an instant's hour, or of the part of it that the clocks show without a change."""
        difference = self._by_offset(column, [offset.difference for offset in self.offsets])
        since = self._by_offset(column, [offset.since for offset in self.offsets])
        start = f"epoch_us(date_trunc('hour', {self.time(column)})) - {difference}"
        return f"make_timestamp(greatest({start}, {since})) AT TIME ZONE 'UTC'"

    def is_chosen(self, column: str) -> str:
        """In SQL, that an instant is on one of the question's days."""
        return "true" if self.is_utc else self.chosen.condition(self.day(column))

    def hour_text(self, microseconds: int) -> str:
        """The hour of an instant, such as ``2024-05-17T11:00+02:00``; two hours of one name differ in what follows the time."""
        text = iso_text(local_time(microseconds, self.zone), "minutes")
        return f"{text[:14]}00{text[16:]}"  # with the offset of this instant, whatever it was at the full hour

    def hour_at(self, clock: datetime) -> str:
        """The hour in which the clocks show this, the first time if twice; if they leave it out, the one that stands in for it."""
        return self.hour_text((clock.replace(tzinfo=ZoneInfo(self.zone)) - EPOCH) // timedelta(microseconds=1))

    def hours(self, first: int, last: int) -> Iterator[str]:
        """The hours between two instants, both included."""
        zone, at, said = ZoneInfo(self.zone), first // SECOND, ""
        while at <= last // SECOND:
            if (text := self.hour_text(at * SECOND)) != said:
                yield (said := text)
            difference = _difference(zone, at)
            following = at - (at + difference) % 3600 + 3600
            at = following if _difference(zone, following) == difference else _change(zone, at, following)

    def _by_offset(self, column: str, values: Sequence[int]) -> str:
        """In SQL, the value that belongs to the offset at an instant."""
        *earlier, last = values
        cases = " ".join(
            f"WHEN epoch_us({column}) < {offset.since} THEN {value}"
            for value, offset in zip(earlier, self.offsets[1:], strict=True)
        )
        return f"CASE {cases} ELSE {last} END" if cases else f"({last})"


def _moved(day: date | None, days: int) -> date | None:
    """So many days later, as far as there are dates."""
    if day is None:
        return None
    return date.fromordinal(min(max(day.toordinal() + days, 1), date.max.toordinal()))


def _offsets(zone: ZoneInfo, days: Sequence[date]) -> list[Offset]:
    """The offsets on these days, and since when there is each. No zone changes its clocks twice within a day."""
    found: list[tuple[int, int]] = []
    before = 0
    for day in days:
        start = int((datetime(day.year, day.month, day.day, tzinfo=UTC) - EPOCH).total_seconds())
        for second in (start, start + 86_399):
            difference = _difference(zone, second)
            if not found or difference != found[-1][1]:
                found.append((_change(zone, before, second) if found else BEGINNING, difference))
            before = second
    return [Offset(since * SECOND, difference * SECOND) for since, difference in found] or [Offset(0, 0)]


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """The second from which on the offset is that of ``high``, after ``low``, which has another."""
    wanted = _difference(zone, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _difference(zone, middle) == wanted else (middle, high)
    return high


def _difference(zone: ZoneInfo, second: int) -> int:
    time = min(max(EPOCH + timedelta(seconds=second), FIRST), LAST)
    difference = time.astimezone(zone).utcoffset()
    assert difference is not None
    return int(difference.total_seconds())
