"""What tests read of Delta tables, with another engine than the one that wrote them. No JVM."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl


def rows(table: Path, *columns: str) -> list[tuple[Any, ...]]:
    """The table's rows, sorted, with all columns by default; times in UTC."""
    found = pl.read_delta(str(table), columns=list(columns) or None)
    return sorted((tuple(utc(value) for value in row) for row in found.iter_rows()), key=repr)


def utc(value: Any) -> Any:
    """A time as UTC has it; anything else as it is."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value
