"""What tests read of Delta tables through Spark."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


def rows(spark: SparkSession, table: Path, *columns: str) -> list[tuple[Any, ...]]:
    """The table's rows, sorted; times in UTC."""
    found = spark.read.format("delta").load(str(table)).select(*columns).collect()
    return sorted((tuple(utc(value) for value in row) for row in found), key=repr)


def utc(value: Any) -> Any:
    """A time as UTC has it; anything else as it is."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value
