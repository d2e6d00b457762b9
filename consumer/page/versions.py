"""The lake at one version of ``delta/``: what all panels of one answer are read from. I/O.

``batch`` commits table after table. Each commit says which version of ``delta/`` it has counted, so tables that say the same belong
together, and ``delta/`` itself is read at that version. While they differ, what belonged together last is shown.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from consumer.components.definition import Definition, definition
from consumer.components.table_reader import Snapshot, explained, snapshot
from lakehouse.lake import GRAINS, Lake, file_stamp
from lakehouse.settings import Settings
from lakehouse.tables import is_table, latest_version

if TYPE_CHECKING:
    from deltalake import DeltaTable

# How often the tables' logs are looked at: several requests of one page share a look.
LOOK_SECONDS = 1.0
# Files that a table no longer uses are kept for an hour: so long may figures of an earlier version be shown.
KEPT_SECONDS = 1800.0


@dataclass(frozen=True)
class TableAt:
    """A table at one version, and when that was committed (UTC)."""

    version: int
    committed_at: datetime
    files: Snapshot


@dataclass(frozen=True)
class LakeVersion:
    """What one answer is read from.

    :param delta: ``delta/`` at the version that is shown; ``None`` where nothing has been merged.
    :param newest: the newest version of ``delta/``; ``exact`` may not have counted it yet.
    :param columns: those of ``delta/``, with Delta's types.
    :param counted_as: how requests are counted.
    :param exact: the tables of ``metrics/batch/`` that have counted exactly ``delta``; all, or none.
    :param streaming: the tables of ``metrics/streaming/``, each as it is now.
    """

    delta: TableAt | None = None
    newest: int = -1
    columns: Mapping[str, str] = field(default_factory=dict)
    counted_as: Definition | None = None
    exact: Mapping[str, TableAt] = field(default_factory=dict)
    streaming: Mapping[str, TableAt] = field(default_factory=dict)

    @property
    def days(self) -> list[date]:
        """The days that there are requests of, in order."""
        return sorted({day for day in self.delta.files.files.values() if day}) if self.delta else []

    @property
    def name(self) -> tuple[str, int, bool]:
        """Two answers from versions of the same name are the same, but for what streams."""
        at = "" if self.delta is None else self.delta.committed_at.isoformat()
        return at, -1 if self.delta is None else self.delta.version, bool(self.exact)


class OpenTables:
    """The tables of a lake, kept open. One of these serves all threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lake: Lake = settings.lake
        self._lock = Lock()
        self._open: dict[Path, DeltaTable] = {}
        self._facts: dict[Path, TableAt] = {}
        self._stamps: dict[Path, str | None] = {}
        self._last: LakeVersion | None = None
        self._looked_at = self._agreed_at = float("-inf")

    def version(self, *, is_forced: bool = False) -> LakeVersion:
        """What is to be shown now.

        :param is_forced: look at the logs whatever has just been looked at, for a file was gone.
        :raises PipelineError: a table cannot be read.
        """
        with self._lock:
            if self._last is None or is_forced or time.monotonic() - self._looked_at > LOOK_SECONDS:
                self._last = self.looked_up(None if is_forced else self._last)
                self._looked_at = time.monotonic()
            return self._last

    def looked_up(self, last: LakeVersion | None) -> LakeVersion:
        """What is to be shown, by the tables' logs as they are now.

        :param last: what was shown before; it goes on to be shown while the tables differ.
        """
        streaming = self._all("streaming", GRAINS)
        delta = self._opened(self.lake.delta)
        if delta is None:
            return LakeVersion(streaming=streaming)
        columns = {f.name: str(getattr(f.type, "type", "")) for f in delta.schema().fields}
        counted_as = definition(self.settings, columns.keys())
        counted = self._counted(counted_as, f"{delta.metadata().id}/{counted_as.fingerprint}")
        now = time.monotonic()
        if counted is None and last is not None and last.exact and now - self._agreed_at < KEPT_SECONDS:
            return LakeVersion(last.delta, delta.version(), last.columns, last.counted_as, last.exact, streaming)
        at = None if counted is None else self._delta_at(delta, counted)
        if counted is None or at is None:
            return LakeVersion(self._now(self.lake.delta, delta), delta.version(), columns, counted_as, {}, streaming)
        self._agreed_at = now
        exact = self._all("batch", counted_as.tables, is_new=False)
        return LakeVersion(at, delta.version(), columns, counted_as, exact, streaming)

    def _counted(self, counted_as: Definition, application_id: str) -> int | None:
        """The version of ``delta/`` that all exact tables have counted, and nothing beyond; ``None`` where there is none."""
        found = set()
        for name in counted_as.tables:
            table = self._opened(self.lake.metrics("batch", name))
            if table is None:
                return None
            done, begun = (table.transaction_version(i) for i in (application_id, f"{application_id}/begun"))
            found.add(done if begun is None or (done is not None and begun <= done) else None)
        return found.pop() if len(found) == 1 else None

    def _delta_at(self, newest: "DeltaTable", version: int) -> TableAt | None:
        """``delta/`` at a version; ``None`` where its log no longer reaches back that far."""
        from deltalake import DeltaTable

        if version == newest.version():
            return self._now(self.lake.delta, newest)
        known = self._facts.get(self.lake.delta)
        if known is not None and known.version == version:
            return known
        try:
            table = DeltaTable(str(self.lake.delta), version=version)
        except Exception:  # noqa: BLE001  delta-rs raises bare ones too
            return None
        return self._now(self.lake.delta, table)

    def _all(self, mode: str, names: Iterable[str], *, is_new: bool = True) -> dict[str, TableAt]:
        """These tables of ``metrics/``, as far as they are there; unless ``is_new``, as they were opened last."""
        found = {}
        for path, name in ((self.lake.metrics(mode, name), name) for name in names):
            table = self._opened(path) if is_new else self._open.get(path)
            if table is not None:
                found[name] = self._now(path, table)
        return found

    def _now(self, path: Path, table: "DeltaTable") -> TableAt:
        """The table as it is open; what was read of this version before is not read again."""
        known = self._facts.get(path)
        if known is None or known.version != table.version():
            with explained(path):
                committed_at = datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, UTC)
                self._facts[path] = TableAt(table.version(), committed_at, snapshot(table, path))
        return self._facts[path]

    def _opened(self, path: Path) -> "DeltaTable | None":
        """The table, brought up to its newest commit; ``None`` where there is none."""
        from deltalake import DeltaTable

        known = self._open.get(path)
        if known is not None and latest_version(path) == known.version() and self._is_same(path, known):
            return known
        with explained(path):
            if not is_table(path):
                self._forget(path)
                return None
            if known is not None and self._is_same(path, known):
                known.update_incremental()
            else:
                self._forget(path)
                known = self._open[path] = DeltaTable(str(path))
            self._stamps[path] = _stamp(path, known)
            return known

    def _is_same(self, path: Path, known: "DeltaTable") -> bool:
        """Whether the commit that we know last is still there: otherwise its log was cleaned, or the table made anew."""
        stamp = self._stamps.get(path)
        return stamp is not None and stamp == _stamp(path, known)

    def _forget(self, path: Path) -> None:
        for known in (self._open, self._facts, self._stamps):
            known.pop(path, None)


def _stamp(path: Path, table: "DeltaTable") -> str | None:
    return file_stamp(path / "_delta_log" / f"{table.version():020}.json")
