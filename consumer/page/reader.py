"""Reads the lake at one version under any filters: from the exact tables where these carry them, else counted from ``delta/``. I/O.

filters on site, humans and bots               -> the exact tables
on an IP, an agent, and what is known of these -> what is derived from ``visitor``
on anything else                               -> counted from requests, by the very SQL that ``batch`` counts with
"""

from collections.abc import Callable, Hashable
from datetime import date
from pathlib import Path

import duckdb

from consumer.components import count_sql
from consumer.components.count_sql import COUNTED, DERIVED, HOST, INVENTED, PAIR
from consumer.components.filters import NO_VALUE, Filters, spellings
from consumer.components.table_reader import Snapshot, TableReader
from consumer.page.rollups import LONG_DAYS, OPEN_DAYS, ROLLED_UP, Rollup, Rollups, added_up, columns
from consumer.page.versions import LakeVersion
from lakehouse.lake import Lake
from lakehouse.metric_columns import EXACT_TABLES

# Besides the exact tables: the view of the requests themselves, and requests and bytes by day, site, kind, status and path.
REQUESTS = "requests"
PATH_STATUS = "path_status"
# ``visitor`` without what tells its rows apart besides the site, the kind and the IP or agent.
BY_SITE = ("ip_by_site", "agent_by_site")
_PATH_STATUS = """
    SELECT event_date, site, is_bot, status, path, false AS is_other, count(*) AS requests, total(bytes) AS bytes
    FROM requests GROUP BY ALL
"""


class LakeReader(TableReader):
    """A ``TableReader`` whose tables hold what ``filters.values`` leave.

    :param connection: for this reader alone; it makes views and variables there.
    :param filters: their site and kind are left to the queries.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        lake: Lake,
        version: LakeVersion,
        filters: Filters,
        rollups: Rollups,
    ) -> None:
        super().__init__(connection, lake, filters.first, filters.last)
        self.version, self.filters = version, filters
        self._made: set[str] = set()
        self._rollups, self._taken = rollups, list[Rollup]()
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(count_sql.MACROS)
        connection.execute(
            "CREATE TEMP MACRO sketch(x) AS NULL::BLOB"
        )  # response times are asked of the durations themselves
        for column, value in filters.values:
            for number, text in enumerate(spellings(column, value)):
                _set(connection, column, number, text)

    def close(self) -> None:
        """Give back what others read, too. Nothing can be read from then on."""
        for rollup in self._taken:
            self._rollups.give_back(self.connection, rollup)

    def has(self, mode: str, name: str) -> bool:
        """Whether the table is there, or can be counted."""
        if mode == "streaming":
            return name in self.version.streaming and not self.filters.values
        counted_as = self.version.counted_as
        return (
            self.version.delta is not None and counted_as is not None and (name != "country" or counted_as.has_country)
        )

    def is_stored(self, name: str) -> bool:
        """Whether the table answers as it is stored, without a look at the requests."""
        columns = self.filters.value_columns
        is_carried = (
            columns <= set(EXACT_TABLES[name].keys) and not columns & set(INVENTED.values())
            if name in EXACT_TABLES
            else False
        )
        return is_carried and name in self.version.exact

    def request_files(self) -> dict[date, list[str]]:
        """The files of ``delta/`` that may have requests of the range, by day."""
        found: dict[date, list[str]] = {}
        for file, day in self.version.delta.files.files.items() if self.version.delta else ():
            if day is not None and self._has_day(day):
                found.setdefault(day, []).append(file)
        return found

    def condition(self) -> str:
        """The filters on values, in SQL on the columns of ``delta/``."""
        has_country = self.version.counted_as is not None and self.version.counted_as.has_country
        return " AND ".join(
            _is(HOST if column == "referer_host" else f'"{column}"' if column != "country" or has_country else "NULL", column, value)
            for column, value in self.filters.values
        ) or "true"  # fmt: skip

    def _snapshot(self, mode: str, name: str) -> Snapshot | None:
        at = (self.version.streaming if mode == "streaming" else self.version.exact).get(name)
        return None if at is None else at.files.of(self._has_day)

    def _relation(self, mode: str, name: str) -> str | None:
        if not self.has(mode, name):
            return None
        if name in BY_SITE:
            can_roll_up = self.is_stored("visitor") and not self.filters.values
            return self._stored(mode, name) if can_roll_up else self._relation(mode, "visitor")
        if mode == "streaming" or self.is_stored(name):
            return self._stored(mode, name)
        if name in DERIVED:
            return self._derived(name)
        self._make("requests", self._requests_view)
        if name == REQUESTS:
            return "SELECT * FROM requests"
        return _PATH_STATUS if name == PATH_STATUS else self._counted(name)

    def _stored(self, mode: str, name: str) -> str | None:
        found = self._snapshot(mode, "visitor" if name in BY_SITE else name)
        condition = " AND ".join(_is(column, column, value) for column, value in self.filters.values)
        return None if found is None else f"SELECT * FROM ({self._rows(mode, name, found)}) WHERE {condition or 'true'}"

    def _rows(self, mode: str, name: str, found: Snapshot) -> str:
        """The table's rows; of a long range, all but those of the newest days added up over the days."""
        table, _ = ROLLED_UP.get(name, (name, ()))
        newest = self.version.days[-OPEN_DAYS:]
        closed = found.of(lambda day: day < newest[0]) if newest else found
        is_long = len(set(closed.files.values())) > LONG_DAYS
        if mode == "streaming" or name not in ROLLED_UP or self.filters.values or not is_long:
            return self._table(table, found)
        query = added_up(name, self._table(table, closed))
        rollup = self._rolled_up((name, frozenset(closed.files)), query)
        rest = Snapshot({file: day for file, day in found.files.items() if file not in closed.files}, found.is_by_day)
        read = ", ".join(columns(name))
        return f"SELECT {read} FROM main.{rollup} UNION ALL SELECT {read} FROM ({self._table(table, rest)})"

    def _path(self, mode: str, name: str) -> Path:
        if name in (REQUESTS, PATH_STATUS):
            return self.lake.delta
        return super()._path(mode, "visitor" if name in BY_SITE else name)

    def _counted(self, name: str) -> str:
        assert self.version.counted_as is not None
        assert name in COUNTED
        return count_sql.counted(name, self.version.counted_as.static_endings)

    def _derived(self, name: str) -> str:
        assert self.version.counted_as is not None
        self._make("visitor", self._visitor_view)
        self._make("pair", lambda: f"CREATE TEMP VIEW pair AS {PAIR}")
        derived = {n: count_sql.derived(n, has_country=self.version.counted_as.has_country) for n in DERIVED}
        if name == "daily":
            self._make("ip", lambda: f"CREATE TEMP VIEW ip AS {derived['ip']}")
        return derived[name]

    def _visitor_view(self) -> str:
        """Several panels are derived from it: it is counted once."""
        if self.is_stored("visitor"):
            query = str(self._stored("batch", "visitor"))
        else:
            self._make("requests", self._requests_view)
            query = self._counted("visitor")
        key = ("visitor", self.version.name, self.first, self.last, self.filters.values)
        return f"CREATE TEMP VIEW visitor AS SELECT * FROM main.{self._rolled_up(key, query)}"

    def _rolled_up(self, key: Hashable, query: str) -> str:
        """A table with the rows of a query, for this reader and others."""
        rollup = self._rollups.taken(self.connection, key, query)
        self._taken.append(rollup)
        return rollup.table

    def _requests_view(self) -> str:
        counted_as = self.version.counted_as
        assert counted_as is not None
        names = [file for files in self.request_files().values() for file in files]
        return count_sql.requests_view(
            names, counted_as.duration, has_country=counted_as.has_country, condition=self.condition()
        )

    def _make(self, name: str, statement: Callable[[], str]) -> None:
        if name not in self._made:
            self._made.add(name)
            self.connection.execute(statement())


def _is(expression: str, column: str, value: str) -> str:
    if value == NO_VALUE:
        return f"{expression} IS NULL"
    wanted = [f"getvariable('wanted_{column}_{number}')" for number in range(len(spellings(column, value)))]
    return f"{expression} = {wanted[0]}" if len(wanted) == 1 else f"{expression} IN ({', '.join(wanted)})"


def _set(connection: duckdb.DuckDBPyConnection, column: str, number: int, text: str) -> None:
    """What somebody typed reaches queries as the value of a variable."""
    if text != NO_VALUE:
        value = int(text) if column == "status" else text
        connection.execute(f"SET VARIABLE wanted_{column}_{number} = $value", {"value": value})
