"""Reads the lake at one version under any filters: from the exact tables where these carry them, else counted from ``delta/``. I/O.

filters on site, humans and bots               -> the exact tables
on an IP, an agent, and what is known of these -> what is derived from ``visitor``
on anything else                               -> counted from requests, by the very SQL that ``batch`` counts with

The tables' days are UTC's. Of a range of days in another time zone they answer for the days that lie within it as a whole; what
lies at its ends is counted from requests. What is by the day of that zone: see ``local_figures``.
"""

from collections.abc import Callable, Hashable, Iterable
from datetime import date
from functools import cached_property
from pathlib import Path

import duckdb

from consumer.components import count_sql
from consumer.components.count_sql import COUNTED, DERIVED, HOST, INVENTED, PAIR
from consumer.components.filters import NO_VALUE, Filters, spellings
from consumer.components.table_reader import Snapshot, TableReader, explained
from consumer.page.local_days import LocalDays
from consumer.page.rollups import LONG_DAYS, OPEN_DAYS, ROLLED_UP, Rollup, Rollups, added_up, columns
from consumer.page.versions import LakeVersion
from lakehouse.duck import no_pattern, text
from lakehouse.lake import Lake
from lakehouse.metric_columns import EXACT_TABLES

# Besides the exact tables: the view of the requests themselves, and requests and bytes by day, site, kind, status and path.
REQUESTS = "requests"
PATH_STATUS = "path_status"
# ``visitor`` without what tells its rows apart besides the site, the kind and the IP or agent.
BY_SITE = ("ip_by_site", "agent_by_site")
# Of so many requests, of so many days, visitors are counted in other ways than by the day in UTC.
COUNTED_DAYS, COUNTED_REQUESTS = 62, 2_000_000
_PATH_STATUS = """
    SELECT event_date, site, is_bot, status, path, false AS is_other, count(*) AS requests, total(bytes) AS bytes
    FROM requests GROUP BY ALL
"""


class LakeReader(TableReader):
    """A ``TableReader`` whose tables hold what ``filters.values`` leave.

    :param connection: for this reader alone; it makes views and variables there.
    :param filters: their site and kind are left to the queries. Their days are those of ``zone``.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        lake: Lake,
        version: LakeVersion,
        filters: Filters,
        zone: str,
        rollups: Rollups,
    ) -> None:
        super().__init__(connection, lake)
        self.version, self.filters = version, filters
        self.local = LocalDays(zone, filters.first, filters.last, version.days)
        self._made: set[str] = set()
        self._rollups, self._taken = rollups, list[Rollup]()
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(count_sql.MACROS)
        # Response times are asked of the durations themselves.
        connection.execute("CREATE TEMP MACRO sketch(x) AS NULL::BLOB")
        for column, value in filters.values:
            for number, spelling in enumerate(spellings(column, value)):
                _set(connection, column, number, spelling)

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
        """Whether the table answers as it is stored, without a look at requests but for those at the ends of the range."""
        columns = self.filters.value_columns
        keys = set(EXACT_TABLES[name].keys) if name in EXACT_TABLES else None
        is_carried = keys is not None and columns <= keys and not columns & set(INVENTED.values())
        has_hours = name != "hourly" or self.local.has_whole_hours
        return is_carried and name in self.version.exact and has_hours

    @property
    def has_local_days(self) -> bool:
        """Whether the days of tables, and who is a visitor there, are the time zone's own, and not UTC's."""
        return self.local.is_utc or not self.is_stored("visitor")

    @property
    def has_local_visitors(self) -> bool:
        """Whether visitors can be counted by the day of the time zone, be it from tables by the day in UTC."""
        return self.has_local_days or self.is_countable

    @cached_property
    def is_countable(self) -> bool:
        """Whether the requests of the range are so few that their visitors can be counted in other ways than by the day in UTC."""
        days = self.request_files()
        if not days or (max(days) - min(days)).days >= COUNTED_DAYS:
            return not days
        names = ", ".join(text(no_pattern(file)) for files in days.values() for file in files)
        with explained(self.lake.delta):
            query = f"SELECT sum(num_rows) FROM parquet_file_metadata([{names}])"
            (rows,) = self.connection.execute(query).fetchall()[0]
        return int(rows) <= COUNTED_REQUESTS

    def request_files(self) -> dict[date, list[str]]:
        """The files of ``delta/`` that may have requests of the range, by day."""
        found: dict[date, list[str]] = {}
        for file, day in self.version.delta.files.files.items() if self.version.delta else ():
            if day is not None and self.local.touched.has(day):
                found.setdefault(day, []).append(file)
        return found

    def condition(self) -> str:
        """The filters on values, and the days of the range, in SQL on the columns of ``delta/``."""
        has_country = self.version.counted_as is not None and self.version.counted_as.has_country
        values = [
            _is(HOST if column == "referer_host" else f'"{column}"' if column != "country" or has_country else "NULL", column, value)
            for column, value in self.filters.values
        ]  # fmt: skip
        return " AND ".join([*values, self.local.is_chosen('"timestamp"')])

    def _snapshot(self, mode: str, name: str) -> Snapshot | None:
        at = (self.version.streaming if mode == "streaming" else self.version.exact).get(name)
        return None if at is None else at.files.of(self.local.touched.has)

    def _relation(self, mode: str, name: str) -> str | None:
        if not self.has(mode, name):
            return None
        table = "visitor" if name in BY_SITE else name
        if mode == "streaming" or self.is_stored(table):
            return self._stored(mode, name)
        if table == "visitor":
            self._make("visitor", self._visitor_view)
            return "SELECT * FROM visitor"
        if name in DERIVED:
            return self._derived(name)
        self._make("requests", self._requests_view)
        if name == REQUESTS:
            return "SELECT * FROM requests"
        if name == "hourly" and not self.local.is_utc:  # instants are slow to place, and several panels ask for hours
            self._make("hours", lambda: f"CREATE TEMP TABLE hours AS {self._counted(name)}")
            return "SELECT * FROM hours"
        return _PATH_STATUS if name == PATH_STATUS else self._counted(name)

    def _stored(self, mode: str, name: str) -> str | None:
        table = "visitor" if name in BY_SITE else name
        found = self._snapshot(mode, table)
        if found is None:
            return None
        days = self.local.touched if name == "hourly" else self.local.whole
        conditions = [*(_is(column, column, value) for column, value in self.filters.values), days.condition()]
        rows = f"SELECT * FROM ({self._rows(mode, name, found.of(days.has))}) WHERE {' AND '.join(conditions)}"
        if mode == "streaming" or self.local.is_utc:
            return rows
        if name == "hourly":
            day = self.local.day("hour")
            return f"SELECT * REPLACE ({day} AS event_date) FROM ({rows}) WHERE {self.local.is_chosen('hour')}"
        return f"{rows} UNION ALL BY NAME SELECT * FROM ({self._at_the_ends(table)})"

    def _rows(self, mode: str, name: str, found: Snapshot) -> str:
        """The table's rows; of a long range, all but those of the newest days added up over the days."""
        table, _ = ROLLED_UP.get(name, (name, ()))
        newest = self.version.days[-OPEN_DAYS:]
        closed = found.of(lambda day: day < newest[0]) if newest else found
        is_long = found.is_by_day and len(set(closed.files.values())) > LONG_DAYS
        if mode == "streaming" or name not in ROLLED_UP or self.filters.values or not is_long:
            return self._table(table, found)
        query = added_up(name, self._table(table, closed))
        rollup = self._rolled_up((name, frozenset(closed.files)), query)
        rest = Snapshot({file: day for file, day in found.files.items() if file not in closed.files}, found.is_by_day)
        read = ", ".join(columns(name))
        return f"SELECT {read} FROM main.{rollup} UNION ALL SELECT {read} FROM ({self._table(table, rest)})"

    def _at_the_ends(self, name: str) -> str:
        """The rows of a table that are of parts of days of UTC at the ends of the range, by these days."""
        self._make("end_requests", self._end_requests_view)
        named = "requests AS (SELECT * FROM end_requests)"
        if name in COUNTED and name != "visitor":
            return f"WITH {named} {self._counted(name)}"
        self._make("end_visitor", lambda: f"CREATE TEMP TABLE end_visitor AS WITH {named} {self._counted('visitor')}")
        if name == "visitor":
            return "SELECT * FROM end_visitor"
        derived = self._derived_queries
        named = f"visitor AS (SELECT * FROM end_visitor), pair AS ({PAIR}), ip AS ({derived['ip']})"
        return f"WITH {named} SELECT * FROM ({derived[name]})"

    def _path(self, mode: str, name: str) -> Path:
        if name in (REQUESTS, PATH_STATUS):
            return self.lake.delta
        return super()._path(mode, "visitor" if name in BY_SITE else name)

    def _counted(self, name: str) -> str:
        assert self.version.counted_as is not None
        assert name in COUNTED
        return count_sql.counted(name, self.version.counted_as.static_endings)

    @cached_property
    def _derived_queries(self) -> dict[str, str]:
        """What is derived from ``visitor``, ``pair`` and ``ip``, by the table's name."""
        assert self.version.counted_as is not None
        return {name: count_sql.derived(name, has_country=self.version.counted_as.has_country) for name in DERIVED}

    def _derived(self, name: str) -> str:
        self._make("visitor", self._visitor_view)
        self._make("pair", lambda: f"CREATE TEMP VIEW pair AS {PAIR}")
        if name == "daily":
            self._make("ip", lambda: f"CREATE TEMP VIEW ip AS {self._derived_queries['ip']}")
        return self._derived_queries[name]

    def _visitor_view(self) -> str:
        """Several panels are derived from it: it is counted once."""
        if self.is_stored("visitor"):
            query = str(self._stored("batch", "visitor"))
        else:
            self._make("requests", self._requests_view)
            query = self._counted("visitor")
        range_of = (self.local.zone, self.filters.first, self.filters.last)
        key = ("visitor", self.version.name, range_of, self.filters.values)
        return f"CREATE TEMP VIEW visitor AS SELECT * FROM main.{self._rolled_up(key, query)}"

    def _rolled_up(self, key: Hashable, query: str) -> str:
        """A table with the rows of a query, for this reader and others."""
        rollup = self._rollups.taken(self.connection, key, query)
        self._taken.append(rollup)
        return rollup.table

    def _requests_view(self) -> str:
        if self.local.is_utc:
            return self._view("requests", self.request_files())
        day, hour = (part('"timestamp"') for part in (self.local.day, self.local.hour))
        return self._view("requests", self.request_files(), day=day, hour=hour)

    def _end_requests_view(self) -> str:
        return self._view("end_requests", (day for day in self.request_files() if not self.local.whole.has(day)))

    def _view(self, name: str, days: Iterable[date], **columns: str) -> str:
        counted_as = self.version.counted_as
        assert counted_as is not None
        every = self.request_files()
        return count_sql.requests_view(
            (file for day in days for file in every[day]), counted_as.duration, has_country=counted_as.has_country,
            condition=self.condition(), name=name, **columns,
        )  # fmt: skip

    def _make(self, name: str, statement: Callable[[], str]) -> None:
        if name not in self._made:
            self.connection.execute(statement())  # which may be interrupted: then the next one who needs it makes it
            self._made.add(name)


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
