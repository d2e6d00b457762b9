"""Counts requests by DuckDB, in this process: no JVM, and within a bound of memory beyond which it uses the disk. I/O."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from duckdb.func import FunctionNullHandling

from consumer.components import count_sql
from consumer.components.count_sql import COUNTED, DERIVED, PAIR
from consumer.components.definition import Definition
from consumer.components.durations import add_sketches, sketch
from lakehouse.duck import connected
from lakehouse.errors import PipelineError
from lakehouse.metric_columns import EXACT_TABLES


class Counter:
    """Holds the rows of every metrics table for some days, as DuckDB's temporary tables. Made by ``counter``."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, definition: Definition) -> None:
        self.connection = connection
        self.definition = definition

    def count(self, files: Iterable[Path], stored: Mapping[str, str]) -> None:
        """Count the requests in ``files`` of ``delta/``, and add them to what is stored.

        :param stored: of each of ``COUNTED`` a query for the rows to add to; of none to count from nothing.
        :raises PipelineError: a file cannot be read, or memory and disk do not suffice.
        """
        chosen = self.definition
        view = count_sql.requests_view(map(str, files), chosen.duration, has_country=chosen.has_country)
        with _explained():
            self.connection.execute(view)
            for name in COUNTED:
                self._make(name, self._counted(name, stored.get(name)))
            self._make("pair", PAIR)
            for name in DERIVED:
                if name in chosen.tables:
                    self._make(name, count_sql.derived(name, has_country=chosen.has_country))

    def rows(self, name: str) -> Any:
        """The rows of a table that were counted, in its columns: something that Arrow can stream."""
        return self.connection.sql(f"SELECT {', '.join(EXACT_TABLES[name].columns)} FROM {name} ORDER BY event_date")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that a query over the tables gives.

        :raises PipelineError: as ``count``.
        """
        with _explained():
            return self.connection.execute(sql).fetchall()

    def _counted(self, name: str, stored: str | None) -> str:
        fresh = count_sql.counted(name, self.definition.static_endings)
        source = f"SELECT *, false AS is_stored FROM ({fresh})"
        if stored is not None:
            source += f" UNION ALL BY NAME SELECT *, true AS is_stored FROM ({stored})"
        elif name not in count_sql.INVENTED:
            return fresh  # each key is there once
        self._make(f"all_{name}", source)
        return count_sql.added_up(name, f"all_{name}", self.definition.max_values)

    def _make(self, name: str, query: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")


@contextmanager
def counter(definition: Definition, memory: str) -> Iterator[Counter]:
    """A counter, for as long as this lasts.

    :param memory: what it may take, such as ``512MB``.
    """
    with connected(memory) as connection:
        connection.execute(count_sql.MACROS)
        if definition.duration is None:
            connection.execute("CREATE TEMP MACRO sketch(x) AS NULL::BLOB")
            connection.execute("CREATE TEMP MACRO add_sketches(x) AS NULL::BLOB")
        else:
            nulls = FunctionNullHandling.SPECIAL
            connection.create_function("sketch", sketch, ["DOUBLE[]"], "BLOB", null_handling=nulls)
            connection.create_function("add_sketches", add_sketches, ["BLOB[]"], "BLOB", null_handling=nulls)
        yield Counter(connection, definition)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise PipelineError(f"counting took more memory than batch.memory allows; raise it: {error}") from error
    except duckdb.Error as error:
        raise PipelineError(f"the requests in delta/ cannot be counted: {error}") from error
