"""The chart and its table beside the days that they are compared with: equal to a plain count of the same requests. No JVM."""

import csv
import io
import re
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from consumer.batch import refresh
from consumer.page.app import application
from lakehouse.settings import Settings
from tests.requests import NOON, append, request
from tests.unit.test_page import counted, page_of
from tests.unit.test_report_panels import settings_in

Row = dict[str, Any]
some = st.sampled_from
FIRST_DAY = date(2024, 2, 20)  # a leap year


def point(moment: datetime, by: str) -> str:
    day = moment.date()
    if by == "hour":
        return f"{moment:%Y-%m-%dT%H:00Z}"
    start = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[by]
    return start.isoformat()


def plain(sent: list[Row], first: date, last: date, shift: timedelta, by: str) -> tuple[Counter[str], Counter[str]]:
    """Requests and visitors of a range by the point that they are shown at, ``shift`` later."""
    meant = [r for r in sent if first <= r["event_date"] <= last]
    requests = Counter(point(r["timestamp"] + shift, by) for r in meant)
    visitors = {(r["event_date"], r["ip"], r["agent"]) for r in meant}
    return requests, Counter(point(datetime.combine(day, datetime.min.time()) + shift, by) for day, *_ in visitors)


@st.composite
def cases(draw: st.DrawFn) -> Row:
    first = FIRST_DAY + timedelta(days=draw(st.integers(0, 40)))
    last = first + timedelta(days=draw(st.integers(0, 35)))
    return {
        "from": first, "to": last, "by": draw(some(("hour", "day", "week", "month"))),
        "compare": draw(some(("previous", "weekdays"))),
    }  # fmt: skip


sent_requests = st.lists(
    st.builds(
        lambda hours, ip: request(timestamp=NOON.replace(year=2024, month=2, day=1) + timedelta(hours=hours), ip=ip),
        st.integers(0, 24 * 90), some(("192.0.2.1", "192.0.2.2", None)),
    ),
    min_size=20, max_size=80,
)  # fmt: skip


@hypothesis_settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(sent_requests, st.lists(cases(), min_size=6, max_size=6))
def test_the_days_before_stand_at_the_same_points(sent: list[Row], several: list[Row]) -> None:
    with TemporaryDirectory() as folder:
        settings = settings_in(Path(folder))
        append(settings.lake, sent)
        refresh(settings)
        with TestClient(application(settings), base_url="http://127.0.0.1") as page:
            for asked in several:
                found = page.get("/api/over_time", params={k: str(v) for k, v in asked.items()}).json()
                first, last, by = asked["from"], asked["to"], asked["by"]
                days = (last - first).days + 1
                shift = timedelta(days=days if asked["compare"] == "previous" else 7 * (-(-days // 7)))
                now = plain(sent, first, last, timedelta(), by)
                then = plain(sent, first - shift, last - shift, shift, by)
                for column, numbers in zip(
                    ("requests", "visitors", "requests_before", "visitors_before"), (*now, *then), strict=True
                ):
                    if by != "hour" or column.startswith("requests"):
                        shown = Counter({row["time"]: row[column] for row in found["rows"] if row[column]})
                        assert shown == numbers, (asked, column)
                times = [row["time"] for row in found["rows"]]
                assert times == sorted(set(times))


def test_the_table_json_and_csv_have_the_columns_only_where_something_is_compared(settings: Settings) -> None:
    counted(settings, *(request(timestamp=NOON + timedelta(days=n)) for n in range(10) for _ in range(n + 1)))
    with page_of(settings) as page:
        asked = "from=2024-05-25&to=2024-05-26&by=day"
        before = ["requests_before", "visitors_before"]
        assert page.get(f"/api/over_time?{asked}").json()["columns"][-2:] == ["client_errors", "server_errors"]
        answer = page.get(f"/api/over_time?{asked}&compare=previous").json()
        assert answer["columns"][-2:] == before
        assert [[row["time"], row["requests"], *(row[c] for c in before)] for row in answer["rows"]] == [
            ["2024-05-25", 9, 7, 1],
            ["2024-05-26", 10, 8, 1],
        ]
        exported = list(
            csv.DictReader(io.StringIO(page.get(f"/export/over_time.csv?{asked}&compare=previous&sort=-time").text))
        )
        assert [row["requests_before"] for row in exported] == ["8", "7"]
        assert "sort: one of" in page.get(f"/api/over_time?{asked}&sort=requests_before").json()["error"]
        html = page.get(f"/?{asked}&compare=weekdays").text
    table = html[html.index('id="over_time"') :].partition("</table>")[0]
    assert re.findall(r">([^<>]*before)</a></th>", table) == ["Requests before", "Visitors before"]
    cells = re.findall(r"<td[^>]*>\s*(?:<a[^>]*>)?([^<]*)", table)
    assert cells[1::8] == ["9", "10"]
    assert cells[6::8] == ["2", "3"]


def test_the_chart_draws_the_days_before_as_a_line_on_the_same_scale(settings: Settings) -> None:
    early = [request(timestamp=NOON) for _ in range(40)]
    counted(settings, *early, *(request(timestamp=NOON + timedelta(days=2)) for _ in range(10)))
    with page_of(settings) as page:
        asked = "from=2024-05-19&to=2024-05-20&by=day"
        alone, both = (page.get(f"/?{asked}{more}").text for more in ("", "&compare=previous"))
    assert 'class="before"' not in alone
    assert "Requests before" not in alone
    assert re.findall(r'<polyline class="before" points="([^"]*)">', both) == ["500.0,0.0"]
    assert "10 requests, 1 visitors; 40 requests before</title>" in both
    assert [float(height) for height in re.findall(r'<rect class="requests"[^>]*height="([^"]*)"', both)] == [50.0]


@pytest.mark.parametrize("asked", ["range=all&compare=previous", "from=2024-05-17&compare=weekdays"])
def test_nothing_is_compared_with_a_range_that_has_no_ends(settings: Settings, asked: str) -> None:
    counted(settings, request())
    with page_of(settings) as page:
        assert "requests_before" not in page.get(f"/api/over_time?{asked}").json()["columns"]
        assert 'class="before"' not in page.get(f"/?{asked}").text


def test_of_a_range_without_requests_the_days_before_are_shown(settings: Settings) -> None:
    counted(settings, request())
    with page_of(settings) as page:
        rows = page.get("/api/over_time?from=2024-05-18&to=2024-05-18&by=day&compare=previous").json()["rows"]
    assert rows == [
        {"time": "2024-05-18", "requests": 0, "visitors": 0, "bytes": 0, "client_errors": 0, "server_errors": 0, "requests_before": 1, "visitors_before": 1}
    ]  # fmt: skip
