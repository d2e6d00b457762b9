"""What several panels are added up from, counted once and kept in DuckDB for all readers. I/O.

The exact tables by day over a long range are kept over versions of the lake: new requests are of the newest days, as a rule,
so the files of all days before stay what they are, and so does what they add up to.
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import count
from threading import Lock

import duckdb

from lakehouse.metric_columns import EXACT_TABLES

OPEN_DAYS = 2  # the newest ones: they are read as they are
LONG_DAYS = 62  # so many days before them are added up
KEPT_VALUES = 3_000_000  # of all that are kept: some 40 MB


def _keys(name: str) -> tuple[str, ...]:
    return tuple(key for key in EXACT_TABLES[name].keys if key != "event_date")


# What is added up: the table, and the columns that tell its rows apart then.
ROLLED_UP: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **{name: (name, _keys(name)) for name in ("path", "referer", "ip", "agent")},
    **{f"{column}_by_site": ("visitor", ("site", "is_bot", column)) for column in ("ip", "agent")},
}
_ADDED_UP = {"requests": "sum", "bytes": "sum", "first_seen": "min", "last_seen": "max"}


def columns(name: str) -> list[str]:
    """The columns of a roll-up."""
    table, keys = ROLLED_UP[name]
    return ["event_date", *keys, *(figure for figure in _ADDED_UP if figure in EXACT_TABLES[table].figures)]


def added_up(name: str, source: str) -> str:
    """A query for the rows of a roll-up; their day is the last that they are of.

    :param source: the table's rows, as a query.
    """
    _, keys = ROLLED_UP[name]
    figures = [f"{_ADDED_UP[figure]}({figure}) AS {figure}" for figure in columns(name)[1 + len(keys) :]]
    return f"SELECT {', '.join(['max(event_date) AS event_date', *keys, *figures])} FROM ({source}) GROUP BY {', '.join(keys)}"


@dataclass
class Rollup:
    """One that is kept: its table, how many values that has, and how many read it just now."""

    table: str
    values: int
    readers: int = 0


class Rollups:
    """What is kept in one DuckDB. One of these serves all threads."""

    def __init__(self) -> None:
        self._lock, self._making = Lock(), Lock()
        self._kept: OrderedDict[Hashable, Rollup] = OrderedDict()
        self._numbers = count()

    def taken(self, connection: duckdb.DuckDBPyConnection, key: Hashable, query: str) -> Rollup:
        """The table of this key, made where there is none. It stays until it is given back.

        :param key: what the rows are of.
        :param query: for its rows.
        """
        with self._making:  # who wants it too waits, and does not make it again
            found = self._found(key)
            if found is not None:
                return found
            table = f"rollup_{next(self._numbers)}"
            connection.execute(f"CREATE TABLE main.{table} AS {query}")
            size = "SELECT estimated_size * column_count FROM duckdb_tables() WHERE table_name = $name"
            (values,) = connection.execute(size, {"name": table}).fetchall()[0]
            with self._lock:
                made = self._kept[key] = Rollup(table, values, readers=1)
            return made

    def give_back(self, connection: duckdb.DuckDBPyConnection, rollup: Rollup) -> None:
        """Say that it is no longer read. Those that were not read for longest are dropped, if there are too many."""
        with self._lock:
            rollup.readers -= 1
            unread = [key for key, found in self._kept.items() if not found.readers]
            while unread and sum(found.values for found in self._kept.values()) > KEPT_VALUES:
                dropped = self._kept.pop(unread.pop(0))
                connection.execute(f"DROP TABLE main.{dropped.table}")

    def _found(self, key: Hashable) -> Rollup | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                found.readers += 1
                self._kept.move_to_end(key)
            return found
