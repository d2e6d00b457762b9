"""The ledger: one row per run of a job, one per landed file with where its rows went, one per thing that goes on.

A *delivery* is one arrival of a landed file. Its name is the file's; when a file that was already retired arrives again
under the same name, the next delivery is ``name/2`` (no file is called so), so that each arrival is counted by itself.
Deliveries that were retired long ago and have nothing in quarantine are folded: their figures live on in sums, their
names in numbers of eight bytes.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from lakehouse.errors import PipelineError
from lakehouse.failures import explained
from lakehouse.lake import file_stamp
from lakehouse.stopping import Stopped

# One row with the sums of the folded deliveries; how many deliveries of a name are folded.
FOLDED_DDL = """
CREATE TABLE IF NOT EXISTS folded (
    files INTEGER NOT NULL, rows INTEGER NOT NULL, merged INTEGER NOT NULL, duplicates INTEGER NOT NULL,
    merged_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS folded_names (name_hash INTEGER PRIMARY KEY, deliveries INTEGER NOT NULL);
"""
DDL = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS runs (
    run_id INTEGER PRIMARY KEY, job TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, exit_code INTEGER,
    figures TEXT NOT NULL DEFAULT '{{}}');
CREATE INDEX IF NOT EXISTS runs_by_job ON runs (job, run_id);
CREATE TABLE IF NOT EXISTS files (
    landed_file TEXT PRIMARY KEY, name TEXT NOT NULL, run_id INTEGER NOT NULL, rows INTEGER NOT NULL,
    merged INTEGER NOT NULL, duplicates INTEGER NOT NULL, quarantined INTEGER NOT NULL, reasons TEXT NOT NULL,
    refused TEXT, stamp TEXT NOT NULL, merged_at TEXT NOT NULL, retired_at TEXT);
CREATE INDEX IF NOT EXISTS files_by_name ON files (name);
CREATE INDEX IF NOT EXISTS files_waiting ON files (landed_file) WHERE retired_at IS NULL;
-- The last progress of all that goes on: the stream and its queries, producers. Named when there were only queries.
CREATE TABLE IF NOT EXISTS queries (name TEXT PRIMARY KEY, updated_at TEXT NOT NULL, progress TEXT NOT NULL);
{FOLDED_DDL}
COMMIT;
"""
# Every delivery's figures, and in one row more those of the folded ones.
EVERY = """
SELECT 1 AS files, refused IS NOT NULL AS refused, rows, merged, duplicates, quarantined, reasons, merged_at FROM files
UNION ALL SELECT files, 0, rows, merged, duplicates, 0, '{}', merged_at FROM folded
"""
IS_BALANCED = "rows = merged + duplicates + quarantined"
FOLDABLE = f"FROM files WHERE retired_at < :before AND quarantined = 0 AND {IS_BALANCED}"
FOLDING = f"""
SELECT sum(files), sum(rows), sum(merged), sum(duplicates), min(merged_at) FROM (
    SELECT 1 AS files, rows, merged, duplicates, merged_at {FOLDABLE}
    UNION ALL SELECT files, rows, merged, duplicates, merged_at FROM folded)
"""
BUSY_SECONDS = 30
RUNS_KEPT = 1000
# Among a run's figures: what it has begun and must be settled, by itself or, if it is killed, by the next run.
IN_HAND = "in_hand"
# What can be known of a run of something.
NEVER, RUNNING, ENDED, KILLED = "never run", "running", "ended", "killed"


@dataclass(frozen=True)
class FileFigures:
    """Where the rows of one delivery went: ``rows = merged + duplicates + quarantined``.

    ``refused`` is the reason why the whole file was refused; it then counts as one row and one quarantined row.
    ``stamp`` is ``lake.file_stamp`` of the file that was merged.
    """

    landed_file: str
    name: str
    rows: int
    merged: int
    duplicates: int
    quarantined: int
    reasons: dict[str, int] = field(default_factory=dict)
    refused: str | None = None
    stamp: str = field(default="", compare=False)

    @property
    def is_balanced(self) -> bool:
        """Whether every row is accounted for exactly once."""
        return self.rows == self.merged + self.duplicates + self.quarantined


@dataclass
class Run:
    """One run of a job while it lasts. ``figures`` is what it wants remembered; ``exit_code`` what it ends with."""

    run_id: int
    figures: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0


def now_text() -> str:
    """The time in UTC, ISO 8601, as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Ledger:
    """The ledger of one lake.

    :param path: ``Lake.ledger``; made with its folder on the first write. Readers of a missing ledger see an empty one.
    :param busy_seconds: how long to wait for another process that writes.
    """

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self.busy_seconds = busy_seconds

    @contextmanager
    def run(self, job: str) -> Iterator[Run]:
        """Record a run of ``job``: its start now, its end, exit code and figures when the block is left."""
        with self._writing() as db:
            run_id = db.execute("INSERT INTO runs (job, started_at) VALUES (?, ?)", (job, now_text())).lastrowid
        assert run_id is not None
        run = Run(run_id)
        try:
            yield run
        except BaseException as error:
            stopped = error if isinstance(error, Stopped) else None
            run.exit_code = run.exit_code or (128 + stopped.number if stopped else 1)
            known = stopped or explained(error)
            run.figures.setdefault("error", (str(known) if known else f"{type(error).__name__}: {error}")[:500])
            raise
        finally:
            with self._writing() as db:
                db.execute(
                    "UPDATE runs SET ended_at = ?, exit_code = ?, figures = ? WHERE run_id = ?",
                    (now_text(), run.exit_code, json.dumps(run.figures), run.run_id),
                )
                db.execute(
                    "DELETE FROM runs WHERE job = :job"
                    " AND run_id < (SELECT run_id FROM runs WHERE job = :job ORDER BY run_id DESC LIMIT 1 OFFSET :kept)"
                    " AND run_id IS NOT (SELECT max(run_id) FROM runs WHERE job = :job AND exit_code = 0)",
                    {"job": job, "kept": RUNS_KEPT},
                )

    def note(self, run: Run) -> None:
        """Write down the figures of a run that goes on, so that they outlive it if it is killed."""
        with self._writing() as db:
            db.execute("UPDATE runs SET figures = ? WHERE run_id = ?", (json.dumps(run.figures), run.run_id))

    def in_hand(self, job: str) -> dict[str, Any] | None:
        """What a run of ``job`` noted as ``IN_HAND`` and no run has settled since."""
        with self._reading() as db:
            row = db.execute(
                "SELECT json_extract(figures, :path) FROM runs WHERE job = :job"
                " AND json_type(figures, :path) IS NOT NULL ORDER BY run_id DESC LIMIT 1",
                {"job": job, "path": f"$.{IN_HAND}"},
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def settle(self, job: str, figures: Iterable[FileFigures]) -> None:
        """Correct where the rows of these deliveries went, and forget what ``job`` had in hand: all or none."""
        rows = [(f.merged, f.duplicates, f.quarantined, json.dumps(f.reasons), f.landed_file) for f in figures]
        with self._writing() as db:
            db.executemany(
                "UPDATE files SET merged = ?, duplicates = ?, quarantined = ?, reasons = ? WHERE landed_file = ?", rows
            )
            db.execute("UPDATE runs SET figures = json_remove(figures, ?) WHERE job = ?", (f"$.{IN_HAND}", job))

    def record_files(self, run: Run, figures: Iterable[FileFigures]) -> None:
        """Record where the rows of these deliveries went, all or none."""
        merged_at = now_text()
        rows = [
            (f.landed_file, f.name, run.run_id, f.rows, f.merged, f.duplicates, f.quarantined,
             json.dumps(f.reasons), f.refused, f.stamp, merged_at)
            for f in figures
        ]  # fmt: skip
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO files (landed_file, name, run_id, rows, merged, duplicates, quarantined,"
                " reasons, refused, stamp, merged_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def forget(self, landed_files: Iterable[str]) -> None:
        """Forget these deliveries: they are merged, and counted, again."""
        with self._writing() as db:
            db.executemany("DELETE FROM files WHERE landed_file = ?", [(name,) for name in landed_files])

    def deliveries(self, files: Iterable[Path]) -> dict[str, str]:
        """Of the files now in the landing folder, those not merged yet: name to delivery name, in the given order.

        A file is another delivery than the last one under its name if that was retired, or if it is another file.
        """
        pending = {}
        with self._reading() as db:
            for path in files:
                known = db.execute(
                    "SELECT retired_at, stamp FROM files WHERE name = ? ORDER BY rowid", (path.name,)
                ).fetchall()
                if not known or known[-1][0] is not None or known[-1][1] != file_stamp(path):
                    number = _folded_deliveries(db, path.name) + len(known) + 1
                    pending[path.name] = path.name if number == 1 else f"{path.name}/{number}"
        return pending

    def files(self, landed_files: Iterable[str]) -> list[FileFigures]:
        """Those of these deliveries that are recorded."""
        names = json.dumps(sorted(set(landed_files)))
        return self._file_figures("landed_file IN (SELECT value FROM json_each(?))", names)

    def has_files(self) -> bool:
        """Whether any delivery is known."""
        with self._reading() as db:
            return db.execute(f"SELECT 1 FROM ({EVERY}) LIMIT 1").fetchone() is not None

    def waiting_to_retire(self) -> list[FileFigures]:
        """Deliveries that are merged and whose landed file has not been retired yet."""
        return self._file_figures("retired_at IS NULL")

    def retire(self, landed_files: Iterable[str]) -> None:
        """Record that these deliveries' files are gone."""
        retired_at = now_text()
        with self._writing() as db:
            db.executemany(
                "UPDATE files SET retired_at = ? WHERE landed_file = ?", [(retired_at, name) for name in landed_files]
            )

    def fold(self, before: datetime) -> int:
        """Fold the deliveries that were retired before then (UTC) into sums, all or none.

        Those with rows in quarantine stay, refused files too, for these rows may yet leave it; and those that do not add up.

        :return: how many were folded.
        """
        time = {"before": before.isoformat(timespec="milliseconds")}
        with self._writing() as db:
            db.execute("BEGIN IMMEDIATE")
            names = db.execute(f"SELECT name, count(*) {FOLDABLE} GROUP BY name", time).fetchall()
            if names:
                sums = db.execute(FOLDING, time).fetchone()
                db.execute("DELETE FROM folded")
                db.execute("INSERT INTO folded VALUES (?, ?, ?, ?, ?)", sums)
                db.executemany(
                    "INSERT INTO folded_names VALUES (?, ?)"
                    " ON CONFLICT (name_hash) DO UPDATE SET deliveries = deliveries + excluded.deliveries",
                    [(_name_hash(name), deliveries) for name, deliveries in names],
                )
                db.execute(f"DELETE {FOLDABLE}", time)
        return sum(deliveries for _, deliveries in names)

    def totals(self) -> dict[str, int]:
        """Sums over all deliveries: files, refused (files), rows, merged, duplicates, quarantined, unbalanced (files)."""
        with self._reading() as db:
            row = db.execute(
                "SELECT total(files), total(refused), total(rows), total(merged), total(duplicates), total(quarantined),"
                f" total(NOT {IS_BALANCED}) FROM ({EVERY})"
            ).fetchone()
        names = ("files", "refused", "rows", "merged", "duplicates", "quarantined", "unbalanced")
        return {name: int(value) for name, value in zip(names, row, strict=True)}

    def unbalanced_files(self) -> list[FileFigures]:
        """Deliveries whose rows are not all accounted for exactly once: there should be none."""
        return self._file_figures(f"NOT {IS_BALANCED}")

    def first_merged_at(self) -> str | None:
        """When the first landed file was merged, or ``None``."""
        with self._reading() as db:
            row = db.execute(f"SELECT min(merged_at) FROM ({EVERY})").fetchone()
        return None if row[0] is None else str(row[0])

    def reasons(self) -> dict[str, int]:
        """How many quarantined rows gave each reason, most frequent first; a row can give several."""
        with self._reading() as db:
            rows = db.execute(
                f"SELECT key, sum(value) FROM ({EVERY}) AS every, json_each(every.reasons)"
                " GROUP BY key ORDER BY 2 DESC, 1"
            ).fetchall()
        return {key: int(count) for key, count in rows}

    def last_runs(self) -> dict[str, dict[str, Any]]:
        """The last run of each job: run_id, started_at, ended_at (null while it goes on), exit_code, figures."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT job, run_id, started_at, ended_at, exit_code, figures FROM runs"
                " WHERE run_id IN (SELECT max(run_id) FROM runs GROUP BY job) ORDER BY job"
            ).fetchall()
        names = ("run_id", "started_at", "ended_at", "exit_code")
        return {r[0]: dict(zip(names, r[1:5], strict=True)) | {"figures": json.loads(r[5])} for r in rows}

    def last_good_ends(self) -> dict[str, str]:
        """When each job last ended with exit code 0."""
        with self._reading() as db:
            # By number, not by time: a clock may have been set back.
            last = "SELECT max(run_id) FROM runs WHERE exit_code = 0 GROUP BY job"
            return dict(db.execute(f"SELECT job, ended_at FROM runs WHERE run_id IN ({last}) ORDER BY job"))

    def last_figure(self, job: str, figure: str) -> Any:
        """``figure`` as the last run of ``job`` that ended well and had it left it, or ``None``."""
        with self._reading() as db:
            row = db.execute(
                "SELECT json_extract(figures, ?) FROM runs WHERE job = ? AND exit_code = 0"
                " AND json_type(figures, ?) IS NOT NULL ORDER BY run_id DESC LIMIT 1",
                (f"$.{figure}", job, f"$.{figure}"),
            ).fetchone()
        return None if row is None else row[0]

    def record_progress(self, name: str, progress: dict[str, Any]) -> None:
        """Keep the last progress of something that goes on, in the place of the one before."""
        with self._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO queries (name, updated_at, progress) VALUES (?, ?, ?)",
                (name, now_text(), json.dumps(progress)),
            )

    def touch_progress(self, name: str) -> None:
        """Record that something goes on now, with nothing new to say: what it last said is kept."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO queries (name, updated_at, progress) VALUES (?, ?, '{}')"
                " ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at",
                (name, now_text()),
            )

    def clear_progress(self, name: str) -> None:
        """Forget the progress of something."""
        with self._writing() as db:
            db.execute("DELETE FROM queries WHERE name = ?", (name,))

    def progress(self) -> dict[str, dict[str, Any]]:
        """The last progress of all that goes on, or did: updated_at, progress."""
        with self._reading() as db:
            rows = db.execute("SELECT name, updated_at, progress FROM queries ORDER BY name").fetchall()
        return {name: {"updated_at": at, "progress": json.loads(progress)} for name, at, progress in rows}

    def _file_figures(self, condition: str, *values: str) -> list[FileFigures]:
        columns = "landed_file, name, rows, merged, duplicates, quarantined, reasons, refused, stamp"
        with self._reading() as db:
            found = db.execute(f"SELECT {columns} FROM files WHERE {condition} ORDER BY landed_file", values).fetchall()
        return [
            FileFigures(file, name, rows, merged, duplicates, quarantined, json.loads(reasons), refused, stamp)
            for file, name, rows, merged, duplicates, quarantined, reasons, refused, stamp in found
        ]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._connected(f"{self.path.absolute().as_uri()}?mode=rwc") as db:
            if not _has_table(db, "folded_names"):
                db.executescript(DDL)
            with db:
                yield db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with ExitStack() as stack:
            db = None
            if self.path.exists():
                # A reader that may write can also finish what a killed writer left behind.
                mode = "rw" if os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK) else "ro"
                db = stack.enter_context(self._connected(f"{self.path.absolute().as_uri()}?mode={mode}"))
            if db is None or not _has_table(db, "queries"):
                db = stack.enter_context(self._connected("file::memory:"))
                db.executescript(DDL)
            elif not _has_table(db, "folded_names"):  # made when nothing was folded yet
                db.executescript(FOLDED_DDL.replace("CREATE TABLE", "CREATE TEMP TABLE"))
            yield db

    @contextmanager
    def _connected(self, uri: str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=self.busy_seconds)) as db:
                yield db
        except sqlite3.Error as error:
            raise PipelineError(f"{self.path}: the ledger cannot be used: {error}; {_advice(error)}") from error


def _advice(error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return "it is damaged: move it away, the next merge makes it anew from the tables"
    return "see to its permissions and the disk's space"


def _folded_deliveries(db: sqlite3.Connection, name: str) -> int:
    found = db.execute("SELECT deliveries FROM folded_names WHERE name_hash = ?", (_name_hash(name),)).fetchone()
    return 0 if found is None else int(found[0])


def _name_hash(name: str) -> int:
    """What is remembered of a folded name. Two names that share it would only be numbered as if they were one."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


def _has_table(db: sqlite3.Connection, name: str) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])
