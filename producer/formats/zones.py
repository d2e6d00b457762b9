"""Offsets from UTC as logs write them: digits, or the name of a zone. Pure.

A name counts where the zone that is set calls itself so at that time, or where it means one offset all over the world. Others
(``CST`` is in use in America and in China, ``IST`` in three countries) say nothing: a time with such a name is no time.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

# Hours east of UTC, by names that have one meaning. Daylight saving time has a name of its own.
NAMED_HOURS = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "SAST": 2, "EAT": 3,
    "PKT": 5, "WIB": 7, "HKT": 8, "AWST": 8, "JST": 9, "KST": 9, "ACST": 9.5, "ACDT": 10.5, "AEST": 10, "AEDT": 11, "NZST": 12,
    "NZDT": 13, "EDT": -4, "EST": -5, "MDT": -6, "MST": -7, "PDT": -7, "PST": -8, "AKDT": -8, "AKST": -9, "HST": -10,
}  # fmt: skip
_FOLDS = (0, 1)


def in_utc(local: datetime, offset: str | None, zone: str) -> datetime | None:
    """A clock's time in UTC; ``None`` where ``offset`` is a name that may mean several.

    :param local: without zone.
    :param offset: ``+01:00``, ``-0130``, ``+01`` or a name; ``None`` for a time in ``zone``.
    :raises OverflowError: it is outside the years 1 to 9999.
    """
    if offset is None:
        return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if offset[0] in "+-":
        return local.replace(tzinfo=UTC) - _east(offset)
    name = offset.upper()
    for fold in _FOLDS:
        time = local.replace(tzinfo=ZoneInfo(zone), fold=fold)
        if time.tzname() == name:
            return time.astimezone(UTC)
    hours = NAMED_HOURS.get(name)
    return None if hours is None else local.replace(tzinfo=UTC) - timedelta(hours=hours)


def _east(offset: str) -> timedelta:
    digits = offset[1:].replace(":", "").ljust(4, "0")
    east = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return east if offset[0] == "+" else -east
