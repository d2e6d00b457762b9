from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from lakehouse import landed
from lakehouse.lake import waiting_files
from lakehouse.settings import LandingFormat
from producer.landing import LANDED, Lander


def land_one(folder: Path, file_format: LandingFormat, rows: pl.DataFrame) -> Path:
    lander = Lander(folder, file_format, batch_rows=10, batch_seconds=10)
    lander.add(rows)
    lander.flush()
    (path,) = waiting_files(folder)
    return path


def full_and_empty_rows() -> pl.DataFrame:
    """One row with a value in each column, and one with nulls in all."""
    values = {
        pl.String(): "x\x00é\n", pl.Int32(): 2**31 - 1, pl.Int64(): 2**63 - 1,
        pl.Datetime("us", "UTC"): datetime(2015, 5, 17, 10, 5, 3, 123456, UTC),
    }  # fmt: skip
    full = {name: values[kind] for name, kind in LANDED.items()}
    return pl.DataFrame([full, dict.fromkeys(LANDED)], schema=LANDED)


def test_the_columns_are_those_that_every_reader_allows(tmp_path: Path) -> None:
    path = land_one(tmp_path, "parquet", full_and_empty_rows())
    schema = pq.read_schema(path)
    assert schema.names == list(landed.ALLOWED_TYPES)
    wrong = {field.name: str(field.type) for field in schema if str(field.type) not in landed.ALLOWED_TYPES[field.name]}
    assert wrong == {}


def test_the_columns_are_those_of_the_spark_schema() -> None:
    from lakehouse.schema import LANDED as SPARK_LANDED

    names = {"string": pl.String(), "int": pl.Int32(), "bigint": pl.Int64(), "timestamp": pl.Datetime("us", "UTC")}
    assert {f.name: names[f.dataType.simpleString()] for f in SPARK_LANDED} == LANDED
    assert SPARK_LANDED.names == list(LANDED)


@pytest.mark.parametrize("file_format", ["parquet", "json"])
def test_a_landed_file_passes_the_check_that_readers_obey(tmp_path: Path, file_format: LandingFormat) -> None:
    path = land_one(tmp_path, file_format, full_and_empty_rows())
    assert landed.check(path) == landed.LandedFile(path, rows=2)
