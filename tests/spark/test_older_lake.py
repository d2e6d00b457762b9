"""A lake of the first release: its tables, archive and checkpoints are gone on with, and nothing is made anew."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyspark.cloudpickle import register_pickle_by_value, unregister_pickle_by_value
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from cleaner import delta_lake, enrich, landing, small_pass, steps, stored
from cleaner.merge import merge
from cleaner.rebuild import rebuild
from consumer.batch import refresh
from consumer.components import archive, landed_source
from consumer.streaming import stream_once
from lakehouse import ndjson
from lakehouse.lake import GRAINS, Lake
from lakehouse.schema import ARCHIVED, METRICS
from lakehouse.settings import Settings
from lakehouse.tables import FIGURES_HOURS, column_names, create_table, is_table, latest_version, table_id
from tests.builders import LANDED_DEFAULTS, T0, land_json, land_parquet, landed, unparsed
from tests.tables import rows, utc

DAY, NEXT = date(2024, 5, 17), date(2024, 5, 18)
TOMORROW = T0 + timedelta(days=1)
# The columns of the first release.
FIRST_LANDED = (
    "event_id", "timestamp", "ip", "user", "method", "path", "query", "protocol", "status", "bytes", "referer", "agent",
    "site", "source", "source_offset", "ingested_at", "raw",
)  # fmt: skip
FIRST_MERGED = (
    "event_id", "timestamp", "event_date", "ip", "user", "method", "path", "query", "protocol", "status", "bytes",
    "referer", "agent", "site", "source", "source_offset", "ingested_at", "landed_file",
)  # fmt: skip
FIRST_SCHEMAS = [
    (steps, "LANDED", FIRST_LANDED),
    (landing, "LANDED", FIRST_LANDED),
    (ndjson, "LANDED", FIRST_LANDED),
    (landed_source, "SOURCE", (*FIRST_LANDED, "json", "landed_file", "arrived_at")),
    (archive, "ARCHIVED", (*FIRST_LANDED, "landed_file", "archived_at")),
    (delta_lake, "MERGED", FIRST_MERGED),
    (steps, "MERGED", FIRST_MERGED),
    (steps, "QUARANTINE", (*FIRST_LANDED, "landed_file", "reasons", "quarantined_at")),
    (small_pass, "MERGED", FIRST_MERGED),
    (stored, "MERGED", FIRST_MERGED),
    (enrich, "DELTA", (*FIRST_MERGED, "browser", "os", "device", "is_bot", "status_class")),
    (delta_lake, "QUARANTINE", (*FIRST_LANDED, "landed_file", "reasons", "quarantined_at")),
    (small_pass, "QUARANTINE", (*FIRST_LANDED, "landed_file", "reasons", "quarantined_at")),
]


@pytest.fixture
def first_release(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The code with the first release's columns, until undone."""
    for module, name, columns in FIRST_SCHEMAS:
        schema = getattr(module, name)
        monkeypatch.setattr(module, name, T.StructType([schema[column] for column in columns]))
    register_pickle_by_value(landed_source)  # type: ignore[no-untyped-call]  # Spark's Python workers get it as it is here
    yield monkeypatch
    unregister_pickle_by_value(landed_source)  # type: ignore[no-untyped-call]


def old_batch_metrics(lake: Lake) -> None:
    """The three tables of ``metrics/batch/`` as an earlier release left them: without a figure, and with rows to go."""
    for grain in GRAINS:
        schema = T.StructType([field for field in METRICS[grain] if field.name != "last_seen"])
        partition_by = () if grain == "daily" else ("event_date",)
        path = lake.metrics("batch", grain)
        create_table(path, schema, partition_by=partition_by, description="one row", kept_hours=FIGURES_HOURS)
        stale = {"event_date": [DAY, date(2020, 1, 1)], "requests": [77, 77]}
        write_deltalake(str(path), pa.table(stale), mode="append", schema_mode="merge")


def run(settings: Settings, spark: SparkSession) -> None:
    """All that goes on with what has landed."""
    merge(settings, lambda: spark)
    stream_once(spark, settings)
    refresh(settings)


def test_a_lake_of_the_first_release_is_gone_on_with(
    settings: Settings, lake: Lake, spark: SparkSession, first_release: pytest.MonkeyPatch
) -> None:
    def without_rescued(**row: Any) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name != "rescued"}

    land_json(lake.landing / "a.json", [without_rescued(**landed("e1")), without_rescued(**unparsed("u1", "x"))])
    tomorrows = landed("e2", agent=None, timestamp=TOMORROW, ingested_at=TOMORROW)
    path = land_parquet(lake.landing / "b.parquet", [tomorrows])
    pq.write_table(pq.read_table(path).drop_columns(["rescued"]), path)
    merge(settings, lambda: spark)
    stream_once(spark, settings)
    old_batch_metrics(lake)
    there = {name: path for name, path in lake.tables.items() if is_table(path)}
    tables = {name: (table_id(path), column_names(path)) for name, path in there.items()}
    assert not any("rescued" in columns for _, columns in tables.values())
    assert "last_seen" not in tables["metrics/batch/daily"][1]
    assert set(spark.read.parquet(str(lake.logs)).columns) == {*FIRST_LANDED, "landed_file", "archived_at"}
    first_release.undo()

    land_parquet(lake.landing / "c.parquet", [landed("e3", rescued='{"rest":"x"}'), landed("e1"), unparsed("u2", "y")])
    land_json(
        lake.landing / "d.json",
        [without_rescued(**landed("e4", status=700)) | {"colour": "red"}, landed("e5") | {"colour": "blue"}],
    )
    run(settings, spark)

    merged = ("event_id", "landed_file", "timestamp", "rescued")
    expected = [
        ("e1", "a.json", T0, None), ("e2", "b.parquet", TOMORROW, None), ("e3", "c.parquet", T0, '{"rest":"x"}'),
        ("e5", "d.json", T0, '{"colour":"blue"}'),
    ]  # fmt: skip
    assert rows(lake.merged, *merged) == expected
    assert rows(lake.delta, *merged, "browser") == [(*row, None if row[0] == "e2" else "curl") for row in expected]
    assert rows(lake.quarantine, "event_id", "landed_file", "raw", "reasons", "rescued") == [
        ("e4", "d.json", None, ["status outside 100-599"], '{"colour":"red"}'),
        ("u1", "a.json", "x", ["line does not parse"], None),
        ("u2", "c.parquet", "y", ["line does not parse"], None),
    ]
    archived = [
        landed("e1") | {"landed_file": "a.json"},
        unparsed("u1", "x") | {"landed_file": "a.json"},
        tomorrows | {"landed_file": "b.parquet"},
        landed("e3", rescued='{"rest":"x"}') | {"landed_file": "c.parquet"},
        landed("e1") | {"landed_file": "c.parquet"},
        unparsed("u2", "y") | {"landed_file": "c.parquet"},
        landed("e4", status=700, rescued='{"colour":"red"}') | {"landed_file": "d.json"},
        landed("e5", rescued='{"colour":"blue"}') | {"landed_file": "d.json"},
    ]
    columns = (*LANDED_DEFAULTS, "landed_file")
    found = spark.read.schema(ARCHIVED).parquet(str(lake.logs)).select(*columns).collect()
    assert sorted((tuple(utc(value) for value in row) for row in found), key=repr) == sorted(
        (tuple(row[name] for name in columns) for row in archived), key=repr
    )
    daily = [(DAY, 3, 1, 1, 300, 0, 0, 3, T0, T0), (NEXT, 1, 1, 1, 100, 0, 0, 0, TOMORROW, TOMORROW)]
    for mode in ("streaming", "batch"):
        assert rows(lake.metrics(mode, "daily"), *METRICS["daily"].names) == daily
        assert [row[2] for row in rows(lake.metrics(mode, "agent"), "event_date", "agent", "requests")] == [3, 1]
    # Gone on with, not made anew; and where no column was missing, no commit says so.
    assert {name: table_id(path) for name, path in there.items()} == {
        name: known for name, (known, _) in tables.items()
    }
    assert {latest_version(lake.metrics("streaming", grain)) for grain in GRAINS} == {2}
    assert (latest_version(lake.merged), latest_version(lake.quarantine)) == (3, 3)


def test_a_rebuild_may_come_before_the_first_merge(
    settings: Settings, lake: Lake, spark: SparkSession, first_release: pytest.MonkeyPatch
) -> None:
    land_json(lake.landing / "a.json", [{k: v for k, v in landed("e1").items() if k != "rescued"}])
    path = land_parquet(lake.landing / "b.parquet", [landed("e2", agent=None, timestamp=TOMORROW)])
    pq.write_table(pq.read_table(path).drop_columns(["rescued"]), path)
    merge(settings, lambda: spark)
    record = rows(lake.merged, *FIRST_MERGED)
    tables = (table_id(lake.merged), table_id(lake.delta))
    assert not any("rescued" in column_names(path) for path in (lake.merged, lake.delta))
    first_release.undo()

    rebuild(settings, lambda: spark)

    assert rows(lake.merged, *FIRST_MERGED, "rescued") == [(*row, None) for row in record]
    enriched = [("curl", None, None, True, "2xx"), (None, None, None, False, "2xx")]
    columns = (*FIRST_MERGED, "rescued", "browser", "os", "device", "is_bot", "status_class")
    assert rows(lake.delta, *columns) == [(*row, None, *more) for row, more in zip(record, enriched, strict=True)]
    assert (table_id(lake.merged), table_id(lake.delta)) == tables

    land_parquet(lake.landing / "c.parquet", [landed("e3", rescued='{"rest":"x"}'), landed("e1")])
    merge(settings, lambda: spark)
    for path in (lake.merged, lake.delta):
        assert rows(path, "event_id", "landed_file", "rescued") == [
            ("e1", "a.json", None), ("e2", "b.parquet", None), ("e3", "c.parquet", '{"rest":"x"}'),
        ]  # fmt: skip
