"""The tables of the exact metrics, ``metrics/batch/``: what they hold and have counted, and how days of them are replaced. I/O."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse.duck import stored_days
from lakehouse.lake import Lake
from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.tables import (
    FIGURES_HOURS,
    create_table,
    join_small_files,
    latest_version,
    query,
    ready_for_writing,
    replace_days,
    tidy,
)

if TYPE_CHECKING:
    from deltalake import DeltaTable

# Each refresh rewrites today's files: what they leave is removed once in so many commits of a table.
TIDY_COMMITS = 32


class ExactTables:
    """The tables of one lake.

    :param names: those that are kept.
    :param application_id: of their transactions: it says what they are counted from, and how.
    """

    def __init__(self, lake: Lake, names: Iterable[str], application_id: str) -> None:
        self.paths = {name: lake.metrics("batch", name) for name in names}
        self.application_id = application_id
        self._tables: dict[str, DeltaTable] = {}

    def make_ready(self) -> None:
        """Create those that are not there, and add the columns that those of an older lake lack.

        :raises TableError: one is damaged; nothing is done.
        """
        ready_for_writing(*self.paths.values())
        for name, path in self.paths.items():
            table = EXACT_TABLES[name]
            create_table(
                path, table, partition_by=table.partition_by, description=f"{table.grain}: exact figures",
                kept_hours=FIGURES_HOURS,
            )  # fmt: skip

    def counted_version(self) -> int | None:
        """The version of ``delta/`` that all tables have counted, and nothing beyond it.

        :return: -1 if one has counted nothing yet; ``None`` if they differ: a run was killed between them.
        """
        versions = {v for name in self.paths for v in self._versions(name)}
        return None if len(versions) > 1 else versions.pop()

    def least_version(self) -> int:
        """The version of ``delta/`` that every table has counted at least; -1 if one has counted nothing yet."""
        return min(self._versions(name)[0] for name in self.paths)

    def commits(self) -> dict[str, int]:
        """The last commit of each table."""
        return {name: latest_version(path) for name, path in self.paths.items()}

    def stored(self, name: str, days: Collection[date]) -> str:
        """A query in DuckDB's SQL for the rows of ``days`` that a table holds."""
        return stored_days(self._opened(name), self.paths[name], EXACT_TABLES[name].columns, days)

    def days(self) -> set[date]:
        """Every day that a table has rows of."""
        return {
            day
            for path in self.paths.values()
            for (day,) in query(path, "SELECT DISTINCT event_date FROM t WHERE event_date IS NOT NULL")
        }

    def replace(self, rows: Mapping[str, Any], days: Iterable[date], version: int, *, is_last: bool) -> None:
        """Replace the rows of ``days``: a commit in each table.

        :param version: of ``delta/``, which they are counted from.
        :param is_last: with this the tables have counted all of it. Until then each says that more is to come.
        """
        which = self.application_id if is_last else _begun(self.application_id)
        for name, path in self.paths.items():
            replace_days(self._opened(name), rows[name], days, application_id=which, version=version)
            if latest_version(path) % TIDY_COMMITS == 0:
                self._tidy(name)

    def _opened(self, name: str) -> "DeltaTable":
        """The table as it was when it was first looked at, and since then as this run has changed it.

        What anybody else has done to it meanwhile is then noticed by the next commit, which fails.
        """
        from deltalake import DeltaTable

        if name not in self._tables:
            self._tables[name] = DeltaTable(str(self.paths[name]))
        return self._tables[name]

    def _tidy(self, name: str) -> None:
        """Remove what earlier refreshes left, and join the files of closed days where days have no partitions."""
        if not EXACT_TABLES[name].is_by_day:
            join_small_files(self.paths[name], None)
        tidy(self.paths[name], FIGURES_HOURS)
        del self._tables[name]

    def _versions(self, name: str) -> list[int]:
        """What a table has counted, and what it has begun to count, where that is more."""
        table = self._opened(name)
        done, begun = (table.transaction_version(i) for i in (self.application_id, _begun(self.application_id)))
        counted = -1 if done is None else done
        return [counted, begun] if begun is not None and begun > counted else [counted]


def _begun(application_id: str) -> str:
    return f"{application_id}/begun"
