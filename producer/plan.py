"""What ``--follow`` does next: from what is on disk and what is known of it. Pure: nothing is read or opened here.

A file is one record, by its device and inode, whatever names lead to it: a link to a followed log is no second log.
A record is in one of the states of ``State``. Each look at the disk gives one plan, a list of actions in their order.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

# A log that was rotated away, or has not changed for so long, is closed. A change wakes the latter up again.
ROTATED_SECONDS = 600.0
ASLEEP_SECONDS = 3600.0
OPEN_LINE_SECONDS = 600.0

Identity = tuple[int, int]
Signature = tuple[int, int, int, int]


class State(StrEnum):
    """What becomes of a file."""

    READING = "reading"
    """Open, at a path that is followed."""
    ROTATED = "rotated"
    """Open, and no longer at a path that is followed: read until nothing more will come."""
    ASLEEP = "asleep"
    """Closed: landed as it is; opened again when it has changed."""
    GROWING = "growing"
    """Closed: compressed, and perhaps still being written; opened again when it is quiet."""
    REFUSED = "refused"
    """Closed: it cannot be read; opened again when it has changed, or in a while."""


IS_OPEN = (State.READING, State.ROTATED)


@dataclass(frozen=True)
class Status:
    """What the kernel says of a file. ``modified_at`` is in seconds since the epoch."""

    signature: Signature
    modified_at: float
    links: int = 1

    @classmethod
    def of(cls, status: os.stat_result) -> "Status":
        """From the result of ``stat``."""
        signature = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        return cls(signature, status.st_mtime, status.st_nlink)

    @property
    def identity(self) -> Identity:
        """Which file it is while it exists."""
        return self.signature[:2]

    @property
    def size(self) -> int:
        """In bytes."""
        return self.signature[2]


@dataclass(frozen=True)
class Disk:
    """What is on disk.

    :param files: the regular files that the followed paths mean.
    :param opened: the open files as they are now, whatever their names; without those that cannot be asked.
    :param named: the paths that are followed by their own name, not as part of a folder.
    :param missing: those of the paths where nothing is.
    :param unknown: paths, and folders, that could not be looked at: what was there may still be.
    :param links: those of the files that are symbolic links.
    """

    files: Mapping[Path, Status]
    opened: Mapping[Identity, Status] = field(default_factory=dict)
    named: frozenset[Path] = frozenset()
    missing: frozenset[Path] = frozenset()
    unknown: frozenset[Path] = frozenset()
    links: frozenset[Path] = frozenset()

    def may_be_at(self, path: Path) -> bool:
        """Whether what was at ``path`` may still be there: it could not be looked at."""
        return path in self.unknown or path.parent in self.unknown


@dataclass(frozen=True)
class Known:
    """What is known of one file.

    :param path: where it is, or was last.
    :param seen: what it was like when it was last read to its end, or refused; ``None``: it has to be read.
    :param changed_at: when it was seen to change, on the monotonic clock.
    :param retry_at: when to try again what failed, on the monotonic clock.
    :param has_open_line: a last line without newline is not landed.
    :param is_settled: all lines that were read are published.
    :param has_place: some of it is known as landed, so that it is found again.
    """

    identity: Identity
    path: Path
    state: State
    seen: Signature | None = None
    changed_at: float = 0.0
    retry_at: float | None = None
    has_open_line: bool = False
    is_settled: bool = True
    has_place: bool = True


@dataclass(frozen=True)
class Knowledge:
    """All that is known.

    :param files: one for each file.
    :param missing: paths where nothing was at the last look.
    :param expected: paths whose logs are found if they are rotated while nobody looks.
    :param unsearched: paths whose rotated logs could not all be looked at, and when to look again.
    :param is_first: nothing has been looked at before.
    """

    files: Sequence[Known]
    missing: Collection[Path] = frozenset()
    expected: Collection[Path] = frozenset()
    unsearched: Mapping[Path, float] = field(default_factory=dict)
    is_first: bool = False


@dataclass(frozen=True)
class Times:
    """The monotonic clock, seconds since the epoch, and for how long a file does not change that is whole."""

    now: float
    wall: float
    quiet_seconds: float


# Actions -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SetApart:
    """The open file was rotated away: read it to its end."""

    identity: Identity


@dataclass(frozen=True)
class Move:
    """The open file is read as the log at ``path``."""

    identity: Identity
    path: Path


@dataclass(frozen=True)
class Forget:
    """The closed file has gone."""

    identity: Identity


@dataclass(frozen=True)
class Search:
    """Look for logs that came and went at ``path``, under the names that rotation gives."""

    path: Path
    only_if_changed: bool
    """Only if its folder has changed."""


@dataclass(frozen=True)
class Expect:
    """See to it that logs of these paths are found if they are rotated, and we are killed, before any of it is landed."""

    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Open:
    """Begin with the file at ``path``.

    :param is_old: it has not changed for long: it is read at once and closed.
    :param is_quiet: it has not changed for ``quiet_seconds``.
    """

    path: Path
    identity: Identity
    is_old: bool
    is_quiet: bool


@dataclass(frozen=True)
class Read:
    """Read what is new in the open file."""

    identity: Identity


@dataclass(frozen=True)
class FindLost:
    """Find what stood at these paths, and at those where a log was opened or cut now, and read the rest of it."""

    paths: tuple[Path, ...]


@dataclass(frozen=True)
class LandRest:
    """Land a last line without newline as it is."""

    identity: Identity


@dataclass(frozen=True)
class Sleep:
    """Close a file that has not changed for long: a folder may have thousands."""

    identity: Identity


@dataclass(frozen=True)
class Close:
    """Nothing more will come into the file.

    :param is_finished: false where what comes at its path is still to be looked for after a restart.
    """

    identity: Identity
    is_finished: bool


Action = SetApart | Move | Forget | Search | Expect | Open | Read | FindLost | LandRest | Sleep | Close


# The plan ------------------------------------------------------------------------------------------------------------


def plan(disk: Disk, known: Knowledge, times: Times) -> list[Action]:
    """What to do now, in this order: names, what came and went, what is new, what has grown, what is over."""
    names = names_of_files(disk, known.files)
    renamed = list(_renamed(disk, known.files, names))
    after = _after(known.files, renamed)
    opens = list(_opens(disk, after, names, times))
    again = tuple(path for path, retry_at in known.unsearched.items() if times.now >= retry_at)
    newly_missing = tuple(sorted(disk.missing - frozenset(known.missing)))
    reading = [file for file in after if file.state is State.READING]
    rotated = [file for file in after if file.state is State.ROTATED]
    return [
        *renamed,
        *_searches(disk, known, rotated, again),
        *_expectations(disk, known),
        *opens,
        *(Read(file.identity) for file in reading if _is_to_be_read(file, disk, times)),
        *(Read(action.identity) for action in opens),
        FindLost((*newly_missing, *again)),
        *(Read(file.identity) for file in rotated if _is_to_be_read(file, disk, times)),
        *(action for file in reading for action in _rests_of_reading(file, disk, times)),
        *(action for file in rotated for action in _ends_of_rotated(file, reading, disk, times)),
    ]


def names_of_files(disk: Disk, known: Sequence[Known]) -> dict[Identity, Path]:
    """One path for each file on disk: the one it is known by, else one that is no symbolic link, else the first."""
    known_paths = {file.identity: file.path for file in known}
    paths: dict[Identity, list[Path]] = {}
    for path, status in disk.files.items():
        paths.setdefault(status.identity, []).append(path)
    return {
        identity: min(found, key=lambda path: (path != known_paths.get(identity), path in disk.links, path))
        for identity, found in paths.items()
    }


def _renamed(disk: Disk, known: Sequence[Known], names: Mapping[Identity, Path]) -> Iterator[SetApart | Move | Forget]:
    for file in known:
        path = names.get(file.identity)
        if path == file.path and file.state is not State.ROTATED:
            continue
        if file.state in IS_OPEN and path is not None:
            yield Move(file.identity, path)
        elif file.state is not State.ROTATED and not disk.may_be_at(file.path):
            yield SetApart(file.identity) if file.state is State.READING else Forget(file.identity)


def _after(known: Sequence[Known], renamed: Sequence[SetApart | Move | Forget]) -> list[Known]:
    """What is known once the files have their names."""
    changes = {action.identity: action for action in renamed}
    return [_changed(file, changes.get(file.identity)) for file in known if not _is_forgotten(file, changes)]


def _is_forgotten(file: Known, changes: Mapping[Identity, SetApart | Move | Forget]) -> bool:
    return isinstance(changes.get(file.identity), Forget)


def _changed(file: Known, change: SetApart | Move | Forget | None) -> Known:
    if isinstance(change, Move):
        return replace(file, path=change.path, state=State.READING)
    return replace(file, state=State.ROTATED) if isinstance(change, SetApart) else file


def _searches(disk: Disk, known: Knowledge, rotated: Sequence[Known], again: Collection[Path]) -> list[Search]:
    """Where logs may have come and gone unseen: at paths where nothing is, or was, or where a log was rotated away."""
    in_motion = disk.named if known.is_first else {*known.missing, *disk.missing, *(file.path for file in rotated)}
    changed = [Search(path, only_if_changed=True) for path in sorted(in_motion) if path not in again]
    return [*changed, *(Search(path, only_if_changed=False) for path in again)]


def _expectations(disk: Disk, known: Knowledge) -> list[Expect]:
    unheard = tuple(sorted(disk.named - frozenset(known.expected)))
    return [Expect(unheard)] if unheard else []


def _opens(disk: Disk, known: Sequence[Known], names: Mapping[Identity, Path], times: Times) -> Iterator[Open]:
    files = {file.identity: file for file in known}
    for identity, path in names.items():
        status, file = disk.files[path], files.get(identity)
        age_seconds = times.wall - status.modified_at
        is_quiet = age_seconds >= times.quiet_seconds or _is_seen_quiet(file, status, times)
        if file is None or _is_to_be_opened(file, status, times, is_quiet=is_quiet):
            yield Open(path, identity, is_old=age_seconds > ASLEEP_SECONDS, is_quiet=is_quiet)


def _is_seen_quiet(file: Known | None, status: Status, times: Times) -> bool:
    """Whether we saw that it has not changed for long: the clock of modification times may be ahead."""
    is_same = file is not None and file.seen == status.signature
    return is_same and file is not None and times.now - file.changed_at >= times.quiet_seconds


def _is_to_be_opened(file: Known, status: Status, times: Times, *, is_quiet: bool) -> bool:
    has_changed = file.seen != status.signature
    if file.state is State.REFUSED:
        return has_changed or file.retry_at is None or times.now >= file.retry_at
    if file.state is State.GROWING:
        return has_changed or is_quiet
    return file.state is State.ASLEEP and has_changed


def _is_put_off(file: Known, times: Times) -> bool:
    return file.retry_at is not None and times.now < file.retry_at


def _has_changed(file: Known, disk: Disk) -> bool:
    """Also true of an open file that cannot be asked: reading it tells why."""
    status = disk.opened.get(file.identity)
    return status is None or status.signature != file.seen


def _is_to_be_read(file: Known, disk: Disk, times: Times) -> bool:
    return _has_changed(file, disk) and not _is_put_off(file, times)


def _rests_of_reading(file: Known, disk: Disk, times: Times) -> Iterator[LandRest | Sleep]:
    """A log that is read to its end and has not changed for long."""
    if _has_changed(file, disk):
        return
    age_seconds = times.wall - disk.opened[file.identity].modified_at
    is_old = age_seconds > ASLEEP_SECONDS
    if file.has_open_line and (is_old or age_seconds >= max(times.quiet_seconds, OPEN_LINE_SECONDS)):
        yield LandRest(file.identity)
    if is_old:
        yield Sleep(file.identity)


def _ends_of_rotated(file: Known, reading: Sequence[Known], disk: Disk, times: Times) -> Iterator[LandRest | Close]:
    """A rotated log that is read to its end. It is over when another has taken its place, or no name leads to it."""
    status = disk.opened.get(file.identity)
    has_successor = any(other.path == file.path and other.has_place for other in reading)
    if status is None and has_successor and file.retry_at is not None:  # reading it has told why: the file has gone
        yield Close(file.identity, is_finished=False)
    if status is None or _has_changed(file, disk):
        return
    quiet_seconds = times.now - file.changed_at
    if file.has_open_line and quiet_seconds >= times.quiet_seconds:
        yield LandRest(file.identity)
    is_deleted = status.links == 0
    is_over = quiet_seconds >= (times.quiet_seconds if is_deleted and has_successor else ROTATED_SECONDS)
    if is_over and file.is_settled and (is_deleted or has_successor):
        yield Close(file.identity, is_finished=has_successor)
