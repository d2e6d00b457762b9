"""Reading on in a log and landing its rows, and the place that follows from that (I/O)."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import NamedTuple

import polars as pl

from lakehouse.settings import Ingest
from producer.blocks import Block, BlockReader, CompressedFile, PlainFile
from producer.formats.tally import Tally
from producer.ingest import reading_of, results_in_order, source_text
from producer.plan import Signature, Status
from producer.positions import Place, Places, hashes_around
from producer.published import Published
from producer.rows import LineParser
from producer.tail import Tail


class BlockRows(NamedTuple):
    """The rows of a block of a log.

    :param parser: what is known of the log below it, as ``LineParser.parser`` has it.
    :param tally: what its lines were.
    """

    block: Block
    parser: str | None
    rows: pl.DataFrame
    tally: Tally


@dataclass(frozen=True)
class Landed:
    """How far landing a compressed log has come.

    :param is_over: false if it was broken off.
    :param error: why it could not be read to its end; what came before is landed.
    :param found: the place that it was read on from, of the log before it was compressed.
    """

    is_over: bool
    error: str | None = None
    found: Place | None = None


class LogReader:
    """Reads logs until ``stop`` is set: then it ends between two blocks, and says that this was not the log's end.

    :param settings: the group ``ingest``.
    :param find: how far a log is landed.
    :param threads: that parse.
    """

    def __init__(
        self, settings: Ingest, published: Published, places: Places, find: Callable[[CompressedFile], Place | None], stop: Event,
        *, threads: int, now: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._settings, self._published, self._places, self._find = settings, published, places, find
        self._stop, self._threads, self.now = stop, threads, now
        self._landed_gzips: set[Signature] = set()

    def read_on(self, tail: Tail, path: Path, now_seconds: float, pool: Executor) -> bool:
        """Land what is new in a log; whether that was all there is for now.

        :raises OSError: it cannot be read.
        """
        for found in self._rows(tail.reader, tail.parser, pool):
            self._published.land(found.rows)
            tail.counted.add(found.tally)
            place = tail.place_after(found.block, found.parser, path, now_seconds)
            if place is not None:
                self._published.advance(tail, place)
            self._published.settle()
        return not self._stop.is_set()

    def land_rest(self, tail: Tail) -> None:
        """Land a last line without newline as it is.

        The place stays before it, and it is not counted: should it grow, it is read again.
        """
        if tail.has_open_line:
            self._published.land(tail.rest_rows(self.now()))

    def land_gzip(self, source: Path, path: Path, opened: CompressedFile, now_seconds: float, pool: Executor) -> Landed:
        """Land what is not landed yet of a compressed log.

        :param source: the path of the log that it was rotated from, or its own: names its lines.
        :raises OSError: it cannot be read.
        """
        with PlainFile.at(path) as compressed:
            status = Status.of(compressed.status())
            earlier = self._places.of_gzip(compressed, self._settings.site, status.size)
            if status.signature in self._landed_gzips or (earlier is not None and earlier.offset == status.size):
                return Landed(is_over=True)
            hashes = hashes_around(compressed, status.size)
        place = self._find(opened) if earlier is None else replace(earlier, offset=earlier.plain_offset)
        offset, known = (0, ()) if place is None else (place.offset, (place.fingerprint, place.parser))
        opened.seek(offset)
        parser = LineParser(reading_of(source_text(source), self._settings), *known)
        reader = BlockReader(opened.read, max_line_bytes=self._settings.max_line_bytes, offset=offset)
        counted = Tally()
        for _, _, rows, tally in self._rows(reader, parser, pool):
            self._published.land(rows)
            counted.add(tally)
            self._published.settle()
        if self._stop.is_set():
            return Landed(is_over=False)
        self._landed_gzips.add(status.signature)
        if (last := reader.rest if opened.error is None else reader.held) is not None:
            self._published.land(parser.task(last, self.now())())
        if opened.error is None or opened.is_truncated:
            self._know_gzip(path, parser, status.size, hashes, reader.offset, now_seconds, earlier, counted)
        return Landed(is_over=True, error=opened.error, found=place if earlier is None else None)

    def _know_gzip(
        self, path: Path, parser: LineParser, size: int, hashes: tuple[str | None, str | None], plain_offset: int,
        now_seconds: float, earlier: Place | None, counted: Tally,
    ) -> None:  # fmt: skip
        head, tail = hashes
        if head is None or tail is None or parser.fingerprint is None:
            return
        found = self._settings.site, parser.fingerprint, parser.parser
        place = Place(*found, size, head, tail, str(path), now_seconds, is_gzip=True, plain_offset=plain_offset)

        def know() -> None:
            if earlier is not None:
                self._places.remove(earlier)
            self._published.know(place)
            self._published.count(parser.source, counted)

        self._published.then(know)

    def _rows(self, reader: BlockReader, parser: LineParser, pool: Executor) -> Iterator[BlockRows]:
        def tasks() -> Iterator[Callable[[], BlockRows]]:
            while not self._stop.is_set() and (block := reader.next()) is not None:
                work = parser.counted_task(block, self.now())
                yield partial(_block_rows, block, parser.parser, work)

        for result in results_in_order(pool, tasks(), self._threads):
            if result is not None:
                yield result


def _block_rows(block: Block, parser: str | None, work: Callable[[], tuple[pl.DataFrame, Tally]]) -> BlockRows:
    return BlockRows(block, parser, *work())
