"""The tables of the exact metrics, ``metrics/batch/``: what they hold and have counted, and how days of them are replaced. I/O."""

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from consumer.components.count_sql import stored
from lakehouse.lake import Lake
from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.tables import (
    FIGURES_HOURS,
    create_table,
    is_table,
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
        versions = {v for path in self.paths.values() for v in self._versions(path)}
        return None if len(versions) > 1 else versions.pop()

    def least_version(self) -> int:
        """The version of ``delta/`` that every table has counted at least; -1 if one has counted nothing yet."""
        return min(v for path in self.paths.values() for v in self._versions(path)[:1])

    def commits(self) -> dict[str, int]:
        """The last commit of each table."""
        return {name: latest_version(path) for name, path in self.paths.items()}

    def stored(self, name: str, days: Iterable[date]) -> str:
        """A query in DuckDB's SQL for the rows of ``days`` that a table holds."""
        wanted = sorted(day.isoformat() for day in days)
        return stored(name, _files(self.paths[name], wanted), wanted)

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
            replace_days(path, rows[name], days, application_id=which, version=version)
            if latest_version(path) % TIDY_COMMITS == 0:
                self._tidy(name)

    def _tidy(self, name: str) -> None:
        """Remove what earlier refreshes left, and join the files of closed days where days have no partitions."""
        if not EXACT_TABLES[name].is_by_day:
            join_small_files(self.paths[name], None)
        tidy(self.paths[name], FIGURES_HOURS)

    def _versions(self, path: Path) -> list[int]:
        """What a table has counted, and what it has begun to count, where that is more."""
        if not is_table(path):
            return [-1]
        table = _opened(path)
        done, begun = (table.transaction_version(i) for i in (self.application_id, _begun(self.application_id)))
        counted = -1 if done is None else done
        return [counted, begun] if begun is not None and begun > counted else [counted]


def _begun(application_id: str) -> str:
    return f"{application_id}/begun"


def _opened(path: Path) -> "DeltaTable":
    from deltalake import DeltaTable

    return DeltaTable(str(path))


def _files(table: Path, days: list[str]) -> dict[str | None, list[str]]:
    """The table's data files by the day of their partition, of those days alone; ``None`` where there are no partitions."""
    actions: Any = _opened(table).get_add_actions(flatten=True)
    paths = [str(table / unquote(path)) for path in actions.column("path").to_pylist()]
    if "partition.event_date" not in actions.schema.names:
        return {None: paths} if paths else {}
    found: dict[str | None, list[str]] = {}
    for day, path in zip(actions.column("partition.event_date").to_pylist(), paths, strict=True):
        if str(day) in days:
            found.setdefault(str(day), []).append(path)
    return found
