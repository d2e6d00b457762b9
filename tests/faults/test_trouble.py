"""Trouble around the programs: each ends in an error that says what, where and what to do, and is mended by that."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from cleaner.maintain import prune_archive
from consumer.components.archive import _damage, _last_in_sink
from consumer.components.metrics import require_whole
from consumer.monitor import status
from consumer.streaming import WallClock
from lakehouse.arrivals import Arrivals
from lakehouse.checkpoint import Checkpoint
from lakehouse.errors import CheckpointError, TableError
from lakehouse.failures import explained
from lakehouse.lake import Lake, waiting_files
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import create_table, is_table
from tests.builders import land_json, landed
from tests.faults.machine import (
    fill,
    last_line,
    make_foreign,
    remount,
    run,
    run_without_privilege,
    settings_file,
    small_disk,
)

GOES_ON = "then run again, it goes on where it was"
READ_ONLY = "mount that disk writable; if it became read-only by itself, look for its faults first (dmesg)"
OWNER = "see to the permissions and the owner of that file and its folder: all programs run as one user"
WRITERS = (("cleaner", "merge"), ("cleaner", "maintain"), ("consumer", "batch"))
LINES = [f'192.0.2.{n % 250} - - [17/May/2015:10:05:03 +0000] "GET /{n * 7919} HTTP/1.1" 200 1' for n in range(3000)]


def landed_paths(lake: Lake) -> list[str]:
    """The paths of all landed requests."""
    return sorted(landed_rows(lake)["path"])


def landed_rows(lake: Lake) -> pl.DataFrame:
    """Paths and ids of all landed requests."""
    files = waiting_files(lake.landing)
    read = [pl.read_ndjson(file) if file.suffix == ".json" else pl.read_parquet(file) for file in files]
    return pl.concat(frame.select("path", "event_id") for frame in read)


# A disk that is full, read-only or somebody else's --------------------------------------------------------------------


@pytest.mark.parametrize(("file_format", "size"), [("json", "1m"), ("parquet", "64k")])
def test_a_full_disk_is_said_and_once_there_is_space_everything_lands_once(
    tmp_path: Path, file_format: str, size: str
) -> None:
    (tmp_path / "a.log").write_text("\n".join(LINES) + "\n")
    with small_disk(tmp_path / "disk", size) as disk:
        lake = Lake(disk / "lake")
        conf = settings_file(tmp_path, lake.root, f"landing: {{format: {file_format}, batch_rows: 1000}}\n")
        ingest = ("producer", "ingest", tmp_path / "a.log", "--conf", conf)
        code, said = run(*ingest)
        full = f"No space left on device{' (os error 28)' * (file_format == 'json')}; free some space or see to its permissions"
        assert (code, last_line(said)) == (1, f"{lake.landing}: cannot write there: {full}")
        assert sorted(lake.landing.iterdir()) == waiting_files(lake.landing)  # none in half
        filler = fill(disk)
        code, said = run("cleaner", "merge", "--conf", conf)
        assert code == 1
        assert f"{lake.ledger}: the ledger cannot be used: " in last_line(said)
        assert "see to its permissions and the disk's space" in last_line(said)
        seen = status(unpack_settings({"paths": {"data_lake": str(lake.root)}}, "test"), datetime.now(UTC))
        assert seen.late == ("disk: 0 B are free (limit 100 MB); free some space, nothing can be written without",)
        filler.unlink()
        remount(disk, "size=8m")
        assert run(*ingest)[0] == 0
        # What was landed before the disk was full is landed again, with the same ids: the merge knows it.
        rows = landed_rows(lake)
        assert set(rows["path"]) == {f"/{n * 7919}" for n in range(3000)}
        assert rows["event_id"].n_unique() == 3000


def test_a_lake_that_became_read_only_is_said_by_every_program_that_writes(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LINES[0] + "\n")
    with small_disk(tmp_path / "disk", "4m") as disk:
        lake = Lake(disk / "lake")
        conf = settings_file(tmp_path, lake.root, "landing: {format: json}\n")
        assert run("producer", "ingest", tmp_path / "a.log", "--conf", conf)[0] == 0
        remount(disk, "ro")
        for program, word in WRITERS:
            code, said = run(program, word, "--conf", conf)
            assert code == 1
            assert last_line(said) == f"{lake.locks}: Read-only file system: {READ_ONLY}; {GOES_ON}"
        code, said = run("producer", "ingest", tmp_path / "a.log", "--conf", conf)
        assert code == 1
        assert f"{lake.landing}: cannot write there: Read-only file system" in last_line(said)
        in_an_hour = datetime.now(UTC) + timedelta(hours=1)
        late = status(
            unpack_settings({"paths": {"data_lake": str(lake.root)}, "limits": {"free_megabytes": 0}}, "t"), in_an_hour
        ).late
        assert late[0].startswith("merge: has never ended well, and the first file landed 1 h ago")
        remount(disk, "rw")
        assert run("cleaner", "maintain", "--conf", conf)[0] == 0


def test_a_lake_that_may_not_be_written_is_said_with_the_file_and_nothing_is_changed(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    land_json(lake.landing / "a.json", [landed("e1")])
    conf = settings_file(tmp_path, lake.root)
    make_foreign(lake.landing, lake.root)
    for program, word in WRITERS:
        code, said = run_without_privilege(program, word, "--conf", conf)
        assert (code, last_line(said)) == (1, f"{lake.ledger.parent}: Permission denied: {OWNER}; {GOES_ON}")
    code, said = run_without_privilege("producer", "simulate", "--events", "10", "--conf", conf)
    assert code == 1
    assert f"{lake.landing}: cannot write there: Permission denied" in last_line(said)
    code, said = run_without_privilege("consumer", "status", "--conf", conf)
    assert (code, "to be merged" in said) == (0, True)
    assert sorted(lake.root.rglob("*")) == [lake.landing, lake.landing / "a.json"]


def test_what_spark_says_comes_down_to_what_to_do(tmp_path: Path) -> None:
    class Py4JJavaError(Exception):
        __module__ = "py4j.protocol"

    java = "An error occurred while calling o52.sql.\n: org.apache.spark.SparkException: Job aborted\n\tat x.y(z)\nCaused by: "
    space = explained(Py4JJavaError(java + "java.io.IOException: No space left on device\n\tat java.base"))
    assert str(space) == f"Spark: No space left on device: free some space on that disk, or give it more; {GOES_ON}"
    denied = explained(
        Py4JJavaError(java + "java.io.FileNotFoundException: /lake/merged/.part.crc (Permission denied)")
    )
    assert str(denied).startswith(
        "Spark: /lake/merged/.part.crc: Permission denied: see to the permissions and the owner"
    )
    heap = explained(Py4JJavaError(java + "java.lang.OutOfMemoryError: Java heap space"))
    assert str(heap).startswith("Spark: java.lang.OutOfMemoryError: Java heap space: raise spark.driver_memory")
    worker = explained(Py4JJavaError(java + "Python worker exited unexpectedly (crashed)"))
    assert str(worker).startswith(
        "Spark: Python worker exited unexpectedly: it was killed, most likely for want of memory"
    )
    gone = explained(ConnectionRefusedError(111, "Connection refused"))
    assert str(gone).startswith(
        "Spark's JVM has ended in the middle of the work: killed, most likely for want of memory"
    )
    delta_rs = OSError("Generic LocalFileSystem error\n \x1b[31m↳\x1b[0m No space left on device (os error 28)\n")
    assert str(explained(delta_rs)) == (
        f"delta-rs: No space left on device: free some space on that disk, or give it more; {GOES_ON}"
    )
    assert explained(OSError("a fault of ours")) is None
    assert explained(Py4JJavaError("a fault of ours")) is None
    assert explained(ValueError("No space left on device")) is None


# The log of a Delta table ---------------------------------------------------------------------------------------------


def hurt(log: Path, fault: str) -> Path:
    """Damage a table's log of five commits; the file it is about."""
    last, middle = log / f"{4:020}.json", log / f"{2:020}.json"
    if fault == "the last is empty":
        last.write_bytes(b"")
        return last
    if fault == "the last is cut off":
        last.write_bytes(last.read_bytes()[:-20])
        return last
    if fault == "one is missing":
        middle.unlink()
        return middle
    if fault == "one is empty":
        middle.write_bytes(b"")
        return middle
    shutil.rmtree(log)
    return log


WITHOUT_BACKUP = "without one, move merged/, quarantine/, delta/ and _ledger/ away and land the logs again"
CUT_OFF, MISSING = "this commit of the table's log is empty or cut off", "this commit is missing from the table's log"
AGAIN = (
    "move it and its .crc files away and run again: what it held and is still landed is merged again. If consumer report then says that rows"
    " are missing, only a backup of it has them"
)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("the last is empty", f"{CUT_OFF}; {AGAIN}"),
        ("the last is cut off", f"{CUT_OFF}; {AGAIN}"),
        ("one is missing", f"{MISSING}; restore it from a backup; {WITHOUT_BACKUP}"),
        ("one is empty", f"{CUT_OFF}; restore it from a backup; {WITHOUT_BACKUP}"),
        ("all is gone", f"the table's log is gone, its data is there; restore it from a backup; {WITHOUT_BACKUP}"),
    ],
)
def test_a_damaged_log_of_the_record_is_noticed_whoever_asks(lake: Lake, fault: str, expected: str) -> None:
    for number in range(5):
        pl.DataFrame({"a": [number]}).write_delta(lake.merged, mode="append")
    assert is_table(lake.merged)
    file = hurt(lake.merged / "_delta_log", fault)
    with pytest.raises(TableError) as error:
        is_table(lake.merged)
    assert str(error.value) == f"{file}: {expected}"


@pytest.mark.parametrize(
    ("name", "source", "command"),
    [
        ("delta", "merged/", "cleaner merge"),
        ("metrics/batch/ip", "delta/", "consumer batch"),
        ("metrics/streaming/ip", "logs/", "consumer stream"),
    ],
)
def test_a_table_that_derives_from_another_may_go(lake: Lake, name: str, source: str, command: str) -> None:
    path = lake.tables[name]
    pl.DataFrame({"a": [1]}).write_delta(path)
    (path / "_delta_log" / f"{0:020}.json").write_text("{")
    with pytest.raises(TableError) as error:
        is_table(path)
    assert str(error.value).endswith(f"move {path} away: it is made anew from {source} by: python -m {command}")
    path.rename(path.with_name("away"))
    assert not is_table(path)


def test_a_log_is_whole_from_its_last_checkpoint_on(lake: Lake) -> None:
    from deltalake import DeltaTable

    for number in range(5):
        pl.DataFrame({"a": [number]}).write_delta(lake.merged, mode="append")
        if number == 3:
            DeltaTable(str(lake.merged)).create_checkpoint()
    log = lake.merged / "_delta_log"
    for version in range(3):  # as the log's retention does
        (log / f"{version:020}.json").unlink()
    assert is_table(lake.merged)
    checkpoint = log / f"{3:020}.checkpoint.parquet"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(
        TableError, match=r"3\.checkpoint\.parquet: the checkpoint of the table's log is cut off; restore"
    ):
        is_table(lake.merged)


def test_no_program_works_on_a_damaged_table_and_status_tells_of_it(tmp_path: Path) -> None:
    from lakehouse.schema import MERGED, QUARANTINE

    lake = Lake(tmp_path / "lake")
    conf = settings_file(tmp_path, lake.root)
    land_json(lake.landing / "a.json", [landed("e1")])
    create_table(lake.merged, MERGED, partition_by=("event_date",), description="x")
    create_table(lake.quarantine, QUARANTINE, description="x")
    commit = lake.quarantine / "_delta_log" / f"{0:020}.json"
    commit.write_bytes(b"")
    for program, word in (("cleaner", "merge"), ("cleaner", "maintain"), ("consumer", "report")):
        code, said = run(program, word, "--conf", conf)
        assert (code, last_line(said)) == (1, f"{commit}: {CUT_OFF}; {AGAIN}")
    code, said = run("consumer", "status", "--json", "--conf", conf)
    late = json.loads(said)["late"]
    assert (code, late[0]) == (1, f"quarantine: the table cannot be read: {commit}: {CUT_OFF}; {AGAIN}")
    assert [sentence.split(",")[0] for sentence in late[1:]] == ["merge: the last run", "maintain: the last run"]
    assert all(sentence.endswith(f"failed with exit code 1: {commit}: {CUT_OFF}; {AGAIN}") for sentence in late[1:])


# The ledger -----------------------------------------------------------------------------------------------------------


def test_a_ledger_that_is_damaged_is_said_with_what_to_do_by_programs_and_status(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    conf = settings_file(tmp_path, lake.root)
    with Ledger(lake.ledger).run("merge"):
        pass
    lake.ledger.write_bytes(lake.ledger.read_bytes()[:4096].replace(b"runs", b"rums") + b"\x00garbage" * 2000)
    for program, word in (("cleaner", "merge"), ("consumer", "status"), ("consumer", "report"), ("producer", "status")):
        code, said = run(program, word, "--conf", conf)
        assert code == 1
        assert (
            f"{lake.ledger}: the ledger cannot be used: database disk image is malformed; it is damaged: move it"
            in said
        )
    lake.ledger.rename(tmp_path / "away")
    assert run("consumer", "status", "--conf", conf)[0] == 0


# Checkpoints ----------------------------------------------------------------------------------------------------------


def spark_files(checkpoint: Path, batches: int, offset: Callable[[int], dict[str, int] | dict[str, str]]) -> None:
    """A checkpoint as Spark leaves it after so many batches."""
    for number in range(batches):
        for folder, content in (("offsets", f"v1\n{{}}\n{json.dumps(offset(number))}"), ("commits", "v1\n{}")):
            (checkpoint / folder).mkdir(parents=True, exist_ok=True)
            (checkpoint / folder / str(number)).write_text(content)
    (checkpoint / "metadata").write_text('{"id":"x"}')


def damage(path: Path, content: str | None) -> None:
    """Put ``content`` into a file's place, or, for ``None``, remove it or its folder."""
    if content is not None:
        path.write_text(content, encoding="latin-1")
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def entry(lake: Lake, number: int) -> str:
    """What Spark's file sink says of a batch, whose file it makes."""
    (lake.logs / f"part-{number}.parquet").write_bytes(b"1234567")
    return f'v1\n{{"path":"file://{lake.logs}/part-{number}.parquet","size":7,"action":"add"}}'


@pytest.fixture
def archive(lake: Lake) -> Arrivals:
    """An archive that has taken three files in as many batches, all of them in ``logs/``."""
    arrivals = Arrivals(lake.checkpoint("archive"))
    for number in range(3):
        land_json(lake.landing / f"{number}.json", [landed(f"e{number}")])
        arrivals.admit(lake.landing, max_files=9)
        (lake.logs / "_spark_metadata").mkdir(parents=True, exist_ok=True)
        (lake.logs / "_spark_metadata" / str(number)).write_text(entry(lake, number))
    spark_files(arrivals.checkpoint, 3, lambda number: {"seq": number + 1})
    return arrivals


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("arrivals.jsonl", "", "it ends before arrivals that batch 2 has read"),
        ("arrivals.jsonl", '{"seq": 3, "na', "cut off or changed"),
        ("arrivals.jsonl", "\xff", "cut off or changed"),
        ("offsets/2", "", "offsets/2: missing, empty or cut off"),
        ("offsets/2", 'v1\n{}\n{"seq"', "offsets/2: missing, empty or cut off"),
        ("offsets/2", None, "batch 1 was the last to be begun, but 2 the last to be finished"),
        ("commits/2", "", "commits/2: missing, empty or cut off"),
        ("commits", None, "batch 2 was the last to be begun, but -1 the last to be finished"),
        ("metadata", "", "metadata: missing, empty or cut off"),
        ("metadata", None, "metadata: missing, empty or cut off"),
    ],
)
def test_an_archives_checkpoint_that_would_skip_or_repeat_files_is_noticed(
    settings: Settings, lake: Lake, archive: Arrivals, file: str, content: str | None, expected: str
) -> None:
    assert _damage(archive, _last_in_sink(lake.logs, archive)) is None
    damage(archive.checkpoint / file, content)
    reason = _damage(archive, _last_in_sink(lake.logs, archive))
    assert reason is not None
    assert expected in reason
    late = status(settings, datetime.now(UTC)).late
    assert [sentence for sentence in late if sentence.startswith("archive: ")] == [
        f"archive: {reason}; it is made anew from logs/ by: python -m consumer stream"
    ]


def test_an_archives_checkpoint_older_than_logs_is_noticed(lake: Lake, archive: Arrivals) -> None:
    (lake.logs / "_spark_metadata" / "3").write_text(entry(lake, 3))
    assert (
        _damage(archive, _last_in_sink(lake.logs, archive)) == "it knows of batches up to 2 only, and logs/ has batch 3"
    )
    shutil.rmtree(archive.checkpoint)
    assert _damage(archive, _last_in_sink(lake.logs, archive)) == "it is gone"


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("_spark_metadata/2", None, "missing"),
        ("_spark_metadata/1", None, "missing"),
        ("_spark_metadata/0", None, "missing"),
        ("_spark_metadata/2", "", "empty or cut off"),
        ("_spark_metadata/1", 'v1\n{"path":"file:///part-1', "empty or cut off"),
        ("_spark_metadata/1", "v1\n{}", "empty or cut off"),
        ("_spark_metadata/1", "v1\n\0\0\0\0", "empty or cut off"),
        ("_spark_metadata/1", "\0\0\0\0", "empty or cut off"),
        ("part-1.parquet", None, "0 bytes of 7"),
        ("part-2.parquet", "1234", "4 bytes of 7"),
    ],
)
def test_a_damaged_list_of_the_archives_files_stops_stream_and_maintenance_before_rows_vanish(
    lake: Lake, archive: Arrivals, file: str, content: str | None, what: str
) -> None:
    assert _last_in_sink(lake.logs, archive) == 2
    assert prune_archive(lake, datetime.now(UTC), 30) == 0
    damage(lake.logs / file, content)
    expected = rf"{file}: {what}; restore it from a backup; without one, move away "
    with pytest.raises(CheckpointError, match=expected):
        _last_in_sink(lake.logs, archive)
    late = status(unpack_settings({"paths": {"data_lake": str(lake.root)}}, "test"), datetime.now(UTC)).late
    told = [sentence for sentence in late if sentence.startswith("archive: ")]
    assert len(told) == 1
    if file != "_spark_metadata/2" or content is not None:  # the archive's checkpoint knows that there was one
        with pytest.raises(CheckpointError, match=expected):
            prune_archive(lake, datetime.now(UTC), 30)


@pytest.fixture
def metrics(tmp_path: Path) -> Checkpoint:
    """The metrics' checkpoint after three batches."""
    checkpoint = tmp_path / "metrics"
    spark_files(checkpoint, 3, lambda number: {"file": f"part-{number}"})
    for folder, names in (("state/0/0", ("3.changelog",)), ("state/0/1", ("3.zip",))):
        (checkpoint / folder).mkdir(parents=True)
        for name in names:
            (checkpoint / folder / name).write_text("v1\n{}")
    return Checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("offsets/2", "", "offsets/2: missing, empty or cut off"),
        ("commits/2", "v1", "commits/2: missing, empty or cut off"),
        ("metadata", "", "metadata: missing, empty or cut off"),
        ("offsets/2", 'v1\n{}\n{"logOffset":2}', "offsets/2: names no file of logs/"),
        ("state/0/0/3.changelog", "", "state/0/0/3.changelog: missing or empty"),
        ("state/0/1/3.zip", None, "state/0/1/3.changelog: missing or empty"),
        ("state", None, "state: the state of the query is gone"),
    ],
)
def test_a_metrics_checkpoint_that_would_count_files_twice_or_never_is_noticed(
    metrics: Checkpoint, file: str, content: str | None, expected: str
) -> None:
    require_whole(metrics)
    damage(metrics.path / file, content)
    with pytest.raises(CheckpointError) as error:
        require_whole(metrics)
    assert str(error.value) == f"{metrics.path}/{expected}"


def test_a_checkpoint_before_its_first_batch_and_within_one_is_whole(tmp_path: Path) -> None:
    require_whole(Checkpoint(tmp_path / "none"))
    spark_files(tmp_path, 1, lambda number: {"file": ""})
    shutil.rmtree(tmp_path / "commits")
    require_whole(Checkpoint(tmp_path))


def test_landed_files_stay_while_the_archives_checkpoint_is_damaged(lake: Lake, archive: Arrivals) -> None:
    from cleaner.retire import retire_files

    ledger = Ledger(lake.ledger)
    with ledger.run("merge") as merging:
        stamps = {a.name: a.stamp for a in archive.read()}
        ledger.record_files(merging, [FileFigures(n, n, 1, 1, 0, 0, stamp=s) for n, s in stamps.items()])
    (archive.checkpoint / "offsets" / "2").write_text("")
    assert retire_files(lake, ledger) == 0
    spark_files(archive.checkpoint, 3, lambda number: {"seq": number + 1})
    assert (retire_files(lake, ledger), waiting_files(lake.landing)) == (3, [])


# A clock that is set back ---------------------------------------------------------------------------------------------


def test_arrivals_never_go_back_in_time(lake: Lake) -> None:
    times = iter([1000.0, 400.0, 1500.0])
    arrivals = Arrivals(lake.checkpoint("archive"), clock=lambda: next(times))
    for name in "cba":
        land_json(lake.landing / f"{name}.json", [landed(name)])
        arrivals.admit(lake.landing, max_files=9)
    assert [(a.name, a.arrived_at) for a in arrivals.read()] == [("c.json", 1000), ("b.json", 1000), ("a.json", 1500)]


def test_the_last_delivery_and_the_last_good_run_are_by_number_not_by_time(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(lake.ledger)
    path = land_json(lake.landing / "a.json", [landed("e1")])
    for number, time in enumerate(("2024-05-17T12:00:00+00:00", "2024-05-17T11:00:00+00:00")):
        monkeypatch.setattr("lakehouse.ledger.now_text", lambda time=time: time)
        name = ledger.deliveries([path])["a.json"]
        with ledger.run("merge") as merging:
            stamp = f"{path.stat().st_ino}-{path.stat().st_size}-{path.stat().st_mtime_ns}"
            ledger.record_files(merging, [FileFigures(name, "a.json", 1, 1, 0, 0, stamp=stamp)])
        if number == 0:
            ledger.retire([name])
    assert ledger.deliveries([path]) == {}
    assert ledger.last_good_ends() == {"merge": "2024-05-17T11:00:00+00:00"}


def test_a_clock_that_is_set_back_is_noticed_once_and_one_that_goes_forward_never() -> None:
    now = [1000.0, 1001.0, 401.0, 402.0, 9000.0]
    ticks = [0.0, 1.0, 2.0, 3.0, 4.0]
    clock = WallClock(now=iter(now).__next__, clock=iter(ticks).__next__)
    assert [clock.was_set_back() for _ in range(4)] == [False, True, False, False]
