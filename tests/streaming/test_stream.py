"""The stream: everything landed is archived as it came, and counted once, also when a batch is given again."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from consumer.components import metrics, upsert
from consumer.components.upsert import create_metrics_tables
from consumer.streaming import stream_once
from lakehouse.arrivals import Arrivals
from lakehouse.lake import METRICS, Lake
from lakehouse.schema import ARCHIVED, MERGED
from lakehouse.schema import METRICS as SCHEMAS
from lakehouse.settings import Settings
from lakehouse.tables import latest_version, transaction_version
from tests.builders import LANDED_DEFAULTS, T0, land_json, land_parquet, landed, unparsed

DAY = date(2024, 5, 17)
NOTHING = dict.fromkeys(LANDED_DEFAULTS)


@pytest.fixture
def run(settings: Settings, spark: SparkSession) -> Callable[[], None]:
    """Process what has landed, through both queries."""
    return lambda: stream_once(spark, settings)


def _utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def archived(spark: SparkSession, lake: Lake) -> list[dict[str, Any]]:
    found = spark.read.schema(ARCHIVED).parquet(str(lake.logs)).drop("archived_at").collect()
    return sorted(({k: _utc(v) for k, v in row.asDict().items()} for row in found), key=repr)


def figures(spark: SparkSession, lake: Lake, grain: str) -> list[tuple[Any, ...]]:
    table = spark.read.format("delta").load(str(lake.metrics("streaming", grain)))
    return sorted((tuple(_utc(v) for v in row) for row in table.select(*SCHEMAS[grain].names).collect()), key=repr)


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
    json_rows = [landed("e4", status=500, bytes=50), landed("e5", timestamp=T0 - timedelta(days=1))]
    land_parquet(lake.landing / "a.parquet", parquet_rows)
    land_json(lake.landing / "b.json", [*json_rows, "{nonsense"])
    (lake.landing / "c.parquet").write_bytes(b"not Parquet")
    run()

    broken = NOTHING | {"raw": "{nonsense"}
    expected = [row | {"landed_file": "a.parquet"} for row in parquet_rows]
    expected += [row | {"landed_file": "b.json"} for row in [*json_rows, broken]]
    assert archived(spark, lake) == sorted(expected, key=repr)
    assert figures(spark, lake, "daily") == [
        (DAY - timedelta(days=1), 1, 1, 1, 100, 0, 0, 1, T0 - timedelta(days=1), T0 - timedelta(days=1)),
        (DAY, 3, 2, 2, 150, 1, 1, 2, T0, later),
    ]
    assert figures(spark, lake, "ip") == [
        (DAY - timedelta(days=1), "192.0.2.1", 1, 1, 100, 0, 0, 1, T0 - timedelta(days=1), T0 - timedelta(days=1)),
        (DAY, "192.0.2.1", 2, 1, 50, 0, 1, 2, T0, T0),
        (DAY, "192.0.2.2", 1, 1, 100, 1, 0, 0, later, later),
    ]
    assert figures(spark, lake, "agent") == [
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
    assert figures(spark, lake, "daily")[1] == (DAY, 4, 3, 3, 250, 1, 1, 2, T0, later)
    assert figures(spark, lake, "agent")[2] == (DAY, None, 2, 2, 200, 1, 0, 0, T0, later)

    # A lost archive checkpoint: nothing is archived twice, and what lands now is not skipped.
    shutil.rmtree(lake.checkpoint("archive"))
    land_json(lake.landing / "d.json", [landed("e7")])
    run()
    assert len(archived(spark, lake)) == len(expected) + 3
    assert figures(spark, lake, "daily")[1][1] == 5

    # A lost metrics checkpoint: the tables are filled anew from logs/, to the same figures.
    before = {grain: figures(spark, lake, grain) for grain in METRICS}
    shutil.rmtree(lake.checkpoint("metrics"))
    run()
    assert {grain: figures(spark, lake, grain) for grain in METRICS} == before


def test_the_same_batch_twice_changes_nothing_and_its_id_is_in_deltas_log(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    create_metrics_tables(lake, "app")
    write = metrics.batch_writer(settings, "app")
    rows = [(f"e{i}", T0, DAY, f"192.0.2.{i}", None, "GET", "/", None, "HTTP/1.1", 200, 10, None, "x", None, "s", i, T0, "f")
            for i in range(3)]  # fmt: skip
    batch = spark.createDataFrame(rows, MERGED)
    write(batch, 0)
    once = {grain: figures(spark, lake, grain) for grain in METRICS}
    assert once["daily"] == [(DAY, 3, 3, 3, 30, 0, 0, 0, T0, T0)]
    for grain in METRICS:
        path = lake.metrics("streaming", grain)
        commit = path / "_delta_log" / f"{latest_version(path):020}.json"
        transactions = [json.loads(line)["txn"] for line in commit.read_text().splitlines() if '"txn"' in line]
        assert [(t["appId"], t["version"]) for t in transactions] == [("app", 0)]
    write(batch, 0)
    assert {grain: figures(spark, lake, grain) for grain in METRICS} == once
    write(batch, 1)
    assert figures(spark, lake, "daily") == [(DAY, 6, 3, 3, 60, 0, 0, 0, T0, T0)]
    assert transaction_version(lake.metrics("streaming", "ip"), "app") == 1


def test_a_batch_killed_between_its_tables_is_finished_when_given_again(
    settings: Settings, lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_metrics_tables(lake, "app")
    row = ("e1", T0, DAY, "192.0.2.1", None, "GET", "/", None, "HTTP/1.1", 200, 10, None, "x", None, "s", 0, T0, "f")
    batch = spark.createDataFrame([row], MERGED)
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
    assert {grain: [row[-9 if grain == "daily" else -8] for row in figures(spark, lake, grain)] for grain in METRICS} == {
        "daily": [1], "ip": [1], "agent": [1],
    }  # fmt: skip


def test_tables_that_belong_to_another_checkpoint_are_not_added_to(lake: Lake) -> None:
    first = metrics.prepare(lake)
    assert metrics.prepare(lake) == first
    create_metrics_tables(lake, "somebody else's", is_reset=True)
    second = metrics.prepare(lake)
    assert second != first
    assert metrics.prepare(lake) == second
