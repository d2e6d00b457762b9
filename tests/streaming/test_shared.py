"""The periodic jobs in the running consumer's Spark: without a JVM of their own while it is there, with one when it is not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakehouse.lake import Lake
from lakehouse.locks import is_locked
from lakehouse.shared import OPENING
from tests.builders import land_json, land_parquet, landed, unparsed
from tests.faults.kills import START_SECONDS, running_stream
from tests.faults.lakes import contents
from tests.faults.programs import Programs, kill
from tests.tables import rows

pytestmark = [pytest.mark.streaming, pytest.mark.spark]


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


@pytest.fixture
def consumer(programs: Programs) -> "Iterator[subprocess.Popen[bytes]]":
    """``consumer stream``, whose Spark is shared."""
    with running_stream(programs) as process:
        yield process


def without_java(programs: Programs, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a job that cannot start a JVM."""
    environment = os.environ | {"JAVA_HOME": "/nonexistent"}
    command = [sys.executable, "-m", *words, "--conf", str(programs.conf)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def land(lake: Lake) -> None:
    land_parquet(lake.landing / "a.parquet", [landed("e1"), landed("e1"), unparsed("u", "x"), landed(None)])
    land_json(lake.landing / "b.json", [landed("e2", agent=None), landed("e3", status=42)])


def test_jobs_run_in_the_consumers_spark_while_it_runs(programs: Programs, consumer: "subprocess.Popen[bytes]") -> None:
    lake = programs.lake
    assert lake.shared_spark.stat().st_mode & 0o777 == 0o600
    token = json.loads(lake.shared_spark.read_text())["token"]
    assert all(token not in line for line in command_lines())
    land(lake)
    for words in (("cleaner", "merge"), ("consumer", "batch")):
        done = without_java(programs, *words)
        assert done.returncode == 0, done.stderr
    assert rows(lake.delta, "event_id", "landed_file") == [("e1", "a.parquet"), ("e2", "b.json")]
    assert len(rows(lake.quarantine, "event_id")) == 3
    assert rows(lake.metrics("batch", "daily"), "requests") == [(2,)]

    # A stranger is not let in.
    note = json.loads(lake.shared_spark.read_text())
    lake.shared_spark.write_text(json.dumps(note | {"token": "another"}))
    land_parquet(lake.landing / "c.parquet", [landed("e4")])
    done = without_java(programs, "cleaner", "merge")
    assert (done.returncode, "does not run" in done.stderr) == (1, True), done.stderr
    lake.shared_spark.write_text(json.dumps(note))

    # What another job than a small one has to do needs a JVM of its own.
    assert without_java(programs, "cleaner", "rebuild").returncode == 1

    consumer.send_signal(signal.SIGTERM)
    assert consumer.wait(90) == 0, programs.told()
    assert not lake.shared_spark.exists()


def test_a_job_waits_for_the_spark_of_a_consumer_that_is_starting(programs: Programs) -> None:
    lake = programs.lake
    land(lake)
    consumer = programs.start("consumer", "stream")
    try:
        wait_for(lambda: is_locked(lake.locks, OPENING), consumer)
        done = without_java(programs, "cleaner", "merge")
        assert done.returncode == 0, done.stderr
        assert rows(lake.delta, "event_id", "landed_file") == [("e1", "a.parquet"), ("e2", "b.json")]
        assert not is_locked(lake.locks, OPENING)
    finally:
        kill(consumer)


def wait_for(is_so: Callable[[], bool], consumer: "subprocess.Popen[bytes]") -> None:
    """Until something holds, while the consumer goes on."""
    deadline = time.monotonic() + START_SECONDS
    while not is_so():
        assert consumer.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_a_job_of_a_killed_consumer_has_a_spark_of_its_own(
    programs: Programs, consumer: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    land(programs.lake)
    kill(consumer)
    assert programs.lake.shared_spark.exists()
    programs.run("cleaner", "merge")
    alone = Programs(tmp_path / "alone")
    land(alone.lake)
    alone.run("cleaner", "merge")
    assert contents_of_tables(programs.lake) == contents_of_tables(alone.lake)


@pytest.mark.long
def test_a_table_that_is_moved_away_is_filled_anew_and_nothing_is_lost(
    programs: Programs, consumer: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    lake = programs.lake
    for number in range(3):
        land_parquet(lake.landing / f"{number}.parquet", [landed(f"e{number}")])
        assert without_java(programs, "cleaner", "merge").returncode == 0
    lake.delta.rename(tmp_path / "delta")
    land_parquet(lake.landing / "last.parquet", [landed("e3")])
    programs.run("cleaner", "merge")
    programs.run("cleaner", "merge")
    ids = [(f"e{number}",) for number in range(4)]
    assert rows(lake.delta, "event_id") == rows(lake.merged, "event_id") == ids
    assert consumer.poll() is None


def contents_of_tables(lake: Lake) -> dict[str, object]:
    return {name: found for name, found in contents(lake).items() if name in ("merged", "delta", "quarantine")}


def command_lines() -> list[str]:
    """The words of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found
