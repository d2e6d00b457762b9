"""What a lake holds, row by row, for comparison with another. I/O; no JVM."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from lakehouse.lake import Lake
from lakehouse.sink_log import archived_files
from lakehouse.tables import is_table

# When something was written is no part of what was written; sketches are looked at by their estimates.
TIMES = ("quarantined_at", "archived_at")

Rows = Counter[tuple[Any, ...]]


def contents(lake: Lake) -> dict[str, Rows]:
    """The rows of every table, of ``logs/``, and of the ledger's deliveries, each with how often it is there."""
    found = {name: rows_of(pl.read_delta(str(path))) for name, path in lake.tables.items() if is_table(path)}
    return found | {"logs": rows_of(archive(lake)), "deliveries": deliveries(lake.ledger)}


def rows_of(frame: pl.DataFrame) -> Rows:
    """The rows of ``frame``, columns in the order of their names."""
    columns = sorted(c for c in frame.columns if c not in TIMES and not c.endswith("_sketch"))
    return Counter(tuple(map(_hashable, row)) for row in frame.select(columns).iter_rows())


def archive(lake: Lake) -> pl.DataFrame:
    """The rows of ``logs/``, by the files that ``_spark_metadata`` names."""
    files = [lake.logs / name for name in archived_files(lake.logs)]
    return pl.concat([pl.read_parquet(path) for path in files]) if files else pl.DataFrame()


def deliveries(ledger: Path) -> Rows:
    """Where the rows of each delivery went, as the ledger has it."""
    columns = "landed_file, rows, merged, duplicates, quarantined, reasons, refused, retired_at IS NULL"
    db = sqlite3.connect(ledger)
    try:
        return Counter(db.execute(f"SELECT {columns} FROM files").fetchall())
    finally:
        db.close()


def differences(found: dict[str, Rows], expected: dict[str, Rows]) -> list[str]:
    """A line for each table that differs: how many rows are lacking and how many are too many, and one of each."""
    lines = []
    for name in sorted(found.keys() | expected.keys()):
        lacking = expected.get(name, Rows()) - found.get(name, Rows())
        surplus = found.get(name, Rows()) - expected.get(name, Rows())
        if lacking or surplus:
            examples = [next(iter(rows), None) for rows in (lacking, surplus)]
            lines.append(f"{name}: {lacking.total()} rows lacking, {surplus.total()} too many, such as {examples}")
    return lines


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
