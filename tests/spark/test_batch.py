"""Batch metrics of what the cleaner wrote: what is new is added. And maintenance of the tables they come from."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from cleaner.maintain import maintain
from cleaner.merge import merge
from consumer.batch import recount, refresh
from lakehouse.commits import changes
from lakehouse.delta_log import whole_log
from lakehouse.lake import GRAINS, Lake
from lakehouse.ledger import Ledger
from lakehouse.metric_columns import METRIC_COLUMNS
from lakehouse.settings import Settings, unpack_settings
from lakehouse.sink_log import archived_files
from lakehouse.tables import create_table, latest_version, partition_files, ready_for_writing
from tests.builders import T0, land_parquet, landed
from tests.tables import rows

DAY, NEXT = date(2024, 5, 17), date(2024, 5, 18)
TOMORROW = T0 + timedelta(days=1)


def no_session() -> SparkSession:
    raise AssertionError("a JVM was started")


def figures(lake: Lake, grain: str) -> list[tuple[Any, ...]]:
    return rows(lake.metrics("batch", grain), *METRIC_COLUMNS[grain])


def test_exact_figures_of_the_days_that_changed(settings: Settings, lake: Lake, spark: SparkSession) -> None:
    session: Callable[[], SparkSession] = lambda: spark  # noqa: E731
    assert refresh(settings) == set()  # an empty lake
    land_parquet(
        lake.landing / "a.parquet",
        [
            landed("e1"), landed("e2", bytes=None, status=404), landed("e3", agent=None, status=503),
            landed("e4", ip="192.0.2.2", timestamp=T0 + timedelta(hours=1)),
            landed("e5", timestamp=TOMORROW, ingested_at=TOMORROW),
        ],
    )  # fmt: skip
    merge(settings, session)
    assert refresh(settings) is None
    later = T0 + timedelta(hours=1)
    assert figures(lake, "daily") == [
        (DAY, 4, 3, 2, 300, 1, 1, 3, T0, later),
        (NEXT, 1, 1, 1, 100, 0, 0, 1, TOMORROW, TOMORROW),
    ]
    assert figures(lake, "ip") == [
        (DAY, "192.0.2.1", 3, 2, 200, 1, 1, 2, T0, T0),
        (DAY, "192.0.2.2", 1, 1, 100, 0, 0, 1, later, later),
        (NEXT, "192.0.2.1", 1, 1, 100, 0, 0, 1, TOMORROW, TOMORROW),
    ]
    assert figures(lake, "agent") == [
        (DAY, "curl/7.68.0", 3, 2, 200, 1, 0, 3, T0, later),
        (DAY, None, 1, 1, 100, 0, 1, 0, T0, T0),
        (NEXT, "curl/7.68.0", 1, 1, 100, 0, 0, 1, TOMORROW, TOMORROW),
    ]
    versions = {grain: latest_version(lake.metrics("batch", grain)) for grain in GRAINS}
    assert refresh(settings) == set()
    assert {grain: latest_version(lake.metrics("batch", grain)) for grain in GRAINS} == versions

    land_parquet(lake.landing / "b.parquet", [landed("e6", timestamp=TOMORROW, ingested_at=TOMORROW, bytes=1)])
    merge(settings, session)
    # Added, not counted anew: all that the merge did to delta/ was to add a file.
    since = latest_version(lake.delta) - 1
    found = changes(lake.delta, since, since + 1)
    assert found is not None
    assert (set(found.added), found.rewritten) == ({NEXT}, set())
    assert refresh(settings) == {NEXT}
    assert figures(lake, "daily")[0] == (DAY, 4, 3, 2, 300, 1, 1, 3, T0, later)
    assert figures(lake, "daily")[1] == (NEXT, 2, 1, 1, 101, 0, 0, 2, TOMORROW, TOMORROW)
    assert len(figures(lake, "ip")) == 3
    assert recount(settings, None) == 0


@pytest.mark.apache_spark
def test_spark_goes_on_with_a_table_that_has_lost_its_old_checksums(tmp_path: Path, spark: SparkSession) -> None:
    schema = T.StructType([T.StructField("number", T.LongType())])
    create_table(tmp_path, schema, description="one row per number")
    DeltaTable(str(tmp_path)).alter.set_table_properties({"delta.checkpointInterval": "2"})

    def add(number: int) -> None:
        spark.createDataFrame([(number,)], schema).write.format("delta").mode("append").save(str(tmp_path))

    for number in range(4):
        add(number)
    log = whole_log(tmp_path)
    last = max(log.checkpoints)
    old = {path for version, path in log.checksums if version < last}
    assert {path.suffix for path in old} == {".crc"}
    assert ready_for_writing(tmp_path) == [True]
    assert {path for _, path in whole_log(tmp_path).checksums} == {path for _, path in log.checksums} - old
    for number in range(4, 7):
        add(number)
    for session in (spark, spark.newSession()):
        assert sorted(row.number for row in session.read.format("delta").load(str(tmp_path)).collect()) == list(
            range(7)
        )


@pytest.mark.apache_spark
def test_maintenance_compacts_vacuums_and_retires_by_the_thresholds(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    eager = unpack_settings(
        settings.model_dump(mode="json")
        | {"maintain": {"small_files": 3, "vacuum_hours": 1, "logs_days": 1, "landed_days": 1}},
        "test",
    )
    maintain(settings, no_session, datetime.now(UTC))  # nothing there: nothing to do
    (lake.landing).mkdir(parents=True)
    (lake.landing / "bad.parquet").write_bytes(b"not Parquet")
    for number in (2, 0, 1):
        land_parquet(
            lake.landing / f"{number}.parquet", [landed(f"e{number}", timestamp=T0 + number * timedelta(minutes=1))]
        )
        merge(settings, lambda: spark)
    assert len(partition_files(lake.merged)) == 3
    before = rows(lake.merged)
    orphan = lake.merged / "event_date=2024-05-17" / "part-of-a-killed-writer.snappy.parquet"
    orphan.write_bytes(b"x")
    os.utime(orphan, (0, 0))
    metadata = lake.logs / "_spark_metadata"
    metadata.mkdir(parents=True)
    for name in ("part-old", "part-named", "part-new", "part- x"):
        (lake.logs / name).write_text("x")
    for name in ("part-old", "part-named"):
        os.utime(lake.logs / name, (0, 0))
    in_two_days = datetime.now(UTC) + timedelta(days=2)
    os.utime(lake.logs / "part-new", (in_two_days.timestamp(),) * 2)
    entry = '{{"path":"file://{}","size":1,"action":"add"}}'
    (metadata / "9.compact").write_text("v1\n" + entry.format(lake.logs / "part-named"))
    (metadata / "10").write_text("v1\n" + entry.format(lake.logs / "part-%20x"))
    assert archived_files(lake.logs) == {"part-named", "part- x"}

    maintain(eager, lambda: spark, in_two_days)
    assert [day for day, _ in partition_files(lake.merged)] == [DAY]
    assert rows(lake.merged) == before
    assert not orphan.exists()
    (compacted,) = DeltaTable(str(lake.merged)).file_uris()
    minutes = [row.timestamp.minute for row in spark.read.parquet(compacted).collect()]
    assert minutes == [5, 6, 7]
    assert (lake.refused_files / "bad.parquet").read_bytes() == b"not Parquet"
    assert sorted(p.name for p in lake.logs.glob("part-*")) == ["part- x", "part-named", "part-new"]
    assert list(lake.landing.iterdir()) == []
    figures = Ledger(lake.ledger).last_runs()["maintain"]["figures"]
    assert (figures["archive_files"], figures["landed_files"]) == (1, 3)
    assert figures["vacuumed"] >= 1
    # OPTIMIZE moved rows, it did not change any: batch has nothing to do for these days.
    refresh(settings)
    maintain(eager, no_session, in_two_days)
    assert refresh(settings) == set()
