"""The page in other time zones: each panel equals a plain count by the zone's own clocks, also where these change. Without a JVM."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from consumer.batch import refresh
from consumer.components.filters import Filters
from consumer.page.app import application
from consumer.page.export import write_html
from consumer.page.figures import HOUR_VISITORS, NO_HOUR_VISITORS, NO_VISITORS, UTC_VISITORS
from consumer.page.question import asked
from lakehouse.settings import Page, Settings
from tests.requests import append, request
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


def lakes(zone: str) -> st.SearchStrategy[tuple[list[Row], dict[str, str]]]:
    """Requests around the changes of the zone's clocks, and an address."""
    changes = [datetime.fromisoformat(change).replace(tzinfo=UTC) for change in CHANGES[zone]]
    near = st.builds(
        lambda change, quarters, seconds: change + timedelta(minutes=15 * quarters, seconds=seconds),
        some(*changes), st.integers(-200, 200), some(0, 0, -1, 899),
    )  # fmt: skip
    sent = st.lists(st.builds(at_time, requests(), near), min_size=20, max_size=40)
    days = [change.date() for change in changes]
    first, last = (some(*(str(days[-1] + timedelta(n)) for n in numbers)) for numbers in ((-2, -1, 0), (0, 1, 2)))
    optional = {"from": first, "to": last, "who": some("humans", "bots")} | {
        n: some(*VALUES[n]) for n in ("site", "ip", "status")
    }
    return st.tuples(sent, st.fixed_dictionaries({}, optional=optional))


def at_time(r: Row, time: datetime) -> Row:
    return r | {"timestamp": time, "event_date": time.date()}


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


@pytest.mark.parametrize("zone", CHANGES)
def test_every_panel_equals_a_plain_count_by_the_clocks_of_the_zone(zone: str) -> None:
    day = CHANGES[zone][0][:10]

    @hypothesis_settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow])
    @given(lakes(zone), some(True, False))
    def is_right(lake: tuple[list[Row], dict[str, str]], is_counted: bool) -> None:
        sent, address = lake
        with TemporaryDirectory() as folder:
            settings = settings_in(Path(folder))
            append(settings.lake, sent, extra={"request_time": pa.float64()})
            if is_counted:
                refresh(settings)
            with TestClient(application(settings), base_url="http://127.0.0.1") as page:
                for asked_for in ({"from": day, "to": day}, {}, *([address] if address else [])):
                    check(page, asked_for | {"tz": zone}, by_the_clocks(sent, zone), zone)

    is_right()


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
    assert {after - before for before, after in pairwise(at)} <= STEPS.get(zone, {timedelta(hours=1)})


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


# --- the setting, the address, and what follows them


MIDNIGHT = datetime(2024, 5, 17, 22, 30, tzinfo=UTC)  # half past, in Paris, on the 18th


@pytest.fixture
def in_paris(settings: Settings) -> Settings:
    """Settings with Paris's time, of a lake with a request just after midnight there."""
    append(settings.lake, [request(timestamp=MIDNIGHT)])
    refresh(settings)
    return settings.model_copy(update={"page": Page(time_zone="Europe/Paris")})


def test_json_and_csv_follow_the_setting_and_the_address(in_paris: Settings) -> None:
    with TestClient(application(in_paris), base_url="http://127.0.0.1") as page:

        def row(name: str, **address: str) -> Any:
            answer = page.get(f"/api/{name}", params=address).json()
            return (
                answer["time_zone"],
                answer["as_of"][-6:],
                answer["rows"][0]["timestamp"],
                answer["rows"][0]["event_date"],
            )

        offset = page.get("/api/now").json()["as_of"][-6:]
        assert offset in ("+01:00", "+02:00")  # of today's clocks
        assert row("requests") == ("Europe/Paris", offset, "2024-05-18T00:30:00.000000+02:00", "2024-05-18")
        chosen = row("requests", tz="Asia/Kolkata")
        assert chosen == ("Asia/Kolkata", "+05:30", "2024-05-18T04:00:00.000000+05:30", "2024-05-18")
        assert page.get("/api/requests?tz=UTC").json()["rows"][0]["timestamp"] == "2024-05-17T22:30:00.000000Z"
        lines = page.get("/export/ips.csv", params={"tz": "America/New_York"}).text.splitlines()
        assert lines[1] == f"192.0.2.1,1,1.0,100{',2024-05-17T18:30:00.000000-04:00' * 2}"
        assert page.get("/export/over_time.csv?by=hour").text.splitlines()[1:] == ["2024-05-18T00:00+02:00,1,1,100,0,0"]
        assert page.get("/api/weekdays").json()["rows"] == [{"weekday": "Saturday", "hour": 0, "requests": 1}]


@pytest.mark.parametrize("name", ["Europe/Atlantis", "europe/paris", "../../etc/passwd", "Europe", "x" * 300, "<b>"])
def test_a_time_zone_that_does_not_exist_is_refused(in_paris: Settings, name: str) -> None:
    with TestClient(application(in_paris), base_url="http://127.0.0.1") as page:
        for address in ("/api/now", "/export/pages.csv", "/api/live"):
            answer = page.get(address, params={"tz": name})
            said = {"error": "tz: not a time zone, such as Europe/Paris or UTC"}
            assert (answer.status_code, answer.json()) == (400, said)
        assert page.get("/", params={"tz": name}).status_code == 400
        assert page.get("/api/now?tz=Europe/Paris&tz=UTC").json() == {"error": "tz is there twice"}


def test_the_page_says_its_time_zone_and_keeps_the_chosen_one_in_all_links(in_paris: Settings) -> None:
    with TestClient(application(in_paris), base_url="http://127.0.0.1") as page:
        html = page.get("/").text
        assert "All days and hours are in Europe/Paris." in html
        assert "tz=" not in html
        html = page.get("/?tz=Asia/Kolkata&status=200").text
        assert "All days and hours are in Asia/Kolkata." in html
        assert re.search(r"as of <time [^>]*>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d IST<", html)
        links = [link for link in re.findall(r'href="(/[^"#]*)"', html) if not link.startswith("/static/")]
        assert [link for link in links if "tz=Asia%2FKolkata" not in link and "tz=Asia/Kolkata" not in link] == []
        assert re.findall(r'name="tz"[^>]*value="([^"]*)"', html) == ["Asia/Kolkata"]
        html = page.get("/pipeline?tz=Asia/Kolkata").text
        assert re.search(r"as of \d\d:\d\d:\d\d IST", html)
        assert "Days are UTC." in html


def test_without_a_range_the_page_of_a_long_history_ends_with_its_last_day_there(settings: Settings) -> None:
    append(settings.lake, [request(timestamp=MIDNIGHT - timedelta(days=200)), request(timestamp=MIDNIGHT)])
    with TestClient(application(settings), base_url="http://127.0.0.1") as page:
        for zone, last in (("UTC", "17"), ("Europe/Paris", "18")):
            html = page.get("/", params={"tz": zone}).text
            assert f'name="to" value="2024-05-{last}"' in html
            assert '<p class="figure" title="1">1</p>' in html


def test_the_report_as_one_file_has_the_time_zone_of_the_settings(in_paris: Settings, tmp_path: Path) -> None:
    write_html(in_paris, Filters(first=date(2024, 5, 18), last=date(2024, 5, 18)), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "All days and hours are in Europe/Paris." in html
    assert "05-18 00:00: 1 requests, 1 visitors" in html
