"""``producer ingest --follow``: logs as they grow (I/O), like ``tail -F``, from the beginning or where it was left.

A log is an open file, whatever its name is now. When another file takes its name (rotation by rename), the old one is
read on until it has been quiet for long. When it is cut (copytruncate), or was rotated while nobody looked, its rest is
looked for among the files that rotation makes of its name. A place is saved after the rows before it are published: a
crash lands rows again, with the same ids, and passes none over.

A log that cannot be read is tried again, from its last place on; nothing behind that counts as landed meanwhile.

A last line without newline waits for it. It is landed as it is when its file was rotated away and is quiet, or has not
changed for ``OPEN_LINE_SECONDS``; if it grows after all, it is landed again, whole.
"""

import glob
import logging
import math
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event

import polars as pl

from lakehouse.errors import InputError, UnreadableError
from lakehouse.settings import Ingest
from producer.blocks import Block, BlockReader, GzipFile, PlainFile, open_file
from producer.ingest import (
    STANDARD_INPUT,
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
# How long to wait before what could not be read is tried again: each time twice as long, up to an hour. What is read before
# the fault is landed each time.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 60.0, 3600.0
# The clock of modification times may lag behind ours.
CLOCK_SLACK_SECONDS = 1.0


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


@dataclass(frozen=True)
class Refusal:
    """A log, as it was, that could not be opened, when to try again, and whether there is little hope."""

    signature: Signature
    retry: Retry
    is_hopeless: bool


class Follower:
    """Follows logs. ``poll`` looks once, ``run`` until ``stop`` is set.

    :param paths: logs, folders or globs of logs; a log need not exist yet.
    :param settings: the group ``ingest``.
    :param positions: the file that places are kept in.
    :param threads: that parse.
    :param on_polled: called after each poll with how many files and rows have been landed so far, and how many logs could
        not be read.
    :param wall_clock: seconds since the epoch, to compare with modification times.
    :raises InputError: standard input is among the paths, or a path leads nowhere.
    """

    def __init__(
        self, paths: Sequence[str], settings: Ingest, lander: Lander, positions: Path, stop: Event, *, threads: int = 2,
        on_polled: Callable[[int, int, int], None] | None = None,
        now: Callable[[], datetime] = utc_now, clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.lines = 0
        self.unparsed = 0
        for path in paths:
            _check_followable(path)
        self._paths = paths
        self._settings, self._lander, self._stop, self._threads = settings, lander, stop, threads
        self._on_polled = on_polled
        self._now, self._clock, self._wall_clock = now, clock, wall_clock
        self._places = Places(positions)
        self._tails: dict[Path, Tail] = {}
        self._rotated: list[Tail] = []
        self._asleep: dict[Path, Signature] = {}
        self._refused: dict[Path, Refusal] = {}
        self._unsearched: dict[Path, tuple[float, Retry]] = {}
        """Paths whose rotated logs could not all be looked at: since when they count, and when to look again."""
        self._missing: set[Path] = set()
        self._empty: set[str] = set()
        self._folders: dict[Path, int] = {}
        self._landed_gzips: set[Signature] = set()
        self._fresh_gzips: dict[Path, Quiet] = {}
        self._unsettled: deque[tuple[int, Callable[[], None]]] = deque()
        self._complete_before = dict(self._places.complete_until)
        self._looked_at: float | None = None
        self._polled_at = wall_clock()
        self._named: frozenset[Path] = frozenset()
        self._is_saved = True
        self._saved_at = self._said_at = clock()
        self._said_lines = 0

    def run(self) -> None:
        """Follow until ``stop`` is set; then what was read is published and the places are saved.

        :raises PipelineError: batches or places cannot be written.
        """
        with ThreadPoolExecutor(self._threads) as pool:
            while not self._stop.is_set():
                self.poll(pool)
                if self._on_polled is not None:
                    self._on_polled(self._lander.files, self._lander.rows, self.unreadable)
                self._stop.wait(self._settings.poll_seconds)
        self.close()

    def poll(self, pool: Executor) -> None:
        """Land what has come since the last time."""
        self._polled_at = self._wall_clock()
        were_missing = frozenset(self._missing)
        statuses, missing = self._statuses()
        self._notice_renames(statuses)
        in_motion = were_missing | self._missing | {tail.path for tail in self._rotated}
        again = [path for path, (_, retry) in self._unsearched.items() if self._clock() >= retry.at]
        in_changed_folders = self._in_changed_folders(self._named if self._looked_at is None else in_motion)
        for path in dict.fromkeys((*in_changed_folders, *again)):
            self._read_rotated(path, None, statuses, pool)
        opened = self._open_new(statuses, pool)
        anew = self._read_what_is_new(pool)
        for path in anew:
            self._read_rotated(path, None, statuses, pool)
        self._read_what_was_rotated(dict.fromkeys((*missing, *opened, *anew, *again)), statuses, pool)
        for path in list(self._tails):
            self._put_to_sleep(path, statuses[path])
        # A log with a place is found again; one without, and the end of a rotated one, must have been landed.
        vulnerable = [*self._rotated, *(tail for tail in self._tails.values() if tail.read_up_to is None)]
        is_all_read = not any(tail.has_open_line or tail.seen is None for tail in vulnerable)
        if is_all_read and not self._unsearched and not self._stop.is_set():
            self._when_published(partial(self._complete, self._named, self._polled_at))
        self._looked_at = self._polled_at
        self._lander.tick()
        self._settle()
        self._say_how_far()

    @property
    def unreadable(self) -> int:
        """How many logs cannot be read now, though they may be later; where rotated ones are looked for, each path counts."""
        refused = sum(not refusal.is_hopeless for refusal in self._refused.values())
        return refused + len(self._unsearched) + sum(tail.retry_at is not None for tail in self._open_tails())

    def close(self) -> None:
        """Publish what was read, save the places and close the logs."""
        self._lander.flush()
        self._settle(is_last=True)
        for tail in self._open_tails():
            tail.opened.close()

    # What there is ---------------------------------------------------------------------------------------------------

    def _statuses(self) -> tuple[dict[Path, os.stat_result], list[Path]]:
        """The regular files that are followed, and paths where from now on there is none."""
        statuses, missing, named_paths = {}, [], set()
        for named in self._paths:
            try:
                files = files_named(named)
            except InputError:
                files = [Path(named)]
            if files:
                self._empty.discard(named)
            elif named not in self._empty:
                log.warning("%s: no file there; waiting for one", source_text(named))
                self._empty.add(named)
            if not Path(named).is_dir():
                named_paths.update(files)
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
        self._named = frozenset(named_paths)
        return statuses, missing

    def _notice_renames(self, statuses: dict[Path, os.stat_result]) -> None:
        """Give the open logs the names that they have now, and set those apart that were rotated away."""
        for path, tail in list(self._tails.items()):
            if path not in statuses or identity_of(statuses[path]) != tail.identity:
                log.info("%s: rotated away", source_text(path))
                self._rotated.append(self._tails.pop(path))
        names = {identity_of(status): path for path, status in statuses.items()} if self._rotated else {}
        for tail in list(self._rotated):
            new_path = names.get(tail.identity)
            if new_path is not None and new_path not in self._tails:
                self._rotated.remove(tail)
                tail.path = new_path
                self._tails[new_path] = tail

    def _in_changed_folders(self, paths: frozenset[Path]) -> list[Path]:
        """Those of the paths at which logs may have come and gone unseen since the last time."""
        changed = {folder for folder in {path.parent for path in paths} if self._has_changed(folder)}
        return sorted(path for path in paths if path.parent in changed)

    def _has_changed(self, folder: Path) -> bool:
        try:
            status = folder.stat()
        except OSError:
            return False
        before = self._folders.get(folder)
        self._folders[folder] = status.st_mtime_ns
        return before != status.st_mtime_ns or self._polled_at - status.st_mtime < CLOCK_SLACK_SECONDS

    def _open_new(self, statuses: dict[Path, os.stat_result], pool: Executor) -> list[Path]:
        """Open the files that are new or have changed since they were put to sleep; return those opened."""
        self._asleep = {path: signature for path, signature in self._asleep.items() if path in statuses}
        self._refused = {path: refusal for path, refusal in self._refused.items() if path in statuses}
        new = [path for path, status in statuses.items() if path not in self._tails and self._is_wanted(path, status)]
        self._expect_rotation(statuses)
        opened = []
        for path in in_time_order(new) if len(new) > 1 else new:
            if self._stop.is_set():
                break
            try:
                if self._open(path, statuses[path], pool):
                    opened.append(path)
                if self._refused.pop(path, None) is not None:
                    log.info("%s: it can be read now", source_text(path))
            except UnreadableError as error:
                self._refuse(path, statuses[path], f"{error}; it is tried again every minute", is_cheap=True)
            except InputError as error:
                self._refuse(path, statuses[path], str(error), is_hopeless=True)
            except OSError as error:
                self._refuse(path, statuses[path], _unreadable(path, error))
        return opened

    def _expect_rotation(self, statuses: dict[Path, os.stat_result]) -> None:
        """See to it that a log is found if it is rotated, and we are killed, before anything of it is known as landed.

        Also one that is not there yet: all that comes to its path from now on is to be landed.
        """
        unheard = [path for path in self._named if str(path) not in self._places.complete_until]
        for path in unheard:
            written_at = statuses[path].st_mtime if path in statuses else self._polled_at
            self._places.complete_until[str(path)] = min(self._polled_at, written_at)
        if unheard:
            self._save()

    def _is_wanted(self, path: Path, status: os.stat_result) -> bool:
        retry = self._retry(path, status)
        is_refused = retry is not None and self._clock() < retry.at
        return not is_refused and self._asleep.get(path) != signature_of(status)

    def _retry(self, path: Path, status: os.stat_result) -> Retry | None:
        """When to try this very file again, if it was refused."""
        refusal = self._refused.get(path)
        return refusal.retry if refusal is not None and refusal.signature == signature_of(status) else None

    def _refuse(
        self, path: Path, status: os.stat_result, why: str, *, is_cheap: bool = False, is_hopeless: bool = False
    ) -> None:
        """Try again when the file has changed, or in a while: permissions may change, and the number of open files.

        :param is_cheap: nothing of it was read: it need not be tried more rarely.
        :param is_hopeless: nothing that time would mend.
        """
        earlier = self._retry(path, status)
        if earlier is None:
            log.error("%s", why)
        retry = Retry.after(None if is_cheap else earlier, self._clock())
        self._refused[path] = Refusal(signature_of(status), retry, is_hopeless)

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
        try:
            place = self._find(opened, opened.status().st_size)
        except OSError:
            opened.close()
            raise
        tail = self._tail(path, opened, place)
        self._tails[path] = tail
        if self._is_old(status) and self._read_on(tail, pool):
            self._put_to_sleep(path, status)
        return True

    def _find(self, opened: PlainFile | GzipFile, size: int | None = None) -> Place | None:
        """How far this log is landed, under whichever name; what was read of it is published then."""
        current = [tail.read_up_to for tail in self._open_tails() if tail.read_up_to is not None]
        place = self._places.find(opened, self._settings.site, current=current, size=size)
        if place is not None and place not in self._places:
            self._lander.flush()
            self._settle()
        return place

    def _open_tails(self) -> list[Tail]:
        return [*self._tails.values(), *self._rotated]

    def _tail(self, path: Path, opened: PlainFile, place: Place | None) -> Tail:
        if place is not None:
            self._places.remove(place)
        return Tail(path, opened, place, self._settings, self._clock())

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
                self._know(replace(tail.place, path="" if path is None else str(path)))

        self._when_published(know)

    # Reading ---------------------------------------------------------------------------------------------------------

    def _read_what_is_new(self, pool: Executor) -> list[Path]:
        """Read on in the logs that are at their paths; return the paths where a log was cut or written anew."""
        anew = []
        for path, tail in list(self._tails.items()):
            if not self._stop.is_set() and not self._read_on(tail, pool):
                begun = self._begun_anew(tail)
                if begun is None:
                    continue
                log.info("%s: cut or written anew; reading it from its beginning", source_text(path))
                self._tails[path] = begun
                self._read_on(begun, pool)
                anew.append(path)
        return anew

    def _read_what_was_rotated(
        self, changed: Iterable[Path], statuses: dict[Path, os.stat_result], pool: Executor
    ) -> None:
        """Read on in the logs that were rotated away, also in those that stood at the changed paths before."""
        lost = [(path, place) for path in changed for place in self._places.lost_from(str(path), self._settings.site)]
        for path, place in lost:
            self._read_rest_elsewhere(path, place, statuses, pool)
        for tail in list(self._rotated):
            if not self._read_tail_of_rotated(tail, statuses, pool):
                self._rotated.remove(tail)
        if not self._stop.is_set():
            for path, place in lost:
                self._finish_if_searched(path, place)

    def _read_on(self, tail: Tail, pool: Executor) -> bool:
        """Read what is new in a log; false if it has become another one."""
        if tail.retry_at is not None and self._clock() < tail.retry_at:
            return True
        status = tail.opened.status()
        if signature_of(status) == tail.seen:
            if self._wall_clock() - status.st_mtime >= max(self._settings.quiet_seconds, OPEN_LINE_SECONDS):
                self._land_rest(tail)
            return True
        try:
            if tail.is_rewritten(status.st_size):
                return False
            for block, rows in self._rows(tail.reader, tail.parser, pool):
                self._land(rows)
                place = tail.place_after(block, self._polled_at)
                if place is not None:
                    tail.read_up_to = place
                    self._when_published(partial(self._advance, tail, place))
                self._settle()
        except OSError as error:
            self._put_off(tail, error)
        else:
            tail.seen, tail.changed_at, tail.retry_at = signature_of(status), self._clock(), None
        return True

    def _put_off(self, tail: Tail, error: OSError) -> None:
        """Read a log again in a while, from its last place on: lands some lines again, and passes none over."""
        if tail.retry_at is None:
            log.error("%s", _unreadable(tail.path, error))
        tail.retry_at = self._clock() + RETRY_SECONDS
        tail.go_back()

    def _read_tail_of_rotated(self, tail: Tail, statuses: dict[Path, os.stat_result], pool: Executor) -> bool:
        """Read what still comes into a log that was rotated away; false when it is closed as nothing more will."""
        status = tail.opened.status()
        if signature_of(status) != tail.seen:
            if self._read_on(tail, pool):
                return True
            begun = self._begun_anew(tail)
            if begun is None:
                return True
            self._rotated.append(begun)
            for place in self._places.lost_from(str(tail.path), self._settings.site):
                self._read_rest_elsewhere(tail.path, place, statuses, pool)
                self._finish_if_searched(tail.path, place)
            return False
        quiet_seconds = self._clock() - tail.changed_at
        if quiet_seconds >= self._settings.quiet_seconds:
            self._land_rest(tail)
        is_deleted = status.st_nlink == 0
        successor = self._tails.get(tail.path)
        has_successor = successor is not None and successor.read_up_to is not None
        is_over = quiet_seconds >= (self._settings.quiet_seconds if is_deleted and has_successor else ROTATED_SECONDS)
        if not (is_over and tail.is_settled and (is_deleted or has_successor)):
            return True
        # Without a successor, what comes at its path is still to be looked for after a restart.
        self._close(tail, None if has_successor else tail.path)
        return False

    def _begun_anew(self, tail: Tail) -> Tail | None:
        """The same file as another log, after it was cut or written anew; what was in it before is now lost from it.

        :return: ``None`` if it cannot be read: it is tried again in a while.
        """
        self._lander.flush()
        self._settle()
        try:
            place = self._find(tail.opened, tail.opened.status().st_size)
        except OSError as error:
            self._put_off(tail, error)
            return None
        if tail.place is not None:
            self._know(replace(tail.place, path=str(tail.path)))
        return self._tail(tail.path, tail.opened, place)

    def _read_rest_elsewhere(
        self, path: Path, place: Place, statuses: dict[Path, os.stat_result], pool: Executor
    ) -> None:
        """Read on in the log that was at ``path``, under a name that rotation gives, and in what was rotated after it."""
        is_found = self._read_rotated(path, place, statuses, pool) or _is_followed(path, place, statuses)
        if not is_found and path not in self._unsearched:
            log.warning(
                "%s: what stood in it before, up to byte %d, was cut off or rotated away and is not to be found; "
                "lines that were written after that place are missing", source_text(path), place.offset,
            )  # fmt: skip

    def _read_rotated(
        self, path: Path, place: Place | None, statuses: dict[Path, os.stat_result], pool: Executor
    ) -> bool:
        """Read, under the names that rotation gives, the logs that have come and gone at ``path`` since the last time.

        :param place: where to read on in the log that was there before them, if it is not open.
        :return: whether that log was found. What is followed anyway is left out.
        """
        since = self._looked_at if self._looked_at is not None else self._complete_before.get(str(path), math.inf)
        if path in self._unsearched:
            since = min(since, self._unsearched[path][0])
        if self._polled_at < since < math.inf:
            since = -math.inf  # the clock was set back: that time says nothing of what was written since
        is_found, failures = False, []
        siblings, failure = self._rotated_files(path, statuses)
        failures += [failure] if failure else []
        for sibling, status in siblings:
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
                        self._rotated.append(self._tail(path, opened, place if is_it else None))
                        closing.pop_all()
            except UnreadableError as error:
                failures.append(str(error))
            except InputError as error:  # nothing that time would mend
                log.warning("%s: cannot be looked at for lines of a rotated log: %s", source_text(sibling), error)
            except OSError as error:
                failures.append(_unreadable(sibling, error))
        self._note_search(path, since, failures)
        return is_found

    def _note_search(self, path: Path, since: float, failures: list[str]) -> None:
        """Know whether all was looked at that may have been rotated away from ``path``; else it is, again, in a while."""
        if not failures:
            self._unsearched.pop(path, None)
            return
        _, earlier = self._unsearched.get(path, (None, None))
        if earlier is None:
            for failure in failures:
                log.warning("%s (looking for lines of a log that was rotated)", failure)
        self._unsearched[path] = since, Retry.after(earlier, self._clock())

    def _finish_if_searched(self, path: Path, place: Place) -> None:
        """Look no longer for the log of ``place`` once its lines are published, if all was looked at."""
        if path not in self._unsearched:
            self._when_published(partial(self._finish, place))

    def _finish(self, place: Place) -> None:
        """Look no longer for the log of ``place``, which stays known."""
        if place in self._places:
            self._places.remove(place)
            self._places.add(replace(place, path=""))
            self._is_saved = False

    def _rotated_files(
        self, path: Path, statuses: dict[Path, os.stat_result]
    ) -> tuple[list[tuple[Path, os.stat_result]], str | None]:
        """The files that rotation may have made of ``path``, oldest first, without those that are being read.

        :return: them, and why there may be more, if one could not be looked at or just got another name.
        """
        read = {tail.identity for tail in self._open_tails()}
        found, failure = [], None
        try:
            siblings = [path.parent / name for name in rotated_names(path, os.listdir(path.parent))]  # noqa: PTH208
        except OSError as error:
            return [], _unreadable(path.parent, error)
        for sibling in siblings:
            try:
                status = sibling.stat()
            except OSError as error:
                failure = _unreadable(sibling, error)
                continue
            if sibling not in statuses and stat.S_ISREG(status.st_mode) and identity_of(status) not in read:
                found.append((sibling, status))
        return sorted(found, key=lambda pair: pair[1].st_mtime_ns), failure

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
            if signature_of(status) in self._landed_gzips or self._places.has_gzip(compressed, site, status.st_size):
                self._asleep[path] = signature_of(status)
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
        self._asleep[path] = signature_of(status)
        self._landed_gzips.add(signature_of(status))
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
            self._when_published(partial(self._know, whole))

    def _rows(self, reader: BlockReader, parser: LineParser, pool: Executor) -> Iterator[tuple[Block, pl.DataFrame]]:
        def tasks() -> Iterator[Callable[[], tuple[Block, pl.DataFrame]]]:
            while not self._stop.is_set() and (block := reader.next()) is not None:
                yield partial(_with_block, block, parser.task(block, self._now()))

        for result in results_in_order(pool, tasks(), self._threads):
            if result is not None:
                yield result

    def _land_rest(self, tail: Tail) -> None:
        """Land a last line without newline as it is. The place stays before it: should it grow, it is read again."""
        if tail.has_open_line:
            self._land(tail.rest_rows(self._now()))

    def _land(self, rows: pl.DataFrame) -> None:
        self._lander.add(rows)
        self.lines += rows.height
        self.unparsed += rows["raw"].count()

    # Places ----------------------------------------------------------------------------------------------------------

    def _when_published(self, act: Callable[[], None]) -> None:
        """Let something be true once the rows that were landed so far are published."""
        self._unsettled.append((self._lander.rows + self._lander.waiting_rows, act))

    def _advance(self, tail: Tail, place: Place) -> None:
        tail.place = place
        self._is_saved = False

    def _know(self, place: Place) -> None:
        self._places.add(place)
        self._is_saved = False

    def _complete(self, paths: frozenset[Path], until: float) -> None:
        """All that was at these paths up to this time is landed. That alone is not worth saving."""
        self._places.complete_until.update((str(path), until) for path in paths)

    def _settle(self, *, is_last: bool = False) -> None:
        """Let be true what waited for its rows to be published, and save it."""
        while self._unsettled and self._unsettled[0][0] <= self._lander.rows:
            _, act = self._unsettled.popleft()
            act()
        if not self._is_saved and (is_last or self._clock() - self._saved_at >= SAVE_SECONDS):
            self._save()

    def _save(self) -> None:
        existing = {str(path) for path in self._asleep}
        current = [replace(t.place, path=str(t.path)) for t in self._open_tails() if t.place is not None]
        self._places.save(current, self._wall_clock(), existing=existing)
        self._is_saved, self._saved_at = True, self._clock()

    def _say_how_far(self) -> None:
        if self.lines != self._said_lines and self._clock() - self._said_at >= SAY_SECONDS:
            log.info("landed %s lines so far, %s of them unparsed", f"{self.lines:,}", f"{self.unparsed:,}")
            self._said_lines, self._said_at = self.lines, self._clock()


def _with_block(block: Block, work: Callable[[], pl.DataFrame]) -> tuple[Block, pl.DataFrame]:
    return block, work()


def _is_followed(path: Path, place: Place, followed: Iterable[Path]) -> bool:
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


def _unreadable(path: Path, error: OSError) -> str:
    return f"{source_text(path)}: cannot be read: {error.strerror}; it is tried again"


def _check_followable(path: str) -> None:
    if path == STANDARD_INPUT:
        raise InputError("standard input cannot be followed: it is read to its end without --follow")
    if Path(path).exists() or glob.has_magic(path):
        files_named(path)
    elif not Path(path).parent.is_dir():
        raise InputError(f"{source_text(path)}: no folder there to wait for a log in; name logs, or folders of logs")
