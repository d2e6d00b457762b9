"""The stream: everything landed is archived as it came, and counted once, also when a batch is given again."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from consumer import streaming
from consumer.components import metrics, upsert
from consumer.components.upsert import create_metrics_tables
from consumer.monitor import part_status, status
from consumer.streaming import TOUCH_SECONDS, ProgressWatcher, stream, stream_once
from lakehouse.arrivals import Arrivals
from lakehouse.lake import GRAINS, Lake
from lakehouse.ledger import Ledger
from lakehouse.metric_columns import METRIC_COLUMNS
from lakehouse.schema import ARCHIVED, MERGED
from lakehouse.settings import Settings
from lakehouse.tables import latest_version, transaction_version
from tests.builders import LANDED_DEFAULTS, T0, land_json, land_parquet, landed, unparsed
from tests.tables import rows, utc

DAY = date(2024, 5, 17)
NOTHING = dict.fromkeys(LANDED_DEFAULTS)
MERGED_ROW = (
    "e1", T0, DAY, "192.0.2.1", None, "GET", "/", None, "HTTP/1.1", 200, 10, None, "x", None, "s", 0, T0, "f", None,
)  # fmt: skip


@pytest.fixture
def run(settings: Settings, spark: SparkSession) -> Callable[[], None]:
    """Process what has landed, through both queries."""
    return lambda: stream_once(spark, settings)


def archived(spark: SparkSession, lake: Lake) -> list[dict[str, Any]]:
    found = spark.read.schema(ARCHIVED).parquet(str(lake.logs)).drop("archived_at").collect()
    return sorted(({k: utc(v) for k, v in row.asDict().items()} for row in found), key=repr)


def figures(lake: Lake, grain: str) -> list[tuple[Any, ...]]:
    return rows(lake.metrics("streaming", grain), *METRIC_COLUMNS[grain])


def test_what_landed_is_archived_as_it_came_and_counted(
    run: Callable[[], None], settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    later = T0 + timedelta(hours=3)
    parquet_rows = [
        landed("e1", agent=" curl/7.68.0 ", bytes=None),
        landed("e1", agent=" curl/7.68.0 ", bytes=None),
        landed("e2", ip="192.0.2.2", agent="-", status=404, timestamp=later),
        landed("e3", status=700),
        unparsed("u1", "garbage"),
    ]
    json_rows = [
        landed("e4", status=500, bytes=50, rescued='{"colour":"red"}'),
        landed("e5", timestamp=T0 - timedelta(days=1)),
    ]
    land_parquet(lake.landing / "a.parquet", parquet_rows)
    land_json(lake.landing / "b.json", [*json_rows, "{nonsense"])
    (lake.landing / "c.parquet").write_bytes(b"not Parquet")
    run()

    broken = NOTHING | {"raw": "{nonsense"}
    expected = [row | {"landed_file": "a.parquet"} for row in parquet_rows]
    expected += [row | {"landed_file": "b.json"} for row in [*json_rows, broken]]
    assert archived(spark, lake) == sorted(expected, key=repr)
    assert figures(lake, "daily") == [
        (DAY - timedelta(days=1), 1, 1, 1, 100, 0, 0, 1, T0 - timedelta(days=1), T0 - timedelta(days=1)),
        (DAY, 3, 2, 2, 150, 1, 1, 2, T0, later),
    ]
    assert figures(lake, "ip") == [
        (DAY - timedelta(days=1), "192.0.2.1", 1, 1, 100, 0, 0, 1, T0 - timedelta(days=1), T0 - timedelta(days=1)),
        (DAY, "192.0.2.1", 2, 1, 50, 0, 1, 2, T0, T0),
        (DAY, "192.0.2.2", 1, 1, 100, 1, 0, 0, later, later),
    ]
    assert figures(lake, "agent") == [
        (DAY - timedelta(days=1), "curl/7.68.0", 1, 1, 100, 0, 0, 1, T0 - timedelta(days=1), T0 - timedelta(days=1)),
        (DAY, "curl/7.68.0", 2, 1, 50, 0, 1, 2, T0, T0),
        (DAY, None, 1, 1, 100, 1, 0, 0, later, later),
    ]
    journal = Arrivals(lake.checkpoint("archive"))
    assert journal.archived_names(lake.landing) == {"a.parquet", "b.json"}
    assert {a.name: a.refused is None for a in journal.read()} == {
        "a.parquet": True,
        "b.json": True,
        "c.parquet": False,
    }

    # A restart takes only what is new; replays within the watermark and absent agents are added to the right rows.
    land_json(lake.landing / "a0.json", [landed("e1", agent="curl/7.68.0"), landed("e6", agent=None, ip="192.0.2.3")])
    run()
    assert figures(lake, "daily")[1] == (DAY, 4, 3, 3, 250, 1, 1, 2, T0, later)
    assert figures(lake, "agent")[2] == (DAY, None, 2, 2, 200, 1, 0, 0, T0, later)

    # A lost archive checkpoint: nothing is archived twice, and what lands now is not skipped.
    shutil.rmtree(lake.checkpoint("archive"))
    land_json(lake.landing / "d.json", [landed("e7")])
    run()
    assert len(archived(spark, lake)) == len(expected) + 3
    assert figures(lake, "daily")[1][1] == 5

    # A lost metrics checkpoint: the tables are filled anew from logs/, to the same figures.
    before = {grain: figures(lake, grain) for grain in GRAINS}
    shutil.rmtree(lake.checkpoint("metrics"))
    run()
    assert {grain: figures(lake, grain) for grain in GRAINS} == before


def test_what_an_earlier_release_remembers_is_recognised(
    run: Callable[[], None], lake: Lake, spark: SparkSession
) -> None:
    """It counted the identities in its state, with a look-up for each write."""
    counting = "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows"
    assert spark.conf.get(counting) == "false"
    spark.conf.set(counting, "true")
    try:
        land_json(lake.landing / "a.json", [landed("e1"), landed("e2")])
        run()
    finally:
        spark.conf.set(counting, "false")
    land_json(lake.landing / "b.json", [landed("e1"), landed("e3"), landed("e3")])
    run()
    assert figures(lake, "daily") == [(DAY, 3, 1, 1, 300, 0, 0, 3, T0, T0)]


def test_the_same_batch_twice_changes_nothing_and_its_id_is_in_deltas_log(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    create_metrics_tables(lake, "app")
    write = metrics.batch_writer(settings, "app")
    rows = [(f"e{i}", T0, DAY, f"192.0.2.{i}", None, "GET", "/", None, "HTTP/1.1", 200, 10, None, "x", None, "s", i, T0, "f", None)
            for i in range(3)]  # fmt: skip
    batch = spark.createDataFrame(rows, MERGED)
    write(batch, 0)
    once = {grain: figures(lake, grain) for grain in GRAINS}
    assert once["daily"] == [(DAY, 3, 3, 3, 30, 0, 0, 0, T0, T0)]
    for grain in GRAINS:
        path = lake.metrics("streaming", grain)
        commit = path / "_delta_log" / f"{latest_version(path):020}.json"
        transactions = [json.loads(line)["txn"] for line in commit.read_text().splitlines() if '"txn"' in line]
        assert [(t["appId"], t["version"]) for t in transactions] == [("app", 0)]
    write(batch, 0)
    assert {grain: figures(lake, grain) for grain in GRAINS} == once
    write(batch, 1)
    assert figures(lake, "daily") == [(DAY, 6, 3, 3, 60, 0, 0, 0, T0, T0)]
    assert transaction_version(lake.metrics("streaming", "ip"), "app") == 1


def test_a_batch_killed_between_its_tables_is_finished_when_given_again(
    settings: Settings, lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_metrics_tables(lake, "app")
    batch = spark.createDataFrame([MERGED_ROW], MERGED)
    add = upsert.add_figures

    def add_or_die(rows: Any, path: Path, grain: str, *args: Any, **kwargs: Any) -> None:
        if grain == "agent":
            raise RuntimeError("killed")
        add(rows, path, grain, *args, **kwargs)

    monkeypatch.setattr(metrics, "add_figures", add_or_die)
    with pytest.raises(RuntimeError, match="killed"):
        metrics.batch_writer(settings, "app")(batch, 0)
    monkeypatch.undo()
    metrics.batch_writer(settings, "app")(batch, 0)
    assert {grain: [row[-9 if grain == "daily" else -8] for row in figures(lake, grain)] for grain in GRAINS} == {
        "daily": [1], "ip": [1], "agent": [1],
    }  # fmt: skip


def test_what_older_batches_left_in_the_tables_goes_with_its_age(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    create_metrics_tables(lake, "app")
    batch = spark.createDataFrame([MERGED_ROW], MERGED)
    tables = [lake.metrics("streaming", grain) for grain in GRAINS]
    for table in tables:  # the note of a removed file would keep it for its hour
        kept = {"delta.deletedFileRetentionDuration": "interval 0 seconds", "delta.checkpointInterval": "1"}
        DeltaTable(str(table)).alter.set_table_properties(kept)
    for number in range(2):
        metrics.batch_writer(settings, "app")(batch, number)
    for path in lake.root.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    metrics.batch_writer(settings, "app")(batch, 2)
    assert figures(lake, "daily") == [(DAY, 3, 1, 1, 30, 0, 0, 0, T0, T0)]
    for table in tables:
        (live,) = (Path(uri).name for uri in DeltaTable(str(table)).file_uris())
        rewritten_just_now = {p.name for p in table.rglob("*part-*") if p.stat().st_mtime > 0}
        assert {p.name for p in table.rglob("*part-*")} == rewritten_just_now == {live}
        assert {p.name for p in (table / "_delta_log").glob("*.json") if p.stat().st_mtime == 0} == set()


def test_tables_that_belong_to_another_checkpoint_are_not_added_to(lake: Lake) -> None:
    first = metrics.prepare(lake)
    assert metrics.prepare(lake) == first
    create_metrics_tables(lake, "somebody else's", is_reset=True)
    second = metrics.prepare(lake)
    assert second != first
    assert metrics.prepare(lake) == second
    (lake.checkpoint("metrics") / "sources" / "0").mkdir(parents=True)  # Spark's own file source was its source
    third = metrics.prepare(lake)
    assert third not in (first, second)
    assert metrics.prepare(lake) == third


def test_a_first_batch_that_was_killed_as_it_was_noted_is_begun_again(run: Callable[[], None], lake: Lake) -> None:
    metrics.prepare(lake)
    for folder in ("offsets", "state/0/0"):
        left = lake.checkpoint("metrics") / folder / ".0.5b1c4d1e.tmp"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"v1")
    land_parquet(lake.landing / "a.parquet", [landed("e1")])
    run()
    assert figures(lake, "daily") == [(DAY, 1, 1, 1, 100, 0, 0, 1, T0, T0)]


# What the ledger is told of it ---------------------------------------------------------------------------------------


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come about; pytest's own time limit says when it does not."""
    while not condition():
        time.sleep(0.2)


def test_a_stream_is_at_work_once_both_queries_ran_since_its_start_whether_or_not_there_is_anything_to_do(
    settings: Settings, lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, stop, at_start = Ledger(lake.ledger), threading.Event(), list[tuple[str, ...]]()
    start_archive = streaming._start_archive

    def wrong() -> tuple[str, ...]:
        return tuple(sentence.split(",")[0] for sentence in part_status(settings, "stream", datetime.now(UTC)).late)

    def is_all_counted() -> bool:
        seen = status(settings, datetime.now(UTC))
        return (seen.unarchived.files, seen.queries["metrics"].waiting_seconds) == (0, None)

    def look_and_start(*args: Any) -> StreamingQuery:
        at_start.append(wrong())
        return start_archive(*args)

    monkeypatch.setattr(streaming, "_start_archive", look_and_start)
    for query in ("archive", "metrics"):
        ledger.touch_progress(query)  # by a process before
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream, spark, settings, stop)
        try:
            until(lambda: running.done() or (bool(at_start) and not wrong()))
            land_parquet(lake.landing / "a.parquet", [landed("e1")])
            until(lambda: running.done() or is_all_counted())
            counted = figures(lake, "daily")
        finally:
            stop.set()
        running.result()
    assert at_start == [("archive: no progress yet", "metrics: no progress yet")]
    assert counted == [(DAY, 1, 1, 1, 100, 0, 0, 1, T0, T0)]
    assert wrong() == ("stream: it is not running; start it with: python -m consumer stream",)
    stream_once(spark, settings)
    assert list(ledger.progress()) == ["archive", "metrics"]  # that run was to end by itself


@dataclass
class Query:
    """A query as the watcher sees it."""

    message: str = "Waiting for data to arrive"
    is_in_trigger: bool = False
    isActive: bool = True  # noqa: N815  Spark's name
    batch: int | None = None
    name: str = "archive"

    @property
    def status(self) -> dict[str, Any]:
        return {"message": self.message, "isDataAvailable": False, "isTriggerActive": self.is_in_trigger}

    @property
    def lastProgress(self) -> SimpleNamespace | None:
        batch = {"batchId": self.batch, "timestamp": "then", "numInputRows": 0}
        return None if self.batch is None else SimpleNamespace(json=json.dumps(batch))


BATCH = {"batchId": 7, "timestamp": "then", "numInputRows": 0}


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(0, Query())], ["touched"]),
        ([(0, Query()), (TOUCH_SECONDS - 1, Query()), (TOUCH_SECONDS, Query())], ["touched", "touched"]),
        ([(0, Query(batch=7)), (1, Query(batch=7)), (TOUCH_SECONDS, Query(batch=7))], [BATCH, "touched"]),
        ([(0, Query()), (1, Query(batch=7))], ["touched", BATCH]),
        ([(0, Query(is_in_trigger=True))], []),
        ([(0, Query(batch=7)), (1000, Query("Processing new data", is_in_trigger=True, batch=7))], [BATCH]),
        ([(0, Query("Initializing sources"))], []),
        ([(0, Query("Terminated with exception: x", isActive=False))], []),
    ],
)
def test_a_query_that_idles_is_touched_and_one_that_starts_or_hangs_or_has_ended_is_not(
    looks: list[tuple[float, Query]], expected: list[object], lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    ledger = Ledger(lake.ledger)
    monkeypatch.setattr(ledger, "record_progress", lambda name, progress: told.append(progress))
    monkeypatch.setattr(ledger, "touch_progress", lambda name: told.append("touched"))
    watcher = ProgressWatcher(ledger, clock=lambda: looked_at)
    for looked_at, query in looks:  # noqa: B007  the watcher's clock reads it
        watcher.record([cast(StreamingQuery, query)])
    assert told == expected
