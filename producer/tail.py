"""One followed log that is open: how far it is read, and how far that is published (I/O)."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from lakehouse.settings import Ingest
from producer.alike import own_fingerprint
from producer.blocks import Block, BlockReader, PlainFile
from producer.formats.tally import Tally
from producer.ingest import reading_of, source_text
from producer.positions import Place, hashes_around
from producer.rows import LineParser

# What rotation appends to a name: .1, -20261124, .2026-11-24, -20261124-1764000000, each perhaps .gz
ROTATED_SUFFIX = r"[.-][0-9][0-9._T-]*(?:\.gz)?"


def rotated_names(path: Path, names: Sequence[str]) -> list[str]:
    """Those of the names that rotation may have given to a log that was at ``path``."""
    whole, stem, suffix = map(re.escape, (path.name, path.stem, path.suffix))
    pattern = re.compile(f"{whole}{ROTATED_SUFFIX}|{stem}-[0-9][0-9._T-]*{suffix}(?:\\.gz)?")
    return sorted(name for name in names if name != path.name and pattern.fullmatch(name))


class Tail:
    """One log that is being read.

    :param path: names its lines.
    :param place: from where it is read on, all before it being landed; ``None``: from its beginning.
    """

    def __init__(self, path: Path, opened: PlainFile, place: Place | None, settings: Ingest) -> None:
        self.opened = opened
        self.place = self.read_up_to = place
        """Landed and published up to here, and read up to here."""
        self.landed_rest: Block | None = None
        self.counted = Tally()
        """What the lines were that are read and stand behind the last place."""
        self._settings = settings
        self._reading = reading_of(source_text(path), settings)
        self.go_back()

    def go_back(self) -> None:
        """Read on from the last place: what was read of the lines behind it may not have been landed."""
        place, self.counted = self.read_up_to, Tally()
        offset, known = (0, ()) if place is None else (place.offset, (place.fingerprint, place.parser))
        self.parser = LineParser(self._reading, *known)
        self.opened.seek(offset)
        self.reader = BlockReader(self.opened.read, max_line_bytes=self._settings.max_line_bytes, offset=offset)

    @property
    def source(self) -> str:
        """The log's name in its rows."""
        return self._reading.source

    @property
    def is_settled(self) -> bool:
        """Whether all lines that were read are published."""
        return self.place == self.read_up_to

    @property
    def has_open_line(self) -> bool:
        """Whether there is a last line without newline that is not landed."""
        return self.reader.rest not in (None, self.landed_rest)

    def is_rewritten(self, size: int) -> bool:
        """Whether this is no longer the log that was read so far."""
        if size < self.reader.position:
            return True
        rest = self.reader.rest
        if rest is not None and self.opened.read_at(rest.offset, len(rest.data)) != rest.data:
            return True
        return self.read_up_to is not None and not self.read_up_to.is_in(self.opened)

    def rest_rows(self, ingested_at: datetime) -> pl.DataFrame:
        """The row of the last line as it is now, without newline; the line may be another one when it has grown."""
        assert self.reader.rest is not None
        self.landed_rest = self.reader.rest
        parser = LineParser(self._reading, self.parser.fingerprint, self.parser.parser)
        return parser.task(self.landed_rest, ingested_at)()

    def own_rows(self, end: int, path: Path, ingested_at: datetime) -> pl.DataFrame:
        """The rows of the lines before ``end`` that have no ids of this log alone yet, with such ids."""
        assert self.read_up_to is not None
        begin = self.read_up_to.own_until
        beginning = self.opened.read_at(0, end)
        own = own_fingerprint(self._settings.site, path, beginning)
        parser = LineParser(self._reading, own, self.parser.parser)
        return parser.task(Block(begin, beginning[begin:]), ingested_at)()

    def place_after(self, block: Block, parser: str | None, path: Path, now_seconds: float) -> Place | None:
        """The place after ``block`` of the log that is at ``path`` now, or ``None`` if no line ends there.

        :param parser: what ``LineParser.parser`` was when the block had been read.
        """
        if not block.data.endswith(b"\n") or self.parser.fingerprint is None:
            return None
        offset = block.offset + len(block.data)
        head, tail = hashes_around(self.opened, offset)
        if head is None or tail is None:
            return None
        found = self._settings.site, self.parser.fingerprint, parser
        own_until = 0 if self.read_up_to is None else self.read_up_to.own_until
        return Place(*found, offset, head, tail, str(path), now_seconds, own_until=own_until)
