"""DuckDB in this process: a bounded connection, and the rows of a Delta table's days as a query for it. I/O."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import duckdb

if TYPE_CHECKING:
    from deltalake import DeltaTable

# Delta's names of types, as DuckDB has them.
TYPES = {
    "date": "DATE", "string": "VARCHAR", "integer": "INTEGER", "long": "BIGINT", "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMPTZ", "binary": "BLOB", "double": "DOUBLE",
}  # fmt: skip


@contextmanager
def connected(memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an empty database, for as long as this lasts. Its times are in UTC.

    :param memory: what it may take, such as ``512MB``; beyond that it uses temporary files.
    """
    with TemporaryDirectory(prefix="duckdb-") as spill:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory, "temp_directory": spill, "threads": str(len(os.sched_getaffinity(0))),
            "preserve_insertion_order": "false", "autoinstall_known_extensions": "false",
        }  # fmt: skip
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection


def text(value: str) -> str:
    """``value`` as a literal."""
    return "'" + value.replace("'", "''") + "'"


def files_table(files: Iterable[str]) -> str:
    """Parquet files as a table in SQL, by their columns' names. Names of folders say nothing, and no name is a pattern."""
    names = ", ".join(text(no_pattern(file)) for file in files)
    return f"read_parquet([{names}], union_by_name = true, hive_partitioning = false)"


def no_pattern(name: str) -> str:
    """A file's name where DuckDB takes a pattern: each character stands for itself."""
    return re.sub(r"[*?\[]", r"[\g<0>]", name)


def empty_row(columns: Mapping[str, str]) -> str:
    """The columns with DuckDB's types, for a SELECT without rows: other rows are united with it by name."""
    return ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items())


def stored_days(table: "DeltaTable", path: Path, columns: Mapping[str, str], days: Collection[date]) -> str:
    """A query for the rows of ``days`` of a Delta table, as it was opened.

    :param columns: with Delta's types; those that a file lacks are null.
    """
    by_day: dict[date | None, list[str]] = {}
    for file, day in files_with_days(table, path).items():
        by_day.setdefault(day, []).append(file)
    parts = [f"SELECT {empty_row({name: TYPES[kind] for name, kind in columns.items()})} WHERE false"]
    for day, files in by_day.items():
        if day is None:
            parts.append(f"SELECT * FROM {files_table(files)}")
        elif day in days:
            # Spark writes the partition's column into its files too, delta-rs does not.
            others = "COLUMNS(lambda name: name <> 'event_date')"
            parts.append(f"SELECT DATE {text(day.isoformat())} AS event_date, {others} FROM {files_table(files)}")
    dates = ", ".join(f"DATE {text(day.isoformat())}" for day in sorted(days))
    return f"SELECT {', '.join(columns)} FROM ({' UNION ALL BY NAME '.join(parts)}) WHERE event_date IN ({dates})"


def files_with_days(table: "DeltaTable", path: Path) -> dict[str, date | None]:
    """The table's data files, as it was opened, each with the day of its partition; ``None`` in a table without partitions."""
    actions: Any = table.get_add_actions(flatten=True)
    files = [str(path / unquote(name)) for name in actions.column("path").to_pylist()]
    if not files or "event_date" not in table.metadata().partition_columns:
        return dict.fromkeys(files)
    return dict(zip(files, actions.column("partition.event_date").to_pylist(), strict=True))
