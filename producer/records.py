"""What ``--follow`` keeps of each file: one record by device and inode. Its states are those of ``producer.plan``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from producer.plan import Identity, Known, Signature, State
from producer.positions import Place
from producer.tail import Tail

# How long to wait before what could not be read is tried again: each time twice as long, up to an hour. What is read before
# the fault is landed each time.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 60.0, 3600.0


@dataclass(frozen=True)
class Retry:
    """When to try again what failed, on the monotonic clock, and how long a wait that was."""

    at: float
    pause: float

    @classmethod
    def after(cls, earlier: "Retry | None", now: float) -> "Retry":
        """After another failure."""
        pause = RETRY_SECONDS if earlier is None else min(2 * earlier.pause, LONGEST_RETRY_SECONDS)
        return cls(now + pause, pause)


@dataclass
class Record:
    """One file. Its fields are those of ``Known``; ``tail`` is there while it is open.

    :param is_hopeless: it was refused for what time does not mend.
    """

    identity: Identity
    path: Path
    state: State
    seen: Signature | None = None
    changed_at: float = 0.0
    tail: Tail | None = None
    retry: Retry | None = None
    is_hopeless: bool = False

    @property
    def open_tail(self) -> Tail:
        """The open log."""
        assert self.tail is not None
        return self.tail

    @property
    def known(self) -> Known:
        """As it is planned with."""
        facts = self.identity, self.path, self.state, self.seen, self.changed_at
        retry_at = None if self.retry is None else self.retry.at
        if self.tail is None:
            return Known(*facts, retry_at)
        has_place = self.tail.read_up_to is not None
        return Known(*facts, retry_at, self.tail.has_open_line, self.tail.is_settled, has_place)

    @property
    def is_all_read(self) -> bool:
        """Whether an open log is landed to its last byte, as far as we know."""
        return self.seen is not None and not self.open_tail.has_open_line


class Records(dict[Identity, Record]):
    """All records, by what they are about."""

    def are(self, *states: State) -> list[Record]:
        """Those in one of the states."""
        return [record for record in self.values() if record.state in states]

    def open(self) -> list[Record]:
        """Those that are open: the logs at their paths first."""
        return [*self.are(State.READING), *self.are(State.ROTATED)]

    def places(self) -> Iterator[Place]:
        """How far the open logs are read."""
        for record in self.open():
            if record.open_tail.read_up_to is not None:
                yield record.open_tail.read_up_to
