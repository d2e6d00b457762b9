"""Where everything in ``data_lake/`` stands. Paths only: importing or using this opens nothing."""

import os
from dataclasses import dataclass
from pathlib import Path

from lakehouse.metric_columns import EXACT_TABLES, SHARED_TABLES

# The metrics tables that metrics/streaming/ and metrics/batch/ both have.
GRAINS = tuple(SHARED_TABLES)
# All of metrics/batch/.
EXACT_GRAINS = tuple(EXACT_TABLES)
# In the landing folder, and no part of it: what one pass writes down for itself, such as the copy of landed rows that
# Sail reads. Written anew by each.
STAGED_FOLDER = "_staged"


@dataclass(frozen=True)
class Lake:
    """The folders of one lake.

    :param root: the lake's top folder, ``data_lake/`` by default.
    """

    root: Path

    @property
    def landing(self) -> Path:
        """Batches waiting to be merged: one row per received line, Parquet or NDJSON files."""
        return self.root / "logs_to_merge"

    @property
    def logs(self) -> Path:
        """Raw archive: one row per received line, Parquet, written by Structured Streaming's file sink."""
        return self.root / "logs"

    @property
    def merged(self) -> Path:
        """Delta: one row per request, cleaned and unique."""
        return self.root / "merged"

    @property
    def quarantine(self) -> Path:
        """Delta: one row per rejected row or refused file, with every reason."""
        return self.root / "quarantine"

    @property
    def refused_files(self) -> Path:
        """The refused files themselves, byte for byte. Delta ignores folders that start with ``_``."""
        return self.quarantine / "_files"

    @property
    def delta(self) -> Path:
        """Delta: ``merged/`` enriched, one row per request."""
        return self.root / "delta"

    def metrics(self, mode: str, grain: str) -> Path:
        """Delta: figures by day and key.

        :param mode: ``streaming`` or ``batch``.
        :param grain: one of ``GRAINS``, in batch of ``EXACT_GRAINS``.
        """
        return self.root / "metrics" / mode / grain

    @property
    def ledger(self) -> Path:
        """What each run of a job read, wrote and left (SQLite)."""
        return self.root / "_ledger" / "ledger.sqlite"

    @property
    def layout(self) -> Path:
        """Which layout the lake has (JSON); missing in a lake of the first release."""
        return self.root / "_ledger" / "lake.json"

    @property
    def shared_spark(self) -> Path:
        """Where the consumer's Spark is and what opens it (JSON), as long as it runs."""
        return self.root / "_ledger" / "shared-spark.json"

    @property
    def shared_versions(self) -> Path:
        """Which versions of tables the consumer's Spark has seen at least (JSON)."""
        return self.root / "_ledger" / "shared-versions.json"

    @property
    def locks(self) -> Path:
        """One lock file for each table or job."""
        return self.root / "_ledger" / "locks"

    def checkpoint(self, query: str) -> Path:
        """State of one streaming query (or of ``follow``, the producer's place in its logs)."""
        return self.root / "_checkpoints" / query

    @property
    def tables(self) -> dict[str, Path]:
        """Every Delta table of the lake, by the name shown to the user."""
        modes = {"streaming": GRAINS, "batch": EXACT_GRAINS}
        metrics = {f"metrics/{mode}/{g}": self.metrics(mode, g) for mode, grains in modes.items() for g in grains}
        return {"merged": self.merged, "quarantine": self.quarantine, "delta": self.delta, **metrics}


def waiting_files(landing: Path) -> list[Path]:
    """The landed files, oldest name first. Hidden and ``_`` files are not landed yet, or not batches.

    Nothing else that lies there is looked into: see ``left_alone``.
    """
    return [path for path, is_landed in _visible(landing) if is_landed]


def left_alone(landing: Path) -> list[Path]:
    """What lies in the landing folder and can be no landed file.

    Folders, pipes and sockets, of which a reader would wait for ever; links, which may lead anywhere; and files whose name
    is not UTF-8, which cannot be written down in any table, until they are renamed.
    """
    return [path for path, is_landed in _visible(landing) if not is_landed]


def _visible(landing: Path) -> list[tuple[Path, bool]]:
    """What is neither hidden nor ``_``, by name, and whether it is a landed file."""
    if not landing.is_dir():
        return []
    with os.scandir(landing) as entries:
        found = [(landing / e.name, _is_landed(e)) for e in entries if not e.name.startswith((".", "_"))]
    return sorted(found)


def _is_landed(entry: "os.DirEntry[str]") -> bool:
    has_utf8_name = not any("\ud800" <= character <= "\udfff" for character in entry.name)
    return has_utf8_name and entry.is_file(follow_symlinks=False)


def file_stamp(path: Path) -> str | None:
    """What tells a file from another under the same name; ``None`` where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
