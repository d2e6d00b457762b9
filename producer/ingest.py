"""``producer ingest``: real logs, from their beginning to their end, into landed rows (I/O).

Files are read one after another, in the order of the first time that can be read in each (of its modification, where
there is none), with standard input and pipes last. Threads, as many as there are cores to use, parse blocks of a file side
by side; rows are landed in the file's order.
"""

import glob
import ipaddress
import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TypeVar

from lakehouse.errors import InputError
from lakehouse.settings import Ingest
from producer.blocks import STDIN_DESCRIPTOR, Block, BlockReader, Log, PlainFile, Stream, open_file
from producer.formats.detection import Parsing, first_timestamp
from producer.formats.options import Options
from producer.formats.tally import Tally
from producer.identity import line_spans
from producer.landing import Lander, utc_now
from producer.progress import Progress
from producer.reports import LogReport
from producer.rows import LineParser, Reading, line_texts
from producer.sites import site_of

log = logging.getLogger("producer.ingest")

STANDARD_INPUT = "-"
SNIFFED_BYTES = 1 << 14
LAST = datetime.max.replace(tzinfo=UTC)


@dataclass
class Summary:
    """What an ingest did. ``failed`` are files that could not be read, or not to their end."""

    files: int = 0
    failed: int = 0
    lines: int = 0
    unparsed: int = 0
    is_stopped: bool = False
    reports: list[LogReport] = field(default_factory=list)

    @property
    def tally(self) -> Tally:
        """All lines of all logs."""
        total = Tally()
        for report in self.reports:
            total.add(report.tally)
        return total

    @property
    def has_nothing_parsed(self) -> bool:
        """Whether there were lines, and none of them was a request that could be read."""
        return self.lines > 0 and self.unparsed == self.lines


# Which files ---------------------------------------------------------------------------------------------------------


def source_text(path: str | Path) -> str:
    r"""A file's name as text; bytes in it that are not UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def files_named(path: str) -> list[Path]:
    """The files that ``path`` means: itself, those in a folder (not below it, no hidden ones), those of a glob.

    In folders and globs only regular files count; named by itself, a pipe is read too.

    :raises InputError: there is no such file or folder.
    """
    named = Path(path)
    try:
        if named.is_dir():
            with os.scandir(named) as entries:
                return sorted(named / e.name for e in entries if not e.name.startswith(".") and e.is_file())
        if named.exists():
            return [named]
    except OSError as error:
        raise InputError(f"{source_text(path)}: cannot be read: {error.strerror}; see to its permissions") from None
    if glob.has_magic(path):
        return sorted(p for p in map(Path, glob.glob(path)) if p.is_file())  # noqa: PTH207
    raise InputError(
        f"{source_text(path)}: no such file or folder; name logs, folders of logs, or - for standard input"
    )


def in_time_order(files: Iterable[Path], parsing: Parsing | None = None) -> list[Path]:
    """The files by the first time that can be read in each, else by that of their modification."""
    return sorted(files, key=lambda path: (_first_time(path, parsing or Parsing()), path))


def _first_time(path: Path, parsing: Parsing) -> datetime:
    """When the file's requests begin; what is no regular file, or cannot be read, comes last."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return LAST
        opened = open_file(path)
        try:
            head = opened.read(SNIFFED_BYTES)
        finally:
            opened.close()
    except (InputError, OSError):
        return LAST
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    lines = line_texts(Block(0, head), line_spans(head), has_cut_lines=False)
    return first_timestamp(lines, parsing) or modified_at


def chosen_files(paths: Sequence[str], parsing: Parsing | None = None) -> list[Path | None]:
    """All files that the paths mean, each once and in time order; ``None`` at the end for standard input.

    :raises InputError: there is no such file, or there are no files at all.
    """
    files = {p.resolve(): p for path in paths if path != STANDARD_INPUT for p in files_named(path)}
    chosen: list[Path | None] = [*in_time_order(files.values(), parsing)]
    if STANDARD_INPUT in paths:
        chosen.append(None)
    if not chosen:
        names = ", ".join(source_text(path) for path in paths)
        raise InputError(f"{names}: no files there; name logs, folders of logs, or - for standard input")
    return chosen


# Reading them --------------------------------------------------------------------------------------------------------


class Ingestion:
    """One run over logs. Ends early, with what was read landed, when ``stop`` is set.

    :param settings: the group ``ingest``.
    :param threads: that parse.
    :param wall_clock: seconds since the epoch, to compare with modification times.
    """

    def __init__(
        self, settings: Ingest, lander: Lander, stop: Event, *, threads: int = 2,
        now: Callable[[], datetime] = utc_now, clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.summary = Summary()
        self._settings, self._lander, self._stop, self._threads = settings, lander, stop, threads
        self._now, self._clock, self._wall_clock = now, clock, wall_clock

    def run(self, paths: Sequence[str]) -> Summary:
        """Land every line of the logs that the paths mean.

        :raises InputError: one of the paths does not exist; nothing has been landed then.
        :raises PipelineError: batches cannot be published.
        """
        files = chosen_files(paths, reading_of("", self._settings).parsing)
        with ThreadPoolExecutor(self._threads) as pool, Progress(_total_bytes(files)) as progress:
            for path in files:
                if self._stop.is_set():
                    break
                try:
                    self._land(path, pool, progress)
                except InputError as error:
                    self.summary.failed += 1
                    log.error("%s", error)
            self._lander.flush()
        self.summary.is_stopped = self._stop.is_set()
        return self.summary

    def _land(self, path: Path | None, pool: Executor, progress: Progress) -> None:
        source = STANDARD_INPUT if path is None else source_text(path)
        opened = self._opened(path)
        reader = BlockReader(opened.read, max_line_bytes=self._settings.max_line_bytes)
        parser = LineParser(reading_of(source, self._settings))
        self.summary.files += 1
        read_bytes = 0
        try:
            blocks = self._blocks(opened, reader)
            tasks = (None if block is None else parser.task(block, self._now()) for block in blocks)
            for rows in results_in_order(pool, tasks, self._threads):
                position = opened.raw_position()
                progress.advance(position - read_bytes, 0 if rows is None else rows.height)
                read_bytes = position
                if rows is None:
                    self._lander.tick()
                    continue
                self.summary.lines += rows.height
                self.summary.unparsed += rows["raw"].count()
                self._lander.add(rows)
        except OSError as error:
            raise InputError(
                f"{source}: cannot be read to its end: {error.strerror}; what came before it is landed"
            ) from None
        finally:
            opened.close()
            self.summary.reports.append(LogReport(source, parser.tally))
        if opened.error is not None and not self._stop.is_set():
            raise InputError(
                f"{source}: {opened.error}; what could be read before is landed. Ingest a whole copy to add the rest"
            )

    def _opened(self, path: Path | None) -> Log:
        if path is None:
            return self._stream(STDIN_DESCRIPTOR)
        if path.is_file():
            return open_file(path)
        try:
            return self._stream(os.open(path, os.O_RDONLY))
        except OSError as error:
            raise InputError(f"{source_text(path)}: cannot be read: {error.strerror}") from None

    def _stream(self, descriptor: int) -> Stream:
        return Stream(descriptor, poll_seconds=self._settings.poll_seconds, is_stopped=self._stop.is_set)

    def _blocks(self, opened: Log, reader: BlockReader) -> Iterator[Block | None]:
        """The log's blocks; ``None`` while there is nothing to read."""
        while not self._stop.is_set():
            block = reader.next()
            if block is not None:
                yield block
            elif isinstance(opened, Stream) and not opened.is_at_end:
                yield None
                opened.wait(self._settings.poll_seconds)
            else:
                break
        if self._stop.is_set():
            return
        if isinstance(opened, PlainFile):
            yield from self._last_line(opened, reader)
        elif (last := reader.rest if opened.error is None else reader.held) is not None:
            yield last

    def _last_line(self, opened: PlainFile, reader: BlockReader) -> Iterator[Block | None]:
        """A last line without newline, once its file is quiet; or when its newline has come, what ends with that."""
        quiet = Quiet(self._settings.quiet_seconds, clock=self._clock, wall_clock=self._wall_clock)
        while reader.rest is not None and not self._stop.is_set():
            status = opened.status()
            if status.st_size <= reader.position and quiet.is_quiet(status):
                yield reader.rest
                return
            block = reader.next()
            if block is not None:
                yield block
                return
            yield None
            self._stop.wait(min(self._settings.poll_seconds, self._settings.quiet_seconds))


class Quiet:
    """Whether a file has not changed for so long: by its modification time, or seen with our own eyes."""

    def __init__(self, seconds: float, *, clock: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self._seconds, self._clock, self._wall_clock = seconds, clock, wall_clock
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def is_quiet(self, status: os.stat_result) -> bool:
        """Look at the file's ``status`` as it is now."""
        seen = status.st_size, status.st_mtime_ns
        if seen != self._seen:
            self._seen, self._since = seen, self._clock()
        is_old = self._wall_clock() - status.st_mtime >= self._seconds
        return is_old or self._clock() - self._since >= self._seconds


def reading_of(source: str, settings: Ingest) -> Reading:
    """How the log called ``source`` is read under these settings."""
    options = Options(
        settings.time_zone, {str(column): path for column, path in settings.json_fields.items()}, settings.client_field
    )
    trusted = tuple(ipaddress.ip_network(network) for network in settings.trusted_proxies)
    named = "" if settings.site_from_name is None else site_of(settings.site_from_name)(source)
    return Reading(
        source,
        named or settings.site,
        settings.log_format,
        settings.max_line_bytes,
        settings.truncate_ips,
        options,
        trusted,
    )


Result = TypeVar("Result")


def results_in_order(
    pool: Executor, tasks: Iterable[Callable[[], Result] | None], threads: int
) -> Iterator[Result | None]:
    """The tasks' results in their order, a few being worked on. ``None`` comes after all results before it.

    What the tasks' source raises comes after all results before it, too.

    :param threads: of the pool. One task more than these is given to it ahead, so that none of them waits for its next.
    """
    working: deque[Future[Result]] = deque()
    failure: OSError | None = None
    try:
        for task in tasks:
            if task is not None:
                working.append(pool.submit(task))
            while len(working) > (threads if task is not None else 0):
                yield working.popleft().result()
            if task is None:
                yield None
    except OSError as error:
        failure = error
    while working:
        yield working.popleft().result()
    if failure is not None:
        raise failure


def _total_bytes(files: Iterable[Path | None]) -> int | None:
    total = 0
    for path in files:
        if path is None or not path.is_file():
            return None
        total += path.stat().st_size
    return total
