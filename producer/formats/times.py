"""Columns of times, in UTC. Pure; vectorised for the usual spellings, else each distinct text by ``producer.formats.spellings``."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from producer.formats.columns import TIMESTAMP
from producer.formats.epochs import EPOCH, from_epochs
from producer.formats.spellings import MONTHS, instant

_MONTH_KEYS = np.array([int.from_bytes(m.encode(), "big") for m in MONTHS])
# By the last two letters of its name, no two months have the same, a month's number, from 0.
_MONTH_NUMBERS = np.zeros(1 << 16, dtype=np.int32)
_MONTH_NUMBERS[_MONTH_KEYS & 0xFFFF] = np.arange(len(MONTHS))
_MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_LOGGED_CHARACTERS = len("17/May/2015:10:05:03 +0000")
_EARLIEST_SECONDS = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
_LATEST_SECONDS = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())

# What ``logged_times`` reads.
LOGGED = "logged"
_USUAL = r"^[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}$"
_ISO_SECOND = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
# As most logs write ISO 8601, and how polars is told.
_ISO_SPELLINGS = (
    (_ISO_SECOND + r"[+-][0-9]{2}:[0-9]{2}$", "%Y-%m-%dT%H:%M:%S%:z"),
    (_ISO_SECOND + r"(?:\.[0-9]{1,9})?Z$", "%Y-%m-%dT%H:%M:%S%.fZ"),
)
_ISO_PARTS = (
    r"^(?P<base>[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?"
    r"(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?$"
)
_LOGGED_PARTS = (
    r"^(?P<base>[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?"
    r"(?P<offset> ?[+-][0-9]{4})?$"
)

_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def instants(texts: pl.Series, zone: str = "UTC") -> pl.Series:
    """Each text's time in UTC, null where it is null or no time.

    :param zone: an IANA name, for times without offset.
    """
    texts = texts.alias("timestamp")
    count = texts.len() - texts.null_count()
    if count == 0:
        return pl.Series("timestamp", [None] * texts.len(), dtype=TIMESTAMP)
    if texts.str.contains(_USUAL).sum() == count:
        return logged_times(texts)
    if texts.str.contains(EPOCH).sum() == count:
        return from_epochs(texts)
    for look, spelling in _ISO_SPELLINGS:
        if texts.str.contains(look).sum() == count and not texts.str.contains(":60", literal=True).any():
            times = texts.str.to_datetime(spelling, strict=False, time_unit="us", time_zone="UTC")
            if times.null_count() == texts.null_count() and times.is_between(_EARLIEST, _LATEST).sum() == count:
                return times
    for parts in (_LOGGED_PARTS, _ISO_PARTS):
        found = texts.str.extract_groups(parts).struct.unnest()
        if found["base"].null_count() == texts.null_count():
            return _with_skipped_hours(texts, _from_parts(found, zone), zone)
    return _one_by_one(texts, zone)


def _with_skipped_hours(texts: pl.Series, times: pl.Series, zone: str) -> pl.Series:
    """``times`` with those, too, that no clock in the zone showed: they are read as Python reads them."""
    is_missing = times.is_null() & texts.is_not_null()
    if not is_missing.any():
        return times
    places = pl.int_range(texts.len(), eager=True).filter(is_missing)
    return times.scatter(places, _one_by_one(texts.filter(is_missing), zone))


def _one_by_one(texts: pl.Series, zone: str) -> pl.Series:
    distinct = texts.drop_nulls().unique()
    known = pl.DataFrame(
        {"timestamp": distinct, "value": pl.Series([instant(t, zone) for t in distinct], dtype=TIMESTAMP)}
    )
    return texts.to_frame().join(known, on="timestamp", how="left", maintain_order="left")["value"].alias("timestamp")


def _from_parts(found: pl.DataFrame, zone: str) -> pl.Series:
    """From the columns ``base`` (to the second), ``fraction`` (digits) and ``offset``."""
    if "/" in (found["base"].drop_nulls()[0] or ""):
        base = logged_times(found["base"] + " +0000")
    else:
        base = found["base"].str.replace(" ", "T").str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us")
        base = base.dt.replace_time_zone("UTC")
    frame = found.with_columns(base.alias("at"))
    micros = pl.col("fraction").str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64, strict=False).fill_null(0)
    digits = pl.col("offset").str.replace_all(r"[^0-9]", "")
    minutes = digits.str.slice(0, 2).cast(pl.Int64, strict=False) * 60 + digits.str.slice(2, 2).cast(
        pl.Int64, strict=False
    )
    east = pl.when(pl.col("offset").str.contains("-", literal=True)).then(-minutes).otherwise(minutes).fill_null(0)
    local = (
        pl.col("at").dt.replace_time_zone(None).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    )
    utc = pl.when(pl.col("offset").is_null()).then(local.dt.convert_time_zone("UTC")).otherwise(pl.col("at"))
    at = (utc - pl.duration(minutes=east) + pl.duration(microseconds=micros)).cast(TIMESTAMP)
    return frame.select(pl.when(at.is_between(_EARLIEST, _LATEST)).then(at).alias("timestamp")).to_series()


def logged_times(times: pl.Series) -> pl.Series:
    """Logged times such as ``17/May/2015:10:05:03 +0000`` in UTC; null where null, or where no such time exists."""
    is_complete = times.null_count() == 0
    texts = times if is_complete else times.fill_null("0" * _LOGGED_CHARACTERS)
    octets = texts.cast(pl.Binary).bin.reinterpret(dtype=pl.Array(pl.UInt8, _LOGGED_CHARACTERS)).to_numpy()
    seconds, exists = _seconds(octets.reshape(-1, _LOGGED_CHARACTERS).T.astype(np.int32, order="C"))
    micros = pl.Series("timestamp", seconds * 1_000_000).cast(TIMESTAMP)
    if not is_complete:
        exists &= times.is_not_null().to_numpy()
    return micros if exists.all() else micros.set(pl.Series(~exists), None)


def _seconds(characters: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Seconds since the epoch, and whether there is such a time; the first axis are the 26 characters of a time."""

    def number(start: int, stop: int) -> npt.NDArray[np.int32]:
        value: npt.NDArray[np.int32] = characters[start] - ord("0")
        for digit in characters[start + 1 : stop]:
            value = value * 10 + (digit - ord("0"))
        return value

    day, year, hour, minute, second = number(0, 2), number(7, 11), number(12, 14), number(15, 17), number(18, 20)
    month_keys = (characters[3] << 16) | (characters[4] << 8) | characters[5]
    month = _MONTH_NUMBERS[month_keys & 0xFFFF]
    is_month = _MONTH_KEYS[month] == month_keys
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    month_days = _MONTH_DAYS[month] + (is_leap & (month == 1))
    exists = is_month & (year >= 1) & (day >= 1) & (day <= month_days) & (hour < 24) & (minute < 60) & (second <= 60)
    offset = (number(22, 24) * 60 + number(24, 26)) * 60
    east = np.where(characters[21] == ord("-"), -offset, offset)
    months = ((year - 1970) * 12 + month).astype(np.int64)
    days = months.astype("M8[M]").astype("M8[D]").astype(np.int64) + day - 1
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - east
    return seconds, exists & (seconds >= _EARLIEST_SECONDS) & (seconds <= _LATEST_SECONDS)
