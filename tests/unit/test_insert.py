"""Rows that are in this process go into a table once, whatever is there, and whoever else writes. Without a JVM."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction
from pyspark.sql.pandas.types import to_arrow_schema

from cleaner import insert
from cleaner.delta_lake import BY_DAY
from cleaner.insert import insert_new
from cleaner.steps import IDENTITY
from cleaner.stored import brought, new_rows
from lakehouse.commits import changes
from lakehouse.errors import PipelineError
from lakehouse.schema import MERGED
from lakehouse.tables import ATTEMPTS, create_table, latest_version
from tests.builders import T0
from tests.tables import rows

SCHEMA = to_arrow_schema(MERGED, timezone="UTC")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    create_table(tmp_path, MERGED, partition_by=BY_DAY, description="one row per request")
    return tmp_path


def requests(*ids: str | None, **fields: Any) -> pa.Table:
    row = {"timestamp": T0, "event_date": T0.date(), "ip": "192.0.2.1", "landed_file": "f"} | fields
    return pa.Table.from_pylist([row | {"event_id": event_id} for event_id in ids], SCHEMA)


def ids(table: Path) -> list[Any]:
    return [event_id for (event_id,) in rows(table, "event_id")]


def test_what_the_table_holds_is_not_inserted_again_null_included_and_files_are_only_added(table: Path) -> None:
    insert_new(requests("a", None), table, IDENTITY)
    insert_new(requests("a", "b", None), table, IDENTITY, f"t.timestamp >= TIMESTAMPTZ '{T0.isoformat()}'")
    assert ids(table) == ["a", "b", None]
    version = latest_version(table)
    insert_new(requests("a", "b", None), table, IDENTITY)
    assert latest_version(table) == version
    found = changes(table, 0, version)
    assert found is not None
    assert (len(found.added[T0.date()]), found.rewritten) == (2, set())


@pytest.mark.parametrize("spark_is_first", [True, False])
def test_a_table_with_files_of_spark_and_of_this_process_is_looked_at_in_both(
    table: Path, spark_is_first: bool
) -> None:
    append_as_spark(requests("a"), table) if spark_is_first else insert_new(requests("a"), table, IDENTITY)
    insert_new(requests("b"), table, IDENTITY) if spark_is_first else append_as_spark(requests("b"), table)
    insert_new(requests("a", "b", "c"), table, IDENTITY)
    assert ids(table) == ["a", "b", "c"]
    brought_again = brought(table, ["f"], [T0.date()], "true")
    assert sorted(zip(*(brought_again[name].to_pylist() for name in ("event_id", "event_date")), strict=True)) == [
        (event_id, T0.date()) for event_id in ("a", "b", "c")
    ]


def append_as_spark(rows: pa.Table, table: Path) -> None:
    """Append rows of one day in a file that has the partition's column, too."""
    day = f"{rows['event_date'][0]}"
    file = table / f"event_date={day}" / "part-0.parquet"
    file.parent.mkdir(exist_ok=True)
    pq.write_table(rows, file)
    stats = f'{{"numRecords": {rows.num_rows}}}'
    added = AddAction(str(file.relative_to(table)), file.stat().st_size, {"event_date": day}, 0, True, stats)
    DeltaTable(str(table)).create_write_transaction([added], "append", DeltaTable(str(table)).schema(), ["event_date"])


def test_rows_outside_of_the_condition_are_not_looked_at(table: Path) -> None:
    insert_new(requests("a"), table, IDENTITY)
    insert_new(requests("a"), table, IDENTITY, "false")
    assert ids(table) == ["a", "a"]


def test_what_another_process_inserted_meanwhile_is_not_doubled(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, others = new_rows, [requests("b", "x")]

    def look_and_be_overtaken(*args: Any) -> pa.Table:
        found = usual(*args)
        if others:
            insert_new(others.pop(), table, IDENTITY)
        return found

    monkeypatch.setattr(insert, "new_rows", look_and_be_overtaken)
    insert_new(requests("a", "b"), table, IDENTITY)
    assert ids(table) == ["a", "b", "x"]


def test_a_table_that_others_write_again_and_again_is_an_error_that_says_so(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fail(*_: Any) -> None:
        tries.append(1)
        raise CommitFailedError("written")

    monkeypatch.setattr(insert, "_append_once", fail)
    with pytest.raises(PipelineError, match="written at the same time, again and again"):
        insert_new(requests("a"), table, IDENTITY)
    assert len(tries) == ATTEMPTS
    assert DeltaTable(str(table)).version() == 0


def test_rows_of_days_far_apart_go_into_their_partitions(table: Path) -> None:
    far = T0.replace(year=1990)
    insert_new(pa.concat_tables([requests("a"), requests("b", timestamp=far, event_date=far.date())]), table, IDENTITY)
    insert_new(requests("b", timestamp=far, event_date=far.date()), table, IDENTITY)
    assert rows(table, "event_date", "event_id") == [(far.date(), "b"), (T0.date(), "a")]
