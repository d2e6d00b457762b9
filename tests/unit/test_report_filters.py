"""A report of some requests: what is shown, what is said to be missing, and what comes to the terminal."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from rich.console import Console
from typer.testing import CliRunner

from consumer.__main__ import app
from consumer.components.day_panels import NOBODY
from consumer.components.figures import Day, Figures, Panels, Ranked, Ranking, Top, Value
from consumer.components.filters import NO_SITE, Filters
from consumer.components.panels import RANKINGS
from consumer.report import Report, as_json, render, report
from lakehouse.lake import Lake
from lakehouse.settings import Settings, unpack_settings
from tests.unit.test_table_reader import make

DAY, NEXT_DAY = date(2024, 5, 17), date(2024, 5, 18)
HOSTILE = "[bold]evil[/bold]\x1b[2J\nforged line\u202egpj.exe\u2066\t\x7f\x9b31m"
ERRORS = {"client_errors": 1, "server_errors": 0}
SUMS = {"requests": 10, "visitors": 3, "ips": 2, "bytes": 1000, "bot_requests": 4} | ERRORS


def shown(seen: Report, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(render(seen))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def fill(lake: Lake, day: date, text: str = "x", table: str | None = None) -> None:
    """Ten requests of a day, four of them a bot's, in every table or in one: every text is the same."""
    at = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
    client = {"browser": text, "os": text, "bot": text, "bot_class": text}
    for is_bot, requests, size in ((False, 6, 900), (True, 4, 100)):
        sums = {"event_date": day, "site": text, "is_bot": is_bot, "requests": requests, "bytes": size}
        rows: dict[str, dict[str, Any]] = {
            "visitor": sums | client | ERRORS | {"ip": text, "agent": text},
            "hourly": sums | {"hour": at, "method": text, "status": 404, "durations": 0},
            "path": sums | {"status_class": "4xx", "path": text, "is_static": False, "is_other": False},
            "referer": sums | {"referer": text, "referer_host": text, "is_own_host": False, "is_other": False},
            "client": sums | client | {"visitors": 1},
            "country": sums | {"country": text, "visitors": 1},
        }
        for name, row in rows.items():
            if table in (None, name):
                make(lake, name, [row])
    if table in (None, "site"):
        kinds = [(False, 6, 900, 1), (True, 4, 100, 1), (None, 10, 1000, 2)]
        make(
            lake, "site",
            [
                {"event_date": day, "site": site, "is_all_sites": site is None, "is_bot": is_bot, "requests": requests}
                | {"bytes": size, "visitors": visitors, "ips": 1} | ERRORS
                for site in (text, None) for is_bot, requests, size, visitors in kinds
            ],
        )  # fmt: skip
    if table is None:
        make(lake, "daily", [{"event_date": day} | SUMS])
        make(lake, "ip", [{"event_date": day, "ip": text} | {k: v for k, v in SUMS.items() if k != "ips"}])
        make(lake, "agent", [{"event_date": day, "agent": text} | {k: v for k, v in SUMS.items() if k != "ips"}])


# --- What is read


def test_the_bytes_of_a_bots_ip_are_those_of_the_bot(settings: Settings, lake: Lake) -> None:
    fill(lake, DAY)
    both = Top([Ranked("x", 10, 4, 900)], [Ranked("x", 10, 4, 100)])
    seen = report(settings)
    assert (seen.ips, seen.agents, seen.notes) == (both, both, [])
    assert report(settings, Filters(is_bot=True)).ips == Top([], [Ranked("x", 4, 4, 100)])
    assert report(settings, Filters(site=NO_SITE)).ips == Top([], [])


def test_values_without_a_row_of_their_own_are_counted_and_named_by_none(settings: Settings, lake: Lake) -> None:
    fill(lake, DAY)
    shared = {
        "event_date": DAY,
        "site": "x",
        "is_bot": False,
        "status_class": "2xx",
        "is_static": False,
        "is_other": True,
    }
    make(lake, "path", [shared | {"requests": 90, "bytes": 5}, shared | {"requests": 7, "bytes": 1, "is_static": True}])
    seen = report(settings)
    assert seen.panels.rankings["pages"] == Ranking(("path",), [Value(("x",), 10, 1000)], 100, 90)
    assert seen.panels.rankings["static_files"] == Ranking(("path",), [], 7, 7)
    lines = shown(seen).splitlines()
    at = lines.index("Pages")
    assert " ".join(lines[at + 3].split()) == "x 10 10.0 % 1.00 kB"
    assert lines[at + 5] == "and 90 requests of values beyond those that are kept of a day and site"


def test_running_figures_are_left_out_where_they_cannot_answer(settings: Settings, lake: Lake) -> None:
    fill(lake, DAY)
    for day in (DAY, NEXT_DAY):
        fill_streaming(lake, day)
    whole, of_day, of_site = (
        report(settings, f) for f in (Filters(), Filters(last=DAY), Filters(site="x", is_bot=True))
    )
    assert [day.day for day in whole.days] == [DAY, NEXT_DAY]
    same = Figures(10, 3, 2, 1000, 1, 0, 4)
    assert of_day.days == [Day(DAY, same, same)]
    assert whole.notes == of_day.notes == []
    assert of_site.days == [Day(DAY, Figures(4, 1, 1, 100, 1, 0, 4), None)]
    assert of_site.totals["streaming"] is None
    assert of_site.notes == ["metrics/streaming knows neither sites nor humans and bots apart: it is left out"]
    text = shown(of_site)
    assert text.startswith("Requests: site x, bots alone.")
    assert "metrics/streaming knows neither" in text
    assert "Agents of humans" not in text


def fill_streaming(lake: Lake, day: date) -> None:
    write_deltalake(
        str(lake.metrics("streaming", "daily")), pa.Table.from_pylist([{"event_date": day} | SUMS]), mode="append"
    )


def test_tables_that_are_being_made_say_so(settings: Settings, lake: Lake) -> None:
    fill(lake, DAY)
    make(lake, "daily", [{"event_date": NEXT_DAY} | SUMS])
    make(lake, "ip", [{"event_date": NEXT_DAY, "ip": "y", "requests": 5, "bytes": 7, "bot_requests": 0}])
    fill(lake, NEXT_DAY, "y", table="site")
    seen = report(settings)
    # Not from the table of visitors, which lacks a day.
    assert seen.ips == Top([Ranked("x", 10, 4, None), Ranked("y", 5, 0, 7)], [Ranked("x", 10, 4, None)])
    (note,) = seen.notes
    assert note == (
        "metrics/batch has not counted 1 day yet in visitor, hourly, path, referer, client: count with: python -m consumer batch"
    )
    assert report(settings, Filters(last=DAY)).notes == []


def test_a_lake_of_an_earlier_release_shows_what_it_has(settings: Settings, lake: Lake) -> None:
    write_deltalake(str(lake.merged), pa.table({"event_date": [DAY]}))
    make(lake, "daily", [{"event_date": DAY} | SUMS])
    make(lake, "ip", [{"event_date": DAY, "ip": "x", "requests": 10, "bytes": 7, "bot_requests": 10}])
    seen = report(settings)
    assert seen.ips == Top([], [Ranked("x", 10, 10, 7)])
    assert seen.panels == Panels({}, [], [], [])
    assert "metrics/batch has not counted 1 day yet in visitor, hourly, site, path" in " ".join(shown(seen).split())
    of_bots = report(settings, Filters(is_bot=True))
    assert (of_bots.days, of_bots.ips, of_bots.notes) == ([], NOBODY, seen.notes)
    assert "no figures of such requests" in shown(of_bots)


def test_countries_are_shown_as_long_as_they_are_counted(settings: Settings, lake: Lake) -> None:
    fill(lake, DAY, "DE")
    assert "countries" not in report(settings).panels.rankings
    groups = {"paths": {"data_lake": str(lake.root)}, "geoip": {"database": "countries.mmdb"}}
    counting = unpack_settings(groups, "test")
    assert report(counting).panels.rankings["countries"] == Ranking(("country",), [Value(("DE",), 10, 1000)], 10)


# --- How it is shown


@pytest.mark.parametrize("width", [80, 300])
def test_hostile_values_do_not_act_on_the_terminal(settings: Settings, lake: Lake, width: int) -> None:
    for day in (DAY, date(2024, 5, 20)):
        fill(lake, day, HOSTILE)
    for filters in (Filters(), Filters(site=HOSTILE)):
        seen = report(settings, filters)
        text = shown(seen, width)
        assert all(character.isprintable() for character in text.replace("\n", ""))
        assert not any(line.startswith("forged line") for line in text.splitlines())
        assert max(len(line) for line in text.splitlines()) <= width
        for title in ("Pages", "Referers, without the site's own", "Browsers of humans", "Bots, by class"):
            assert f"\n{title}\n" in text
    assert f"Requests: site {HOSTILE}".encode("unicode_escape").decode() in shown(
        report(settings, Filters(site=HOSTILE)), 300
    )


def test_a_path_as_long_as_a_line_may_be_is_cut_and_large_figures_fit(settings: Settings, lake: Lake) -> None:
    fill(lake, DAY, "/long" * 100_000)
    make(lake, "path", [{"event_date": DAY, "is_bot": False, "status_class": "5xx", "path": "é" * 3000, "is_static": True,
                         "is_other": False, "requests": 10**12, "bytes": 2**63 - 1}])  # fmt: skip
    text = shown(report(settings))
    assert max(len(line) for line in text.splitlines()) == 80
    assert "1,000,000,000,000" in text


def test_json_names_filters_panels_and_notes(settings: Settings, lake: Lake) -> None:
    fill(lake, DAY)
    seen = as_json(report(settings, Filters("x", DAY, NEXT_DAY, is_bot=False)))
    found = json.loads(json.dumps(seen, allow_nan=False))
    assert found["filters"] == {"site": "x", "from": "2024-05-17", "to": "2024-05-18", "kind": "humans"}
    assert found["notes"] == []
    assert set(found["panels"]) == {*RANKINGS, "hours", "sites", "response_times"} - {"countries"}
    value = {"requests": 6, "bytes": 900}
    assert found["panels"]["pages"] == {"requests": 6, "other_requests": 0, "values": [{"path": "x"} | value]}
    assert found["panels"]["bots"] == {"requests": 0, "other_requests": 0, "values": []}
    hour = {"hour": "2024-05-17T10:00:00+00:00", "client_errors": 6, "server_errors": 0}
    assert found["panels"]["hours"] == [hour | value]
    assert found["panels"]["sites"] == [{"site": "x", "visitors": 1} | value | ERRORS]


# --- On the command line


@pytest.fixture
def conf(tmp_path: Path, lake: Lake) -> str:
    path = tmp_path / "pipeline.yaml"
    path.write_text(f"paths: {{data_lake: {lake.root}, log: {tmp_path / 'log'}}}\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "options",
    [
        ["--humans", "--bots"], ["--from", "2024-05-18", "--to", "2024-05-17"], ["--from", "yesterday"],
        ["--to", "2024-02-30"], ["--from", "2024-05-17T10:00"], ["--site"], ["--site", "\udcff"],
    ],
)  # fmt: skip
def test_wrong_usage_exits_2(options: list[str], conf: str) -> None:
    assert CliRunner().invoke(app, ["report", "--conf", conf, *options]).exit_code == 2


def test_options_become_filters(conf: str, lake: Lake) -> None:
    fill(lake, DAY)
    options = ["--json", "--site", "x", "--from", "2024-05-17", "--to", "2024-05-17", "--bots"]
    result = CliRunner().invoke(app, ["report", "--conf", conf, *options])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["filters"] == {"site": "x", "from": "2024-05-17", "to": "2024-05-17", "kind": "bots"}
    assert found["totals"]["batch"]["requests"] == 4


def test_rows_that_are_not_accounted_for_exit_1_under_any_filters(conf: str, lake: Lake) -> None:
    write_deltalake(str(lake.merged), pa.table({"event_date": [DAY]}))
    assert CliRunner().invoke(app, ["report", "--conf", conf, "--site", "x"]).exit_code == 1


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        (Filters(), ""),
        (Filters(NO_SITE, is_bot=False), "without a site, humans alone"),
        (Filters("a", DAY), "site a, from 2024-05-17"),
        (Filters(None, DAY, NEXT_DAY, is_bot=True), "from 2024-05-17, to 2024-05-18, bots alone"),
        (Filters(None, DAY, DAY), "on 2024-05-17"),
    ],
)
def test_filters_are_said_in_words(filters: Filters, text: str) -> None:
    assert filters.text == text
