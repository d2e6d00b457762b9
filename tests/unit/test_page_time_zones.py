"""The page in other time zones: each panel equals a plain count by the zone's own clocks, also where these change. Without a JVM."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from consumer.batch import refresh
from consumer.page.app import application
from consumer.page.figures import HOUR_VISITORS, NO_HOUR_VISITORS, NO_VISITORS, UTC_VISITORS
from consumer.page.question import Question, asked
from lakehouse.settings import Page, Settings
from tests.requests import append
from tests.unit.test_page_panels import VALUES, chosen, plain_figures, plain_panels, shown_panels
from tests.unit.test_report_panels import grouped, most, of_class, requests, settings_in, size, some, visitors

Row = dict[str, Any]
# Of each zone some instants (UTC) at which its clocks change, or none. Between two of them there are months.
CHANGES = {
    "Europe/Paris": ("2024-03-31T01:00", "2024-10-27T01:00"),
    "America/New_York": ("2024-03-10T07:00", "2024-11-03T06:00"),
    "Asia/Kolkata": ("2024-03-31T01:00", "2024-10-27T01:00"),  # half an hour, always the same
    "Pacific/Apia": ("2011-12-30T10:00", "2012-04-01T14:00"),  # the 30th of December was left out
    "Australia/Lord_Howe": ("2024-04-06T15:00", "2024-10-05T15:30"),  # by half an hour
    "America/Havana": ("2024-03-10T05:00", "2024-11-03T05:00"),  # at midnight: a day begins at one o'clock
    "America/St_Johns": ("2010-03-14T03:31", "2010-11-07T02:31"),  # a minute after midnight: a day begins twice
    "Europe/London": ("2024-03-31T01:00", "2024-10-27T01:00"),
}


@st.composite
def lakes(draw: st.DrawFn) -> tuple[str, list[Row], list[dict[str, str]]]:
    """A zone, requests around the changes of its clocks, and addresses."""
    zone = draw(some(*CHANGES))
    changes = [datetime.fromisoformat(change).replace(tzinfo=UTC) for change in CHANGES[zone]]
    near = st.builds(
        lambda change, quarters, seconds: change + timedelta(minutes=15 * quarters, seconds=seconds),
        some(*changes), st.integers(-200, 200), some(0, 0, -1, 899),
    )  # fmt: skip
    sent = [
        r | {"timestamp": at, "event_date": at.date()}
        for r, at in draw(st.lists(st.tuples(requests(), near), min_size=1, max_size=30))
    ]
    day = draw(some(*changes)).date()
    first, last = (some(*(str(day + timedelta(n)) for n in numbers)) for numbers in ((-2, -1, 0), (0, 1, 2)))
    several = st.fixed_dictionaries(
        {},
        optional={"from": first, "to": last, "who": some("humans", "bots"), **{n: some(*VALUES[n]) for n in ("site", "ip", "status")}},
    )  # fmt: skip
    addresses = draw(st.lists(several, min_size=1, max_size=3))
    return zone, sent, [{"from": str(day), "to": str(day)}, {}, *addresses]


def by_the_clocks(sent: Sequence[Row], zone: str) -> list[Row]:
    """The requests with the days and times that the zone's clocks show."""
    times = [r["timestamp"].astimezone(ZoneInfo(zone)) for r in sent]
    return [r | {"timestamp": time, "event_date": time.date()} for r, time in zip(sent, times, strict=True)]


def hour_of(r: Row) -> str:
    text = r["timestamp"].isoformat(timespec="minutes")
    return f"{text[:14]}00{text[16:]}"


def plain_hours(meant: Sequence[Row]) -> list[list[Any]]:
    hours = grouped(meant, hour_of)
    in_order = sorted(hours, key=lambda hour: min(r["timestamp"].astimezone(UTC) for r in hours[hour]))
    return [
        [hour, len(rs), len({(r["ip"], r["agent"]) for r in rs}), size(rs), of_class(rs, 4), of_class(rs, 5)]
        for hour, rs in ((hour, hours[hour]) for hour in in_order)
    ]


def with_visitors_of_utc(due: dict[str, Any], meant: Sequence[Row]) -> None:
    """What the panels show of so long a range: a visitor is one of a day in UTC, and days in the zone have none."""
    as_sent = [r | {"event_date": r["timestamp"].astimezone(UTC).date()} for r in meant]
    due["now"] = [plain_figures(as_sent)]
    due["sites"] = [
        [k[0], len(rs), visitors(rs), size(rs), of_class(rs, 4), of_class(rs, 5)]
        for k, rs in most(grouped(as_sent, lambda r: (r["site"],)), len(as_sent))
    ]
    due["over_time"] = [[day, n, None, *others] for day, n, _, *others in due["over_time"]]


@hypothesis_settings(phases=[Phase.generate], max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(lakes(), some(True, True, False))
def test_every_panel_equals_a_plain_count_by_the_clocks_of_the_zone(
    lake: tuple[str, list[Row], list[dict[str, str]]], is_counted: bool
) -> None:
    zone, sent, several = lake
    with TemporaryDirectory() as folder:
        settings = settings_in(Path(folder))
        append(settings.lake, sent, extra={"request_time": pa.float64()})
        if is_counted:
            refresh(settings)
        with TestClient(application(settings), base_url="http://127.0.0.1") as page:
            for address in several:
                check(page, address | {"tz": zone}, by_the_clocks(sent, zone), zone)


def check(page: TestClient, address: dict[str, str], sent: Sequence[Row], zone: str) -> None:
    def answer(name: str, **more: str) -> Any:
        return page.get(f"/api/{name}", params=address | more).json()

    meant = chosen(sent, address)
    due = plain_panels(sent, address)
    notes = answer("now")["notes"]
    if notes:
        assert notes == answer("sites")["notes"] == [UTC_VISITORS]
        assert answer("over_time", by="day")["notes"] == [NO_VISITORS]
        assert not {"from", "to"} <= address.keys()
        with_visitors_of_utc(due, meant)
    assert shown_panels(page, address) == due, (zone, address)
    hours = answer("over_time", by="hour")
    rows = [[*row.values()] for row in hours["rows"]]
    due_hours = plain_hours(meant)
    if hours["notes"] == [NO_HOUR_VISITORS]:
        due_hours = [[hour, n, None, *others] for hour, n, _, *others in due_hours]
    assert [row for row in rows if row[1]] == due_hours, (zone, address)
    assert hours["notes"] == [HOUR_VISITORS] or not {"from", "to"} <= address.keys()
    at = [datetime.fromisoformat(row[0]) for row in rows]
    assert {after - before for before, after in zip(at, at[1:], strict=False)} <= STEPS.get(zone, {timedelta(hours=1)})


# Where clocks change within an hour, this has a part before and a part after.
STEPS = {
    zone: {timedelta(minutes=minutes) for minutes in minutes_}
    for zone, minutes_ in {"Australia/Lord_Howe": (30, 60, 90), "America/St_Johns": (0, 60, 120)}.items()
}


@pytest.mark.parametrize(
    ("asked_for", "zone", "days"),
    [
        ({"range": "today"}, "UTC", ("2024-05-17", "2024-05-17")),
        ({"range": "today", "tz": "Europe/Paris"}, "UTC", ("2024-05-18", "2024-05-18")),
        ({"range": "yesterday", "tz": "Europe/Paris"}, "UTC", ("2024-05-17", "2024-05-17")),
        ({"range": "7d"}, "Asia/Kolkata", ("2024-05-12", "2024-05-18")),
        ({"range": "today", "tz": "America/New_York"}, "Asia/Kolkata", ("2024-05-17", "2024-05-17")),
    ],
)
def test_ranges_end_with_today_in_the_time_zone(asked_for: dict[str, str], zone: str, days: tuple[str, str]) -> None:
    found = asked([*asked_for.items()], datetime(2024, 5, 17, 23, 30, tzinfo=UTC), zone)
    assert (str(found.filters.first), str(found.filters.last)) == days
    assert found.zone == asked_for.get("tz", zone)
    assert found.parameters() == asked_for
