"""Delta tables from the outside: made, described and read from their logs without a JVM (delta-rs)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import PipelineError

if TYPE_CHECKING:
    from deltalake import DeltaTable, Field
    from pyspark.sql.types import StructType

LOG_DAYS = 7
ATTEMPTS = 5  # at a commit, while other processes make theirs


@dataclass(frozen=True)
class TableFacts:
    """What a table's log says: version of the last commit, when it was made, rows, data files and their bytes."""

    version: int
    committed_at: datetime
    rows: int
    files: int
    bytes: int


def is_table(path: Path) -> bool:
    """Whether there is a Delta table at ``path``."""
    log = path / "_delta_log"
    return log.is_dir() and any(log.glob("*.json"))


def create_table(
    path: Path,
    schema: "StructType",
    *,
    partition_by: tuple[str, ...] = (),
    description: str,
    name: str | None = None,
    log_days: int = LOG_DAYS,
    is_replaced: bool = False,
) -> None:
    """Make an empty Delta table at ``path`` if there is none; several processes may try at once.

    A table that is there gets the columns of ``schema`` that it lacks, null in the rows it has; all others stay.

    :param schema: Spark's schema; its JSON form is Delta's own.
    :param description: the table's grain, kept in its metadata.
    :param name: kept in its metadata, for the writer to recognise the table by.
    :param log_days: how long the log of commits is kept.
    :param is_replaced: replace a table that is there by an empty one, in one commit.
    :raises PipelineError: a column of the table that is there has another type.
    """  # fmt: skip
    if is_table(path) and not is_replaced:
        _add_missing_columns(path, schema)
        return
    from deltalake import DeltaTable, Schema

    path.mkdir(parents=True, exist_ok=True)
    DeltaTable.create(
        str(path), Schema.from_json(schema.json()), mode="overwrite" if is_replaced else "ignore",
        partition_by=list(partition_by), name=name, description=description,
        configuration={"delta.logRetentionDuration": f"interval {log_days} days"},
    )  # fmt: skip


def _add_missing_columns(path: Path, schema: "StructType") -> None:
    """In one commit, and in none where nothing is missing."""
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    for attempt in range(1, ATTEMPTS + 1):
        table = DeltaTable(str(path))
        missing = _missing_columns(path, table, schema)
        if not missing:
            return
        try:
            table.alter.add_columns(missing)
        except CommitFailedError:  # another process was faster, perhaps with these very columns
            if attempt == ATTEMPTS:
                raise


def _missing_columns(path: Path, table: "DeltaTable", schema: "StructType") -> "list[Field]":
    """The fields of ``schema`` that the table lacks.

    :raises PipelineError: it has one with another type.
    """
    from deltalake import Schema

    there = {field.name: field.type for field in table.schema().fields}
    wanted = Schema.from_json(schema.json()).fields
    for field in wanted:
        if there.get(field.name, field.type) != field.type:
            raise PipelineError(
                f"{path}: column {field.name!r} is {_type_name(there[field.name])} there, not {_type_name(field.type)}; "
                "if it is one of promoted: in the settings, give it the type it had, or make delta/ anew with: "
                "python -m cleaner rebuild"
            )
    return [field for field in wanted if field.name not in there]


def _type_name(kind: Any) -> str:
    return str(getattr(kind, "type", kind))


def column_names(path: Path) -> set[str]:
    """The table's columns; none where there is no table."""
    if not is_table(path):
        return set()
    from deltalake import DeltaTable

    return {field.name for field in DeltaTable(str(path)).schema().fields}


def table_facts(path: Path) -> TableFacts | None:
    """What the table's log says, or ``None`` where there is no table."""
    if not is_table(path):
        return None
    from deltalake import DeltaTable

    table = DeltaTable(str(path))
    actions: Any = table.get_add_actions(flatten=True)
    columns = {name: actions.column(name).to_pylist() for name in ("num_records", "size_bytes")}
    committed_at = datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, UTC)
    return TableFacts(
        version=table.version(),
        committed_at=committed_at,
        rows=sum(columns["num_records"]),
        files=len(columns["size_bytes"]),
        bytes=sum(columns["size_bytes"]),
    )


def table_id(path: Path) -> str:
    """The table's own identifier: another one means that the table was made anew."""
    from deltalake import DeltaTable

    return str(DeltaTable(str(path)).metadata().id)


def latest_version(path: Path) -> int:
    """The version of the last commit, from the names in the log alone; -1 where there is no table."""
    versions = (int(p.stem) for p in (path / "_delta_log").glob("*.json") if p.stem.isdigit())
    return max(versions, default=-1)


def changed_days(path: Path, since_version: int) -> set[date] | None:
    """The ``event_date`` partitions whose rows changed in commits after ``since_version``.

    :return: the days; ``None`` when the log does not reach back that far (all days must be taken as changed).
    """
    days: set[date] = set()
    for version in range(since_version + 1, latest_version(path) + 1):
        commit = path / "_delta_log" / f"{version:020}.json"
        if not commit.exists():
            return None
        for action in _data_changes(commit):
            days.add(date.fromisoformat(action["partitionValues"]["event_date"]))
    return days


def _data_changes(commit: Path) -> Iterator[dict[str, Any]]:
    with commit.open(encoding="utf-8") as lines:
        for line in lines:
            action = json.loads(line)
            change = action.get("add") or action.get("remove")
            if change and change["dataChange"]:
                yield change


def table_name(path: Path) -> str | None:
    """The name that the table was made with, or ``None`` where there is no table."""
    if not is_table(path):
        return None
    from deltalake import DeltaTable

    name = DeltaTable(str(path)).metadata().name
    return None if name is None else str(name)


def transaction_version(path: Path, application_id: str) -> int:
    """The last transaction that ``application_id`` committed to the table; -1 for none."""
    from deltalake import DeltaTable

    version = DeltaTable(str(path)).transaction_version(application_id)
    return -1 if version is None else version


def partition_files(path: Path) -> list[tuple[date | None, int]]:
    """The ``event_date`` (``None`` in a table not partitioned by it) and the size in bytes of each data file."""
    if not is_table(path):
        return []
    from deltalake import DeltaTable

    actions: Any = DeltaTable(str(path)).get_add_actions(flatten=True)
    sizes = actions.column("size_bytes").to_pylist()
    is_partitioned = "partition.event_date" in actions.schema.names
    days = actions.column("partition.event_date").to_pylist() if is_partitioned else [None] * len(sizes)
    return list(zip(days, sizes, strict=True))
