"""``producer ingest --follow``: logs as they grow (I/O), like ``tail -F``, from the beginning or where it was left.

Each look at the disk gives a plan (``producer.plan``), which is carried out here. A log is an open file, whatever its name
is now. When another file takes its name (rotation by rename), the old one is read on until it has been quiet for long. When
it is cut (copytruncate), or was rotated while nobody looked, its rest is looked for among the files that rotation makes of
its name. A place is saved after the rows before it are published (``producer.published``).

A log that cannot be read is tried again, from its last place on; nothing behind that counts as landed meanwhile.

A last line without newline waits for it. It is landed as it is when its file was rotated away and is quiet, or has not
changed for ``OPEN_LINE_SECONDS``; if it grows after all, it is landed again, whole.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event

from lakehouse.settings import Ingest
from producer.apart import tell_apart
from producer.blocks import CompressedFile
from producer.disk import Look, check_followable, look_at
from producer.ingest import in_time_order, source_text
from producer.landing import Lander, utc_now
from producer.open_logs import OpenLogs
from producer.plan import (
    ASLEEP_SECONDS,
    OPEN_LINE_SECONDS,
    ROTATED_SECONDS,
    Action,
    Close,
    Disk,
    Expect,
    FindLost,
    Forget,
    Identity,
    Knowledge,
    LandRest,
    Move,
    Open,
    Read,
    Search,
    SetApart,
    Sleep,
    State,
    Status,
    Times,
    plan,
)
from producer.positions import Place, Places
from producer.published import Published
from producer.reading import LogReader
from producer.records import LONGEST_RETRY_SECONDS, RETRY_SECONDS
from producer.search import RotatedLogs

__all__ = [
    "ASLEEP_SECONDS",
    "LONGEST_RETRY_SECONDS",
    "OPEN_LINE_SECONDS",
    "RETRY_SECONDS",
    "ROTATED_SECONDS",
    "Follower",
]

log = logging.getLogger("producer.follow")

SAY_SECONDS = 60.0


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
        for path in paths:
            check_followable(path)
        self._paths = paths
        self._settings, self._lander, self._stop, self._threads = settings, lander, stop, threads
        self._on_polled = on_polled
        self._clock, self._wall_clock = clock, wall_clock
        self._places = Places(positions)
        self._published = Published(lander, self._places, self._save, clock)
        self._reader = LogReader(settings, self._published, self._places, self._find, stop, threads=threads, now=now)
        self._logs = OpenLogs(settings, self._places, self._published, self._reader, clock)
        self._records = self._logs.records
        self._rotated = RotatedLogs(self._logs, self._places.complete_until, stop, clock)
        self._look = Look()
        self._said_at, self._said_lines = clock(), 0

    @property
    def lines(self) -> int:
        """How many lines have been landed."""
        return self._published.lines

    @property
    def unparsed(self) -> int:
        """How many of them did not parse."""
        return self._published.unparsed

    @property
    def unreadable(self) -> int:
        """How many logs cannot be read now, though they may be later.

        A folder counts once, and so does each path where rotated logs are looked for.
        """
        refused = sum(not record.is_hopeless for record in self._records.are(State.REFUSED))
        put_off = sum(record.retry is not None for record in self._records.open())
        return refused + put_off + len(self._rotated.unsearched.paths) + len(self._look.failures)

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
        self._logs.polled_at = self._wall_clock()
        before, self._look = self._look, look_at(self._paths)
        self._tell(before)
        disk = replace(self._look.disk, opened=self._statuses_of_open())
        times = Times(self._clock(), self._logs.polled_at, self._settings.quiet_seconds)
        for action in self._in_time_order(plan(disk, self._knowledge(before), times)):
            self._carry_out(action, disk, pool)
        if not self._stop.is_set():
            tell_apart(self._logs)
        self._note_complete(disk)
        self._rotated.looked_at = self._logs.polled_at
        self._lander.tick()
        self._published.settle()
        self._say_how_far()

    def close(self) -> None:
        """Publish what was read, save the places and close the logs."""
        self._published.publish(is_last=True)
        for record in self._records.open():
            record.open_tail.opened.close()

    # What is planned with --------------------------------------------------------------------------------------------

    def _tell(self, before: Look) -> None:
        """Say once what is not there, and what cannot be looked at."""
        for named in sorted(self._look.empty - before.empty):
            log.warning("%s: no file there; waiting for one", source_text(named))
        for path in sorted(self._look.missing - before.missing):
            log.info("%s: not there; waiting for it", source_text(path))
        for path, why in self._look.failures.items():
            if path not in before.failures:
                log.error("%s: cannot be looked at: %s; other logs are read, it is tried again", source_text(path), why)
        for path in sorted(before.failures.keys() - self._look.failures.keys()):
            log.info("%s: it can be looked at now", source_text(path))

    def _statuses_of_open(self) -> dict[Identity, Status]:
        statuses = {}
        for record in self._records.open():
            try:
                statuses[record.identity] = Status.of(record.open_tail.opened.status())
            except OSError:  # reading it tells why
                continue
        return statuses

    def _knowledge(self, before: Look) -> Knowledge:
        return Knowledge(
            files=[record.known for record in self._records.values()],
            missing=frozenset(before.missing),
            expected=frozenset(map(Path, self._places.complete_until)),
            unsearched={path: retry.at for path, (_, retry) in self._rotated.unsearched.paths.items()},
            is_first=self._rotated.looked_at is None,
        )

    def _in_time_order(self, actions: list[Action]) -> list[Action]:
        """The actions, with several logs to be opened in the order of the first time that can be read in each."""
        opens = {action.path: action for action in actions if isinstance(action, Open)}
        if len(opens) < 2:
            return actions
        ordered = iter([opens[path] for path in in_time_order(opens)])
        return [next(ordered) if isinstance(action, Open) else action for action in actions]

    # Actions ---------------------------------------------------------------------------------------------------------

    def _carry_out(self, action: Action, disk: Disk, pool: Executor) -> None:
        match action:
            case SetApart(identity):
                record = self._records[identity]
                record.state = State.ROTATED
                log.info("%s: rotated away", source_text(record.path))
            case Move(identity, path):
                record = self._records[identity]
                record.state, record.path = State.READING, path
            case Forget(identity):
                del self._records[identity]
            case Expect(paths):
                self._expect(paths, disk)
            case LandRest(identity):
                self._reader.land_rest(self._records[identity].open_tail)
            case Sleep(identity):
                self._logs.put_to_sleep(self._records[identity])
            case Close(identity, is_finished):
                record = self._records.pop(identity)
                self._logs.close(record, None if is_finished else record.path)
            case _ if self._stop.is_set():
                return
            case Search(path, only_if_changed):
                if not only_if_changed or self._rotated.has_changed(path):
                    self._rotated.search(path, None, disk.files, pool)
            case Open():
                self._logs.try_to_open(action, disk.files[action.path], pool)
            case Read(identity):
                self._rotated.read(self._records.get(identity), disk.files, pool)
            case FindLost(paths):
                self._rotated.find_lost(paths, disk.files, pool)

    def _expect(self, paths: Sequence[Path], disk: Disk) -> None:
        """All that comes to these paths from now on, or stands there, is to be landed."""
        for path in paths:
            written_at = disk.files[path].modified_at if path in disk.files else self._logs.polled_at
            self._places.complete_until[str(path)] = min(self._logs.polled_at, written_at)
        self._published.save()

    # What is known ---------------------------------------------------------------------------------------------------

    def _note_complete(self, disk: Disk) -> None:
        """A log with a place is found again; one without, and the end of a rotated one, must have been landed."""
        without_place = (r for r in self._records.are(State.READING) if r.open_tail.read_up_to is None)
        is_all_read = all(record.is_all_read for record in (*self._records.are(State.ROTATED), *without_place))
        if is_all_read and not self._rotated.unsearched.paths and not self._look.failures and not self._stop.is_set():
            self._published.then(partial(self._published.complete, disk.named, self._logs.polled_at))

    def _find(self, opened: CompressedFile) -> Place | None:
        return self._logs.find(opened)

    def _save(self) -> None:
        existing = {str(record.path) for record in self._records.are(State.ASLEEP)}
        places = [(r, r.open_tail.place) for r in self._records.open()]
        current = [replace(place, path=str(record.path)) for record, place in places if place is not None]
        self._places.save(current, self._wall_clock(), existing=existing)

    def _say_how_far(self) -> None:
        if self.lines != self._said_lines and self._clock() - self._said_at >= SAY_SECONDS:
            log.info("landed %s lines so far, %s of them unparsed", f"{self.lines:,}", f"{self.unparsed:,}")
            self._said_lines, self._said_at = self.lines, self._clock()
