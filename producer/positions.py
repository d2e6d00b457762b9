"""How far logs have been landed, kept on disk for ``--follow``: facts about content, not about names or inodes.

A place says: a log that begins with these bytes, and has these before this offset, has been landed up to there.
Whatever file verifies against a place may be read on from it, under any name, also after rotation and compression. A
file that verifies against none is read from its beginning: its rows are duplicates at worst, none is passed over.
"""

import hashlib
import json
import logging
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lakehouse.durable import write_durably
from lakehouse.errors import PipelineError
from producer.landing import sync_folder
from producer.tallies import Tallies

log = logging.getLogger("producer.follow")

VERSION = 1
HEAD_BYTES = 4096
TAIL_BYTES = 16_384
KEPT_SECONDS = 30 * 86_400
KEPT_PLACES = 2000


class Content(Protocol):
    """Anything whose bytes can be looked at."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset`` on."""


@dataclass(frozen=True)
class Place:
    """How far one log has been landed.

    :param site: the site's name that its ids were made with.
    :param fingerprint: the first part of its lines' ids.
    :param parser: the format its lines were found to be in.
    :param offset: every line before it is landed.
    :param head: hash of the log's first bytes, at most ``HEAD_BYTES`` and not beyond the offset.
    :param tail: hash of the bytes before the offset, at most ``TAIL_BYTES``.
    :param path: what the file was called; only a hint where to look first.
    :param seen_at: when that was so, in seconds since the epoch.
    :param is_gzip: the place is about the compressed file, all of which is landed; its offset is the file's size.
    :param plain_offset: of a compressed file: every line before this offset of the uncompressed log is landed. A file that
        has grown since is read on from there.
    :param own_until: the lines before this offset have landed a second time, with ids of this log alone, because another
        log begins with them, too (``producer.alike``).
    """

    site: str
    fingerprint: str
    parser: str | None
    offset: int
    head: str
    tail: str
    path: str
    seen_at: float
    is_gzip: bool = False
    plain_offset: int = 0
    own_until: int = 0

    def is_in(self, content: Content) -> bool:
        """Whether ``content`` is the log that this place is about, as it was or longer.

        The beginning is looked at first: what begins otherwise need not be decompressed up to the offset.
        """
        if _hash(content, 0, min(self.offset, HEAD_BYTES)) != self.head:
            return False
        return self.tail == _tail_hash(content, self.offset)


def hashes_around(content: Content, offset: int) -> tuple[str | None, str | None]:
    """Hashes of the bytes at the beginning and before ``offset``; ``None`` where they are not all there."""
    tail = _tail_hash(content, offset)
    return (None if tail is None else _hash(content, 0, min(offset, HEAD_BYTES))), tail


def _tail_hash(content: Content, offset: int) -> str | None:
    tail_bytes = min(offset, TAIL_BYTES)
    return _hash(content, offset - tail_bytes, tail_bytes)


def _hash(content: Content, offset: int, size: int) -> str | None:
    found = content.read_at(offset, size)
    return hashlib.sha256(found).hexdigest()[:32] if len(found) == size else None


class Places:
    """The places known from earlier, and the file that they are kept in.

    :param file: ``positions.json``. If it cannot be understood, all logs are read from their beginning.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.complete_until: dict[str, float] = {}
        """By the paths that are followed: all that was there up to this time (seconds since the epoch) is landed."""
        self.tallies = Tallies()
        """What the lines before all places were: written with them, so that none is counted twice."""
        self._known: dict[Place, None] = {}
        self._load()

    @property
    def known(self) -> list[Place]:
        """The places of logs that are not being read."""
        return list(self._known)

    def __contains__(self, place: Place) -> bool:
        return place in self._known

    def find(
        self, content: Content, site: str, *, current: Iterable[Place] = (), size: int | None = None
    ) -> Place | None:
        """The place furthest into this log, if one of those known, or current, is about it.

        :param current: the places of logs that are being read.
        :param size: the log's size, if it is known; saves looking.
        """
        heads: dict[int, str | None] = {}
        for place in sorted((*self._known, *current), key=lambda p: -p.offset):
            if place.is_gzip or place.site != site or (size is not None and place.offset > size):
                continue
            head_bytes = min(place.offset, HEAD_BYTES)
            if head_bytes not in heads:
                heads[head_bytes] = _hash(content, 0, head_bytes)
            if heads[head_bytes] == place.head and place.is_in(content):
                return place
        return None

    def of_gzip(self, compressed: Content, site: str, size: int) -> Place | None:
        """The place that says how much of this compressed file is landed: all of it if its offset is the file's size."""
        found = [p for p in self._known if p.is_gzip and p.site == site and p.offset <= size]
        found.sort(key=lambda place: -place.offset)
        return next((place for place in found if place.is_in(compressed)), None)

    def lost_from(self, path: str, site: str) -> list[Place]:
        """The places of logs that were last seen at ``path``, and are not being read."""
        return [p for p in self._known if p.path == path and p.site == site and not p.is_gzip]

    def add(self, place: Place) -> None:
        """Know ``place`` too."""
        self._known[place] = None

    def remove(self, place: Place) -> None:
        """Forget ``place``: its log is being read, or was read further."""
        self._known.pop(place, None)

    def save(self, current: Iterable[Place], now_seconds: float, *, existing: Container[str] = ()) -> None:
        """Write the places of the logs that are being read, and those known of others.

        :param existing: paths of logs that are still there. Places of others are forgotten when they are older than
            ``KEPT_SECONDS``, or more than ``KEPT_PLACES``.
        :raises PipelineError: they cannot be written.
        """
        gone = [p for p in self._known if p.path not in existing]
        kept = sorted((p for p in gone if now_seconds - p.seen_at <= KEPT_SECONDS), key=lambda p: p.seen_at)
        for place in set(gone) - set(kept[-KEPT_PLACES:]):
            del self._known[place]
        places = dict.fromkeys((*self._known, *current))
        self.complete_until = {p: t for p, t in self.complete_until.items() if now_seconds - t <= KEPT_SECONDS}
        document = {
            "version": VERSION,
            "complete_until": self.complete_until,
            "places": [vars(p) for p in places],
            "tallies": self.tallies.as_record(),
        }
        try:
            write_durably(self._file, json.dumps(document, indent=1))
            sync_folder(self._file.parent)
        except OSError as error:
            raise PipelineError(
                f"{self._file}: cannot be written: {error.strerror}; free some space or see to its permissions. "
                "What was landed since the last time will be landed again, and removed as duplicates"
            ) from None

    def _load(self) -> None:
        try:
            document: Any = json.loads(self._file.read_text(encoding="utf-8"))
            if document["version"] != VERSION:
                raise ValueError(f"version {document['version']} is not {VERSION}")
            places = [Place(**place) for place in document["places"]]
            self.complete_until = {path: float(time) for path, time in document["complete_until"].items()}
            self.tallies = Tallies(document.get("tallies"))
            self._known = dict.fromkeys(places)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s cannot be understood (%s): all logs are read from their beginning again", self._file, error)
