"""The metrics tables of a lake as queries read them: each at one version, and of a range of days alone. No JVM. I/O."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from lakehouse.duck import TYPES, connected, empty_row, files_table, files_with_days, text
from lakehouse.errors import PipelineError
from lakehouse.lake import Lake
from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.readable import first_line
from lakehouse.tables import is_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

# What a query may take; beyond it goes to temporary files. A report may be made beside the stream, whose memory is bounded too.
MEMORY = "256MB"
FETCHED_ROWS = 1000  # at once


@dataclass(frozen=True)
class Snapshot:
    """A table as it was when it was first asked for.

    :param files: the data files that may have rows of the range, each with its day, or ``None`` in a table without partitions.
    """

    files: Mapping[str, date | None]
    is_by_day: bool

    def of(self, has_day: Callable[[date], bool]) -> "Snapshot":
        """With the files of these days alone."""
        return Snapshot({file: day for file, day in self.files.items() if day is None or has_day(day)}, self.is_by_day)


class TableReader:
    """Reads the metrics tables of one lake. Made by ``reading``."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, lake: Lake, first: date | None = None, last: date | None = None
    ) -> None:
        self.connection, self.lake = connection, lake
        self.first, self.last = first, last
        self._snapshots: dict[tuple[str, str], Snapshot | None] = {}
        self._shown: tuple[str, str] | None = None

    def has(self, mode: str, name: str) -> bool:
        """Whether the table is there."""
        return self._snapshot(mode, name) is not None

    def days(self, mode: str, name: str) -> set[date]:
        """The days of the range that the table has rows of; none where there is no table."""
        found = self._snapshot(mode, name)
        if found is not None and found.is_by_day:
            return {day for day in found.files.values() if day is not None}
        return {
            day for (day,) in self.rows(mode, name, "SELECT DISTINCT event_date FROM t WHERE event_date IS NOT NULL")
        }

    def rows(
        self, mode: str, name: str, query: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a query over one table, which is called ``t`` there; none where there is no table.

        :param mode: ``batch`` or ``streaming``.
        :param name: one of ``EXACT_TABLES``: ``t`` has the columns that stand there.
        :param parameters: the query's, by name (``$site``).
        :raises PipelineError: the table cannot be read.
        """
        return list(self.stream(mode, name, query, parameters))

    def stream(
        self, mode: str, name: str, query: str, parameters: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """As ``rows``, a few of them in memory at a time. Read them before the next query."""
        with explained(self._path(mode, name)):
            if not self._show(mode, name):
                return
            result = self.connection.execute(query, dict(parameters or {}))
            while rows := result.fetchmany(FETCHED_ROWS):
                yield from rows

    def _snapshot(self, mode: str, name: str) -> Snapshot | None:
        key = (mode, name)
        if key not in self._snapshots:
            path = self.lake.metrics(mode, name)
            with explained(path):
                self._snapshots[key] = _opened(path, self._has_day) if is_table(path) else None
        return self._snapshots[key]

    def _path(self, mode: str, name: str) -> Path:
        """The table that is read, for messages."""
        return self.lake.metrics(mode, name)

    def _show(self, mode: str, name: str) -> bool:
        """Let ``t`` be this table, if there is one."""
        if self._shown != (mode, name):
            relation = self._relation(mode, name)
            if relation is None:
                return False
            self.connection.execute(f"CREATE OR REPLACE TEMP VIEW t AS {relation}")
            self._shown = (mode, name)
        return True

    def _relation(self, mode: str, name: str) -> str | None:
        """The table's rows of the range, as a query; ``None`` where there is no table."""
        found = self._snapshot(mode, name)
        return None if found is None else self._table(name, found)

    def _has_day(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def _table(self, name: str, found: Snapshot) -> str:
        """The table's rows of the range, as a query. Columns that a file lacks are null."""
        columns = EXACT_TABLES[name].columns
        parts = [f"SELECT {empty_row({column: TYPES[kind] for column, kind in columns.items()})} WHERE false"]
        if found.files:
            # Spark writes the partition's column into its files too, delta-rs does not.
            others = "COLUMNS(lambda name: name <> 'event_date')" if found.is_by_day else "*"
            parts.append(f"SELECT {others}{_days_of_files(found)} FROM {files_table(found.files)}")
        condition = " AND ".join(
            f"event_date {sign} DATE {text(day.isoformat())}"
            for sign, day in ((">=", self.first), ("<=", self.last)) if day and not found.is_by_day
        )  # fmt: skip
        return f"SELECT {', '.join(columns)} FROM ({' UNION ALL BY NAME '.join(parts)}) WHERE {condition or 'true'}"


def _opened(path: Path, has_day: Callable[[date], bool]) -> Snapshot:
    from deltalake import DeltaTable

    return snapshot(DeltaTable(str(path)), path).of(has_day)


def snapshot(table: "DeltaTable", path: Path) -> Snapshot:
    """The table as it was opened."""
    return Snapshot(files_with_days(table, path), "event_date" in table.metadata().partition_columns)


def _days_of_files(found: Snapshot) -> str:
    """The column ``event_date`` of a table that has it in its log, not in its files."""
    if not found.is_by_day:
        return ""
    pairs = (f"{text(file)}: DATE {text(day.isoformat())}" for file, day in found.files.items() if day)
    return f", MAP {{{', '.join(pairs)}}}[filename] AS event_date"


@contextmanager
def reading(lake: Lake, first: date | None = None, last: date | None = None) -> Iterator[TableReader]:
    """A reader of the days from ``first`` to ``last``, for as long as this lasts."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(connected(MEMORY))
        except OSError:  # a full disk, or one that we may only read: most of what is asked fits into memory
            config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": MEMORY, "temp_directory": ""}
            connection = stack.enter_context(duckdb.connect(":memory:", config=config))
        yield TableReader(connection, lake, first, last)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say which table it is that cannot be read."""
    try:
        yield
    except PipelineError:
        raise
    except duckdb.OutOfMemoryException as error:
        raise PipelineError(f"{path}: reading it took more than {MEMORY}; ask for fewer days at once") from error
    except Exception as error:  # delta-rs raises bare ones too
        raise PipelineError(f"{path}: the table cannot be read: {first_line(error)}") from error
