"""What a Delta table's commits did to its rows, by ``event_date``: read from its log alone, without a JVM. I/O."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lakehouse.errors import TableError
from lakehouse.tables import latest_version


@dataclass(frozen=True)
class DataFile:
    """A data file of a table, and how large it is in bytes."""

    path: Path
    bytes: int


@dataclass(frozen=True)
class Changes:
    """What a range of commits did: the files that they added, by day, and the days of which they took rows away."""

    added: dict[date, list[DataFile]] = field(default_factory=dict)
    rewritten: set[date] = field(default_factory=set)

    @property
    def days(self) -> set[date]:
        """Every day whose rows changed."""
        return {*self.added, *self.rewritten}


def changes(table: Path, since: int, until: int) -> Changes | None:
    """What the commits after ``since``, up to ``until``, did. Compaction changes no rows, and is nothing here.

    :return: ``None`` where the log does not reach back that far: all days must be taken as changed.
    """
    found = Changes()
    for version in range(since + 1, until + 1):
        try:
            for kind, action in _data_changes(table / "_delta_log" / f"{version:020}.json"):
                day = date.fromisoformat(action["partitionValues"]["event_date"])
                if kind == "add" and not action.get("deletionVector"):
                    file = DataFile(table / unquote(action["path"]), action["size"])
                    found.added.setdefault(day, []).append(file)
                else:
                    found.rewritten.add(day)
        except FileNotFoundError:
            return None
    return found


def data_files(table: Path, version: int) -> dict[date, list[DataFile]]:
    """The data files of a table partitioned by ``event_date`` as they were at a version, by day.

    :raises TableError: rows of a file may have been deleted without rewriting it, which only Spark knows.
    """
    from deltalake import DeltaTable

    opened = DeltaTable(str(table), version=version)
    if "deletionVectors" in (opened.protocol().reader_features or ()):
        raise TableError(
            f"{table}: the table has deletion vectors, which only Spark reads; do away with them by Spark SQL: "
            f"ALTER TABLE delta.`{table}` DROP FEATURE deletionVectors"
        )
    actions: Any = opened.get_add_actions(flatten=True)
    columns = (actions.column(name).to_pylist() for name in ("partition.event_date", "path", "size_bytes"))
    found: dict[date, list[DataFile]] = {}
    for day, path, size in zip(*columns, strict=True):
        found.setdefault(day, []).append(DataFile(table / unquote(path), size))
    return found


def changed_days(table: Path, since: int) -> set[date] | None:
    """The days whose rows changed in commits after ``since``; ``None`` as ``changes``."""
    found = changes(table, since, latest_version(table))
    return None if found is None else found.days


def _data_changes(commit: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # Of bytes: in text, characters that a log can bring into a column's statistics would end lines too.
    for line in commit.read_bytes().splitlines():
        for kind, action in json.loads(line).items():
            if kind in ("add", "remove") and action["dataChange"]:
                yield kind, action
