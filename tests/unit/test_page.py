"""The page as an HTTP client sees it: its addresses, who may look, hostile strings, versions, and an empty lake. No JVM."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest
from deltalake import Schema, write_deltalake
from starlette.testclient import TestClient

from consumer.batch import refresh
from consumer.components.filters import Filters
from consumer.page.answers import PANELS, Answers
from consumer.page.app import application
from consumer.page.export import write_html
from consumer.page.exposition import exposition
from consumer.page.guard import HEADERS, require_token
from consumer.page.panel import Column, Panel, Rows
from consumer.page.question import Question
from consumer.page.reader import LakeReader
from consumer.page.suspicious import RULES
from consumer.page.versions import OpenTables
from lakehouse.errors import PipelineError, SettingsError
from lakehouse.lake import Lake
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.settings import Page, Settings
from lakehouse.tables import create_table, transaction_version
from tests.requests import NOON, append, request

ROOT = Path(__file__).parents[2]
LOCAL = "http://127.0.0.1"
TOKEN = "sixteen-letters-at-least"
HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'; DROP TABLE t; --", "{{ 7 * 7 }}", "javascript:alert(1)",
    "\x1b[2Jred", "\u202egpj.exe", "=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "https://evil.example/<b>", "é漢😀",
]  # fmt: skip
PAGES = (
    "/",
    "/requests",
    "/pipeline",
    "/panels/pages",
    "/panels/referers",
    "/panels/agents",
    "/panels/ips",
    "/panels/suspicious",
)


@contextmanager
def page_of(settings: Settings, **page: Any) -> Iterator[TestClient]:
    changed = settings.model_copy(update={"page": Page(**page)})
    with TestClient(application(changed), base_url=LOCAL, follow_redirects=False) as client:
        yield client


def counted(settings: Settings, *requests: dict[str, Any]) -> None:
    append(settings.lake, requests)
    refresh(settings)


# --- who may look


@pytest.mark.parametrize(
    ("host", "published", "is_open"),
    [
        ("127.0.0.1", None, False), ("::1", None, False), ("localhost", None, False), ("0.0.0.0", "127.0.0.1", False),
        ("0.0.0.0", None, True), ("::", None, True), ("192.0.2.1", None, True), ("0.0.0.0", "0.0.0.0", True), ("stats.example", None, True),
    ],
)  # fmt: skip
def test_it_refuses_to_be_seen_beyond_the_loopback_without_a_token(
    host: str, published: str | None, is_open: bool
) -> None:
    require_token(Page(host=host, published_host=published, token=TOKEN))
    if not is_open:
        require_token(Page(host=host, published_host=published))
        return
    with pytest.raises(SettingsError, match=r"page\.token is not set: .* set page\.token"):
        require_token(Page(host=host, published_host=published))


def test_the_command_refuses_too_and_says_what_to_do(tmp_path: Path) -> None:
    conf = tmp_path / "conf.yaml"
    conf.write_text(f"paths: {{data_lake: {tmp_path}/lake}}\n")
    command = [sys.executable, "-m", "consumer", "page", "--host", "0.0.0.0", "--port", "0", "--conf", str(conf)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "page.host = '0.0.0.0' is not the loopback, and page.token is not set" in ran.stderr


def test_a_link_with_the_token_lets_a_browser_in_and_nothing_else_does(settings: Settings) -> None:
    with page_of(settings, token=TOKEN) as page:
        for address in ("/", "/api/pages", "/export/pages.csv", "/metrics", "/static/page.css", "/?token=wrong"):
            refused = page.get(address)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer"), address
        assert page.get("/", headers={"cookie": f"page_token={TOKEN}"}).status_code == 401
        assert page.get("/healthz").text == "ok\n"
        assert page.get("/api/now", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        entered = page.get(f"/requests?path=%2Fa&token={TOKEN}")
        assert (entered.status_code, entered.headers["location"]) == (303, "/requests?path=%2Fa")
        assert TOKEN not in entered.headers["set-cookie"]
        assert "HttpOnly" in entered.headers["set-cookie"]
        assert page.get("/").status_code == 200


def test_a_link_with_the_token_leads_nowhere_else(settings: Settings) -> None:
    with page_of(settings, token=TOKEN) as page:
        assert page.get(f"{LOCAL}//evil.example/?token={TOKEN}").headers["location"] == "/evil.example/"


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8080", 200), ("localhost", 200), ("[::1]:8080", 200), ("page:8080", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403)],
)  # fmt: skip
def test_without_a_token_it_answers_to_no_name_of_the_internet(settings: Settings, host: str, status: int) -> None:
    with page_of(settings) as page:
        assert page.get("/healthz", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    "address", ["/", "/requests", "/pipeline", "/api/now", "/export/ips.csv", "/healthz", "/nothing", "/static/page.js"]
)
def test_every_answer_has_the_headers(settings: Settings, address: str) -> None:
    with page_of(settings) as page:
        headers = page.get(address).headers
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert "'unsafe" not in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]


# --- hostile strings


class Seen(HTMLParser):
    """The tags and attributes that a browser sees."""

    def __init__(self) -> None:
        super().__init__()
        self.tags_in_order: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    @property
    def tags(self) -> set[str]:
        return set(self.tags_in_order)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags_in_order.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.fixture
def hostile(settings: Settings) -> Settings:
    texts = ("path", "ip", "agent", "referer", "method", "site", "browser", "os", "device", "bot")
    rows = [request(**dict.fromkeys(texts, text), is_bot=n % 2 == 0, status=404) for n, text in enumerate(HOSTILE)]
    counted(settings, *rows)
    return settings


def test_hostile_strings_stay_text_on_every_page(hostile: Settings) -> None:
    with page_of(hostile) as page:
        for address in (*PAGES, *(f"/?path={text}" for text in ("<script>alert(1)</script>", "%1b[2Jred"))):
            html = page.get(address).text
            seen = Seen()
            seen.feed(html)
            assert seen.tags.isdisjoint({"b", "img", "iframe"}) or address == "/pipeline", address
            assert seen.tags_in_order.count("script") == 2
            assert {name for name, _ in seen.attributes if name == "style" or name.startswith("on")} == set()
            assert [
                v for name, v in seen.attributes if name in ("href", "src", "action") and v[:1] not in ("/", "#")
            ] == []
            harmless = re.sub(
                r' type="hidden" name="[a-z]*" value="[^"]*"', "", html
            )  # a form sends a filter as it came
            assert "\x1b" not in harmless
            assert "\u202e" not in harmless
            assert "49" not in re.findall(r">([^<]*)<", html)


def test_no_cell_of_csv_is_a_formula_or_acts_on_a_terminal(hostile: Settings) -> None:
    with page_of(hostile) as page:
        for name in ("pages", "not_found", "ips", "agents", "referers", "requests", "sites", "suspicious"):
            text = page.get(f"/export/{name}.csv").text
            cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
            assert [c for c in cells if c.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))] == []
            assert all(c.isprintable() for c in text.replace("\r\n", ""))
        assert "'=cmd|' /C calc'!A0" in [row[0] for row in csv.reader(io.StringIO(page.get("/export/agents.csv").text))]


def test_json_has_every_string_as_it_came_in_ascii(hostile: Settings) -> None:
    with page_of(hostile) as page:
        answer = page.get("/api/agents")
        assert answer.content.isascii()
        assert {row["agent"] for row in answer.json()["rows"]} == set(HOSTILE)
        for text in HOSTILE:
            found = page.get("/api/requests", params={"agent": text}).json()["rows"]
            assert [row["agent"] for row in found] == [text]


# --- the contract


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/api/pages?pth=/", "no such parameter: pth"),
        ("/api/pages?from=17.5.2024", "from: not a day, such as 2024-05-17"),
        ("/api/pages?from=2024-05-18&to=2024-05-17", "the first day, 2024-05-18, is after the last, 2024-05-17"),
        ("/api/pages?who=cats", "who: one of all, humans, bots"),
        ("/api/pages?status=4x", "status: a code or a class, such as 404 or 4xx"),
        ("/api/pages?path=/a&path=/b", "path is there twice"),
        ("/api/pages?limit=-1", "limit: a number from 0 to 100000"),
        ("/export/pages.csv?sort=size", "sort: one of path, requests, share, bytes; with - before it the most, latest or last by name comes first"),
        ("/export/requests.csv?search=x", "requests are not searched: filter them by path, ip, agent, status, referer ..."),
    ],
)  # fmt: skip
def test_a_wrong_address_says_what_is_allowed(settings: Settings, address: str, said: str) -> None:
    with page_of(settings) as page:
        answer = page.get(address)
        assert (answer.status_code, answer.json()) == (400, {"error": said})


def test_a_panel_that_is_not_there_is_not_found(settings: Settings) -> None:
    with page_of(settings) as page:
        assert page.get("/api/nothing").status_code == 404
        assert page.get("/export/nothing.csv").status_code == 404
        for name in ("requests", "pipeline"):
            answer = page.get(f"/panels/{name}")
            assert answer.status_code == 404
            assert f"there is a page of its own for this: /{name}" in answer.text
        assert "There is no such page" in page.get("/nothing").text


@pytest.mark.parametrize("address", ["/", "/api/now", "/metrics", "/static/page.css"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_it_is_only_read_and_says_so(settings: Settings, address: str, method: str) -> None:
    with page_of(settings) as page:
        answer = page.request(method, address)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        assert "allowed: GET, HEAD" in answer.text


@pytest.mark.parametrize(
    "asked", ["from=0001-01-01&to=0001-01-02&compare=previous", "from=0001-01-03&to=9999-12-31&compare=weekdays"]
)
def test_days_before_all_dates_are_not_compared_with(settings: Settings, asked: str) -> None:
    counted(settings, request())
    with page_of(settings) as page:
        assert page.get(f"/?{asked}").status_code == 200


def test_json_does_not_say_0_of_requests_that_nobody_counted(settings: Settings) -> None:
    counted(settings, *(request(path=f"/{n}") for n in range(3)))
    with page_of(settings) as page:

        def of(address: str) -> Any:
            return page.get(f"/api/{address}").json()["requests"]

        assert [of(name) for name in ("pages", "ips", "requests", "sites", "suspicious")] == [3, 3, None, None, None]
        assert [of(asked) for asked in ("pages?offset=9", "ips?search=x", "pages?from=2030-01-01")] == [None, None, 0]


def test_a_program_finds_rows_of_the_pipeline_where_other_panels_have_them(settings: Settings) -> None:
    counted(settings, request())
    with page_of(settings) as page:
        found = page.get("/api/pipeline").json()
        exported = list(csv.DictReader(io.StringIO(page.get("/export/pipeline.csv").text)))
    assert found["columns"] == ["what", "rows"]
    assert {"what": "rows_of_delta", "rows": 1} in found["rows"]
    assert [{name: str(value) for name, value in row.items()} for row in found["rows"]] == exported


def test_every_panel_of_an_empty_lake_has_its_columns(settings: Settings) -> None:
    with page_of(settings) as page:
        for name in PANELS:
            names = page.get(f"/api/{name}").json()["columns"]
            assert names
            header = next(csv.reader(io.StringIO(page.get(f"/export/{name}.csv").text)))
            assert header == names


def test_csv_and_json_have_the_same_rows(settings: Settings) -> None:
    counted(settings, *(request(path=f"/{n % 7}", timestamp=NOON + timedelta(hours=n)) for n in range(40)))
    with page_of(settings) as page:
        for name in PANELS:
            rows = page.get(f"/api/{name}").json()["rows"]
            found = list(csv.DictReader(io.StringIO(page.get(f"/export/{name}.csv").text)))
            as_text = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
            assert [{k: v.removeprefix("'") for k, v in row.items()} for row in found] == as_text, name


def test_lists_are_searched_sorted_and_paged(settings: Settings) -> None:
    counted(
        settings,
        *(request(path=f"/p{n}", bytes=n) for n in range(5)),
        request(path="/p0", bytes=0),
        request(path="/x", bytes=9),
    )
    with page_of(settings) as page:

        def paths(**asked: Any) -> tuple[list[str], bool]:
            answer = page.get("/api/pages", params=asked).json()
            return [row["path"] for row in answer["rows"]], answer["has_more"]

        assert paths() == (["/p0", "/p1", "/p2", "/p3", "/p4", "/x"], False)
        assert paths(limit=2, offset=1) == (["/p1", "/p2"], True)
        assert paths(sort="-bytes", limit=2) == (["/x", "/p4"], True)
        assert paths(search="P3") == (["/p3"], False)
        assert page.get("/api/pages", params={"search": "/p3"}).json()["rows"][0]["share"] == 1 / 7


def test_requests_are_paged_over_days_newest_first(settings: Settings) -> None:
    times = [NOON - timedelta(days=n % 20, minutes=n) for n in range(60)]
    counted(settings, *(request(event_id=f"e{n}", timestamp=time) for n, time in enumerate(times)))
    expected = [f"e{n}" for n in sorted(range(60), key=lambda n: times[n], reverse=True)]
    with page_of(settings) as page:
        found = [page.get("/api/requests", params={"limit": 25, "offset": at}).json() for at in (0, 25, 50)]
    assert [row["event_id"] for answer in found for row in answer["rows"]] == expected
    assert [answer["has_more"] for answer in found] == [True, True, False]


def test_figures_are_compared_with_the_days_before_and_the_same_weekdays(settings: Settings) -> None:
    counted(settings, *(request(timestamp=NOON + timedelta(days=n)) for n in range(10) for _ in range(n + 1)))
    with page_of(settings) as page:
        before = page.get("/?from=2024-05-25&to=2024-05-26&compare=previous").text
        weekdays = page.get("/?from=2024-05-25&to=2024-05-26&compare=weekdays").text
    assert re.findall(r'title="19">19</p>\s*<p class="change">(.*) <span>against (.*)</span>', before) == [
        ("+27 %", "15")
    ]
    assert re.findall(r'title="19">19</p>\s*<p class="change">(.*) <span>against (.*)</span>', weekdays) == [
        ("+280 %", "5")
    ]


# --- versions


def test_an_empty_lake_says_what_it_waits_for_and_fills_in(settings: Settings, lake: Lake) -> None:
    with page_of(settings) as page:
        html = page.get("/").text
        assert "nothing has landed yet: it waits for the producer" in html
        assert '<meta http-equiv="refresh" content="5">' in html
        assert page.get("/api/pages").json()["rows"] == []
        assert page.get("/pipeline").status_code == page.get("/requests").status_code == 200
        lake.landing.mkdir(parents=True)
        (lake.landing / "a.parquet").write_bytes(b"")
        assert "1 file landed, to be merged by the next merge" in page.get("/").text
        counted(settings, request())
        answer = _when_shown(page)
        assert (answer["requests"], answer["version"]) == (1, 1)
        assert "refresh" not in page.get("/").text


def _when_shown(page: TestClient) -> dict[str, Any]:
    """The tables' logs are looked at once a second at most."""
    while True:
        found: dict[str, Any] = page.get("/api/now").json()
        if found["requests"]:
            return found


def test_while_batch_is_between_two_tables_all_panels_show_what_belonged_together_last(
    settings: Settings, lake: Lake
) -> None:
    counted(settings, request(path="/old"))
    tables = OpenTables(settings)
    before = tables.version()
    assert before.exact
    append(lake, [request(path="/new")])
    half_way(settings)
    between = tables.looked_up(before)
    assert (between.delta, between.exact, between.newest) == (before.delta, before.exact, 2)
    refresh(settings)
    after = tables.looked_up(between)
    assert after.delta is not None
    assert (after.delta.version, after.newest) == (2, 2)
    assert transaction_versions(lake) == {2}


def half_way(settings: Settings) -> None:
    """Let batch fail after some of its tables."""
    damaged = settings.lake.metrics("batch", "site")
    away = damaged.with_name("away")
    code = (
        "import sys\nfrom consumer.components import exact_tables\nfrom lakehouse.settings import load_settings\n"
        "from consumer.batch import refresh\nreal = exact_tables.replace_days\nnames = []\n"
        "def replace(table, *rest, **more):\n    names.append(1)\n    if len(names) == 3:\n        sys.exit(3)\n    real(table, *rest, **more)\n"
        "exact_tables.replace_days = replace\nfrom pathlib import Path\nrefresh(load_settings(Path(sys.argv[1])))\n"
    )
    conf = away.parent / "conf.yaml"
    conf.write_text(json.dumps({"paths": {"data_lake": str(settings.paths.data_lake), "log": str(settings.paths.log)}}))
    assert subprocess.run([sys.executable, "-c", code, str(conf)], check=False, timeout=120).returncode == 3


def transaction_versions(lake: Lake) -> set[int]:
    path = lake.metrics("batch", "daily")
    from deltalake import DeltaTable

    actions = [
        json.loads(line)
        for n in range(DeltaTable(str(path)).version() + 1)
        for line in (path / "_delta_log" / f"{n:020}.json").read_text().splitlines()
    ]
    ids = {action["txn"]["appId"] for action in actions if "txn" in action}
    return {transaction_version(path, one) for one in ids if not one.endswith("/begun")}


def test_no_answer_mixes_two_versions_while_batch_runs(settings: Settings, lake: Lake) -> None:
    """Each request comes with a path, an IP and a status of its own: all panels must know the same number of them."""
    rounds = 6
    counted(settings, request(path="/0", ip="192.0.2.0"))

    def merge_and_count() -> None:
        for n in range(1, rounds):
            append(lake, [request(path=f"/{n}", ip=f"192.0.2.{n}")])
            refresh(settings)

    working = Thread(target=merge_and_count)
    tables = OpenTables(settings)
    answers = Answers(settings, tables)
    seen: set[Any] = set()
    working.start()
    while working.is_alive() or len(seen) < 2:
        tables.version(is_forced=True)
        version, found = answers.ask(["now", "pages", "ips", "sites", "statuses", "weekdays", "requests"], Question())
        assert version.delta is not None
        counts = {
            found["now"].found.rows[0][0], len(found["pages"].found.rows), len(found["ips"].found.rows), found["sites"].found.rows[0][1],
            found["statuses"].found.rows[0][1], found["weekdays"].found.requests, len(found["requests"].found.rows),
        }  # fmt: skip
        assert counts == {version.delta.version}
        assert {answer.version for answer in found.values()} == {version.delta.version}
        seen |= counts
    working.join()
    answers.close()


def test_a_file_that_maintenance_removed_is_no_error(settings: Settings, lake: Lake) -> None:
    counted(settings, request(path="/a"))
    with page_of(settings) as page:
        assert len(page.get("/api/pages").json()["rows"]) == 1
        append(lake, [request(path="/b")])
        refresh(settings)
        for file in lake.metrics("batch", "path").rglob("*.parquet"):
            if file.stat().st_mtime < max(f.stat().st_mtime for f in lake.metrics("batch", "path").rglob("*.parquet")):
                file.unlink()
        assert len(page.get("/api/pages", params={"limit": 9}).json()["rows"]) == 2


def test_a_query_over_its_limit_says_so_and_offers_a_shorter_range(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def for_hours(reader: LakeReader, _question: Question) -> Rows:
        return Rows(
            reader.connection.execute("SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 1").fetchall()
        )

    monkeypatch.setitem(PANELS, "slow", Panel("slow", "Slow", (Column("n", "N"),), for_hours))
    counted(settings, request())
    with page_of(settings, query_seconds=0.2) as page:
        answer = page.get("/api/slow")
        assert (answer.status_code, answer.json()["problem"]) == (
            503,
            "this took more than 0.2 s; choose a shorter range",
        )
        assert page.get("/api/now").json()["requests"] == 1


def test_a_damaged_table_is_named(settings: Settings, lake: Lake) -> None:
    counted(settings, request())
    commit = next((lake.delta / "_delta_log").glob("*1.json"))
    commit.write_text("")
    with page_of(settings) as page:
        answer = page.get("/api/pages")
        assert answer.status_code == 503
        assert f"{commit}: this commit of the table's log is empty or cut off" in answer.json()["error"]
        assert "The lake cannot be read" in page.get("/").text


def test_the_page_needs_nothing_that_its_image_lacks(settings: Settings) -> None:
    counted(settings, request())
    code = (
        "import sys\n"
        "for name in ('pyspark', 'py4j', 'delta', 'pandas', 'polars', 'pyarrow', 'ua_parser', 'crawleruseragents', 'maxminddb', 'croniter', 'faker'):\n"
        "    sys.modules[name] = None\n"
        "from starlette.testclient import TestClient\n"
        "from consumer.page.app import application\nfrom lakehouse.settings import unpack_settings\n"
        "settings = unpack_settings({'paths': {'data_lake': sys.argv[1]}}, 'test')\n"
        "with TestClient(application(settings), base_url='http://127.0.0.1') as page:\n"
        "    for address in sys.argv[2:]:\n"
        "        assert page.get(address).status_code == 200, address\n"
    )
    addresses = [*PAGES, "/metrics", "/api", *(f"/api/{name}" for name in [*PANELS, "pipeline"])]
    ran = subprocess.run(
        [sys.executable, "-c", code, str(settings.lake.root), *addresses], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


# --- what is suspicious, and long ranges


def test_each_suspicious_ip_has_the_rule_that_flagged_it(settings: Settings) -> None:
    def sent(ip: str, number: int, **fields: Any) -> list[dict[str, Any]]:
        return [request(ip=ip, **{k: v(n) if callable(v) else v for k, v in fields.items()}) for n in range(number)]

    counted(
        settings,
        *sent("192.0.2.1", 20, path="/favicon.ico", status=lambda n: 404 if n < 10 else 200),
        *sent("192.0.2.2", 3, path=lambda n: ("/wp-login.php", "/.env", "/a/../../etc/passwd")[n], is_bot=True),
        *sent("192.0.2.3", 10, path="/x.css", agent=lambda n: f"agent {n}"),
        *sent("192.0.2.4", 20, path=lambda n: f"/page/{n}"),
        # None of these: too few errors, probes, agents, and pages with a static file.
        *sent("192.0.2.5", 21, path="/x.css", status=lambda n: 404 if n < 10 else 200),
        *sent("192.0.2.6", 2, path="/.git/config", is_bot=True),
        *sent("192.0.2.7", 9, path="/x.css", agent=lambda n: f"agent {n}"),
        *sent("192.0.2.8", 21, path=lambda n: f"/page/{n}" if n else "/x.css"),
    )  # fmt: skip
    with page_of(settings) as page:
        found = [(row["ip"], row["rule"], row["evidence"]) for row in page.get("/api/suspicious").json()["rows"]]
    assert found == [
        ("192.0.2.1", RULES["errors"], "10 of 20 requests"),
        ("192.0.2.4", RULES["no_static"], "20 pages"),
        ("192.0.2.3", RULES["agents"], "10 agents"),
        ("192.0.2.2", RULES["probes"], "3 requests"),
    ]


def test_of_a_long_range_the_first_page_counts_no_requests_and_offers_the_lists(settings: Settings) -> None:
    counted(settings, *(request(timestamp=NOON - timedelta(days=n), status=404, path="/gone") for n in (0, 70)))
    with page_of(settings) as page:
        long, short = page.get("/?range=all").text, page.get("/?from=2024-05-17").text
    assert 'id="client_errors"' in long
    assert 'href="/panels/suspicious?range=all"' in long
    assert 'id="not_found"' not in long
    assert 'id="client_errors"' not in short
    assert 'id="not_found"' in short


# --- what streams


def test_the_running_figures_of_the_newest_day_are_live_and_say_how_far_they_may_be_off(
    settings: Settings, lake: Lake
) -> None:
    counted(settings, request(timestamp=NOON), request(timestamp=NOON + timedelta(days=1)))
    table, path = EXACT_TABLES["daily"], lake.metrics("streaming", "daily")
    create_table(path, table, description=table.grain)
    kinds = pa.schema(Schema.from_json(table.json()).to_arrow())
    days = [
        {"event_date": NOON.date() + timedelta(days=n), "requests": 1_000 * n, "visitors": 10, "bytes": 5, "client_errors": 2, "server_errors": 1}
        for n in range(3)
    ]  # fmt: skip
    write_deltalake(str(path), pa.Table.from_pylist(days, kinds), mode="append")
    with page_of(settings) as page:
        live = page.get("/api/live").json()["live"]
        assert {name: live[name] for name in ("day", "requests", "visitors", "bytes", "client_errors", "server_errors", "version")} == {
            "day": "2024-05-19", "requests": 2_000, "visitors": 10, "bytes": 5, "client_errors": 2, "server_errors": 1, "version": 1,
        }  # fmt: skip
        assert '<span data-live="requests">2,000</span>' in page.get("/").text
        assert "± 1.6 %" in page.get("/").text
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", page.get("/pipeline").text)
        day = cells.index("2024-05-18")
        assert cells[day : day + 5] == ["2024-05-18", "1", "1,000", "1", "10"]


# --- what the page shows, as files


def test_the_report_as_one_file_loads_nothing_and_has_the_pages_figures(hostile: Settings, tmp_path: Path) -> None:
    target = tmp_path / "reports" / "page.html"
    write_html(hostile, Filters(is_bot=True), target)
    html = target.read_text()
    seen = Seen()
    seen.feed(html)
    assert seen.tags.isdisjoint(
        {"script", "link", "img", "b", "iframe", "form", "meta" if "refresh" in html else "base"}
    )
    assert {
        name for name, _ in seen.attributes if name in ("href", "src", "action", "style") or name.startswith("on")
    } == set()
    assert f'title="{len(HOSTILE) // 2}">{len(HOSTILE) // 2}</p>' in html
    assert "bots alone" in html


def test_a_file_that_cannot_be_written_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(PipelineError, match=r"taken/page\.html: cannot be written: "):
        write_html(settings, Filters(), tmp_path / "taken" / "page.html")


# --- for Prometheus


NAMES = re.compile(r"lakehouse_[a-z_]+")


def test_metrics_say_where_rows_went_and_name_no_path_ip_or_agent(settings: Settings, lake: Lake) -> None:
    counted(
        settings,
        request(path="/secret", ip="203.0.113.9", agent="curl/1", site="a.example", status=503),
        request(site=None),
    )
    ledger = Ledger(lake.ledger)
    with ledger.run("merge") as run:
        figures = FileFigures("a", "a", rows=6, merged=2, duplicates=1, quarantined=2, reasons={"no ip": 2})
        ledger.record_files(run, [figures])
    text = exposition(settings).decode()
    found = set(text.splitlines())
    assert {
        "lakehouse_landed_rows_total 6.0", "lakehouse_merged_rows_total 2.0", "lakehouse_duplicate_rows_total 1.0",
        "lakehouse_quarantined_rows 2.0", 'lakehouse_quarantine_reason_rows{reason="no ip"} 2.0', "lakehouse_unaccounted_rows 1.0",
        "lakehouse_unbalanced_files 1.0", 'lakehouse_job_last_exit_code{job_name="merge"} 0.0', "lakehouse_stream_running 0.0",
        'lakehouse_requests{site="a.example",status_class="5xx"} 1.0', 'lakehouse_requests{site="",status_class="2xx"} 1.0',
    } <= found  # fmt: skip
    assert [word for word in ("/secret", "203.0.113.9", "curl") if word in text] == []


def test_alerts_and_dashboard_ask_for_metrics_that_there_are(settings: Settings) -> None:
    counted(settings, request())
    there = {*NAMES.findall(exposition(settings).decode())}
    for name in ("alerts.yaml", "alerts_test.yaml", "dashboard.json"):
        assert set(NAMES.findall((ROOT / "monitoring" / name).read_text())) - there == set(), name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_approves_of_metrics_and_alerts(settings: Settings) -> None:
    counted(settings, request(site="<b>\x1b"))
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition(settings), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    for words in (["check", "rules", "monitoring/alerts.yaml"], ["test", "rules", "monitoring/alerts_test.yaml"]):
        ran = subprocess.run(["promtool", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
