"""What Delta tables hold of a few rows: DuckDB looks into their data files, without Spark. I/O.

It needs memory for these rows, not for the table: that is read past them, and files of other days are not opened.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema

from cleaner.figures import Located
from lakehouse.duck import connected, no_pattern
from lakehouse.schema import MERGED

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

MEMORY = "512MB"
_DAY = "event_date"
# Delta's logs have times in whole milliseconds.
_TRUNCATED = timedelta(milliseconds=1)
# Of each day the first time and the last.
Times = Mapping[date, tuple[datetime, datetime]]


def new_rows(rows: pa.Table, table: "DeltaTable", path: Path, identity: Sequence[str], among: str | None) -> pa.Table:
    """Those ``rows`` whose identity the table does not hold in its version ``table``.

    :param among: a condition on the table's rows, ``t``: only these are compared with.
    """
    numbers = pa.array(range(rows.num_rows), pa.int32())
    sought = rows.select(list(identity)).append_column("number", numbers)
    with _looking(path, table, sought, _times(rows, table)) as looking:
        condition, is_same = among or "true", _is_same(identity)
        found: Any = looking.sql(
            f"SELECT number FROM s ANTI JOIN (SELECT * FROM t WHERE {condition}) AS t ON {is_same} ORDER BY number"
        ).to_arrow_table()
    return rows.take(found["number"])


def located(rows: pa.Table, path: Path, identity: Sequence[str], among: str) -> list[Located]:
    """Where ``rows`` are in the table as it stands now, by delivery and reasons.

    :param rows: with the identity's columns, ``landed_file`` and ``reasons``.
    :param among: a condition on the table's rows, ``t``, which those that are meant all meet.
    """
    from deltalake import DeltaTable

    table, sought = DeltaTable(str(path)), rows.select([*identity, "landed_file", "reasons"])
    with _looking(path, table, sought, _times(rows, table)) as looking:
        columns, is_same = ", ".join(identity), _is_same(identity)
        found = looking.sql(
            "WITH arrived AS (SELECT landed_file, min(reasons) AS reasons, count(*) AS arrivals, "
            f"{columns} FROM s GROUP BY landed_file, {columns}), placed AS (SELECT s.landed_file, s.reasons, arrivals,"
            " CAST(t.landed_file = s.landed_file AS INTEGER) AS is_home"
            f" FROM arrived AS s JOIN (SELECT * FROM t WHERE {among}) AS t ON {is_same})"
            " SELECT landed_file, reasons, sum(is_home), sum(arrivals - is_home) FROM placed GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return [Located(file, reasons, int(homes), int(duplicates)) for file, reasons, homes, duplicates in found]


def brought(path: Path, deliveries: Sequence[str], times: Times, among: str) -> pa.Table:
    """The rows of ``merged/`` that these deliveries brought, in MERGED's columns.

    :param times: the times that they are of.
    :param among: a condition on the table, ``t``, which all of them meet.
    """
    from deltalake import DeltaTable

    names = pa.table({"landed_file": pa.array(deliveries, pa.string())})
    with _looking(path, DeltaTable(str(path)), names, times) as looking:
        columns = ", ".join(f't."{name}"' for name in MERGED.names)
        found = looking.sql(f"SELECT {columns} FROM t SEMI JOIN s ON t.landed_file = s.landed_file WHERE {among}")
        return found.to_arrow_table().cast(to_arrow_schema(MERGED, timezone="UTC"))


def times(rows: pa.Table) -> Times:
    """The times that ``rows`` are of."""
    found = rows.group_by(_DAY).aggregate([("timestamp", "min"), ("timestamp", "max")])
    return {row[_DAY]: (row["timestamp_min"], row["timestamp_max"]) for row in found.to_pylist()}


def _times(rows: pa.Table, table: "DeltaTable") -> Times | None:
    """The times to look at in a table that is divided by days. Rejected rows may have times that Python does not know."""
    return times(rows) if _is_divided(table) else None


def _is_divided(table: "DeltaTable") -> bool:
    return _DAY in table.metadata().partition_columns


def _is_same(identity: Sequence[str]) -> str:
    return " AND ".join(f"t.{name} IS NOT DISTINCT FROM s.{name}" for name in identity)


@contextmanager
def _looking(path: Path, table: "DeltaTable", sought: pa.Table, times: Times | None) -> "Iterator[DuckDBPyConnection]":
    """A DuckDB that knows ``sought`` as ``s``, and as ``t`` the rows of the table at ``times``, if it is divided by days."""
    with connected(MEMORY) as looking:
        looking.register("s", sought)
        schema: pa.Schema = pa.schema(table.schema().to_arrow())
        if files := _files(path, table, times):
            there = looking.read_parquet(files, hive_partitioning=False, union_by_name=True)
            is_divided = _is_divided(table)
            columns = [_column(field.name, there.columns, is_divided=is_divided) for field in schema]
            there.project(", ".join(columns)).create_view("t")
        else:
            looking.register("t", schema.empty_table())
        yield looking


def _files(path: Path, table: "DeltaTable", times: Times | None) -> list[str]:
    """The data files that may have rows of ``times``, as DuckDB must be given them: it takes some characters for a pattern.

    Others are left out here: DuckDB opens each file that it is given.
    """
    actions: Any = table.get_add_actions(flatten=True)
    files = actions.column("path").to_pylist()
    if times is not None:
        days = actions.column(f"partition.{_DAY}").to_pylist()
        firsts, lasts = (_statistic(actions, f"{name}.timestamp") for name in ("min", "max"))
        files = [
            file
            for file, day, first, last in zip(files, days, firsts, lasts, strict=True)
            if day in times and _may_meet(times[day], first, last)
        ]
    return [no_pattern(str(path / unquote(file))) for file in files]


def _statistic(actions: Any, name: str) -> list[datetime | None]:
    has_any = name in actions.schema.names
    found: list[datetime | None] = actions.column(name).to_pylist() if has_any else [None] * actions.num_rows
    return found


def _may_meet(times: tuple[datetime, datetime], first: datetime | None, last: datetime | None) -> bool:
    if first is None or last is None:
        return True
    return first - _TRUNCATED <= times[1] and times[0] <= last + _TRUNCATED


def _column(name: str, there: Sequence[str], *, is_divided: bool) -> str:
    """A column of the table in SQL; of what some files lack, these have null.

    The day that divides a table is in the names of its folders. Of its files, Spark's have the column too and delta-rs's
    do not, so it is taken from the time, which is of that day in each of these tables.
    """
    if is_divided and name == _DAY:
        return f"CAST(timestamp AS DATE) AS {_DAY}"
    return f'"{name}"' if name in there else f'NULL AS "{name}"'
