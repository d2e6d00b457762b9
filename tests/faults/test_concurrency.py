"""Two of a kind at once: refused with who is there and what to do, or harmless. Real processes on the real locks."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyspark.sql import SparkSession

from cleaner.maintain import maintain
from cleaner.merge import merge
from consumer.batch import refresh
from consumer.report import report
from consumer.streaming import stream_once
from lakehouse.errors import LockedError
from lakehouse.lake import GRAINS, Lake, waiting_files
from lakehouse.ledger import Ledger
from lakehouse.locks import is_locked, lock
from lakehouse.settings import Settings, unpack_settings
from tests.builders import T0, land_json, landed
from tests.faults.machine import ROOT, last_line, run, settings_file
from tests.tables import rows

IMPATIENT = "merge: {lock_seconds: 0}\n"
LINE = '192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /{} HTTP/1.1" 200 1\n'


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come about; pytest's own time limit says when it does not."""
    while not condition():
        time.sleep(0.05)


@contextmanager
def running(program: str, *words: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """A program in a process of its own, which is killed at the end if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-m", program, *map(str, words)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# Refused: who is there, and what to do --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "program", "word"),
    [
        ("merge", "cleaner", "merge"),  # two cleaners
        ("merge", "cleaner", "maintain"),  # maintenance beside a merge
        ("maintain", "cleaner", "maintain"),
        ("batch", "consumer", "batch"),  # two batches
    ],
)
def test_the_second_of_two_jobs_is_told_who_holds_the_lock(tmp_path: Path, held: str, program: str, word: str) -> None:
    lake = Lake(tmp_path / "lake")
    land_json(lake.landing / "a.json", [landed("e1")])
    conf = settings_file(tmp_path, lake.root, IMPATIENT)
    with lock(lake.locks, held):
        code, said = run(program, word, "--conf", conf)
    me = f"process {os.getpid()} on {socket.gethostname()}: "
    assert code == 1
    assert last_line(said).startswith(f"{held} is locked by another process ({me}")
    assert last_line(said).endswith(
        f", waited 0 s: wait for it to end, or end it; the lock is {lake.locks / held}.lock"
    )
    assert not is_locked(lake.locks, held)


def test_a_second_follower_is_refused_until_the_first_has_ended_and_then_reads_on(tmp_path: Path) -> None:
    lake, log = Lake(tmp_path / "lake"), tmp_path / "access.log"
    conf = settings_file(tmp_path, lake.root, "landing: {format: json, batch_seconds: 0.2}\n")
    words = ("ingest", "--follow", log, "--conf", conf)
    log.write_text("".join(LINE.format(n) for n in range(3)))
    with running("producer", *words) as first:
        until(lambda: bool(waiting_files(lake.landing)))
        code, said = run("producer", *words)
        assert code == 1
        assert re.search(
            rf"follow is locked by another process \(process {first.pid} on .*: producer ingest --follow ", said
        )
        first.kill()  # the lock goes with its process
        first.wait()
    with log.open("a") as more:
        more.write(LINE.format(3))
    with running("producer", *words) as second:
        until(lambda: len(waiting_files(lake.landing)) >= 2)
        second.send_signal(signal.SIGTERM)
        assert second.wait() == 0
    rows = pl.concat([pl.read_ndjson(path) for path in waiting_files(lake.landing)], how="vertical_relaxed")
    assert sorted(set(rows["path"])) == ["/0", "/1", "/2", "/3"]
    assert rows.select("event_id", "source_offset").unique().height == 4  # what came twice has the same id


@pytest.mark.streaming
def test_a_second_consumer_is_refused_and_touches_nothing(settings: Settings, lake: Lake, spark: SparkSession) -> None:
    land_json(lake.landing / "a.json", [landed("e1")])
    before = sorted(lake.root.rglob("*"))
    with lock(lake.locks, "stream"), pytest.raises(LockedError, match="stream is locked by another process"):
        stream_once(spark, settings)
    assert sorted(set(lake.root.rglob("*")) - set(before)) == [
        lake.ledger.parent, lake.locks, lake.locks / "stream.lock",
    ]  # fmt: skip


# Harmless -------------------------------------------------------------------------------------------------------------


def test_two_simulators_on_one_lake_land_all_their_events_in_files_of_their_own(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    conf = settings_file(tmp_path, lake.root, "landing: {batch_rows: 500}\n")
    alone = settings_file(tmp_path / "alone", tmp_path / "alone" / "lake", "landing: {batch_rows: 500}\n")
    words = ("simulate", "--events", "2000", "--seed")
    with (
        running("producer", *words, "1", "--conf", conf) as first,
        running("producer", *words, "2", "--conf", conf) as second,
    ):
        assert (first.wait(), second.wait()) == (0, 0)
    for seed in ("1", "2"):
        assert run("producer", *words, seed, "--conf", alone)[0] == 0

    def events(at: Lake) -> list[tuple[Any, ...]]:
        rows = pl.concat([pl.read_parquet(path) for path in waiting_files(at.landing)]).drop("ingested_at")
        return sorted(rows.rows(), key=repr)

    assert events(lake) == events(Lake(tmp_path / "alone" / "lake"))
    assert not list(lake.landing.glob(".*"))


@pytest.mark.spark
@pytest.mark.long
def test_cleaners_batches_and_maintenance_at_once_leave_what_one_after_the_other_would(
    lake: Lake, settings: Settings, spark: SparkSession
) -> None:
    patient = unpack_settings(
        {
            "paths": settings.paths.model_dump(mode="json"),
            "merge": {"lock_seconds": 300},
            "maintain": {"small_files": 2},
        },
        "t",
    )
    for name in "ab":
        land_json(lake.landing / f"{name}.json", [landed(f"{name}{n}") for n in range(3)] + [landed("same")])
        merge(patient, lambda: spark)
    land_json(lake.landing / "c.json", [landed("c0"), landed("a0"), landed("bad", ip=None)])
    jobs: list[Callable[[], object]] = [
        lambda: merge(patient, lambda: spark.newSession()),
        lambda: merge(patient, lambda: spark.newSession()),
        lambda: maintain(patient, lambda: spark.newSession(), datetime.now(UTC)),
        lambda: refresh(patient),
        lambda: refresh(patient),
    ]
    with ThreadPoolExecutor(len(jobs)) as pool:
        done = [pool.submit(job) for job in jobs]
    merged: list[Any] = [done[number].result() for number in (0, 1)]
    assert sorted(merged) == [0, 1]  # one took the file, the other found nothing
    for job in done[2:]:
        job.result()
    refresh(patient)
    homes = sorted(
        [("a0", "a"), ("a1", "a"), ("a2", "a"), ("same", "a"), ("b0", "b"), ("b1", "b"), ("b2", "b"), ("c0", "c")]
    )
    for path in (lake.merged, lake.delta):
        assert rows(path, "event_id", "landed_file") == [(event_id, f"{file}.json") for event_id, file in homes]
    assert Ledger(lake.ledger).totals() == {
        "files": 3, "refused": 0, "rows": 11, "merged": 8, "duplicates": 2, "quarantined": 1, "unbalanced": 0,
    }  # fmt: skip
    assert report(patient).identity.holds
    for grain in GRAINS:
        figures = rows(lake.metrics("batch", grain), "event_date", "requests", "visitors", "bytes", "first_seen")
        assert figures == [(date(2024, 5, 17), 8, 1, 800, T0)]
