"""Delta tables from the outside: made, described and read from their logs without a JVM (delta-rs)."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lakehouse.delta_log import forget_checksums, require_data, whole_log
from lakehouse.errors import PipelineError

if TYPE_CHECKING:
    from deltalake import DeltaTable, Field

# A file below this is small; OPTIMIZE leaves the others alone, and aims at twice as much (``lakehouse/session.py``).
SMALL_BYTES = 64 * 1024 * 1024
# Each query lists a table's whole log: a week of a merge a minute would more than double a merge's time.
RECORD_HOURS = 24
# What earlier releases made the record's tables with.
FORMERLY_KEPT = ("interval 168 hours", "interval 7 days")
# Figures are written again and again, and are of no use once there are newer ones.
FIGURES_HOURS = 1
# Delta wants the second to be no longer than the first.
RETENTIONS = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")
ATTEMPTS = 5  # at a commit, while other processes make theirs


class TableSchema(Protocol):
    """A schema that can say itself as Delta writes it: Spark's can, and ``metric_columns.MetricsTable``."""

    def json(self) -> str:
        """The schema's JSON form."""
        ...


@dataclass(frozen=True)
class TableFacts:
    """What a table's log says: version of the last commit, when it was made, rows, data files and their bytes."""

    version: int
    committed_at: datetime
    rows: int
    files: int
    bytes: int


def is_table(path: Path) -> bool:
    """Whether there is a Delta table at ``path``.

    :raises TableError: there is one with a damaged log; says which file, and what to do.
    """
    return bool(whole_log(path).commits)


def ready_for_writing(*paths: Path) -> list[bool]:
    """Whether there is a table at each of ``paths``: all of them whole, before anything is added to one.

    Only for their one writer, under its lock.

    :raises TableError: the log of one is damaged, or a data file of its last commits; nothing is done.
    """
    logs = [whole_log(path) for path in paths]
    for log in logs:
        require_data(log)
    for log in logs:
        forget_checksums(log)
    return [bool(log.commits) for log in logs]


def create_table(
    path: Path,
    schema: TableSchema,
    *,
    partition_by: tuple[str, ...] = (),
    description: str,
    name: str | None = None,
    kept_hours: int = RECORD_HOURS,
    is_replaced: bool = False,
) -> None:
    """Make an empty Delta table at ``path`` if there is none; several processes may try at once.

    A table that is there gets the columns of ``schema`` that it lacks, null in the rows it has; all others stay. One that
    keeps its log as long as earlier releases made it do keeps it for ``RECORD_HOURS`` from now on.

    :param description: the table's grain, kept in its metadata.
    :param name: kept in its metadata, for the writer to recognise the table by.
    :param kept_hours: how long the log of commits is kept, and what it says of files that are no longer used.
    :param is_replaced: replace a table that is there by an empty one, in one commit.
    :raises PipelineError: a column of the table that is there has another type.
    """  # fmt: skip
    if is_table(path) and not is_replaced:
        _bring_up_to_date(path, schema)
        return
    from deltalake import DeltaTable, Schema

    path.mkdir(parents=True, exist_ok=True)
    DeltaTable.create(
        str(path), Schema.from_json(schema.json()), mode="overwrite" if is_replaced else "ignore",
        partition_by=list(partition_by), name=name, description=description,
        configuration=_kept(kept_hours),
    )  # fmt: skip


def _kept(hours: int) -> dict[str, str]:
    return dict.fromkeys(RETENTIONS, f"interval {hours} hours")


def _bring_up_to_date(path: Path, schema: TableSchema) -> None:
    """Give a table what today's release makes one with; without a commit if it has it."""
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    for attempt in range(1, ATTEMPTS + 1):
        table = DeltaTable(str(path))
        try:
            if missing := _missing_columns(path, table, schema):
                table.alter.add_columns(missing)
            configuration = table.metadata().configuration
            if all(configuration.get(name) in FORMERLY_KEPT for name in RETENTIONS):
                table.alter.set_table_properties(_kept(RECORD_HOURS))
        except CommitFailedError:  # another process was faster, perhaps with just this
            if attempt == ATTEMPTS:
                raise
        else:
            return


def _missing_columns(path: Path, table: "DeltaTable", schema: TableSchema) -> "list[Field]":
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


@dataclass(frozen=True)
class TableState:
    """Which table it is (``table_id``), its last version, and its columns."""

    id: str
    version: int
    columns: frozenset[str]


def table_state(path: Path) -> TableState:
    """What the log of the table at ``path`` says of it, read once."""
    from deltalake import DeltaTable

    table = DeltaTable(str(path))
    return TableState(str(table.metadata().id), table.version(), frozenset(f.name for f in table.schema().fields))


def table_id(path: Path) -> str:
    """The table's own identifier: another one means that the table was made anew."""
    from deltalake import DeltaTable

    return str(DeltaTable(str(path)).metadata().id)


def latest_version(path: Path) -> int:
    """The version of the last commit, from the names in the log alone; -1 where there is no table."""
    log = path / "_delta_log"
    names = os.listdir(log) if log.is_dir() else []  # noqa: PTH208
    return max((int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()), default=-1)


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


def replace_days(table: "DeltaTable", rows: Any, days: Iterable[date], *, application_id: str, version: int) -> None:
    """Replace the rows of ``days`` in a table, in one commit with a Delta transaction id. Without Spark.

    :param table: as it was read for that; it is brought up to the commit.
    :param rows: what Arrow can stream, in the table's columns, of these days alone; days without rows vanish.
    :param application_id: of the transaction: ``transaction_version`` tells the last ``version`` that it committed.
    :raises CommitFailedError: another process has changed the table since it was opened. Nothing is done.
    """
    from deltalake import CommitProperties, Transaction, write_deltalake

    transaction = CommitProperties(app_transactions=[Transaction(application_id, version)])
    condition = f"event_date IN ({', '.join(repr(day.isoformat()) for day in sorted(days))})"
    write_deltalake(table, rows, mode="overwrite", predicate=condition, commit_properties=transaction)
    table.update_incremental()


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the table at ``path``, called ``t`` in ``sql``; none where there is no table.

    delta-rs's own engine reads it: quick to start, and at home in a path that has a blank in it.
    """
    if not is_table(path):
        return []
    from deltalake import DeltaTable, QueryBuilder

    result = QueryBuilder().register("t", DeltaTable(str(path))).execute(sql).read_all()
    return list(zip(*(result.column(n).to_pylist() for n in range(result.num_columns)), strict=True))


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


def join_small_files(path: Path, day: date | None) -> None:
    """Join the small files of a partition (``None``: of a table without), as they are, without Spark."""
    from deltalake import DeltaTable

    partition = [("event_date", "=", day.isoformat())] if day else None
    DeltaTable(str(path)).optimize.compact(partition_filters=partition, target_size=2 * SMALL_BYTES)


def tidy(path: Path, kept_hours: int) -> int:
    """Remove files that no version of the table within ``kept_hours`` uses, those of killed writers too, and old commits.

    How long commits are kept, the table itself says (``create_table``).

    :return: how many data files were removed.
    """
    log = whole_log(path)
    if not log.commits:
        return 0
    forget_checksums(log)
    from deltalake import DeltaTable

    delta = DeltaTable(str(path))
    vacuum = partial(delta.vacuum, kept_hours, enforce_retention_duration=False, full=True)
    # A vacuum commits even when it finds nothing: look first.
    removed = vacuum(dry_run=False) if vacuum(dry_run=True) else []
    delta.cleanup_metadata()
    remove_strays(path)
    return len(removed)


def remove_strays(folder: Path) -> None:
    """Remove Hadoop's checksums (``.NAME.crc``) of files that are gone, if they are an hour old: nobody else does."""
    an_hour_ago = time.time() - 3600
    for checksum in folder.rglob(".*.crc"):
        with suppress(FileNotFoundError):  # its writer was faster
            is_stray = not checksum.with_name(checksum.name[1:].removesuffix(".crc")).exists()
            if is_stray and checksum.stat().st_mtime < an_hour_ago:
                checksum.unlink()
