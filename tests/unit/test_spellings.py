from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import polars as pl
import pytest

from producer.formats.spellings import instant
from producer.formats.times import instants
from producer.formats.zones import NAMED_HOURS

T0 = datetime(2026, 11, 27, 10, 1, 0, tzinfo=UTC)
SPELLINGS = [
    ("2026-11-27T10:01:00Z", T0),
    ("2026-11-27t10:01:00z", T0),
    ("2026-11-27 10:01:00+0000", T0),
    ("2026-11-27 10:01:00 +0000", T0),
    ("2026-11-27 10:01:00.250 UTC", T0.replace(microsecond=250_000)),
    ("2026-11-27T10:01:00,123456789Z", T0.replace(microsecond=123_456)),
    ("2026-11-27T11:01:00+01", T0),
    ("2026-11-27T11:01:00+01:00[Europe/Berlin]", T0),
    ("2026-11-27 11:01:00 +0100 CET", T0),
    ("2026-11-27T10:01Z", T0),
    ("2026/11/27 10:01:00", T0),
    ("20261127T100100Z", T0),
    ("20261127100100", T0),
    ("27/Nov/2026:10:01:00 +0000", T0),
    ("[27/nov/2026:10:01:00.5 +00:00]", T0.replace(microsecond=500_000)),
    ("Fri, 27 Nov 2026 10:01:00 GMT", T0),
    ("27 Nov 2026 10:01 -0000", T0),
    ("Friday, 27-Nov-26 10:01:00 GMT", T0),
    ("Fri Nov 27 10:01:00 2026", T0),
    ("Fri Nov 27 11:01:00 CET 2026", T0),
    ("Fri Nov 27 2026 11:01:00 GMT+0100 (Central European Standard Time)", T0),
    ("Nov 27, 2026 @ 10:01:00.250", T0.replace(microsecond=250_000)),
    ("Nov 27, 2026, 10:01:00 PM", T0.replace(hour=22)),
    ("Nov 27, 2026 12:01:00 am", T0.replace(hour=0)),
    ("1795773660", T0),
    ("1795773660.25", T0.replace(microsecond=250_000)),
    ("1795773660250", T0.replace(microsecond=250_000)),
    ("1795773660250000", T0.replace(microsecond=250_000)),
    ("1795773660250000999", T0.replace(microsecond=250_000)),
    ("1.79577366025E9", T0.replace(microsecond=250_000)),
    ("2026-12-31T23:59:60Z", datetime(2027, 1, 1, tzinfo=UTC)),
    ("31/Dec/2026:23:59:60 +0000", datetime(2027, 1, 1, tzinfo=UTC)),
    ("9999-12-31T23:59:60Z", None),
    ("2026-11-27T10:01:61Z", None),
    ("Nov 27, 2026 13:01:00 PM", None),
    ("2026-11-27", None),
    ("10:01:00", None),
    ("11/27/2026 10:01:00", None),
    ("2026-02-29T10:01:00Z", None),
    ("12.5", None),
    ("0001-01-01T00:00:00+14:00", None),
    ("", None),
]
NAMES = [
    # a clock with a zone's name, the zone that is set, and the time
    ("2026-11-27 11:01:00 CET", "UTC", T0),
    ("2026-07-27 12:01:00 CEST", "UTC", T0.replace(month=7)),
    ("2026-11-27 05:01:00 EST", "UTC", T0),
    ("2026-11-27 19:01:00 jst", "UTC", T0),
    ("2026-11-27 10:01:00 CST", "UTC", None),
    ("2026-11-27 18:01:00 CST", "Asia/Shanghai", T0),
    ("2026-11-27 04:01:00 CST", "America/Chicago", T0),
    ("2026-11-27 10:01:00 CST", "Europe/Berlin", None),
    ("2026-11-27 15:31:00 IST", "Asia/Kolkata", T0),
    ("2026-11-27 10:01:00 IST", "UTC", None),
    ("2026-11-27 10:01:00 XYZ", "UTC", None),
    ("2026-10-25 02:30:00", "Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ("2026-10-25 02:30:00 CEST", "Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ("2026-10-25 02:30:00 CET", "Europe/Berlin", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "expected"), SPELLINGS)
def test_a_time_is_read_however_it_is_spelt(text: str, expected: datetime | None) -> None:
    assert instant(text) == expected


@pytest.mark.parametrize(("text", "zone", "expected"), NAMES)
def test_a_zones_name_counts_where_it_has_one_meaning(text: str, zone: str, expected: datetime | None) -> None:
    assert instant(text, zone) == expected


def test_a_column_is_read_as_each_of_its_texts() -> None:
    texts = [text for text, _ in SPELLINGS]
    expected = [time for _, time in SPELLINGS]
    assert instants(pl.Series([*texts, None])).to_list() == [*expected, None]
    for text, time in SPELLINGS:
        assert instants(pl.Series([text, None, text])).to_list() == [time, None, time]


# Asia/Manila's PST and what was Pyongyang's KST for three years are hardly met in logs.
OTHERS = {"Asia/Manila", "Asia/Pyongyang"}


def test_a_name_that_counts_has_one_meaning_in_all_zones() -> None:
    found = {
        (name, time.utcoffset())
        for zone in available_timezones() - OTHERS
        for year in range(2005, 2027)
        for month in (1, 7)
        if (name := (time := datetime(year, month, 15, tzinfo=UTC).astimezone(ZoneInfo(zone))).tzname()) in NAMED_HOURS
    }
    assert found == {(name, timedelta(hours=hours)) for name, hours in NAMED_HOURS.items() if name != "Z"}
