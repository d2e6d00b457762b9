"""Insert what a table does not hold yet: one promise, two writers. I/O.

Rows of a Spark query are inserted by Spark's MERGE. Rows that are in this process, as Arrow, are looked up by DuckDB and
appended by delta-rs, which costs hundredths of a second instead of a query plan. Both only add files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame

from cleaner.stored import new_rows
from lakehouse.errors import PipelineError
from lakehouse.sql import table
from lakehouse.tables import ATTEMPTS

if TYPE_CHECKING:
    from deltalake import Schema

# As often as Spark does: a table's log is read from its last checkpoint on.
CHECKPOINT_COMMITS = 10


def insert_new(rows: DataFrame | pa.Table, path: Path, identity: Sequence[str], among: str | None = None) -> None:
    """Insert those ``rows`` into the table at ``path`` whose identity it does not hold yet. Null is the same as null.

    :param rows: unique in ``identity``. Columns that the table has and they have not become null.
    :param among: a condition on the table's rows, ``t``: no other is the same, whatever its identity. Hours, for one, since
        a duplicate has its original's timestamp: files of others need not be read.
    :raises PipelineError: another process wrote the table again and again. Nothing is done.
    """
    if isinstance(rows, pa.Table):
        _append_new(rows, path, identity, among)
    else:
        _merge_new(rows, path, identity, among)


def _merge_new(rows: DataFrame, path: Path, identity: Sequence[str], among: str | None) -> None:
    conditions = [f"t.{name} <=> s.{name}" for name in identity]
    if among is not None:
        conditions.append(among)
    columns = [f"`{name}`" for name in rows.columns]
    rows.createOrReplaceTempView("new_rows")
    rows.sparkSession.sql(
        f"MERGE INTO {table(path)} AS t USING new_rows AS s ON {' AND '.join(conditions)}"
        f" WHEN NOT MATCHED THEN INSERT ({', '.join(columns)}) VALUES ({', '.join(f's.{name}' for name in columns)})"
    )


def _append_new(rows: pa.Table, path: Path, identity: Sequence[str], among: str | None) -> None:
    from deltalake.exceptions import CommitFailedError

    for _ in range(ATTEMPTS):
        try:
            _append_once(rows, path, identity, among)
        except CommitFailedError:
            continue  # somebody else committed: what was new may be there now
        return
    raise PipelineError(
        f"{path}: the same table was written at the same time, again and again, as by the rest of a run that was killed;"
        " nothing is lost or doubled, the next run goes on where it was"
    )


def _append_once(rows: pa.Table, path: Path, identity: Sequence[str], among: str | None) -> None:
    """Append what the table's latest version lacks, as the very next version.

    :raises CommitFailedError: there is another one by now.
    """
    from deltalake import CommitProperties, DeltaTable, write_deltalake

    latest = DeltaTable(str(path))
    new = new_rows(rows, latest, path, identity, among)
    if not new.num_rows:
        return
    next_version = latest.version() + 1
    # Without retries nothing is taken for compatible: delta-rs would let an append follow any other.
    as_next = CommitProperties(max_commit_retries=0)
    write_deltalake(latest, _as_stored(new, latest.schema()), mode="append", commit_properties=as_next)
    if next_version % CHECKPOINT_COMMITS == 0:
        DeltaTable(str(path)).create_checkpoint()


def _as_stored(rows: pa.Table, schema: "Schema") -> pa.Table:
    """``rows`` in the table's columns and types."""
    there = set(rows.column_names)
    fields: pa.Schema = pa.schema(schema.to_arrow())
    columns = [
        rows[f.name].cast(f.type) if f.name in there else pa.nulls(rows.num_rows, f.type) for f in fields
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=fields)
