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

# A clock that is set right goes back by seconds, or by the hour of a wrong summer time.
SET_BACK_SECONDS = 7200.0
# A folder that has not changed is looked through again after so long: a file may have been written over in place.
LOOK_SECONDS = 10.0
# A change within so long of the last one may leave the folder's time as it was.
FOLDER_TIME_SECONDS = 2.0


@dataclass(frozen=True)
class Arrival:
    """One arrival of a landed file. Its stamp tells it from another under the same name.

    ``arrived_at`` is in seconds since the epoch, and never before that of an earlier arrival: a clock that is set back
    must not make arrivals late. ``clock`` is what the system's clock said, 0 in a journal of an older release.
    """

    seq: int
    name: str
    stamp: str
    rows: int
    refused: str | None = None
    arrived_at: float = 0
    clock: float = 0

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
        self._has_told_of_clock = False
        self._known: tuple[str | None, list[Arrival]] = (None, [])
        self._idle: tuple[object, float] = (None, 0.0)
        """What folder and journal were like when nothing was unseen, and when that was, on the monotonic clock."""

    def read(self) -> list[Arrival]:
        """All arrivals that are remembered, by number. The journal is read again only when it has changed.

        :raises CheckpointError: the journal is damaged.
        """
        stamp = file_stamp(self.path)
        if stamp is None or stamp != self._known[0]:
            self._known = stamp, self._read()
        return self._known[1]

    def _read(self) -> list[Arrival]:
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
        state = self._state(landing)
        if state is not None and state == self._idle[0] and time.monotonic() - self._idle[1] < LOOK_SECONDS:
            return []
        committed, known = self.committed_seq(), self.read()
        there = {a.seq: a.name for a in known if a.is_file(landing / a.name)}
        names = set(there.values())
        unseen = [path for path in waiting_files(landing) if path.name not in names]
        if not unseen:
            self._idle = state, time.monotonic()
            return []
        if not is_time():
            return []
        new = self._numbered(unseen, max((a.seq for a in known), default=committed), known, max_files)
        if new:
            self.write([*(a for a in known if a.seq > committed or a.seq in there), *new])
        return new

    def _numbered(self, unseen: Sequence[Path], last: int, known: Sequence[Arrival], max_files: int) -> list[Arrival]:
        """The first ``max_files`` of these files as arrivals after number ``last``."""
        clock = self.clock()
        now = self._now(known, clock)
        new: list[Arrival] = []
        for path in unseen:
            if len(new) == max_files:
                break
            arrival = self._arrival(last + len(new) + 1, path, now, clock)
            if arrival is not None:
                new.append(arrival)
        return new

    def _now(self, known: Sequence[Arrival], clock: float) -> float:
        """The stream's time, which never goes back: what came before the watermark would be dropped as late.

        If the system's clock once was far ahead, the stream's goes on from there, as fast as the system's. Standing still,
        it would remember each request for ever.
        """
        latest = max(known, key=lambda a: (a.arrived_at, a.seq), default=None)
        if latest is None or latest.arrived_at - clock <= SET_BACK_SECONDS:
            return max(clock, latest.arrived_at if latest else 0)
        if not self._has_told_of_clock:
            self._has_told_of_clock = True
            log.warning(
                "the system's clock is %.0f hours behind the last arrival: it was ahead then, or is behind now; see to it. "
                "The stream goes on in its own time, which cannot be set back, and loses nothing",
                (latest.arrived_at - clock) / 3600,
            )  # fmt: skip
        return latest.arrived_at + (max(0.0, clock - latest.clock) if latest.clock else 0.0)

    def _state(self, landing: Path) -> object:
        """What changes when a file is published in the landing folder, or an arrival is numbered; ``None``: just now."""
        try:
            changed_ns = landing.stat().st_mtime_ns
        except OSError:
            return None
        if abs(time.time() - changed_ns / 1e9) < FOLDER_TIME_SECONDS:
            return None
        return landing, changed_ns, file_stamp(self.path)

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

    def _arrival(self, seq: int, path: Path, now: float, clock: float) -> Arrival | None:
        """Check a landed file and number it; ``None`` if it cannot be read just now and must be tried again."""
        try:
            landed = check(path)
        except OSError as error:
            if path.name not in self._unreadable and error.errno != errno.ENOENT:
                self._unreadable.add(path.name)  # said once: it is tried every few seconds
                log.warning("%s cannot be read and waits until it can: %s", path.name, error)
            return None
        return Arrival(seq, path.name, landed.stamp, landed.rows, landed.refused, now, clock)


def _without_file(arrivals: Sequence[Arrival], shut: set[Arrival]) -> list[Arrival]:
    return [replace(a, stamp="") if a in shut else a for a in arrivals]


def _can_be_read(path: Path) -> bool:
    return os.access(path, os.R_OK, effective_ids=True)
