"""Where everything in ``data_lake/`` stands. Paths only: importing or using this opens nothing."""

from dataclasses import dataclass
from pathlib import Path

METRICS = ("daily", "ip", "agent")


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
        """Delta: one row per day and key.

        :param mode: ``streaming`` or ``batch``.
        :param grain: ``daily``, ``ip`` or ``agent``.
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
    def locks(self) -> Path:
        """One lock file for each table or job."""
        return self.root / "_ledger" / "locks"

    def checkpoint(self, query: str) -> Path:
        """State of one streaming query (or of ``follow``, the producer's place in its logs)."""
        return self.root / "_checkpoints" / query

    @property
    def tables(self) -> dict[str, Path]:
        """Every Delta table of the lake, by the name shown to the user."""
        metrics = {f"metrics/{m}/{g}": self.metrics(m, g) for m in ("streaming", "batch") for g in METRICS}
        return {"merged": self.merged, "quarantine": self.quarantine, "delta": self.delta, **metrics}


def waiting_files(landing: Path) -> list[Path]:
    """The landed files, oldest name first. Hidden and ``_`` files are not landed yet, or not batches.

    A name that is not UTF-8 cannot be written down in any table: such a file is left alone until it is renamed.
    """
    if not landing.is_dir():
        return []
    files = (p for p in landing.iterdir() if not p.name.startswith((".", "_")) and p.is_file())
    return sorted(p for p in files if has_utf8_name(p))


def has_utf8_name(path: Path) -> bool:
    """Whether the file's name is text."""
    return not any("\ud800" <= character <= "\udfff" for character in path.name)


def file_stamp(path: Path) -> str | None:
    """What tells a file from another under the same name; ``None`` where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
