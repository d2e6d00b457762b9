"""Lists of the page: sorted by each column, by links in their heads; and which values lead to a filter. No JVM."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from consumer.batch import refresh
from consumer.page.answers import PANELS
from consumer.page.app import application
from lakehouse.settings import Settings, unpack_settings
from tests.requests import NOON, append, request
from tests.unit.test_page import Seen, counted, page_of

Row = dict[str, Any]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The page of requests that have equals and gaps in every column, and break each rule of what is suspicious."""
    folder = tmp_path_factory.mktemp("lists")
    paths = {"data_lake": str(folder / "lake"), "log": str(folder / "log")}
    promoted = {"request_time": {"field": "request_time", "type": "double"}}
    settings = unpack_settings({"paths": paths, "promoted": promoted}, "test")
    usual = [
        request(
            path=None if n % 7 == 0 else f"/page{n % 5}{('', '.css')[n % 2]}", bytes=n % 3 * 100, timestamp=NOON + timedelta(hours=5 * n), ip=f"192.0.2.{n % 4}",
            site=None if n % 3 == 0 else f"site{n % 2}.example", status=(200, 404, 410, 503, None)[n % 5], agent=f"agent {n % 6}" if n % 4 else None,
            browser=("Firefox", None, "Chrome")[n % 3], os=("Linux", None)[n % 2], device=("phone", "desktop")[n % 2],
            referer=("https://a.example/x", "https://b.example/", None)[n % 3], method=("GET", "POST")[n % 2],
            is_bot=n % 8 == 0, bot="Botty" if n % 16 == 0 else None, request_time=(0.1, None, 2.5)[n % 3],
        )
        for n in range(48)
    ]  # fmt: skip
    flagged = [request(ip=f"198.51.100.{n % 3}", path=f"/{n}", status=404, agent=f"agent {n % 11}") for n in range(66)]
    append(settings.lake, [*usual, *flagged], extra={"request_time": pa.float64()})
    refresh(settings)
    with TestClient(application(settings), base_url="http://127.0.0.1") as client:
        yield client


def rows_of(page: TestClient, name: str, **asked: str) -> list[Row]:
    answer = page.get(f"/api/{name}", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[Row] = answer.json()["rows"]
    return found


def in_order(rows: list[Row], column: str, *, is_ascending: bool) -> list[Row]:
    """What stays in its order where values are equal; without a value last."""
    known = [row for row in rows if row[column] is not None]
    return sorted(known, key=lambda row: row[column], reverse=not is_ascending) + [
        row for row in rows if row[column] is None
    ]


@pytest.mark.parametrize("name", [name for name in PANELS if name != "countries"])
def test_every_list_is_sorted_by_each_of_its_columns_and_equals_stay_as_they_were(page: TestClient, name: str) -> None:
    usual = rows_of(page, name)
    assert usual
    head = 1 if name == "response_times" else 0  # what is of all sites
    for column in usual[0]:
        if column in ("evidence", "weekday"):  # a number within a sentence; in the order of the week
            continue
        for sort, is_ascending in ((column, True), (f"-{column}", False)):
            expected = usual[:head] + in_order(usual[head:], column, is_ascending=is_ascending)
            assert rows_of(page, name, sort=sort) == expected, sort
        exported = csv.DictReader(io.StringIO(page.get(f"/export/{name}.csv", params={"sort": column}).text))
        first = rows_of(page, name, sort=column)[0]
        assert {k: v.removeprefix("'") for k, v in next(exported).items()} == {
            k: "" if v is None else str(v) for k, v in first.items()
        }


def test_evidence_is_sorted_as_the_number_that_it_is(page: TestClient) -> None:
    numbers = [int(row["evidence"].split()[0]) for row in rows_of(page, "suspicious", sort="-evidence")]
    assert numbers == sorted(numbers, reverse=True)
    assert {len(str(number)) for number in numbers} == {2}
    assert rows_of(page, "weekdays", sort="-weekday")[0]["weekday"] == "Sunday"


@pytest.mark.parametrize("name", PANELS)
def test_a_column_that_a_panel_does_not_have_is_refused_and_the_others_are_named(page: TestClient, name: str) -> None:
    for address in (f"/api/{name}", f"/export/{name}.csv"):
        for sort in ("colour", "-", "--requests", "requests DESC"):
            answer = page.get(address, params={"sort": sort})
            assert answer.status_code == 400, sort
            assert answer.json()["error"].startswith(f"sort: one of {PANELS[name].columns[0].name}, ")
    where = "/requests" if name == "requests" else f"/panels/{name}"
    assert page.get(where, params={"sort": "colour"}).status_code == 400


def test_pages_of_a_sorted_list_follow_each_other(page: TestClient) -> None:
    for name, sort in (("pages", "path"), ("ips", "-last_seen"), ("requests", "bytes"), ("requests", "timestamp")):
        whole = rows_of(page, name, sort=sort)
        parts = [rows_of(page, name, sort=sort, limit="5", offset=str(at)) for at in range(0, len(whole), 5)]
        assert [row for part in parts for row in part] == whole


def heads(html: str) -> list[tuple[str, str, str]]:
    """The heads of the first table: title, link, ``aria-sort``."""
    found = re.findall(r'<th scope="col"([^>]*)><a href="([^"]*)">([^<]*)</a></th>', html.partition("</thead>")[0])
    return [
        (title, link.replace("&amp;", "&"), "".join(re.findall(r'aria-sort="(\w+)"', rest)))
        for rest, link, title in found
    ]


def test_heads_of_columns_sort_and_say_how_rows_are_sorted(page: TestClient) -> None:
    first = heads(page.get("/panels/pages?range=all&search=page&offset=1").text)
    assert first == [
        ("Path", "/panels/pages?range=all&search=page&sort=path", ""),
        ("Requests", "/panels/pages?range=all&search=page&sort=requests", "descending"),
        ("Share", "/panels/pages?range=all&search=page&sort=-share", ""),
        ("Bytes", "/panels/pages?range=all&search=page&sort=-bytes", ""),
    ]
    by_path = heads(page.get(first[0][1]).text)
    assert by_path[:2] == [
        ("Path", "/panels/pages?range=all&search=page&sort=-path", "ascending"),
        ("Requests", "/panels/pages?range=all&search=page", ""),
    ]
    assert heads(page.get(by_path[0][1]).text)[0][2] == "descending"
    assert heads(page.get("/requests?sort=bytes&range=all").text)[:1] == [("Time", "/requests?range=all", "")] or (
        "Timestamp",
        "/requests?range=all",
        "",
    ) in heads(page.get("/requests?sort=bytes&range=all").text)


def test_every_head_of_the_first_page_leads_to_its_list(page: TestClient) -> None:
    html = page.get("/?who=humans&range=all").text
    seen = Seen()
    seen.feed(html)
    links = [link for name, link in seen.attributes if name == "href" and "sort=" in link]
    assert len(links) > 40
    for link in links:
        answer = page.get(link)
        assert answer.status_code == 200, link
        assert "who=humans" in link
        assert 'aria-sort="' in answer.text


def test_every_panel_has_its_rows_as_csv_and_json_under_the_same_filters(page: TestClient) -> None:
    html = page.get("/?who=humans&site=site1.example&range=all").text
    names = [*re.findall(r'<section class="card[^"]*" id="(\w+)"', html), "now", "over_time"]
    assert len(names) > 10
    for name in names:
        for address in (f"/export/{name}.csv", f"/api/{name}"):
            link = re.search(rf'href="({re.escape(address)}\?[^"]*)"', html)
            assert link is not None, address
            assert "site=site1.example&amp;who=humans" in link[1]
            assert page.get(link[1].replace("&amp;", "&")).status_code == 200


# --- values as filters


IPS = [
    "192.0.2.1",
    "2001:db8::a:1",
    "2001:DB8:0:0:0:0:A:1",
    "2001:0db8:0000:0000:0000:0000:000a:0001",
    "2001:db8::a:2",
    "fe80::1%eth0",
    "host.example",
    None,
]
NOTATIONS = {
    "192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "::FFFF:C000:0201": "192.0.2.1", " 192.0.2.1 ": "192.0.2.1",
    **dict.fromkeys(
        ("2001:db8::a:1", "2001:DB8::A:1", "2001:DB8:0:0:0:0:A:1", "2001:0db8:0000::000a:0001", "[2001:db8::a:1]"), "2001:db8::a:1"
    ),
    "fe80::1%eth0": "fe80::1%eth0", "fe80::1": None, "host.example": "host.example", "HOST.example": None, "192.0.2.01": None,
}  # fmt: skip


def test_an_ip_is_found_in_whatever_notation_it_is_asked_for_or_was_logged(settings: Settings) -> None:
    counted(settings, *(request(ip=ip) for ip in IPS))
    with page_of(settings) as page:
        for asked, meant in NOTATIONS.items():
            found = [] if meant is None else IPS[1:4] if meant.startswith("2001") else [meant]
            for name in ("ips", "requests"):
                assert {row["ip"] for row in rows_of(page, name, ip=asked)} == set(found), (name, asked)
            assert rows_of(page, "now", ip=asked)[0]["requests"] == len(found), asked


def test_a_value_that_is_too_long_for_an_address_is_no_link(settings: Settings) -> None:
    longest, longer = "/" + "x" * 4095, "/" + "y" * 4096
    counted(settings, *(request(path=path) for path in (longest, longer, "/a\0b")))
    with page_of(settings) as page:
        for where in ("/", "/panels/pages", "/requests"):
            seen = Seen()
            seen.feed(page.get(where).text)
            links = [link for name, link in seen.attributes if name == "href" and "path=" in link]
            assert any("x" * 4095 in link for link in links)
            assert not any("yyy" in link or "%00" in link for link in links)
            assert {page.get(link).status_code for link in set(links)} == {200}


def test_what_others_add_to_a_link_does_not_break_a_page_and_programs_are_told(settings: Settings) -> None:
    counted(settings, request(path="/a"), request(path="/b"))
    with page_of(settings) as page:
        for where in ("/", "/panels/pages", "/requests"):
            answer = page.get(f"{where}?path=/a&utm_source=mail&fbclid=1")
            assert answer.status_code == 200
            assert "utm_source" not in answer.text
        assert page.get("/api/pages?utm_source=mail").json() == {"error": "no such parameter: utm_source"}
