"""``producer ingest --follow``: logs as they grow (I/O), like ``tail -F``, from the beginning or where it was left.

A log is an open file, whatever its name is now. When another file takes its name (rotation by rename), the old one is
read on until it has been quiet for long. When it is cut (copytruncate), or was rotated while nobody looked, its rest is
looked for among the files that rotation makes of its name. A place is saved after the rows before it are published: a
crash lands rows again, with the same ids, and passes none over.

A last line without newline waits for it. It is landed as it is when its file was rotated away and is quiet, or has not
changed for ``OPEN_LINE_SECONDS``; if it grows after all, it is landed again, whole.
"""

import glob
import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event

import polars as pl

from lakehouse.errors import InputError
from lakehouse.settings import Ingest
from producer.blocks import Block, BlockReader, GzipFile, PlainFile, open_file
from producer.ingest import (
    STANDARD_INPUT,
    THREADS,
    Quiet,
    files_named,
    in_time_order,
    reading_of,
    results_in_order,
    source_text,
)
from producer.landing import Lander, utc_now
from producer.positions import Place, Places, hashes_around
from producer.rows import LineParser
from producer.tail import Signature, Tail, identity_of, rotated_names, signature_of

log = logging.getLogger("producer.follow")

POSITIONS = "positions.json"
SAVE_SECONDS = 2.0
SAY_SECONDS = 60.0
OPEN_LINE_SECONDS = 600.0
# A log that was rotated away, or has not changed for so long, is closed. A change wakes the latter up again.
ROTATED_SECONDS = 600.0
ASLEEP_SECONDS = 3600.0
REFUSED_SECONDS = 60.0
# The clock of modification times may lag behind ours.
CLOCK_SLACK_SECONDS = 1.0


class Follower:
    """Follows logs. ``poll`` looks once, ``run`` until ``stop`` is set.

    :param paths: logs, folders or globs of logs; a log need not exist yet.
    :param settings: the group ``ingest``.
    :param positions: the file that places are kept in.
    :param wall_clock: seconds since the epoch, to compare with modification times.
    :raises InputError: standard input is among the paths, or a path leads nowhere.
    """

    def __init__(
        self, paths: Sequence[str], settings: Ingest, lander: Lander, positions: Path, stop: Event, *,
        now: Callable[[], datetime] = utc_now, clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.lines = 0
        self.unparsed = 0
        for path in paths:
            _check_followable(path)
        self._paths = paths
        self._settings, self._lander, self._stop = settings, lander, stop
        self._now, self._clock, self._wall_clock = now, clock, wall_clock
        self._places = Places(positions)
        self._tails: dict[Path, Tail] = {}
        self._rotated: list[Tail] = []
        self._asleep: dict[Path, Signature] = {}
        self._refused: dict[Path, tuple[Signature, float]] = {}
        self._missing: set[Path] = set()
        self._fresh_gzips: dict[Path, Quiet] = {}
        self._unsettled: deque[tuple[int, Callable[[], None]]] = deque()
        self._polled_at = wall_clock()
        self._is_saved = True
        self._saved_at = self._said_at = clock()
        self._said_lines = 0

    def run(self) -> None:
        """Follow until ``stop`` is set; then what was read is published and the places are saved.

        :raises PipelineError: batches or places cannot be written.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            while not self._stop.is_set():
                self.poll(pool)
                self._stop.wait(self._settings.poll_seconds)
        self.close()

    def poll(self, pool: Executor) -> None:
        """Land what has come since the last time."""
        self._polled_at = self._wall_clock()
        statuses, missing = self._statuses()
        for tail in self._notice_renames(statuses):
            self._read_rotated_since(tail.path, tail.seen_at, statuses, pool)
        changed = missing + self._open_new(statuses, pool)
        for path, tail in list(self._tails.items()):
            if not self._stop.is_set() and not self._read_on(tail, pool):
                log.info("%s: cut or written anew; reading it from its beginning", source_text(path))
                self._lander.flush()
                self._settle()
                self._close(self._tails.pop(path), path)
                changed.append(path)
        lost = [(path, place) for path in changed for place in self._places.lost_from(str(path), self._settings.site)]
        for path, place in lost:
            self._read_rest_elsewhere(path, place, statuses, pool)
        for tail in list(self._rotated):
            if not self._read_rotated(tail, statuses, pool):
                self._rotated.remove(tail)
        for _, place in lost if not self._stop.is_set() else []:
            self._when_published(partial(self._finish, place))
        for path in list(self._tails):
            self._put_to_sleep(path, statuses[path])
        self._lander.tick()
        self._settle()
        self._say_how_far()

    def close(self) -> None:
        """Publish what was read, save the places and close the logs."""
        self._lander.flush()
        self._settle(is_last=True)
        for tail in (*self._tails.values(), *self._rotated):
            tail.opened.close()

    # What there is ---------------------------------------------------------------------------------------------------

    def _statuses(self) -> tuple[dict[Path, os.stat_result], list[Path]]:
        """The regular files that are followed, and paths where from now on there is none."""
        statuses, missing = {}, []
        for named in self._paths:
            try:
                files = files_named(named)
            except InputError:
                files = [Path(named)]
            for path in files:
                try:
                    status = path.stat()
                except OSError:
                    missing += [path] if path not in self._missing else []
                    continue
                self._missing.discard(path)
                if stat.S_ISREG(status.st_mode):
                    statuses[path] = status
        for path in missing:
            log.info("%s: not there; waiting for it", source_text(path))
        self._missing.update(missing)
        return statuses, missing

    def _notice_renames(self, statuses: dict[Path, os.stat_result]) -> list[Tail]:
        """Give the open logs the names that they have now; return those that were rotated away since the last time."""
        rotated = []
        for path, tail in list(self._tails.items()):
            if path in statuses and identity_of(statuses[path]) == tail.identity:
                tail.seen_at = self._polled_at
            else:
                log.info("%s: rotated away", source_text(path))
                rotated.append(self._tails.pop(path))
        self._rotated += rotated
        names = {identity_of(status): path for path, status in statuses.items()} if self._rotated else {}
        for tail in list(self._rotated):
            new_path = names.get(tail.identity)
            if new_path is not None and new_path not in self._tails:
                self._rotated.remove(tail)
                tail.path = new_path
                self._tails[new_path] = tail
        return [tail for tail in rotated if tail in self._rotated]

    def _open_new(self, statuses: dict[Path, os.stat_result], pool: Executor) -> list[Path]:
        """Open the files that are new or have changed since they were put to sleep; return those opened."""
        self._asleep = {path: signature for path, signature in self._asleep.items() if path in statuses}
        self._refused = {path: refusal for path, refusal in self._refused.items() if path in statuses}
        new = [path for path, status in statuses.items() if path not in self._tails and self._is_wanted(path, status)]
        opened = []
        for path in in_time_order(new) if len(new) > 1 else new:
            if self._stop.is_set():
                break
            try:
                if self._open(path, statuses[path], pool):
                    opened.append(path)
            except (InputError, OSError) as error:
                self._refuse(path, statuses[path], error)
        return opened

    def _is_wanted(self, path: Path, status: os.stat_result) -> bool:
        signature, refused_at = self._refused.get(path, (None, 0.0))
        is_refused = signature == signature_of(status) and self._clock() - refused_at < REFUSED_SECONDS
        return not is_refused and self._asleep.get(path) != signature_of(status)

    def _refuse(self, path: Path, status: os.stat_result, error: InputError | OSError) -> None:
        """Try again when the file has changed, or in a while: permissions may change, and the number of open files."""
        if self._refused.get(path, (None,))[0] != signature_of(status):
            log.error("%s", error)
        self._refused[path] = signature_of(status), self._clock()

    def _open(self, path: Path, status: os.stat_result, pool: Executor) -> bool:
        """Begin with the log at ``path``; false if it is a compressed one, which is landed here or, if fresh, later.

        :raises InputError: it cannot be opened.
        :raises OSError: it cannot be read, or has gone.
        """
        opened = open_file(path)
        if isinstance(opened, GzipFile):
            try:
                if self._is_quiet_gzip(path, status):
                    self._land_gzip(path, path, opened, pool)
            finally:
                opened.close()
            return False
        self._asleep.pop(path, None)
        place = self._find(opened, opened.status().st_size)
        tail = self._tail(path, opened, place, seen_at=self._polled_at)
        self._tails[path] = tail
        if self._is_old(status) and self._read_on(tail, pool):
            self._put_to_sleep(path, status)
        return True

    def _find(self, opened: PlainFile | GzipFile, size: int | None = None) -> Place | None:
        """How far this log is landed, under whichever name."""
        return self._places.find(opened, self._settings.site, current=self._current_places(), size=size)

    def _current_places(self) -> list[Place]:
        tails = (*self._tails.values(), *self._rotated)
        return [replace(tail.place, path=str(tail.path)) for tail in tails if tail.place is not None]

    def _tail(self, path: Path, opened: PlainFile, place: Place | None, *, seen_at: float) -> Tail:
        if place is not None:
            self._places.remove(place)
        return Tail(path, opened, place, self._settings, seen_at=seen_at, changed_at=self._clock())

    def _is_old(self, status: os.stat_result) -> bool:
        return self._wall_clock() - status.st_mtime > ASLEEP_SECONDS

    def _put_to_sleep(self, path: Path, status: os.stat_result) -> None:
        """Close a log that has not changed for long: a folder may have thousands."""
        tail = self._tails[path]
        if self._is_old(status) and tail.seen == signature_of(status):
            self._land_rest(tail)
            self._asleep[path] = tail.seen
            self._close(self._tails.pop(path), path)

    def _close(self, tail: Tail, path: Path | None) -> None:
        """Close a log, and know its place as that of a log to be found at ``path`` (``None``: it is finished)."""
        tail.opened.close()

        def know() -> None:
            if tail.place is not None:
                self._places.add(replace(tail.place, path="" if path is None else str(path)))

        self._when_published(know)

    # Reading ---------------------------------------------------------------------------------------------------------

    def _read_on(self, tail: Tail, pool: Executor) -> bool:
        """Read what is new in a log; false if it has become another one."""
        status = tail.opened.status()
        if signature_of(status) == tail.seen:
            if self._wall_clock() - status.st_mtime >= max(self._settings.quiet_seconds, OPEN_LINE_SECONDS):
                self._land_rest(tail)
            return True
        try:
            if tail.is_rewritten(status.st_size):
                return False
            if tail.reader.rest is not None:
                tail.rewind()
            tail.seen, tail.changed_at = signature_of(status), self._clock()
            for block, rows in self._rows(tail.reader, tail.parser, pool):
                self._land(rows)
                place = tail.place_after(block)
                if place is not None:
                    tail.read_up_to = place
                    self._when_published(partial(setattr, tail, "place", place))
                self._settle()
        except OSError as error:
            log.error("%s: cannot be read: %s; trying again when it changes", source_text(tail.path), error.strerror)
        return True

    def _read_rotated(self, tail: Tail, statuses: dict[Path, os.stat_result], pool: Executor) -> bool:
        """Read what still comes into a log that was rotated away; false when it is closed as nothing more will."""
        status = tail.opened.status()
        if signature_of(status) != tail.seen:
            is_same = self._read_on(tail, pool)
            if not is_same:
                self._begin_anew(tail, statuses, pool)
            return is_same
        quiet_seconds = self._clock() - tail.changed_at
        if quiet_seconds >= self._settings.quiet_seconds:
            self._land_rest(tail)
        is_deleted = status.st_nlink == 0
        successor = self._tails.get(tail.path)
        has_successor = successor is not None and successor.read_up_to is not None
        limit_seconds = self._settings.quiet_seconds if is_deleted else ROTATED_SECONDS
        if tail.is_settled and quiet_seconds >= limit_seconds and (is_deleted or has_successor):
            self._close(tail, None)
            return False
        return True

    def _begin_anew(self, tail: Tail, statuses: dict[Path, os.stat_result], pool: Executor) -> None:
        """Read a log from its beginning that was first cut and then rotated away; its old content is elsewhere."""
        self._lander.flush()
        self._settle()
        self._rotated.append(self._tail(tail.path, tail.opened, None, seen_at=tail.seen_at))
        if tail.place is not None:
            self._places.add(tail.place)
            self._read_rest_elsewhere(tail.path, tail.place, statuses, pool)
            self._when_published(partial(self._finish, tail.place))

    def _read_rest_elsewhere(
        self, path: Path, place: Place, statuses: dict[Path, os.stat_result], pool: Executor
    ) -> None:
        """Read on in the log that was at ``path``, under a name that rotation gives, and in what was rotated after it."""
        if not self._read_rotated_since(path, place.seen_at, statuses, pool, place):
            log.warning(
                "%s: what stood in it before, up to byte %d, was cut off or rotated away and is not to be found; "
                "lines that were written after that place are missing", source_text(path), place.offset,
            )  # fmt: skip

    def _read_rotated_since(
        self, path: Path, since: float, statuses: dict[Path, os.stat_result], pool: Executor, place: Place | None = None
    ) -> bool:
        """Read the logs that were at ``path`` after the time ``since``, under names that rotation gives.

        :param place: where to read on in the log that was there at that time, if it is not open.
        :return: whether that log was found. What is followed anyway is left out.
        """
        is_found = False
        for sibling, status in self._rotated_files(path, statuses):
            try:
                with ExitStack() as closing:
                    opened = open_file(sibling)
                    closing.callback(opened.close)
                    is_it = place is not None and place.is_in(opened)
                    is_newer = status.st_mtime > since - CLOCK_SLACK_SECONDS and self._find(opened) is None
                    is_found |= is_it
                    if not (is_it or is_newer):
                        continue
                    if isinstance(opened, GzipFile):
                        self._land_gzip(path, sibling, opened, pool)
                    else:
                        self._rotated.append(self._tail(path, opened, place if is_it else None, seen_at=since))
                        closing.pop_all()
            except (InputError, OSError) as error:
                log.warning("%s: cannot be looked at for lines of a rotated log: %s", source_text(sibling), error)
        return is_found

    def _finish(self, place: Place) -> None:
        """Look no longer for the log of ``place``, which stays known."""
        if place in self._places:
            self._places.remove(place)
            self._places.add(replace(place, path=""))
            self._is_saved = False

    def _rotated_files(self, path: Path, statuses: dict[Path, os.stat_result]) -> list[tuple[Path, os.stat_result]]:
        """The files that rotation may have made of ``path``, oldest first, without those that are being read."""
        read = {tail.identity for tail in (*self._tails.values(), *self._rotated)}
        found = []
        try:
            for name in rotated_names(path, os.listdir(path.parent)):  # noqa: PTH208
                sibling = path.parent / name
                status = sibling.stat()
                if sibling not in statuses and stat.S_ISREG(status.st_mode) and identity_of(status) not in read:
                    found.append((sibling, status))
        except OSError as error:
            log.warning("%s: cannot be looked through for rotated logs: %s", source_text(path.parent), error.strerror)
        return sorted(found, key=lambda pair: pair[1].st_mtime_ns)

    def _is_quiet_gzip(self, path: Path, status: os.stat_result) -> bool:
        quiet_seconds = self._settings.quiet_seconds
        quiet = self._fresh_gzips.setdefault(path, Quiet(quiet_seconds, clock=self._clock, wall_clock=self._wall_clock))
        is_quiet = quiet.is_quiet(status)
        if is_quiet:
            del self._fresh_gzips[path]
        return is_quiet

    def _land_gzip(self, source: Path, path: Path, opened: GzipFile, pool: Executor) -> None:
        """Land what is not landed yet of a compressed log."""
        site = self._settings.site
        with PlainFile.at(path) as compressed:
            status = compressed.status()
            self._asleep[path] = signature_of(status)
            if self._places.has_gzip(compressed, site, status.st_size):
                return
            head, tail = hashes_around(compressed, status.st_size)
        place = self._find(opened)
        offset, known = (0, ()) if place is None else (place.offset, (place.fingerprint, place.parser))
        opened.seek(offset)
        parser = LineParser(reading_of(source_text(source), self._settings), *known)
        reader = BlockReader(opened.read, max_line_bytes=self._settings.max_line_bytes, offset=offset)
        for _, rows in self._rows(reader, parser, pool):
            self._land(rows)
            self._settle()
        if self._stop.is_set():
            return
        if opened.error is not None:
            log.error("%s: %s; what could be read is landed", source_text(path), opened.error)
            return
        if reader.rest is not None:
            self._land(parser.task(reader.rest, self._now())())
        if place is not None and path == source:  # else it is being looked for, with what came after it
            self._when_published(partial(self._finish, place))
        if head is not None and tail is not None and parser.fingerprint is not None:
            found = site, parser.fingerprint, parser.parser
            whole = Place(*found, status.st_size, head, tail, str(path), self._polled_at, is_gzip=True)
            self._when_published(partial(self._places.add, whole))

    def _rows(self, reader: BlockReader, parser: LineParser, pool: Executor) -> Iterator[tuple[Block, pl.DataFrame]]:
        def tasks() -> Iterator[Callable[[], tuple[Block, pl.DataFrame]]]:
            while not self._stop.is_set() and (block := reader.next()) is not None:
                yield partial(_with_block, block, parser.task(block, self._now()))

        for result in results_in_order(pool, tasks()):
            if result is not None:
                yield result

    def _land_rest(self, tail: Tail) -> None:
        """Land a last line without newline as it is. The place stays before it: should it grow, it is read again."""
        rest = tail.reader.rest
        if rest is not None and rest != tail.landed_rest:
            tail.landed_rest = rest
            self._land(tail.parser.task(rest, self._now())())

    def _land(self, rows: pl.DataFrame) -> None:
        self._lander.add(rows)
        self.lines += rows.height
        self.unparsed += rows["raw"].count()

    # Places ----------------------------------------------------------------------------------------------------------

    def _when_published(self, act: Callable[[], None]) -> None:
        """Let something be true once the rows that were landed so far are published."""
        self._unsettled.append((self._lander.rows + self._lander.waiting_rows, act))

    def _settle(self, *, is_last: bool = False) -> None:
        """Take the places whose rows are published as landed, and save them."""
        while self._unsettled and self._unsettled[0][0] <= self._lander.rows:
            _, act = self._unsettled.popleft()
            act()
            self._is_saved = False
        if not self._is_saved and (is_last or self._clock() - self._saved_at >= SAVE_SECONDS):
            existing = {str(path) for path in self._asleep}
            self._places.save(self._current_places(), self._wall_clock(), existing=existing)
            self._is_saved, self._saved_at = True, self._clock()

    def _say_how_far(self) -> None:
        if self.lines != self._said_lines and self._clock() - self._said_at >= SAY_SECONDS:
            log.info("landed %s lines so far, %s of them unparsed", f"{self.lines:,}", f"{self.unparsed:,}")
            self._said_lines, self._said_at = self.lines, self._clock()


def _with_block(block: Block, work: Callable[[], pl.DataFrame]) -> tuple[Block, pl.DataFrame]:
    return block, work()


def _check_followable(path: str) -> None:
    if path == STANDARD_INPUT:
        raise InputError("standard input cannot be followed: it is read to its end without --follow")
    if Path(path).exists() or glob.has_magic(path):
        files_named(path)
    elif not Path(path).parent.is_dir():
        raise InputError(f"{source_text(path)}: no folder there to wait for a log in; name logs, or folders of logs")
