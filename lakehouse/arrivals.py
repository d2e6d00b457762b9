"""The archive's journal: which landed file arrived as which number, so that a batch read again is the same batch.

One line of JSON per landed file, in ``_checkpoints/archive/arrivals.jsonl``. It stands with the query's checkpoint
because it means nothing without it. Only the archive writes it; the cleaner asks it what is archived.
"""

import errno
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lakehouse.checkpoint import Checkpoint
from lakehouse.durable import write_durably
from lakehouse.errors import CheckpointError
from lakehouse.lake import file_stamp, waiting_files
from lakehouse.landed import check

log = logging.getLogger("consumer.archive")


@dataclass(frozen=True)
class Arrival:
    """One arrival of a landed file. Its stamp tells it from another under the same name.

    ``arrived_at`` is in seconds since the epoch, and never before that of an earlier arrival: a clock that is set back
    must not make arrivals late.
    """

    seq: int
    name: str
    stamp: str
    rows: int
    refused: str | None = None
    arrived_at: float = 0

    def is_file(self, path: Path) -> bool:
        """Whether ``path`` is still the file that arrived."""
        return file_stamp(path) == self.stamp


class Arrivals:
    """The journal of one archive.

    :param checkpoint: the archive query's checkpoint folder.
    :param clock: seconds since the epoch.
    """

    def __init__(self, checkpoint: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.checkpoint = checkpoint
        self.clock = clock
        self.path = checkpoint / "arrivals.jsonl"
        self._unreadable: set[str] = set()

    def read(self) -> list[Arrival]:
        """All arrivals that are remembered, by number.

        :raises CheckpointError: the journal is damaged.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
            return [Arrival(**json.loads(line)) for line in lines]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{self.path}: cut off or changed: {error}") from None

    def write(self, arrivals: Iterable[Arrival]) -> None:
        """Replace the journal, durably."""
        write_durably(self.path, "".join(json.dumps(asdict(a)) + "\n" for a in arrivals))

    def admit(self, landing: Path, *, max_files: int, is_time: Callable[[], bool] = lambda: True) -> list[Arrival]:
        """Number up to ``max_files`` landed files not seen yet, in the order of their names; forget those long gone.

        :param is_time: asked if there are any: whether to do so now.
        :return: the new arrivals, refused ones too.
        """
        committed = self.committed_seq()
        known = self.read()
        kept = [a for a in known if a.seq > committed or a.is_file(landing / a.name)]
        names = {a.name for a in kept if a.is_file(landing / a.name)}
        new: list[Arrival] = []
        seq = max((a.seq for a in known), default=committed)
        now = max(self.clock(), *(a.arrived_at for a in known), 0)
        unseen = [path for path in waiting_files(landing) if path.name not in names]
        if unseen and not is_time():
            return []
        for path in unseen:
            if len(new) == max_files:
                break
            arrival = self._arrival(seq + len(new) + 1, path, now)
            if arrival is not None:
                new.append(arrival)
        if new:
            self.write([*kept, *new])
        return new

    def give_back(self, landing: Path, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Forget which files those were that can no longer be opened, so that they arrive anew when they can.

        :return: the arrivals as they are known now.
        """
        shut = {a for a in arrivals if a.is_file(landing / a.name) and not _can_be_read(landing / a.name)}
        if shut:
            self.write(_without_file(self.read(), shut))
        return _without_file(arrivals, shut)

    def committed_seq(self) -> int:
        """The number up to which arrivals are in ``logs/``: Spark's own commit log says so.

        :raises CheckpointError: the checkpoint is damaged.
        """
        checkpoint = Checkpoint(self.checkpoint)
        batches = checkpoint.committed()
        return int(checkpoint.offset(batches[-1])["seq"]) if batches else 0

    def require_whole(self) -> None:
        """See that the journal and Spark's checkpoint are whole, and fit together.

        :raises CheckpointError: they are not: landed files would be skipped, or archived twice.
        """
        checkpoint = Checkpoint(self.checkpoint)
        checkpoint.require_whole()
        begun = checkpoint.begun()
        known = max((a.seq for a in self.read()), default=0)
        if begun and known < int(checkpoint.offset(begun[-1])["seq"]):
            raise CheckpointError(f"{self.path}: it ends before arrivals that batch {begun[-1]} has read")

    def archived_names(self, landing: Path) -> set[str]:
        """Names of the files in ``landing`` whose rows are all in ``logs/``.

        :raises CheckpointError: the checkpoint is damaged.
        """
        committed = self.committed_seq()
        return {a.name for a in self.read() if a.seq <= committed and a.refused is None and a.is_file(landing / a.name)}

    def _arrival(self, seq: int, path: Path, now: float) -> Arrival | None:
        """Check a landed file and number it; ``None`` if it cannot be read just now and must be tried again."""
        try:
            landed = check(path)
        except OSError as error:
            if path.name not in self._unreadable and error.errno != errno.ENOENT:
                self._unreadable.add(path.name)  # said once: it is tried every few seconds
                log.warning("%s cannot be read and waits until it can: %s", path.name, error)
            return None
        return Arrival(seq, path.name, landed.stamp, landed.rows, landed.refused, now)


def _without_file(arrivals: Sequence[Arrival], shut: set[Arrival]) -> list[Arrival]:
    return [replace(a, stamp="") if a in shut else a for a in arrivals]


def _can_be_read(path: Path) -> bool:
    return os.access(path, os.R_OK, effective_ids=True)
