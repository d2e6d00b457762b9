"""The report: what it reads from a lake, when the identity holds, and how it is shown."""

import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from rich.console import Console

from consumer.components.figures import Day, Figures, Ranked, RejectedLog, Report, Top, minus, total
from consumer.components.identity import identity
from consumer.monitor import status
from consumer.report import as_json, render, report
from lakehouse.errors import LockedError, PipelineError
from lakehouse.lake import Lake
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.locks import lock
from lakehouse.readable import short_count_text
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import latest_version, table_id

DAY, NEXT_DAY = date(2024, 5, 17), date(2024, 5, 18)
SEEN = datetime(2024, 5, 17, 10, tzinfo=UTC)
HOSTILE = "[bold]evil[/bold]\x1b[2J\nforged line\u202egpj.exe\t\x7f\x9b31m"
ESCAPED = r"[bold]evil[/bold]\x1b[2J\nforged line\u202egpj.exe\t\x7f\x9b31m"
COUNTS = {"client_errors": 0, "server_errors": 0, "first_seen": SEEN, "last_seen": SEEN}


def settings_of(root: Path) -> Settings:
    return unpack_settings({"paths": {"data_lake": str(root)}, "merge": {"lock_seconds": 0}}, "test")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "my lake")


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return settings.lake


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    is_by_day = path.name not in ("daily", "quarantine")
    frame.write_delta(path, mode="append", delta_write_options={"partition_by": ["event_date"]} if is_by_day else {})


def daily(day: date = DAY, **figures: Any) -> dict[str, Any]:
    defaults = {"requests": 10, "visitors": 3, "ips": 2, "bytes": 1000, "bot_requests": 4}
    return {"event_date": day} | COUNTS | defaults | figures


def by_key(key: str, value: str | None, requests: int, bot_requests: int = 0, day: date = DAY) -> dict[str, Any]:
    figures = {"requests": requests, "visitors": 1, "bytes": requests * 100, "bot_requests": bot_requests}
    return {"event_date": day, key: value} | COUNTS | figures


def merge(lake: Lake, name: str = "a.parquet", **figures: Any) -> None:
    """Let a file of 10 rows be merged: 7 new, 2 duplicates, 1 rejected, or as ``figures`` say."""
    defaults: dict[str, Any] = {"rows": 10, "merged": 7, "duplicates": 2, "quarantined": 1, "reasons": {"no ip": 1}}
    landed = FileFigures(name, name, **(defaults | figures))
    ledger = Ledger(lake.ledger)
    with ledger.run("merge") as run:
        ledger.record_files(run, [landed])
    for path, rows in (
        (lake.merged, landed.merged),
        (lake.delta, landed.merged),
        (lake.quarantine, landed.quarantined),
    ):
        if rows:
            write(path, [{"event_date": DAY, "event_id": f"{name}-{n}"} for n in range(rows)])


def batch_ran(lake: Lake) -> None:
    with Ledger(lake.ledger).run("batch") as run:
        run.figures |= {"delta_id": table_id(lake.delta), "delta_version": latest_version(lake.delta)}


@pytest.fixture
def full(lake: Lake) -> Lake:
    """A lake with everything in it, where streaming has counted one replay of 100 bytes twice on the first day."""
    merge(lake)
    write(lake.metrics("batch", "daily"), [daily(), daily(NEXT_DAY, requests=5, bytes=50, bot_requests=0)])
    write(
        lake.metrics("streaming", "daily"),
        [daily(requests=11, bytes=1100, visitors_sketch=b"x"), daily(date(2024, 5, 19))],
    )
    agents = [by_key("agent", "Firefox", 6), by_key("agent", "Googlebot", 4, 4), by_key("agent", None, 3)]
    write(lake.metrics("batch", "agent"), [*agents, by_key("agent", "Firefox", 2, day=NEXT_DAY)])
    write(lake.metrics("batch", "ip"), [by_key("ip", "192.0.2.1", 12, 4), by_key("ip", "2001:db8::1", 3)])
    batch_ran(lake)
    return lake


def shown(seen: Report, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(render(seen))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def rows_of(text: str, title: str) -> list[str]:
    """The rows of the table below ``title``, blanks between cells as one."""
    lines = text.split(title)[1].splitlines()[3:]
    return [" ".join(line.split()) for line in lines[: lines.index("")]]


# --- What is read


def test_a_lake_that_does_not_exist_says_so_and_is_not_made(settings: Settings) -> None:
    seen = report(settings)
    assert (seen.exit_code, seen.has_data) == (0, False)
    assert shown(seen, 500) == f"nothing has landed yet in {settings.lake.root}"
    assert json.loads(json.dumps(as_json(seen), allow_nan=False))["days"] == []
    assert not settings.lake.root.exists()


def test_a_file_that_waits_is_said_and_no_part_of_the_identity(settings: Settings, lake: Lake) -> None:
    lake.landing.mkdir(parents=True)
    (lake.landing / "b.parquet").write_bytes(b"x")
    seen = report(settings)
    assert (seen.exit_code, seen.waiting) == (0, 1)
    assert shown(seen, 500).splitlines() == [
        f"nothing has been merged yet in {lake.root}",
        "",
        "1 file landed and not merged yet: merge with: python -m cleaner merge",
    ]


def test_days_have_batch_and_streaming_side_by_side_and_their_difference(settings: Settings, full: Lake) -> None:
    first, second, third = report(settings).days
    assert first == Day(
        DAY,
        batch=Figures(10, 3, 2, 1000, client_errors=0, server_errors=0, bot_requests=4),
        streaming=Figures(11, 3, 2, 1100, client_errors=0, server_errors=0, bot_requests=4),
    )
    assert first.difference == Figures(1, 0, 0, 100, client_errors=0, server_errors=0, bot_requests=0)
    assert (second.day, second.streaming, second.difference) == (NEXT_DAY, None, None)
    assert (third.day, third.batch, third.difference) == (date(2024, 5, 19), None, None)


def test_totals_add_visitors_but_not_ips(settings: Settings, full: Lake) -> None:
    assert report(settings).totals == {
        "batch": Figures(15, 6, None, 1050, client_errors=0, server_errors=0, bot_requests=4),
        "streaming": Figures(21, 6, None, 2100, client_errors=0, server_errors=0, bot_requests=8),
    }
    assert total([]) is None


def test_the_top_lists_are_over_all_days_with_humans_and_bots_apart(settings: Settings, full: Lake) -> None:
    seen = report(settings)
    assert seen.agents == Top(
        humans=[Ranked("Firefox", 8, 0, 800), Ranked(None, 3, 0, 300)], bots=[Ranked("Googlebot", 4, 4, 400)]
    )
    # Without a table of visitors nobody knows whose the bytes of an IP are that both bots and humans used.
    assert seen.ips == Top(
        humans=[Ranked("192.0.2.1", 12, 4, None), Ranked("2001:db8::1", 3, 0, 300)],
        bots=[Ranked("192.0.2.1", 12, 4, None)],
    )


def test_an_ip_of_bots_on_one_day_and_of_humans_on_another_has_the_bytes_of_each(
    settings: Settings, lake: Lake
) -> None:
    write(lake.metrics("batch", "daily"), [daily()])
    rows = [by_key("ip", "192.0.2.1", 3, 3), by_key("ip", "192.0.2.1", 2, 0, day=NEXT_DAY)]
    write(lake.metrics("batch", "ip"), rows)
    assert report(settings).ips == Top([Ranked("192.0.2.1", 5, 3, 200)], [Ranked("192.0.2.1", 5, 3, 300)])


def test_ten_are_listed_and_of_equals_the_first_by_name(settings: Settings, lake: Lake) -> None:
    write(lake.metrics("batch", "daily"), [daily()])
    write(lake.metrics("batch", "ip"), [by_key("ip", f"192.0.2.{n}", 1 + (n == 15)) for n in range(10, 25)])
    names = [row.key for row in report(settings).ips.humans]
    assert names == ["192.0.2.15", *(f"192.0.2.{n}" for n in range(10, 20) if n != 15)]


def test_without_batch_figures_streaming_makes_the_top_lists(settings: Settings, lake: Lake) -> None:
    write(lake.metrics("streaming", "daily"), [daily()])
    write(lake.metrics("streaming", "agent"), [by_key("agent", "curl", 2)])
    seen = report(settings)
    assert (seen.top_mode, seen.agents.humans) == ("streaming", [Ranked("curl", 2, 0, 200)])
    assert "Agents of humans, by requests over all days (streaming)" in shown(seen)
    assert "difference" not in shown(seen)


def test_an_empty_metrics_table_has_no_days(settings: Settings, lake: Lake) -> None:
    path = lake.metrics("batch", "daily")
    pl.DataFrame([daily()]).clear().write_delta(path)
    seen = report(settings)
    assert (seen.days, seen.totals, seen.has_data) == ([], {"batch": None, "streaming": None}, False)


def test_a_null_figure_counts_as_nothing(settings: Settings, lake: Lake) -> None:
    rows = pl.DataFrame([daily(bytes=None)]).with_columns(pl.col("bytes").cast(pl.Int64))
    rows.write_delta(lake.metrics("batch", "daily"))
    (day,) = report(settings).days
    assert day.batch is not None
    assert day.batch.bytes == 0


def test_a_table_that_cannot_be_read_is_an_error_that_names_it(settings: Settings, full: Lake) -> None:
    path = full.metrics("batch", "ip")
    for file in path.rglob("*.parquet"):
        file.unlink()
    with pytest.raises(PipelineError, match=r"metrics/batch/ip: the table cannot be read: "):
        report(settings)
    shutil.rmtree(path)
    (full.merged / "_delta_log" / f"{0:020}.json").write_text("no commit\n")
    with pytest.raises(PipelineError, match=r"merged/_delta_log/0{20}\.json: this commit .* is empty or cut off"):
        report(settings)


# --- Whether batch is up to date


def test_batch_figures_that_have_all_of_delta_are_not_stale(settings: Settings, full: Lake) -> None:
    assert report(settings).stale is None


def test_batch_figures_older_than_delta_are_said_to_be(settings: Settings, full: Lake) -> None:
    advice = "bring them up to date with: python -m consumer batch"
    write(full.delta, [{"event_date": DAY, "event_id": "x"}])
    stale = report(settings).stale
    assert stale == f"the batch figures are older than delta/, where 1 day changed since: {advice}"
    assert stale in " ".join(shown(report(settings)).split())
    write(full.delta, [{"event_date": NEXT_DAY, "event_id": "y"}])
    DeltaTable(str(full.delta)).create_checkpoint()
    for version in (0, 1):
        (full.delta / "_delta_log" / f"{version:020}.json").unlink()
    stale = report(settings).stale
    assert stale == f"the batch figures are older than delta/, where much changed since: {advice}"


def test_a_commit_that_changes_no_rows_makes_nothing_stale(settings: Settings, full: Lake) -> None:
    write(full.delta, [{"event_date": DAY, "event_id": "x"}])
    batch_ran(full)
    DeltaTable(str(full.delta)).optimize.compact()
    assert latest_version(full.delta) == 2
    assert report(settings).stale is None


def test_a_lake_without_batch_figures_says_how_to_make_them(settings: Settings, lake: Lake) -> None:
    merge(lake)
    seen = report(settings)
    assert seen.stale == "there are no batch figures yet: make them with: python -m consumer batch"
    assert seen.exit_code == 0
    assert shown(seen).startswith("no metrics yet: make them with: python -m consumer batch")


def test_a_delta_that_was_made_anew_makes_the_batch_figures_stale(settings: Settings, full: Lake) -> None:
    shutil.copytree(full.delta, full.root / "old")
    shutil.rmtree(full.delta)
    write(full.delta, [{"event_date": DAY, "event_id": str(n)} for n in range(7)])
    stale = report(settings).stale
    assert stale is not None
    assert stale.startswith("delta/ was made anew since the batch figures")


# --- The identity


TOTALS = {"files": 2, "refused": 0, "rows": 10, "merged": 7, "duplicates": 2, "quarantined": 1, "unbalanced": 0}
TABLES = {"merged": 7, "quarantine": 1, "delta": 7}


def bad_file(name: str) -> FileFigures:
    return FileFigures(name, name, rows=5, merged=3, duplicates=1, quarantined=0)


@pytest.mark.parametrize(
    ("totals", "unbalanced", "tables", "expected"),
    [
        ({}, [], {}, []),
        (
            {"rows": 11},
            [],
            {},
            ["all files: 11 rows landed, but 7 merged + 2 duplicates + 1 quarantined = 10"],
        ),
        ({}, [bad_file("a")], {}, ["a: 5 rows landed, but 3 merged + 1 duplicates + 0 quarantined = 4"]),
        ({}, [], {"merged": 6, "delta": 6}, ["merged/ has 6 rows, but 7 were merged"]),
        ({}, [], {"quarantine": 0}, ["quarantine/ has 0 rows, but 1 were quarantined"]),
        ({}, [], {"delta": 1234}, ["delta/ has 1,234 rows, but merged/ has 7"]),
    ],
)
def test_each_way_in_which_rows_do_not_add_up_has_its_sentence(
    totals: dict[str, int], unbalanced: list[FileFigures], tables: dict[str, int], expected: list[str]
) -> None:
    found = identity(TOTALS | totals, unbalanced, TABLES | tables)
    assert list(found.problems) == expected
    assert found.holds is (expected == [])


def test_of_many_files_that_do_not_add_up_some_are_named_and_the_others_counted() -> None:
    problems = identity(TOTALS, [bad_file(str(n)) for n in range(8)], TABLES).problems
    assert [problem.split(":")[0] for problem in problems] == [*"01234", "and 3 more files whose rows do not add up"]


def test_the_identity_holds_when_the_tables_have_what_the_ledger_counted(settings: Settings, full: Lake) -> None:
    merge(full, "b.parquet", rows=3, merged=3, duplicates=0, quarantined=0, reasons={})
    seen = report(settings)
    assert seen.identity == identity(
        {"files": 2, "refused": 0, "rows": 13, "merged": 10, "duplicates": 2, "quarantined": 1},
        [],
        {"merged": 10, "quarantine": 1, "delta": 10},
    )
    assert seen.exit_code == 0
    lines = shown(seen).splitlines()
    assert "13 landed = 10 merged + 2 duplicates + 1 quarantined" in lines
    assert "The identity holds for 2 files: merged/, quarantine/ and delta/ agree." in lines


def test_a_file_that_does_not_add_up_breaks_the_identity_and_is_named(settings: Settings, full: Lake) -> None:
    merge(full, "b.parquet", rows=4, merged=3, duplicates=0, quarantined=0)
    seen = report(settings)
    assert seen.exit_code == 1
    text = " ".join(shown(seen).split())
    assert "14 landed != 10 merged + 2 duplicates + 1 quarantined" in text
    assert "The identity does not hold for 2 files:" in text
    assert "- b.parquet: 4 rows landed, but 3 merged + 0 duplicates + 0 quarantined = 3" in text


@pytest.mark.parametrize("name", ["merged", "delta", "quarantine"])
def test_a_row_too_many_in_a_table_breaks_the_identity(settings: Settings, full: Lake, name: str) -> None:
    write(full.tables[name], [{"event_date": DAY, "event_id": "doubled"}])
    seen = report(settings)
    assert seen.exit_code == 1
    assert f"{name}/ has " in seen.identity.problems[0]
    assert as_json(seen)["identity"]["holds"] is False


def test_a_lost_ledger_breaks_the_identity(settings: Settings, full: Lake) -> None:
    full.ledger.unlink()
    assert report(settings).identity.problems[0] == "merged/ has 7 rows, but 0 were merged"


def test_a_merge_under_way_is_waited_for_before_the_identity_is_called_broken(full: Lake) -> None:
    patient = unpack_settings({"paths": {"data_lake": str(full.root)}, "merge": {"lock_seconds": 20}}, "test")
    write(full.merged, [{"event_date": DAY, "event_id": "new"}])
    has_lock = threading.Event()

    def finish_merge() -> None:
        with lock(full.locks, "merge"):
            has_lock.set()
            ledger = Ledger(full.ledger)
            with ledger.run("merge") as run:
                ledger.record_files(run, [FileFigures("b", "b", rows=1, merged=1, duplicates=0, quarantined=0)])
            write(full.delta, [{"event_date": DAY, "event_id": "new"}])

    merging = threading.Thread(target=finish_merge)
    merging.start()
    has_lock.wait()
    assert report(patient).identity.holds
    merging.join()


def test_a_merge_that_does_not_end_is_an_error_and_not_a_broken_identity(settings: Settings, full: Lake) -> None:
    write(full.merged, [{"event_date": DAY, "event_id": "new"}])
    with lock(full.locks, "merge"), pytest.raises(LockedError, match="merge is locked by another process"):
        report(settings)


# --- How it is shown


def test_the_days_table_has_every_figure(settings: Settings, full: Lake) -> None:
    assert rows_of(shown(report(settings)), "Days (UTC), from metrics/batch and metrics/streaming") == [
        "2024-05-17 batch 10 3 2 1.00 kB 0 0 4",
        "stream 11 3 2 1.10 kB 0 0 4",
        "diff +1 0 0 +100 B 0 0 0",
        "2024-05-18 batch 5 3 2 50 B 0 0 0",
        "stream - - - - - - -",
        "diff - - - - - - -",
        "2024-05-19 batch - - - - - - -",
        "stream 10 3 2 1.00 kB 0 0 4",
        "diff - - - - - - -",
    ]
    assert "\n3 days      batch         15         6" in shown(report(settings))


def test_top_lists_and_reasons_are_shown_with_their_shares(settings: Settings, full: Lake) -> None:
    text = shown(report(settings))
    assert rows_of(text, "Agents of humans, by requests over all days (batch)") == [
        "Firefox 8 72.7 % 800 B", "(none sent) 3 27.3 % 300 B",
    ]  # fmt: skip
    assert rows_of(text, "Agents of bots, by requests over all days (batch)") == ["Googlebot 4 100.0 % 400 B"]
    assert rows_of(text, "IPs of humans, by requests over all days (batch)") == [
        "192.0.2.1 8 72.7 % -", "2001:db8::1 3 27.3 % 300 B",
    ]  # fmt: skip
    assert rows_of(text, "Quarantined, by reason (a row can have several)") == ["no ip 1"]


def figures(requests: int) -> Figures:
    return Figures(requests, requests, requests, requests * 1000, requests, requests, requests)


@pytest.fixture
def made() -> Report:
    """A report of the largest figures, with hostile text wherever text comes from outside."""
    days = [Day(date(2024, 1, n), figures(10**9), figures(10**9 - n)) for n in range(1, 31)]
    top = Top([Ranked(HOSTILE, 10**9, 5, 10**12), Ranked("long " * 1000, 9, 0, 9)], [Ranked(HOSTILE, 10**9, 5, 10**12)])
    totals = {"files": 10**6, "refused": 10**6, "rows": 10**9, "merged": 1, "duplicates": 10**9, "quarantined": 10**9}
    broken = identity(totals, [replace(bad_file("x"), landed_file=HOSTILE)], {"merged": 1, "quarantine": 1, "delta": 2})
    return Report(
        data_lake=Path(HOSTILE),
        days=days,
        totals={"batch": figures(10**10), "streaming": figures(10**10)},
        top_mode="batch",
        agents=top,
        ips=top,
        reasons={HOSTILE: 10**9},
        identity=broken,
        waiting=10**6,
        stale=HOSTILE,
        visitor_error=0.016,
        rejected_logs=[RejectedLog(HOSTILE, 10**9, 10**9, 10**9, HOSTILE)],
    )


@pytest.mark.parametrize("width", [80, 400])
def test_nothing_from_outside_acts_on_the_terminal(made: Report, width: int) -> None:
    text = shown(made, width)
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert "forged line" in text
    assert not any(line.startswith("forged line") for line in text.splitlines())
    if width == 400:
        assert (
            text.count(ESCAPED) == 9
        )  # four top lists, the reason, a log and its reason, the file, the stale sentence


def test_eighty_columns_hold_the_largest_figures_and_long_agents_are_cut(made: Report) -> None:
    text = shown(made)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "16 earlier days are in: python -m consumer report --json" in text
    assert "2024-01-16" not in text
    assert rows_of(text, "Days (UTC), from metrics/batch and metrics/streaming")[:3] == [
        "2024-01-17 batch 1.00 G 1.00 G 1.00 G 1.00 TB 1.00 G 1.00 G 1.00 G",
        "stream 1.00 G 1.00 G 1.00 G 1.00 TB 1.00 G 1.00 G 1.00 G",
        "diff -17 -17 -17 -17.0 kB -17 -17 -17",
    ]
    assert "1,000,000,000" in shown(made, 200)
    (row,) = (line for line in rows_of(text, "Agents of humans, by requests over all days (batch)") if "long" in line)
    assert row.endswith("… 9 100.0 % 9 B")


def test_json_is_strict_and_has_all_days_and_raw_text(made: Report) -> None:
    text = json.dumps(as_json(made), allow_nan=False)
    assert "\x1b" not in text
    back = json.loads(text)
    assert len(back["days"]) == 30
    assert back["days"][0]["date"] == "2024-01-01"
    assert back["days"][0]["difference"]["requests"] == -1
    assert back["agents"]["bots"] == [{"agent": HOSTILE, "requests": 10**9, "bot_requests": 5, "bytes": 10**12}]
    assert back["ips"]["humans"][1]["ip"] == "long " * 1000
    assert back["identity"]["holds"] is False
    assert back["identity"]["landed"] == 10**9
    assert (back["exit_code"], back["waiting_files"]) == (1, 10**6)


def test_differences_with_nothing_are_nothing() -> None:
    assert minus(None, figures(1)) is None
    assert minus(figures(1), None) is None
    assert minus(figures(3), replace(figures(1), ips=None)) == replace(figures(2), ips=None)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10.0 k"), (-999_499, "-999 k"), (999_500, "1.00 M"), (10**12, "1.00 T")],
)
def test_a_short_count_has_six_characters_at_most(count: int, expected: str) -> None:
    assert short_count_text(count) == expected


def test_rows_that_are_gone_from_the_record_are_said_with_what_to_do(settings: Settings, full: Lake) -> None:
    shutil.rmtree(full.merged)
    text = " ".join(shown(report(settings)).split())
    assert "merged/ has 0 rows, but 7 were merged" in text
    assert (
        "Rows are gone from merged/. Put back what was taken from its _delta_log/, or ingest their logs again" in text
    )
    late = status(settings, datetime.now(UTC)).late
    assert "merged: 7 rows fewer than were merged; see what to do by: python -m consumer report" in late
