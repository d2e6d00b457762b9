"""The archive's journal: which landed file arrived as which number, so that a batch read again is the same batch.

One line of JSON per landed file, in ``_checkpoints/archive/arrivals.jsonl``. It stands with the query's checkpoint
because it means nothing without it. Only the archive writes it; the cleaner asks it what is archived.
"""

import errno
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lakehouse.lake import file_stamp, waiting_files
from lakehouse.landed import check

log = logging.getLogger("consumer.archive")


@dataclass(frozen=True)
class Arrival:
    """One arrival of a landed file. Its stamp tells it from another under the same name."""

    seq: int
    name: str
    stamp: str
    rows: int
    refused: str | None = None

    def is_file(self, path: Path) -> bool:
        """Whether ``path`` is still the file that arrived."""
        return file_stamp(path) == self.stamp


class Arrivals:
    """The journal of one archive.

    :param checkpoint: the archive query's checkpoint folder.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.path = checkpoint / "arrivals.jsonl"
        self._unreadable: set[str] = set()

    def read(self) -> list[Arrival]:
        """All arrivals that are remembered, by number."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [Arrival(**json.loads(line)) for line in lines]

    def write(self, arrivals: Iterable[Arrival]) -> None:
        """Replace the journal, durably."""
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        hidden = self.path.with_name(f".{self.path.name}.tmp")
        with hidden.open("w", encoding="utf-8") as handle:
            handle.writelines(json.dumps(asdict(a)) + "\n" for a in arrivals)
            handle.flush()
            os.fsync(handle.fileno())
        hidden.replace(self.path)

    def admit(self, landing: Path, *, max_files: int) -> list[Arrival]:
        """Number up to ``max_files`` landed files not seen yet, in the order of their names; forget those long gone.

        :return: the new arrivals, refused ones too.
        """
        committed = self.committed_seq()
        known = self.read()
        kept = [a for a in known if a.seq > committed or a.is_file(landing / a.name)]
        names = {a.name for a in kept if a.is_file(landing / a.name)}
        new: list[Arrival] = []
        seq = max((a.seq for a in known), default=committed)
        for path in waiting_files(landing):
            if len(new) == max_files:
                break
            if path.name not in names:
                arrival = self._arrival(seq + len(new) + 1, path)
                if arrival is not None:
                    new.append(arrival)
        if new:
            self.write([*kept, *new])
        return new

    def give_back(self, landing: Path, arrivals: Iterable[Arrival]) -> None:
        """Forget which files those were that can no longer be opened, so that they arrive anew when they can."""
        shut = {a for a in arrivals if a.is_file(landing / a.name) and not _can_be_read(landing / a.name)}
        if shut:
            self.write([replace(a, stamp="") if a in shut else a for a in self.read()])

    def committed_seq(self) -> int:
        """The number up to which arrivals are in ``logs/``: Spark's own commit log says so."""
        batches = [int(p.name) for p in (self.checkpoint / "commits").glob("*") if p.name.isdigit()]
        if not batches:
            return 0
        offset = (self.checkpoint / "offsets" / str(max(batches))).read_text(encoding="utf-8").splitlines()[-1]
        return int(json.loads(offset)["seq"])

    def archived_names(self, landing: Path) -> set[str]:
        """Names of the files in ``landing`` whose rows are all in ``logs/``."""
        committed = self.committed_seq()
        return {a.name for a in self.read() if a.seq <= committed and a.refused is None and a.is_file(landing / a.name)}

    def _arrival(self, seq: int, path: Path) -> Arrival | None:
        """Check a landed file and number it; ``None`` if it cannot be read just now and must be tried again."""
        try:
            landed = check(path)
        except OSError as error:
            if path.name not in self._unreadable and error.errno != errno.ENOENT:
                self._unreadable.add(path.name)  # said once: it is tried every few seconds
                log.warning("%s cannot be read and waits until it can: %s", path.name, error)
            return None
        return Arrival(seq, path.name, landed.stamp, landed.rows, landed.refused)


def _can_be_read(path: Path) -> bool:
    return os.access(path, os.R_OK, effective_ids=True)
