"""The reader of metrics tables: one version of each, the days of a range alone, and columns that files may lack."""

import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import Schema, write_deltalake

from consumer.components.table_reader import reading
from lakehouse.errors import PipelineError
from lakehouse.lake import Lake
from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.tables import create_table

DAY = date(2024, 5, 17)
DAYS = [DAY + timedelta(days=n) for n in range(4)]
COUNTS = "SELECT event_date, sum(requests) FROM t GROUP BY event_date ORDER BY event_date"


def make(lake: Lake, name: str, rows: Sequence[dict[str, Any]]) -> Path:
    """Add rows to a table of ``metrics/batch/``, which is made if there is none. What a row does not name is null."""
    table, path = EXACT_TABLES[name], lake.metrics("batch", name)
    create_table(path, table, partition_by=table.partition_by, description=table.grain)
    kinds = pa.schema(Schema.from_json(table.json()).to_arrow())
    write_deltalake(str(path), pa.Table.from_pylist(list(rows), kinds), mode="append")
    return path


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake in a folder whose name looks like a partition, a pattern and the end of a string."""
    return Lake(tmp_path / "event_date=2000-01-01, it's mine")


@pytest.mark.parametrize("name", ["visitor", "hourly"])
@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, DAYS), (DAYS[1], None, DAYS[1:]), (None, DAYS[1], DAYS[:2]), (DAYS[1], DAYS[2], DAYS[1:3]),
        (DAYS[3] + timedelta(days=1), None, []),
    ],
)  # fmt: skip
def test_the_days_of_the_range_are_read_alone(
    lake: Lake, name: str, first: date | None, last: date | None, expected: list[date]
) -> None:
    make(lake, name, [{"event_date": day, "requests": n} for n, day in enumerate(DAYS)])
    with reading(lake, first, last) as reader:
        assert reader.days("batch", name) == set(expected)
        assert reader.rows("batch", name, COUNTS) == [(day, DAYS.index(day)) for day in expected]


def test_files_of_other_days_are_not_opened(lake: Lake) -> None:
    path = make(lake, "path", [{"event_date": day, "requests": 1} for day in DAYS])
    for file in path.glob("event_date=2024-05-17/*.parquet"):
        file.write_bytes(b"damaged")
    with reading(lake, first=DAYS[1]) as reader:
        assert reader.rows("batch", "path", COUNTS) == [(day, 1) for day in DAYS[1:]]
    with reading(lake) as reader, pytest.raises(PipelineError, match="batch/path: the table cannot be read: "):
        reader.rows("batch", "path", COUNTS)


def test_a_table_is_read_at_the_version_at_which_it_was_first_asked_for(lake: Lake) -> None:
    make(lake, "visitor", [{"event_date": DAY, "requests": 1}])
    with reading(lake) as reader:
        assert reader.rows("batch", "visitor", COUNTS) == [(DAY, 1)]
        make(lake, "visitor", [{"event_date": DAY, "requests": 5}])
        make(lake, "hourly", [{"event_date": DAY, "requests": 7}])
        assert reader.rows("batch", "hourly", COUNTS) == [(DAY, 7)]
        assert reader.rows("batch", "visitor", COUNTS) == [(DAY, 1)]
    with reading(lake) as reader:
        assert reader.rows("batch", "visitor", COUNTS) == [(DAY, 6)]


def test_a_table_that_is_not_there_has_no_rows_and_an_empty_one_has_none_either(lake: Lake) -> None:
    make(lake, "site", [])
    make(lake, "path", [])
    with reading(lake) as reader:
        for name, is_there in (("site", True), ("path", True), ("client", False)):
            assert reader.has("batch", name) is is_there
            assert reader.days("batch", name) == set()
            assert reader.rows("batch", name, "SELECT * FROM t") == []


def test_columns_that_a_table_of_an_older_release_lacks_are_null(lake: Lake) -> None:
    path = lake.metrics("streaming", "daily")
    write_deltalake(str(path), pa.table({"event_date": [DAY], "requests": [3], "visitors_sketch": [b"x"]}))
    with reading(lake) as reader:
        assert reader.rows("streaming", "daily", "SELECT event_date, requests, bot_requests FROM t") == [(DAY, 3, None)]


def test_a_disk_that_cannot_be_written_to_is_no_reason_not_to_read(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(lake, "hourly", [{"event_date": DAY, "requests": 1}])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with reading(lake) as reader:
        assert reader.rows("batch", "hourly", COUNTS) == [(DAY, 1)]


def test_sums_may_be_larger_than_a_long(lake: Lake) -> None:
    make(lake, "daily", [{"event_date": day, "bytes": 2**63 - 1} for day in DAYS])
    with reading(lake) as reader:
        assert reader.rows("batch", "daily", "SELECT sum(bytes) FROM t") == [(4 * (2**63 - 1),)]
