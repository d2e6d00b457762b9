"""After trouble is mended the next run goes on by itself: whole rows of every table, nothing lost or doubled."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from cleaner.merge import merge
from consumer.batch import refresh
from consumer.monitor import status
from consumer.report import report
from consumer.streaming import stream_once
from lakehouse.arrivals import Arrivals
from lakehouse.errors import PipelineError, TableError
from lakehouse.failures import explained
from lakehouse.lake import GRAINS, Lake
from lakehouse.ledger import Ledger
from lakehouse.metric_columns import METRIC_COLUMNS
from lakehouse.schema import ARCHIVED
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import latest_version
from tests.builders import T0, land_json, landed, unparsed
from tests.faults.machine import ROOT, fill, last_line, settings_file, small_disk
from tests.tables import rows

DAY = date(2024, 5, 17)


def no_session() -> SparkSession:
    raise AssertionError("a JVM was started")


def forget_logs(spark: SparkSession) -> None:
    """What the session remembers of Delta's logs goes, as if the next run were a process of its own."""
    spark.sparkContext._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # type: ignore[union-attr]


def forget_states(spark: SparkSession) -> None:
    """The state that is open in memory goes, as if the next run were a process of its own."""
    spark.sparkContext._jvm.org.apache.spark.sql.execution.streaming.state.StateStore.stop()  # type: ignore[union-attr]


def archived(spark: SparkSession, lake: Lake) -> list[tuple[Any, ...]]:
    found = spark.read.schema(ARCHIVED).parquet(str(lake.logs)).select("landed_file", "event_id", "raw").collect()
    return sorted((tuple(row) for row in found), key=repr)


def running_figures(spark: SparkSession, lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    forget_logs(spark)
    return {g: rows(lake.metrics("streaming", g), *METRIC_COLUMNS[g]) for g in GRAINS}


@pytest.mark.spark
@pytest.mark.long
def test_a_lost_commit_a_lost_ledger_and_a_lost_delta_are_made_good_by_the_next_merge(
    settings: Settings, lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A merge is killed before it writes the ledger, and a power cut leaves its last commit empty.
    land_json(lake.landing / "a.json", [landed("e1"), landed("e1"), unparsed("u1", "x"), landed("e2", ip="-")])
    (lake.landing / "b.csv").write_text("refused")
    merge(settings, lambda: spark)
    land_json(lake.landing / "c.json", [landed("e1"), landed("e3", status=404)])
    with monkeypatch.context() as killed:
        killed.setattr(Ledger, "record_files", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            merge(settings, lambda: spark)
    commit = lake.merged / "_delta_log" / f"{latest_version(lake.merged):020}.json"
    commit.write_bytes(b"")
    with pytest.raises(
        TableError, match=r"move it and its \.crc files away and run again: what it held and is still landed"
    ):
        merge(settings, no_session)
    assert any("merged: the table cannot be read" in s for s in status(settings, datetime.now(UTC)).late)
    commit.unlink()
    forget_logs(spark)
    assert merge(settings, lambda: spark) == 1
    merged = [("e1", "a.json", 200), ("e3", "c.json", 404)]
    assert rows(lake.merged, "event_id", "landed_file", "status") == merged
    assert rows(lake.delta, "event_id", "landed_file", "status") == merged
    assert [(f.landed_file, f.rows, f.merged, f.duplicates, f.quarantined) for f in Ledger(lake.ledger).waiting_to_retire()] == [
        ("a.json", 4, 1, 1, 2), ("c.json", 2, 1, 1, 0),
    ]  # fmt: skip

    # The ledger is gone, and one landed file too: what the tables know of is counted anew, what is landed merged again.
    quarantined = rows(lake.quarantine)
    lake.ledger.unlink()
    (lake.landing / "a.json").unlink()
    land_json(lake.landing / "d.json", [landed("e4")])
    assert merge(settings, lambda: spark) == 2
    assert report(settings).identity.holds
    assert Ledger(lake.ledger).totals() == {
        "files": 4, "refused": 1, "rows": 7, "merged": 3, "duplicates": 1, "quarantined": 3, "unbalanced": 0,
    }  # fmt: skip
    assert Ledger(lake.ledger).reasons() == {
        "file refused: unknown kind of file '.csv', expected .json, .jsonl, .ndjson, .parquet": 1,
        "line does not parse": 1, "no ip": 1,
    }  # fmt: skip
    assert rows(lake.quarantine) == quarantined

    # delta/ was moved away: the next merge fills it from merged/, though nothing has landed.
    enriched = rows(lake.delta)
    lake.delta.rename(lake.root / "away")
    forget_logs(spark)
    assert merge(settings, lambda: spark) == 0
    assert rows(lake.delta) == enriched
    assert merge(settings, no_session) == 0


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.parametrize("table", ["merged", "quarantine"])
def test_a_commit_that_the_ledger_counts_is_made_good_from_what_is_still_landed(
    settings: Settings, lake: Lake, spark: SparkSession, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    land_json(lake.landing / "a.json", [landed("e1"), landed("e2", status=None)])
    merge(settings, lambda: spark)
    (lake.landing / "a.json").unlink()  # its rows are of an earlier day
    merge(settings, no_session)
    land_json(lake.landing / "b.json", [landed("e1"), landed("e3"), landed("e4", status=None)])
    merge(settings, lambda: spark)
    land_json(lake.landing / "c.json", [landed("e5"), landed("e5"), landed("e6", status=None)])
    merge(settings, lambda: spark)
    known = {t: rows(lake.tables[t], "event_id", "landed_file") for t in ("merged", "delta", "quarantine")}
    counted = Ledger(lake.ledger).totals()
    path = lake.tables[table]
    (path / "_delta_log" / f"{latest_version(path):020}.json").unlink()  # a bad disk took it
    forget_logs(spark)
    assert merge(settings, lambda: spark) == 2
    assert f"the last commits of {table}/ are gone: 2 landed files are merged again" in caplog.text
    assert {t: rows(lake.tables[t], "event_id", "landed_file") for t in known} == known
    assert Ledger(lake.ledger).totals() == counted
    assert report(settings).identity.holds
    assert merge(settings, no_session) == 0

    # Once nothing of it is landed any more, delta/ still has what merged/ lacks; what only quarantine/ had is missing, and said.
    (lake.landing / "b.json").unlink()
    (lake.landing / "c.json").unlink()
    merge(settings, no_session)
    (path / "_delta_log" / f"{latest_version(path):020}.json").unlink()
    forget_logs(spark)
    if table == "merged":
        assert merge(settings, lambda: spark) == 0
        assert rows(lake.merged, "event_id", "landed_file") == known["merged"]
        assert report(settings).identity.holds
    else:
        assert merge(settings, no_session) == 0
        assert report(settings).identity.problems == ("quarantine/ has 2 rows, but 3 were quarantined",)


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.parametrize("table", ["merged", "delta"])
def test_a_data_file_that_a_power_cut_left_empty_is_said_and_made_good(
    settings: Settings, lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    land_json(lake.landing / "a.json", [landed("e1")])
    merge(settings, lambda: spark)
    land_json(lake.landing / "b.json", [landed("e2")])
    before = set(lake.tables[table].rglob("*.parquet"))
    with monkeypatch.context() as killed:
        killed.setattr(Ledger, "record_files", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            merge(settings, lambda: spark)
    (made,) = set(lake.tables[table].rglob("*.parquet")) - before
    size = made.stat().st_size
    empty(made)
    with pytest.raises(
        TableError, match=f"0 bytes of {size} are there of its data file {re.escape(made.parent.name)}"
    ) as said:
        merge(settings, no_session)
    if table == "merged":
        commit = lake.merged / "_delta_log" / f"{latest_version(lake.merged):020}.json"
        assert str(said.value).startswith(f"{commit}: ")
        assert "move it and its .crc files away and run again" in str(said.value)
        commit.unlink()
    else:
        assert f"move {lake.delta} away: it is made anew from merged/ by: python -m cleaner merge" in str(said.value)
        move_away(lake.delta)
    forget_logs(spark)
    assert merge(settings, lambda: spark) == 1
    for name in ("merged", "delta"):
        assert rows(lake.tables[name], "event_id", "landed_file") == [("e1", "a.json"), ("e2", "b.json")]
    assert report(settings).identity.holds


# The stream -----------------------------------------------------------------------------------------------------------


def empty(path: Path) -> None:
    path.write_bytes(b"")


def last(folder: Path) -> Path:
    """The file of the last batch in one of Spark's folders."""
    return max((p for p in folder.iterdir() if p.name[0].isdigit()), key=lambda p: int(re.findall(r"\d+", p.name)[0]))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def cut_off_most(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


def move_away(path: Path) -> None:
    path.rename(path.with_name("away"))


def forget_batch(lake: Lake, batch: str) -> None:
    for folder in ("offsets", "commits"):
        (lake.checkpoint("archive") / folder / batch).unlink()


def write_garbage(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")


DAMAGES: dict[str, Callable[[Lake], None]] = {
    "archive: metadata": lambda lake: empty(lake.checkpoint("archive") / "metadata"),
    "archive: offsets": lambda lake: cut_off(last(lake.checkpoint("archive") / "offsets")),
    "archive: commits": lambda lake: empty(last(lake.checkpoint("archive") / "commits")),
    "archive: journal cut off": lambda lake: cut_off(Arrivals(lake.checkpoint("archive")).path),
    "archive: older than logs/": lambda lake: forget_batch(lake, "1"),
    "metrics: metadata": lambda lake: empty(lake.checkpoint("metrics") / "metadata"),
    "metrics: offsets": lambda lake: empty(last(lake.checkpoint("metrics") / "offsets")),
    "metrics: offsets are gone": lambda lake: shutil.rmtree(lake.checkpoint("metrics") / "offsets"),
    "metrics: commits": lambda lake: cut_off(last(lake.checkpoint("metrics") / "commits")),
    "metrics: state": lambda lake: empty(last(lake.checkpoint("metrics") / "state" / "0" / "0")),
    "metrics: application id": lambda lake: write_garbage(lake.checkpoint("metrics") / "application_id"),
    "metrics: a table is moved away": lambda lake: move_away(lake.metrics("streaming", "daily")),
}


@pytest.mark.streaming
@pytest.mark.long
def test_damaged_checkpoints_are_made_anew_and_nothing_is_archived_or_counted_twice_or_not_at_all(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    land_json(lake.landing / "a.json", [landed("e1"), landed("e1"), unparsed("u1", "x")])
    stream_once(spark, settings)
    before = {a.name: a.arrived_at for a in Arrivals(lake.checkpoint("archive")).read()}
    empty(Arrivals(lake.checkpoint("archive")).path)
    shutil.rmtree(lake.checkpoint("metrics") / "offsets")
    land_json(lake.landing / "b.json", [landed("e2")])
    stream_once(spark, settings)
    assert archived(spark, lake) == [
        ("a.json", "e1", None), ("a.json", "e1", None), ("a.json", "u1", "x"), ("b.json", "e2", None),
    ]  # fmt: skip
    assert running_figures(spark, lake)["daily"] == [(DAY, 2, 1, 1, 200, 0, 0, 2, T0, T0)]
    after = {a.name: a.arrived_at for a in Arrivals(lake.checkpoint("archive")).read() if a.name}
    assert after["a.json"] == pytest.approx(before["a.json"], abs=0.01)
    assert after["b.json"] >= after["a.json"]


@pytest.mark.streaming
@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_to_a_checkpoint_is_made_good(
    settings: Settings, lake: Lake, spark: SparkSession, damage: str
) -> None:
    for name in "ab":
        land_json(lake.landing / f"{name}.json", [landed(f"{name}1"), landed(f"{name}2", status=500)])
        stream_once(spark, settings)
    DAMAGES[damage](lake)
    forget_logs(spark)
    land_json(lake.landing / "c.json", [landed("a1"), landed("c1")])
    stream_once(spark, settings)
    assert archived(spark, lake) == [
        ("a.json", "a1", None), ("a.json", "a2", None), ("b.json", "b1", None), ("b.json", "b2", None),
        ("c.json", "a1", None), ("c.json", "c1", None),
    ]  # fmt: skip
    figures = (1, 1, 500, 0, 2, 5, T0, T0)
    assert running_figures(spark, lake) == {
        "daily": [(DAY, 5, *figures)],
        "ip": [(DAY, "192.0.2.1", 5, *figures[1:])],
        "agent": [(DAY, "curl/7.68.0", 5, *figures[1:])],
    }


@pytest.mark.streaming
@pytest.mark.long
@pytest.mark.parametrize("hurt", [cut_off_most, write_garbage])
def test_a_damaged_memory_of_the_metrics_is_said_and_made_anew_by_the_next_start(
    settings: Settings, lake: Lake, spark: SparkSession, hurt: Callable[[Path], None]
) -> None:
    for name in "ab":
        land_json(lake.landing / f"{name}.json", [landed(name)])
        stream_once(spark, settings)
    states = list((lake.checkpoint("metrics") / "state").rglob("*.changelog"))
    assert states
    for path in states:
        hurt(path)
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
    forget_states(spark)
    land_json(lake.landing / "c.json", [landed("a"), landed("c")])
    with pytest.raises(
        PipelineError, match=r"what it remembers, in .*metrics, is damaged: .*filled anew from logs/ at the next start"
    ):
        stream_once(spark, settings)
    stream_once(spark, settings)
    assert running_figures(spark, lake)["daily"] == [(DAY, 3, 1, 1, 300, 0, 0, 3, T0, T0)]


@pytest.mark.streaming
@pytest.mark.long
@pytest.mark.parametrize("table", ["daily", "agent"])
@pytest.mark.parametrize("hurt", [empty, cut_off, Path.unlink])
def test_a_running_table_with_a_damaged_log_stops_the_stream_until_it_is_moved_away(
    settings: Settings, lake: Lake, spark: SparkSession, table: str, hurt: Callable[[Path], None]
) -> None:
    for name in "ab":
        land_json(lake.landing / f"{name}.json", [landed(name)])
        stream_once(spark, settings)
    path = lake.metrics("streaming", table)
    hurt(path / "_delta_log" / f"{1:020}.json")
    with pytest.raises(TableError, match=f"move {path} away: it is made anew from logs/"):
        stream_once(spark, settings)
    move_away(path)
    forget_logs(spark)
    stream_once(spark, settings)
    assert running_figures(spark, lake)["daily"] == [(DAY, 2, 1, 1, 200, 0, 0, 2, T0, T0)]
    assert [row[2] for row in running_figures(spark, lake)["agent"]] == [2]


@pytest.mark.spark
@pytest.mark.long
def test_batch_figures_with_a_damaged_log_are_made_anew_once_they_are_moved_away(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    land_json(lake.landing / "a.json", [landed("e1"), landed("e2", status=404)])
    merge(settings, lambda: spark)
    refresh(settings)
    path = lake.metrics("batch", "ip")
    figures = rows(path)
    empty(path / "_delta_log" / f"{latest_version(path):020}.json")
    with pytest.raises(TableError, match=f"move {path} away: it is made anew from delta/ by: python -m consumer batch"):
        refresh(settings)
    move_away(path)
    forget_logs(spark)
    refresh(settings)
    assert rows(path) == figures


# A full disk under Spark ----------------------------------------------------------------------------------------------


@pytest.fixture
def on_small_disk(tmp_path: Path) -> Iterator[Settings]:
    with small_disk(tmp_path / "disk", "16m") as disk:
        paths = {"data_lake": str(disk / "lake"), "log": str(tmp_path / "log")}
        yield unpack_settings({"paths": paths, "limits": {"free_megabytes": 1}}, "test")


def leave(disk: Path, kilobytes: int) -> Path:
    """Fill the disk up to so much."""
    filler = fill(disk)
    with filler.open("r+b") as file:
        file.truncate(max(0, filler.stat().st_size - kilobytes * 1024))
    return filler


def requests(name: str) -> list[dict[str, Any]]:
    return [landed(f"{name}{n}", path=f"/{name}/{n}", agent=f"agent {n * 7919 % 997}") for n in range(1000)]


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_disk_that_fills_up_in_the_middle_of_jobs_leaves_nothing_that_stops_the_next_run(
    on_small_disk: Settings, spark: SparkSession, tmp_path: Path
) -> None:
    settings, lake, failed = on_small_disk, on_small_disk.lake, []
    names = [f"f{number}" for number in range(6)]
    for number, name in enumerate(names):
        land_json(lake.landing / f"{name}.json", requests(name))
        filler = leave(tmp_path / "disk", 4 + 40 * number)
        for job in (lambda: merge(settings, lambda: spark), lambda: stream_once(spark, settings)):
            forget_logs(spark)
            try:
                job()
            except Exception as error:  # noqa: BLE001  each must come down to one for the user
                failed.append(str(explained(error) or repr(error)))
        assert status(settings, datetime.now(UTC)).late
        filler.unlink()
        forget_logs(spark)
        merge(settings, lambda: spark)
        stream_once(spark, settings)
        refresh(settings)
    assert failed
    assert all("space" in said for said in failed), failed
    expected = sorted((f"{name}{n}", f"{name}.json") for name in names for n in range(1000))
    assert rows(lake.merged, "event_id", "landed_file") == expected
    assert rows(lake.delta, "event_id", "landed_file") == expected
    assert archived(spark, lake) == sorted((file, event_id, None) for event_id, file in expected)
    for mode in ("streaming", "batch"):
        assert rows(lake.metrics(mode, "daily"), "event_date", "requests", "bytes") == [(DAY, 6000, 600_000)]
    assert report(settings).identity.holds


# Memory short ---------------------------------------------------------------------------------------------------------


def children(pid: int, words: str) -> list[int]:
    """The processes below ``pid`` whose command line has ``words``."""
    below = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    found = []
    for child in map(int, below):
        command = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(child)], capture_output=True, text=True).stdout
        found += ([child] if words in command else []) + children(child, words)
    return found


def killed_when(
    conf: Path, program: str, words: tuple[str, ...], victim: str, is_time: Callable[[], bool]
) -> tuple[int, str]:
    """A program's exit code and output, of which one process is killed as by a kernel without memory, at its time."""
    process = subprocess.Popen(
        [sys.executable, "-m", program, *words, "--conf", str(conf)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    killed: list[int] = []
    while process.poll() is None and not killed:
        if is_time():
            killed = children(process.pid, victim)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    assert killed, f"{words} ended before its {victim} could be killed"
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


@pytest.mark.spark
@pytest.mark.long
def test_a_killed_jvm_or_python_worker_is_said_and_the_next_run_goes_on(tmp_path: Path, spark: SparkSession) -> None:
    lake = Lake(tmp_path / "lake")
    conf = settings_file(tmp_path, lake.root)
    land_json(lake.landing / "a.json", [landed("e1"), landed("e1"), landed("e2", status=None)])

    def has_begun() -> bool:
        return any(lake.quarantine.glob("*.parquet"))  # the first table that is written

    code, said = killed_when(conf, "cleaner", ("merge",), "SparkSubmit", has_begun)
    assert code == 1
    assert last_line(said).startswith(
        "Spark's JVM has ended in the middle of the work: killed, most likely for want of memory;"
    )
    settings = unpack_settings({"paths": {"data_lake": str(lake.root)}}, "test")
    late = status(settings, datetime.now(UTC)).late
    assert any(s.startswith("merge: the last run") and "Spark's JVM has ended" in s for s in late), late
    assert merge(settings, lambda: spark) == 1
    assert rows(lake.merged, "event_id", "landed_file") == [("e1", "a.json")]
    assert rows(lake.delta, "event_id", "landed_file") == [("e1", "a.json")]
    assert rows(lake.quarantine, "event_id", "reasons") == [("e2", ["no status"])]

    offsets = lake.checkpoint("archive") / "offsets" / "0"
    code, said = killed_when(conf, "consumer", ("stream", "--once"), "pyspark.daemon", offsets.exists)
    if code:  # an idle worker is replaced without a word
        assert "was killed, most likely for want of memory" in last_line(said)
        is_query = "query archive stopped" in said
        assert ("move _checkpoints/archive away: it is made anew from logs/" in said) == is_query
    stream_once(spark, settings)
    assert archived(spark, lake) == [("a.json", "e1", None), ("a.json", "e1", None), ("a.json", "e2", None)]
    assert running_figures(spark, lake)["daily"] == [(DAY, 1, 1, 1, 100, 0, 0, 1, T0, T0)]
