import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.errors import PipelineError
from lakehouse.lake import file_stamp
from lakehouse.ledger import IN_HAND, FileFigures, Ledger, Run


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "_ledger" / "ledger.sqlite")


A = FileFigures("a", "a", rows=5, merged=2, duplicates=1, quarantined=2, reasons={"no ip": 2, "blank line": 1})
B = FileFigures("b", "b", rows=1, merged=0, duplicates=0, quarantined=1, reasons={"no ip": 1}, refused="bad")


def test_a_missing_ledger_reads_as_an_empty_one_and_is_not_made(ledger: Ledger) -> None:
    assert ledger.deliveries([Path("a")]) == {"a": "a"}
    assert (ledger.last_runs(), ledger.progress(), ledger.reasons(), ledger.waiting_to_retire()) == ({}, {}, {}, [])
    assert set(ledger.totals().values()) == {0}
    assert ledger.last_figure("batch", "version") is None
    assert not ledger.path.exists()


def test_files_are_pending_until_recorded_and_again_when_they_come_back(ledger: Ledger, tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    for path in (a, b, c):
        path.write_text(path.name)

    def merged(figures: FileFigures, path: Path) -> None:
        with ledger.run("merge") as run:
            ledger.record_files(run, [replace(figures, stamp=file_stamp(path) or "")])

    merged(A, a)
    merged(B, b)
    assert ledger.deliveries([c, a, b]) == {"c": "c"}
    assert ledger.waiting_to_retire() == [A, B]
    assert [f.stamp for f in ledger.waiting_to_retire()] == [file_stamp(a), file_stamp(b)]
    ledger.retire(["a"])
    assert ledger.waiting_to_retire() == [B]
    assert ledger.deliveries([a, b]) == {"a": "a/2"}
    merged(FileFigures("a/2", "a", 5, 0, 5, 0), a)
    assert ledger.deliveries([a]) == {}
    a.write_text("another file under the same name, while the last one has not been retired")
    assert ledger.deliveries([a]) == {"a": "a/3"}


def test_a_ledger_half_made_by_a_killed_process_is_made_whole(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    with closing(sqlite3.connect(ledger.path)) as db:
        db.execute("CREATE TABLE other (x)")
    assert ledger.last_runs() == {}
    with ledger.run("merge"):
        pass
    assert ledger.last_runs()["merge"]["exit_code"] == 0


def test_old_runs_are_forgotten_but_never_a_jobs_last_good_one(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lakehouse.ledger.RUNS_KEPT", 2)
    with ledger.run("batch") as run:
        run.figures["version"] = 7
    for _ in range(5):
        with ledger.run("merge"):
            pass
        with pytest.raises(ValueError, match="broken"), ledger.run("batch") as run:
            _fail(run)
    assert ledger.last_figure("batch", "version") == 7


def test_a_ledger_that_is_none_is_an_error_that_names_it(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    ledger.path.write_text("this is not SQLite" * 100)
    with pytest.raises(PipelineError, match=r"ledger.sqlite: the ledger cannot be used"):
        ledger.last_runs()


def test_totals_and_reasons_are_sums_over_all_deliveries(ledger: Ledger) -> None:
    with ledger.run("merge") as run:
        ledger.record_files(run, [A, B, FileFigures("c", "c", 3, 1, 0, 0)])
    assert ledger.totals() == {
        "files": 3, "refused": 1, "rows": 9, "merged": 3, "duplicates": 1, "quarantined": 3, "unbalanced": 1,
    }  # fmt: skip
    assert ledger.reasons() == {"no ip": 3, "blank line": 1}
    assert [A.is_balanced, FileFigures("c", "c", 3, 1, 0, 0).is_balanced] == [True, False]


def test_retired_deliveries_are_folded_into_sums_and_what_the_ledger_says_stays_the_same(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, again = FileFigures("g", "g", 5, 3, 2, 0), FileFigures("g/2", "g", 5, 0, 5, 0)
    lost, late, open_one = (FileFigures(name, name, 3, 2, int(name != "lost"), 0) for name in ("lost", "late", "open"))
    for day, figures in enumerate([[A, B, good], [again, lost], [late, open_one]], start=1):
        monkeypatch.setattr("lakehouse.ledger.now_text", lambda day=day: f"2026-11-{day:02}T03:17:00.000+00:00")
        with ledger.run("merge") as run:
            ledger.record_files(run, figures)
        ledger.retire(f.landed_file for f in figures if f is not open_one)

    def said() -> list[object]:
        names = [Path(name) for name in ("a", "b", "g", "late", "lost", "new")]
        return [ledger.totals(), ledger.reasons(), ledger.first_merged_at(), ledger.deliveries(names),
                ledger.unbalanced_files(), ledger.waiting_to_retire()]  # fmt: skip

    before = said()
    assert before[0] == {
        "files": 7, "refused": 1, "rows": 25, "merged": 11, "duplicates": 10, "quarantined": 3, "unbalanced": 1,
    }  # fmt: skip
    assert before[3] == {"a": "a/2", "b": "b/2", "g": "g/3", "late": "late/2", "lost": "lost/2", "new": "new"}
    assert ledger.fold(datetime(2026, 11, 1, tzinfo=UTC)) == 0
    for day, folded, kept in (
        (2, 1, ["a", "b", "g/2", "late", "lost", "open"]),
        (3, 1, ["a", "b", "late", "lost", "open"]),
    ):
        assert ledger.fold(datetime(2026, 11, day, tzinfo=UTC)) == folded
        assert said() == before
        with closing(sqlite3.connect(ledger.path)) as db:
            assert [row[0] for row in db.execute("SELECT landed_file FROM files ORDER BY 1")] == kept
            assert db.execute("SELECT count(*) FROM folded").fetchone() == (1,)


def test_a_fold_that_is_killed_leaves_everything_as_it_was(ledger: Ledger) -> None:
    with ledger.run("merge") as run:
        ledger.record_files(run, [FileFigures("a", "a", 5, 3, 2, 0)])
    ledger.retire(["a"])
    before = ledger.totals()
    with closing(sqlite3.connect(ledger.path)) as db:
        db.execute("CREATE TRIGGER killed BEFORE DELETE ON files BEGIN SELECT raise(ABORT, 'killed'); END")
        with pytest.raises(PipelineError, match="killed"):
            ledger.fold(datetime.now(UTC) + timedelta(days=1))
        assert (ledger.totals(), ledger.deliveries([Path("a")])) == (before, {"a": "a/2"})
        db.execute("DROP TRIGGER killed")
    assert ledger.fold(datetime.now(UTC) + timedelta(days=1)) == 1
    assert (ledger.totals(), ledger.deliveries([Path("a")])) == (before, {"a": "a/2"})
    assert ledger.has_files()


def test_recording_a_delivery_again_replaces_it(ledger: Ledger) -> None:
    for _ in range(2):
        with ledger.run("merge") as run:
            ledger.record_files(run, [A])
    assert ledger.totals()["rows"] == 5


def test_a_run_is_recorded_with_its_end_exit_code_and_figures(ledger: Ledger) -> None:
    with ledger.run("batch") as run:
        assert ledger.last_runs()["batch"]["ended_at"] is None
        run.figures["version"] = 7
    last = ledger.last_runs()["batch"]
    assert (last["exit_code"], last["figures"]) == (0, {"version": 7})
    assert last["ended_at"] >= last["started_at"]


def test_a_run_that_fails_is_recorded_with_its_error_and_its_figures_do_not_count(ledger: Ledger) -> None:
    with ledger.run("batch") as run:
        run.figures["version"] = 7
    with pytest.raises(ValueError, match="broken"), ledger.run("batch") as run:
        _fail(run)
    last = ledger.last_runs()["batch"]
    assert (last["exit_code"], last["figures"]["error"]) == (1, "ValueError: broken")
    assert ledger.last_figure("batch", "version") == 7


def test_what_a_killed_run_noted_is_in_hand_until_it_is_settled_with_the_figures(ledger: Ledger) -> None:
    with ledger.run("merge") as run:
        ledger.record_files(run, [A, B])
    assert ledger.in_hand("replay") is None
    ledger_when_killed = ledger.path.with_name("when killed")
    with ledger.run("replay") as run:
        run.figures[IN_HAND] = {"transaction": 3}
        ledger.note(run)
        shutil.copy(ledger.path, ledger_when_killed)
    ledger_when_killed.replace(ledger.path)
    assert (ledger.in_hand("replay"), ledger.in_hand("merge")) == ({"transaction": 3}, None)
    mended = replace(A, merged=4, quarantined=0, reasons={})
    ledger.settle("replay", [mended, replace(A, landed_file="unknown")])
    assert ledger.in_hand("replay") is None
    assert ledger.last_runs()["replay"]["figures"] == {}
    assert ledger.files(["b", "a", "a", "unknown"]) == [mended, B]
    assert ledger.waiting_to_retire() == [mended, B]


def test_the_last_progress_of_each_thing_that_goes_on_is_kept(ledger: Ledger) -> None:
    ledger.record_progress("archive", {"batchId": 1})
    ledger.record_progress("archive", {"batchId": 2})
    ledger.record_progress("simulate", {"files": 1})
    said = {name: found["progress"] for name, found in ledger.progress().items()}
    assert said == {"archive": {"batchId": 2}, "simulate": {"files": 1}}


def test_a_touch_moves_the_time_and_keeps_what_was_said(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(["10:00", "10:01", "10:02"])
    monkeypatch.setattr("lakehouse.ledger.now_text", lambda: next(times))
    ledger.record_progress("archive", {"batchId": 1})
    ledger.touch_progress("archive")
    ledger.touch_progress("metrics")
    assert ledger.progress() == {
        "archive": {"updated_at": "10:01", "progress": {"batchId": 1}},
        "metrics": {"updated_at": "10:02", "progress": {}},
    }
    ledger.clear_progress("archive")
    ledger.clear_progress("archive")
    assert list(ledger.progress()) == ["metrics"]


def test_a_ledger_that_is_busy_for_too_long_is_an_error(ledger: Ledger) -> None:
    ledger.record_progress("archive", {"batchId": 1})
    impatient = Ledger(ledger.path, busy_seconds=0)
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(PipelineError, match="database is locked"):
            impatient.touch_progress("archive")
    impatient.touch_progress("archive")


FIRST_LAYOUT = """
CREATE TABLE runs (
    run_id INTEGER PRIMARY KEY, job TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, exit_code INTEGER,
    figures TEXT NOT NULL DEFAULT '{}');
CREATE TABLE files (
    landed_file TEXT PRIMARY KEY, name TEXT NOT NULL, run_id INTEGER NOT NULL, rows INTEGER NOT NULL,
    merged INTEGER NOT NULL, duplicates INTEGER NOT NULL, quarantined INTEGER NOT NULL, reasons TEXT NOT NULL,
    refused TEXT, stamp TEXT NOT NULL, merged_at TEXT NOT NULL, retired_at TEXT);
CREATE TABLE queries (name TEXT PRIMARY KEY, updated_at TEXT NOT NULL, progress TEXT NOT NULL);
INSERT INTO runs VALUES (1, 'merge', '2026-11-24T06:17:11.000+00:00', '2026-11-24T06:17:12.000+00:00', 0, '{}');
INSERT INTO files VALUES ('a', 'a', 1, 1, 1, 0, 0, '{}', NULL, '', '2026-11-24T06:17:12.000+00:00', NULL);
INSERT INTO queries VALUES ('archive', '2026-11-24T06:17:13.000+00:00', '{"batchId": 1}');
"""


def test_a_ledger_of_the_first_layout_is_read_and_written_on(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    with closing(sqlite3.connect(ledger.path)) as db:
        db.executescript(FIRST_LAYOUT)
    archive = {"updated_at": "2026-11-24T06:17:13.000+00:00", "progress": {"batchId": 1}}
    assert ledger.progress() == {"archive": archive}
    assert (ledger.totals()["merged"], ledger.deliveries([Path("b")])) == (1, {"b": "b"})
    ledger.record_progress("simulate", {"files": 1})
    found = ledger.progress()
    assert found == {
        "archive": archive,
        "simulate": {"updated_at": found["simulate"]["updated_at"], "progress": {"files": 1}},
    }
    assert ledger.last_good_ends() == {"merge": "2026-11-24T06:17:12.000+00:00"}
    assert ledger.waiting_to_retire() == [FileFigures("a", "a", 1, 1, 0, 0)]


def _fail(run: Run) -> None:
    run.figures["version"] = 8
    raise ValueError("broken")
