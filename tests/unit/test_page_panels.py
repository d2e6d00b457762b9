"""The page's panels: under any filters in an address each equals a plain count of the same requests. Without a JVM."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from consumer.batch import refresh
from consumer.page.app import application
from consumer.page.figures import WEEKDAYS
from tests.requests import append
from tests.unit.test_report_panels import (
    HOSTS,
    ODD,
    PLAIN,
    grouped,
    most,
    of_class,
    requests,
    settings_in,
    size,
    some,
    visitors,
)

Row = dict[str, Any]
Asked = dict[str, str]
VALUES: dict[str, tuple[str, ...]] = {
    "site": ("-", "a.example", ODD, "nobody"), "path": ("-", "/", "/a.CSS", ODD), "ip": ("-", "192.0.2.1"), "agent": ("-", "curl/8", ODD),
    "status": ("-", "200", "404", "4xx", "5xx"), "referer": ("-", "nonsense"), "referer_host": ("-", "a.example"), "browser": ("-", "curl", ODD),
    "bot": ("-", "Googlebot"), "bot_class": ("search-engine",), "method": ("GET", "PUT"),
}  # fmt: skip
LISTS = PLAIN | {
    "not_found": (lambda r: r["status"] == 404, lambda r: (r["path"],)),
    "other_client_errors": (lambda r: r["status"] == 410, lambda r: (r["status"], r["path"])),
    "methods": (lambda r: True, lambda r: (r["method"],)),
    "statuses": (lambda r: True, lambda r: (r["status"],)),
}

any_address = st.fixed_dictionaries(
    {},
    optional={name: some(*values) for name, values in VALUES.items()}
    | {"from": some("2024-05-16", "2024-05-17", "2024-05-18"), "to": some("2024-05-18", "2024-05-20"), "who": some("all", "humans", "bots")},
)  # fmt: skip


def value_of(r: Row, name: str) -> str:
    value = HOSTS[r["referer"]] if name == "referer_host" else r[name]
    return "-" if value is None else str(value)


def chosen(sent: Sequence[Row], asked: Asked) -> list[Row]:
    def is_meant(r: Row) -> bool:
        day, who = r["event_date"].isoformat(), asked.get("who", "all")
        is_in_range = asked.get("from", "0") <= day <= asked.get("to", "9")
        classes = {"status": str(r["status_class"])} if asked.get("status", "").endswith("xx") else {}
        values = {name: classes.get(name, value_of(r, name)) for name in VALUES}
        is_kind = who == "all" or r["is_bot"] == (who == "bots")
        return is_in_range and is_kind and all(values[name] == asked[name] for name in VALUES if name in asked)

    return [r for r in sent if is_meant(r)]


def plain_figures(meant: Sequence[Row]) -> list[int]:
    bots = sum(r["is_bot"] for r in meant)
    return [len(meant), visitors(meant), size(meant), of_class(meant, 4), of_class(meant, 5), bots]


def micros(time: datetime) -> str:
    text = time.isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z") if time.tzinfo is UTC else text


def plain_panels(sent: Sequence[Row], asked: Asked) -> dict[str, Any]:
    meant = chosen(sent, asked)
    found: dict[str, Any] = {"now": [plain_figures(meant)]}
    days = grouped(meant, lambda r: r["event_date"])
    found["over_time"] = [[day.isoformat(), *plain_figures(rs)[:5]] for day, rs in sorted(days.items())]
    for name, (is_listed, key) in LISTS.items():
        listed = [r for r in meant if is_listed(r)]
        found[name] = [
            [*k, len(rs), len(rs) / len(listed), size(rs)] for k, rs in most(grouped(listed, key), len(listed))
        ]
    for name, column in (("ips", "ip"), ("agents", "agent")):
        found[name] = [
            [
                k[0],
                len(rs),
                len(rs) / len(meant),
                size(rs),
                micros(min(times(rs), key=instant)),
                micros(max(times(rs), key=instant)),
            ]
            for k, rs in most(grouped(meant, lambda r, column=column: (r[column],)), len(meant))  # type: ignore[misc]
        ]
    found["sites"] = [
        [k[0], len(rs), visitors(rs), size(rs), of_class(rs, 4), of_class(rs, 5)]
        for k, rs in most(grouped(meant, lambda r: (r["site"],)), len(meant))
    ]
    hours = grouped(meant, lambda r: (r["timestamp"].weekday(), r["timestamp"].hour))
    found["weekdays"] = [[WEEKDAYS[day], hour, len(rs)] for (day, hour), rs in sorted(hours.items())]
    newest = sorted(meant, key=lambda r: (r["timestamp"].timestamp(), r["event_id"]), reverse=True)
    found["requests"] = [[r["event_id"], micros(r["timestamp"]), *(r[c] for c in REQUEST_COLUMNS)] for r in newest]
    timed = sorted(r["request_time"] for r in meant if r["request_time"] is not None)
    found["timed"] = len(timed)
    return found


REQUEST_COLUMNS = ("ip", "path", "status", "bytes", "agent", "referer", "site", "is_bot", "request_time")


instant = datetime.timestamp  # two times of one zone are compared by what its clocks show


def times(rs: Sequence[Row]) -> list[datetime]:
    return [r["timestamp"] for r in rs]


def shown_panels(page: TestClient, asked: Asked) -> dict[str, Any]:
    def rows(name: str, **more: str) -> list[dict[str, Any]]:
        answer = page.get(f"/api/{name}", params=asked | more)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["rows"]
        return found

    found = {
        name: [list(row.values()) for row in rows(name)]
        for name in ("now", *LISTS, "ips", "agents", "sites", "weekdays")
    }
    found["over_time"] = [[*row.values()] for row in rows("over_time", by="day") if row["requests"]]
    found["requests"] = [[row[c] for c in ("event_id", "timestamp", *REQUEST_COLUMNS)] for row in rows("requests")]
    timed = rows("response_times")
    found["timed"] = timed[0]["requests"] if timed else 0  # type: ignore[assignment]
    return found


@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests(), min_size=1, max_size=30), st.lists(any_address, min_size=1, max_size=4), some(0, 1))
def test_every_panel_equals_a_plain_count_under_any_filters(sent: list[Row], several: list[Asked], late: int) -> None:
    """``late`` requests come after the count: they are not shown, on no panel, until they are counted."""
    with TemporaryDirectory() as folder:
        settings = settings_in(Path(folder))
        append(settings.lake, sent, extra={"request_time": pa.float64()})
        refresh(settings)
        if late:
            append(settings.lake, sent[:1], extra={"request_time": pa.float64()})
        with TestClient(application(settings), base_url="http://127.0.0.1") as page:
            for asked in [{}, *several]:
                assert shown_panels(page, asked) == plain_panels(sent, asked), asked


@hypothesis_settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@example([], {})
@given(st.lists(requests(), max_size=10), any_address)
def test_before_the_first_count_the_figures_come_from_the_requests(sent: list[Row], asked: Asked) -> None:
    with TemporaryDirectory() as folder:
        settings = settings_in(Path(folder))
        append(settings.lake, sent, extra={"request_time": pa.float64()})
        with TestClient(application(settings), base_url="http://127.0.0.1") as page:
            assert shown_panels(page, asked) == plain_panels(sent, asked)
