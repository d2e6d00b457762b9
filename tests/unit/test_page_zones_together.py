"""One running page asked in several time zones in turn: what it keeps of one never answers for another; sorting and comparison. No JVM."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from consumer.batch import refresh
from consumer.page import answers, reader
from consumer.page.answers import Answers
from consumer.page.figures import HOUR_VISITORS, NO_HOUR_VISITORS
from consumer.page.panel import Rows
from consumer.page.question import asked
from consumer.page.versions import OpenTables
from lakehouse.settings import Settings, unpack_settings
from tests.requests import append, request
from tests.unit.test_page import counted, page_of

Address = dict[str, str]
# Clocks change on the 31st in Paris.
BEGINNING = datetime(2024, 3, 27, 22, 10, tzinfo=UTC)
RANGE = {"from": "2024-03-30", "to": "2024-04-01"}
LISTS = ("pages", "static_files", "client_errors", "referers", "statuses", "ips", "agents", "sites", "response_times")
# Panels, none: all; and how they are asked.
CASES: Sequence[tuple[Sequence[str], Address]] = (
    ((), {}),
    ((), RANGE | {"who": "humans"}),
    ((), RANGE | {"status": "404"}),
    ((), {"ip": "192.0.2.1", "from": "2024-03-29"}),
    (LISTS, RANGE | {"sort": "requests", "site": "a.example"}),
    (("sites",), RANGE | {"sort": "-visitors", "limit": "1"}),
    (("over_time",), RANGE | {"sort": "-visitors"}),
    (("now", "over_time"), RANGE | {"compare": "previous", "by": "hour"}),
    (("over_time",), RANGE | {"compare": "previous", "by": "hour", "sort": "-time"}),
    (("over_time",), RANGE | {"compare": "weekdays", "by": "day", "sort": "-visitors_before"}),
    (("over_time",), {"from": "2024-04-01", "to": "2024-04-01", "compare": "previous", "by": "week"}),
    (("requests",), RANGE | {"sort": "event_date", "limit": "5"}),
    (("requests",), {"sort": "-event_date", "limit": "20", "offset": "3"}),
)


@pytest.fixture
def timed(settings: Settings) -> Settings:
    """A lake of a request every three hours or so, of a few sites, IPs and agents, with response times. Nothing is counted yet."""
    sent = [
        request(
            timestamp=BEGINNING + timedelta(minutes=185 * n), ip=f"192.0.2.{n % 3}", agent=f"agent {n * n % 4}", site=f"{'abc'[n % 3]}.example",
            path=f"/{n % 5}{('', '.css')[n % 2]}", status=(200, 404, 503)[n * 7 % 3], is_bot=n % 4 == 0, request_time=n / 10,
            referer=("https://d.example/", None)[n % 2], method=("GET", "POST")[n * n % 5 % 2],
        )
        for n in range(48)
    ]  # fmt: skip
    append(settings.lake, sent, extra={"request_time": pa.float64()})
    promoted = {"request_time": {"field": "request_time", "type": "double"}}
    paths = {name: str(path) for name, path in (("data_lake", settings.lake.root), ("log", settings.paths.log))}
    return unpack_settings({"paths": paths, "promoted": promoted}, "test")


def found_in(one: Answers, names: Sequence[str], address: Address, zone: str) -> Mapping[str, Rows]:
    question = asked([*address.items(), ("tz", zone)], BEGINNING, "UTC")
    version = one.tables.version()
    answered = one.ask(names or one.names(version), question)[1]
    assert not any(answer.problem for answer in answered.values())
    return {name: answer.found for name, answer in answered.items()}


def fresh(tables: OpenTables, names: Sequence[str], address: Address, zone: str) -> Mapping[str, Rows]:
    """The answers of one that has answered nothing before."""
    one = Answers(tables.settings, tables)
    try:
        return found_in(one, names, address, zone)
    finally:
        one.close()


MODES = {
    "counted": {},
    "long": {"LONG_DAYS": 0, "OPEN_DAYS": 1},  # all days but the newest are added up
    "many": {"COUNTED_REQUESTS": 0},  # visitors are those of days in UTC
    "not counted": {},
}


# Where no answers are kept, what they are derived from still is.
@pytest.mark.parametrize(
    ("mode", "zones", "kept_answers"),
    [
        ("counted", ("Europe/Paris", "America/New_York"), 0),
        ("long", ("Asia/Kolkata", "Europe/Paris"), 0),
        ("many", ("UTC", "America/New_York"), 500),
        ("not counted", ("Asia/Kolkata", "UTC"), 500),
    ],
)
def test_what_is_kept_of_one_time_zone_never_answers_for_another(
    timed: Settings, monkeypatch: pytest.MonkeyPatch, mode: str, zones: tuple[str, str], kept_answers: int
) -> None:
    if mode != "not counted":
        refresh(timed)
    if mode == "many":
        monkeypatch.setattr(reader, "COUNTED_REQUESTS", 0)
    tables = OpenTables(timed)
    due = {(n, zone): fresh(tables, *case, zone) for n, case in enumerate(CASES) for zone in zones}
    assert sum(due[n, zones[0]] != due[n, zones[1]] for n in range(len(CASES))) >= len(CASES) - 1
    for name, value in MODES[mode].items():
        monkeypatch.setattr(reader, name, value)
    monkeypatch.setattr(answers, "KEPT_ANSWERS", kept_answers)
    running = Answers(timed, tables)
    for n, case in enumerate(CASES):
        for zone in (*zones, zones[0]):
            assert found_in(running, *case, zone) == due[n, zone], (case, zone)
    running.close()


# --- sorted


def page_rows(page: TestClient, name: str, **address: str) -> list[dict[str, Any]]:
    answer = page.get(f"/api/{name}", params=address)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def sites(settings: Settings) -> Iterator[TestClient]:
    """Two sites: which of them has more visitors depends on when a day ends. In Kolkata one does at 18:30."""
    over_midnight = [request(site="utc.example", timestamp=at(f"2024-05-{time}:00")) for time in ("17T23", "18T01")]
    over_half_past = [request(site="kolkata.example", timestamp=at(f"2024-05-18T{time}:00")) for time in ("18", "19")]
    counted(settings, *over_midnight, *over_half_past, request(timestamp=at("2024-05-18T12:00")))
    with page_of(settings) as page:
        yield page


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", [("utc.example", 2), ("kolkata.example", 1), (None, 1)]),
        ("Asia/Kolkata", [("kolkata.example", 2), ("utc.example", 1), (None, 1)]),
    ],
)
def test_sites_are_sorted_by_the_visitors_that_are_shown(sites: TestClient, zone: str, expected: list[Any]) -> None:
    found = page_rows(sites, "sites", tz=zone, sort="-visitors")
    assert [(row["site"], row["visitors"]) for row in found] == expected
    assert page_rows(sites, "sites", tz=zone, sort="-visitors", limit="1") == found[:1]
    assert page_rows(sites, "sites", tz=zone, sort="-visitors", limit="1", offset="1") == found[1:2]
    assert page_rows(sites, "sites", tz=zone, sort="-visitors", search="UTC") == [
        r for r in found if r["site"] == "utc.example"
    ]
    ascending = page_rows(sites, "sites", tz=zone, sort="visitors")
    assert [row["visitors"] for row in ascending] == [1, 1, 2]
    assert sites.get("/api/sites", params={"tz": zone, "sort": "visitors", "limit": "2"}).json()["has_more"]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_requests_are_sorted_by_the_day_that_they_show_and_then_by_time(settings: Settings, zone: str) -> None:
    counted(settings, *(request(timestamp=at("2024-05-17T00:30") + timedelta(hours=3 * n)) for n in range(30)))
    with page_of(settings) as page:
        newest = page_rows(page, "requests", tz=zone)
        by_day = sorted(newest, key=lambda row: row["event_date"])
        for sort, expected in (("event_date", by_day), ("-event_date", newest), ("timestamp", newest[::-1])):
            for limit in (1, 2, 7, 30):
                assert page_rows(page, "requests", tz=zone, sort=sort, limit=str(limit)) == expected[:limit]


# --- compared


@pytest.mark.parametrize(
    ("day", "before", "now", "expected"),
    [
        # An hour that the clocks leave out stands where the next one does; noon is noon.
        (
            "2024-03-31", ["2024-03-30T01:30", "2024-03-30T11:10", "2024-03-30T02:00"], ["2024-03-31T10:59"],
            [("03:00+02:00", 0, 2), ("12:00+02:00", 1, 1)],
        ),
        # An hour that is there twice is compared the first time.
        (
            "2024-10-27", ["2024-10-26T00:30"], ["2024-10-27T01:30", "2024-10-27T00:10"],
            [("02:00+02:00", 1, 1), ("02:00+01:00", 1, 0)],
        ),
        # Twice on the day before: both stand at the one.
        ("2024-10-28", ["2024-10-27T00:30", "2024-10-27T01:30"], ["2024-10-28T01:45"], [("02:00+01:00", 1, 2)]),
        ("2024-05-18", ["2024-05-16T22:05"], [], [("00:00+02:00", 0, 1)]),
        ("2024-05-18", [], [], []),
    ],
)  # fmt: skip
def test_hours_are_compared_by_the_clocks(
    settings: Settings, day: str, before: list[str], now: list[str], expected: list[tuple[str, int, int]]
) -> None:
    counted(settings, *(request(timestamp=at(time)) for time in (*before, *now)), request(timestamp=at("2024-01-01")))
    address = {"from": day, "to": day, "by": "hour", "compare": "previous", "tz": "Europe/Paris"}
    with page_of(settings) as page:
        found = page_rows(page, "over_time", **address)
        shown = [(row["time"], row["requests"], row["requests_before"]) for row in found]
        visitors = [(row["visitors"], row["visitors_before"]) for row in found]
        backwards = page_rows(page, "over_time", **address, sort="-time")
        page.get("/", params=address).raise_for_status()
    assert [row for row in shown if row[1:] != (0, 0)] == [(f"{day}T{time}", *numbers) for time, *numbers in expected]
    starts = [datetime.fromisoformat(time) for time, *_ in shown]
    assert starts == [min(starts) + timedelta(hours=n) for n in range(len(starts))] if starts else not expected
    assert [bool(n) for pair in visitors for n in pair] == [bool(n) for _, *numbers in shown for n in numbers]
    assert backwards == found[::-1]


def test_what_is_not_counted_of_the_days_before_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(settings, *(request(timestamp=at(f"2024-05-{day}:00")) for day in ("17T08", "17T09", "17T09", "18T09")))
    monkeypatch.setattr(reader, "COUNTED_REQUESTS", 2)
    with page_of(settings) as page:
        answer = page.get("/api/over_time?from=2024-05-18&to=2024-05-18&by=hour&compare=previous").json()
    assert answer["notes"] == [HOUR_VISITORS, f"before: {NO_HOUR_VISITORS}"]
    figures = ("requests", "visitors", "requests_before", "visitors_before")
    assert [[row["time"], *(row[name] for name in figures)] for row in answer["rows"]] == [
        ["2024-05-18T08:00Z", 0, 0, 1, None],
        ["2024-05-18T09:00Z", 1, 1, 2, None],
    ]


# --- links


@pytest.mark.parametrize(
    "path",
    ["/", "/panels/pages?sort=path&search=/", "/panels/ips", "/requests?sort=-status", "/?from=2024-05-17&to=2024-05-17&compare=previous", "/pipeline"],
)  # fmt: skip
def test_every_link_to_figures_keeps_the_time_zone(settings: Settings, path: str) -> None:
    counted(settings, *(request(timestamp=at("2024-05-17T12:00"), path=f"/{n}") for n in range(3)))
    with page_of(settings) as page:
        html = page.get(path, params=dict(parse_qsl(urlsplit(path).query)) | {"tz": "Asia/Kolkata"}).text
    links = [unescape(link) for link in re.findall(r'href="(/[^"#]*)"', html) if not link.startswith("/static/")]
    without = [link for link in links if parse_qs(urlsplit(link).query).get("tz") != ["Asia/Kolkata"]]
    assert without == (["/export/pipeline.csv", "/api/pipeline"] if path == "/pipeline" else [])  # these are in UTC
    assert len(links) > 2
