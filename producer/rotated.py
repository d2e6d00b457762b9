"""Which files rotation may have made of a log, and whether all of them were looked at (I/O)."""

import logging
import math
import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import InputError
from producer.blocks import open_file
from producer.ingest import source_text
from producer.plan import Identity, Status
from producer.positions import Place
from producer.records import Retry
from producer.tail import rotated_names

log = logging.getLogger("producer.follow")

# The clock of modification times may lag behind ours.
CLOCK_SLACK_SECONDS = 1.0


@dataclass
class Unsearched:
    """Paths whose rotated logs could not all be looked at: since when they count, and when to look again."""

    paths: dict[Path, tuple[float, Retry]] = field(default_factory=dict)

    def since(self, path: Path, since: float, now_seconds: float) -> float:
        """Since when logs count that came and went at ``path``, if those before ``since`` were looked at then."""
        if path in self.paths:
            since = min(since, self.paths[path][0])
        # The clock was set back: that time says nothing of what was written since.
        return -math.inf if now_seconds < since < math.inf else since

    def note(self, path: Path, since: float, failures: list[str], now: float) -> None:
        """Know whether all was looked at that may have been rotated away from ``path``; else it is, again, in a while."""
        if not failures:
            self.paths.pop(path, None)
            return
        _, earlier = self.paths.get(path, (None, None))
        if earlier is None:
            for failure in failures:
                log.warning("%s (looking for lines of a log that was rotated)", failure)
        self.paths[path] = since, Retry.after(earlier, now)


@dataclass
class Folders:
    """When folders were last seen to change."""

    changed_at: dict[Path, int] = field(default_factory=dict)

    def has_changed(self, folder: Path, now_seconds: float) -> bool:
        """Whether ``folder`` may have changed since this was last asked."""
        try:
            status = folder.stat()
        except OSError:
            return False
        before = self.changed_at.get(folder)
        self.changed_at[folder] = status.st_mtime_ns
        return before != status.st_mtime_ns or now_seconds - status.st_mtime < CLOCK_SLACK_SECONDS


def rotated_files(
    path: Path, followed: Collection[Path], opened: Collection[Identity]
) -> tuple[list[tuple[Path, Status]], str | None]:
    """The files that rotation may have made of ``path``, oldest first, without those that are followed, or open.

    :return: them, and why there may be more, if one could not be looked at or just got another name.
    """
    found, failure = [], None
    try:
        siblings = [path.parent / name for name in rotated_names(path, os.listdir(path.parent))]  # noqa: PTH208
    except OSError as error:
        return [], unreadable(path.parent, error)
    for sibling in siblings:
        try:
            status = sibling.stat()
        except OSError as error:
            failure = unreadable(sibling, error)
            continue
        is_other = sibling not in followed and Status.of(status).identity not in opened
        if is_other and stat.S_ISREG(status.st_mode):
            found.append((sibling, Status.of(status)))
    return sorted(found, key=lambda pair: pair[1].signature[3]), failure


def is_followed(path: Path, place: Place, followed: Iterable[Path]) -> bool:
    """Whether the log that was at ``path`` is one of those that are followed, under a name that rotation gives."""
    there = {sibling.name: sibling for sibling in followed if sibling.parent == path.parent}
    for name in rotated_names(path, list(there)):
        try:
            opened = open_file(there[name])
        except InputError:
            return True  # it is tried again by itself
        try:
            if place.is_in(opened):
                return True
        except OSError:
            return True
        finally:
            opened.close()
    return False


def is_rotation(path: Path, followed: Iterable[Path]) -> bool:
    """Whether ``path`` is a name that rotation gives to one of the logs that are followed."""
    return any(other.parent == path.parent and rotated_names(other, [path.name]) for other in followed)


def unreadable(path: Path, error: OSError) -> str:
    """What is said of a file that cannot be read now."""
    return f"{source_text(path)}: cannot be read: {error.strerror}; it is tried again"
