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
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import combinations
from pathlib import Path
from threading import Event

from lakehouse.errors import InputError, UnreadableError
from lakehouse.settings import Ingest
from producer.alike import shared_beginning
from producer.blocks import GzipFile, PlainFile, open_file
from producer.disk import Look, check_followable, look_at
from producer.ingest import in_time_order, source_text
from producer.landing import Lander, utc_now
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
from producer.records import LONGEST_RETRY_SECONDS, RETRY_SECONDS, Record, Records, Retry
from producer.rotated import (
    CLOCK_SLACK_SECONDS,
    Folders,
    Unsearched,
    is_followed,
    is_rotation,
    rotated_files,
    unreadable,
)
from producer.tail import Tail

__all__ = [
    "ASLEEP_SECONDS",
    "LONGEST_RETRY_SECONDS",
    "OPEN_LINE_SECONDS",
    "POSITIONS",
    "RETRY_SECONDS",
    "ROTATED_SECONDS",
    "Follower",
]

log = logging.getLogger("producer.follow")

POSITIONS = "positions.json"
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
        self._records = Records()
        self._places = Places(positions)
        self._published = Published(lander, self._places, self._save, clock)
        self._reader = LogReader(
            settings, self._published, self._places, self._find, stop, threads=threads, now=now
        )  # fmt: skip
        self._look = Look()
        self._unsearched, self._folders = Unsearched(), Folders()
        self._changed: list[Path] = []
        """Paths where a log was opened, or cut, since what stood there before was looked for."""
        self._grown: set[Identity] = set()
        """The logs that were read on in this poll."""
        self._complete_before = dict(self._places.complete_until)
        self._looked_at: float | None = None
        self._polled_at = wall_clock()
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
        return refused + put_off + len(self._unsearched.paths) + len(self._look.failures)

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
        before, self._look = self._look, look_at(self._paths)
        self._tell(before)
        disk = replace(self._look.disk, opened=self._statuses_of_open())
        times = Times(self._clock(), self._polled_at, self._settings.quiet_seconds)
        for action in self._in_time_order(plan(disk, self._knowledge(before), times)):
            self._carry_out(action, disk, pool)
        self._tell_apart()
        self._note_complete(disk)
        self._looked_at = self._polled_at
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
            unsearched={path: retry.at for path, (_, retry) in self._unsearched.paths.items()},
            is_first=self._looked_at is None,
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
                self._put_to_sleep(self._records[identity])
            case Close(identity, is_finished):
                record = self._records.pop(identity)
                self._close(record, None if is_finished else record.path)
            case _ if self._stop.is_set():
                return
            case Search(path, only_if_changed):
                if not only_if_changed or self._folders.has_changed(path.parent, self._polled_at):
                    self._search(path, None, disk, pool)
            case Open():
                self._try_to_open(action, disk, pool)
            case Read(identity):
                self._read(self._records.get(identity), disk, pool)
            case FindLost(paths):
                self._find_lost(paths, disk, pool)

    def _expect(self, paths: Sequence[Path], disk: Disk) -> None:
        """All that comes to these paths from now on, or stands there, is to be landed."""
        for path in paths:
            written_at = disk.files[path].modified_at if path in disk.files else self._polled_at
            self._places.complete_until[str(path)] = min(self._polled_at, written_at)
        self._published.save()

    # Opening and closing ---------------------------------------------------------------------------------------------

    def _try_to_open(self, action: Open, disk: Disk, pool: Executor) -> None:
        path, status = action.path, disk.files[action.path]
        earlier = self._records.pop(action.identity, None)
        try:
            self._open(action, status, earlier, pool)
        except UnreadableError as error:
            self._refuse(path, status, earlier, f"{error}; it is tried again every minute", is_cheap=True)
        except InputError as error:
            self._refuse(path, status, earlier, str(error), is_hopeless=True)
        except OSError as error:
            self._refuse(path, status, earlier, unreadable(path, error))
        else:
            if earlier is not None and earlier.state is State.REFUSED:
                log.info("%s: it can be read now", source_text(path))

    def _open(self, action: Open, status: Status, earlier: Record | None, pool: Executor) -> None:
        """Begin with the log at the path. A compressed one is landed here or, if fresh, later.

        :raises InputError: it cannot be opened.
        :raises OSError: it cannot be read, or has gone.
        """
        with ExitStack() as closing:
            opened = open_file(action.path)
            closing.callback(opened.close)
            if isinstance(opened, GzipFile):
                self._open_gzip(action, status, earlier, opened, pool)
                return
            found = Status.of(opened.status())
            if self._records.get(found.identity) is not None:
                return  # another file stands there since we looked, and it is open
            place = self._find(opened, found.size)
            if place is not None and place not in self._places:  # that of another log, which is read now
                place = replace(place, own_until=0)
            record = self._begin(found.identity, action.path, State.READING, opened, place)
            closing.pop_all()
        self._changed.append(action.path)
        if action.is_old and self._read_on(record, pool) and record.seen is not None:
            self._put_to_sleep(record)

    def _open_gzip(
        self, action: Open, status: Status, earlier: Record | None, opened: GzipFile, pool: Executor
    ) -> None:
        record = Record(action.identity, action.path, State.GROWING, status.signature, self._clock())
        if not action.is_quiet:
            self._records[action.identity] = record
        elif self._land_gzip(action.path, action.path, opened, pool):
            record.state = State.ASLEEP
            self._records[action.identity] = record

    def _land_gzip(self, source: Path, path: Path, opened: GzipFile, pool: Executor) -> bool:
        """Land what is not landed yet of a compressed log; false if that was broken off."""
        landed = self._reader.land_gzip(source, path, opened, self._polled_at, pool)
        if landed.error is not None:
            log.error("%s: %s; what could be read is landed", source_text(path), landed.error)
        elif landed.found is not None and path == source:  # else it is being looked for, with what came after it
            self._published.then(partial(self._published.finish, landed.found))
        return landed.is_over

    def _refuse(
        self, path: Path, status: Status, earlier: Record | None, why: str, *, is_cheap: bool = False,
        is_hopeless: bool = False,
    ) -> None:  # fmt: skip
        """Try again when the file has changed, or in a while: permissions may change, and the number of open files.

        :param is_cheap: nothing of it was read: it need not be tried more rarely.
        :param is_hopeless: nothing that time would mend.
        """
        is_known = earlier is not None and earlier.state is State.REFUSED and earlier.seen == status.signature
        if not is_known:
            log.error("%s", why)
        retry = Retry.after(earlier.retry if earlier is not None and is_known and not is_cheap else None, self._clock())
        self._records[status.identity] = Record(
            status.identity, path, State.REFUSED, status.signature, retry=retry, is_hopeless=is_hopeless
        )

    def _begin(self, identity: Identity, path: Path, state: State, opened: PlainFile, place: Place | None) -> Record:
        if place is not None:
            self._places.remove(place)
        record = Record(identity, path, state, changed_at=self._clock(), tail=Tail(path, opened, place, self._settings))
        self._records[identity] = record
        return record

    def _find(self, opened: PlainFile | GzipFile, size: int | None = None) -> Place | None:
        return self._published.find(opened, self._settings.site, self._records.places(), size)

    def _put_to_sleep(self, record: Record) -> None:
        self._reader.land_rest(record.open_tail)
        self._close(record, record.path)
        record.state, record.tail = State.ASLEEP, None

    def _close(self, record: Record, path: Path | None) -> None:
        """Close a log, and know its place as that of a log to be found at ``path`` (``None``: it is finished)."""
        tail = record.open_tail
        tail.opened.close()

        def know() -> None:
            if tail.place is not None:
                self._published.know(replace(tail.place, path="" if path is None else str(path)))

        self._published.then(know)

    # Reading ---------------------------------------------------------------------------------------------------------

    def _read(self, record: Record | None, disk: Disk, pool: Executor) -> None:
        """Read what is new in an open log; if it was cut or written anew, what stood in it before is looked for."""
        if record is None or record.tail is None or self._read_on(record, pool) or not self._begin_anew(record, disk):
            return
        if record.state is State.READING:
            log.info("%s: cut or written anew; reading it from its beginning", source_text(record.path))
            self._read_on(record, pool)
            self._search(record.path, None, disk, pool)
            self._changed.append(record.path)
        else:
            self._find_lost([record.path], disk, pool)

    def _read_on(self, record: Record, pool: Executor) -> bool:
        """Read what is new in a log; false if it has become another one."""
        tail = record.open_tail
        try:
            status = Status.of(tail.opened.status())
            if status.signature == record.seen:
                return True
            if tail.is_rewritten(status.size):
                return False
            if self._reader.read_on(tail, record.path, self._polled_at, pool):
                record.seen, record.changed_at, record.retry = status.signature, self._clock(), None
                self._grown.add(record.identity)
        except OSError as error:
            self._put_off(record, error)
        return True

    def _put_off(self, record: Record, error: OSError) -> None:
        """Read a log again in a while, from its last place on: lands some lines again, and passes none over."""
        if record.retry is None:
            log.error("%s", unreadable(record.path, error))
        record.seen, record.retry = None, Retry.after(None, self._clock())
        record.open_tail.go_back()

    def _begin_anew(self, record: Record, disk: Disk) -> bool:
        """Read the file as another log; what was in it before is now lost from it.

        :return: false if it cannot be read: it is tried again in a while.
        """
        self._published.publish()
        tail = record.open_tail
        try:
            place = self._find(tail.opened, tail.opened.status().st_size)
        except OSError as error:
            self._put_off(record, error)
            return False
        if tail.place is not None:
            path = "" if self._was_at_its_end(record, disk) else str(record.path)
            self._published.know(replace(tail.place, path=path))
        self._begin(record.identity, record.path, record.state, tail.opened, place)
        return True

    def _was_at_its_end(self, record: Record, disk: Disk) -> bool:
        """Whether nothing can be missing of what was in a file that is written anew: a rotated log that was quiet."""
        is_rotated = record.state is State.ROTATED or is_rotation(record.path, disk.files)
        is_quiet = self._clock() - record.changed_at >= self._settings.quiet_seconds
        return is_rotated and is_quiet and record.is_all_read

    def _tell_apart(self) -> None:
        """Give the lines that two logs begin with ids of their own in the later one, once the logs have become different."""
        grown, self._grown = self._grown, set()
        logs = sorted(self._records.are(State.READING), key=lambda record: record.path)
        alike: dict[str | None, list[Record]] = {}
        for record in logs:
            if record.open_tail.read_up_to is not None:
                alike.setdefault(record.open_tail.parser.fingerprint, []).append(record)
        for records in alike.values():
            for first, second in combinations(records, 2):
                if grown & {first.identity, second.identity} and not self._stop.is_set():
                    self._tell_two_apart(first, second)

    def _tell_two_apart(self, first: Record, second: Record) -> None:
        if is_rotation(first.path, [second.path]) or is_rotation(second.path, [first.path]):
            return
        tail = second.open_tail
        places = first.open_tail.read_up_to, tail.read_up_to
        assert places[0] is not None
        assert places[1] is not None
        try:
            size = min(place.offset for place in places if place is not None)
            shared = shared_beginning(first.open_tail.opened, tail.opened, size)
            if shared > places[1].own_until:
                self._published.land(tail.own_rows(shared, second.path, self._reader.now()))
                self._published.advance(tail, replace(places[1], own_until=shared))
        except OSError:
            return  # reading it tells why

    # Looking for logs that were rotated ------------------------------------------------------------------------------

    def _find_lost(self, paths: Sequence[Path], disk: Disk, pool: Executor) -> None:
        """Read on in the logs that stood at these paths, and at those where one has changed, before."""
        changed, self._changed = [*paths, *self._changed], []
        lost = [
            (p, place) for p in dict.fromkeys(changed) for place in self._places.lost_from(str(p), self._settings.site)
        ]
        for path, place in lost:
            self._find_rest(path, place, disk, pool)
        for record in self._records.are(State.ROTATED):
            if record.seen is None and record.retry is None:
                self._read(record, disk, pool)
        if self._stop.is_set():
            return
        for path, place in lost:
            if path not in self._unsearched.paths:
                self._published.then(partial(self._published.finish, place))

    def _find_rest(self, path: Path, place: Place, disk: Disk, pool: Executor) -> None:
        """Read on in the log that was at ``path``, under a name that rotation gives, and in what was rotated after it."""
        is_found = self._search(path, place, disk, pool) or is_followed(path, place, disk.files)
        if not is_found and path not in self._unsearched.paths:
            log.warning(
                "%s: what stood in it before, up to byte %d, was cut off or rotated away and is not to be found; "
                "lines that were written after that place are missing", source_text(path), place.offset,
            )  # fmt: skip

    def _search(self, path: Path, place: Place | None, disk: Disk, pool: Executor) -> bool:
        """Read, under the names that rotation gives, the logs that have come and gone at ``path`` since the last time.

        :param place: where to read on in the log that was there before them, if it is not open.
        :return: whether that log was found. What is followed anyway is left out.
        """
        looked_at = self._complete_before.get(str(path), math.inf) if self._looked_at is None else self._looked_at
        since = self._unsearched.since(path, looked_at, self._polled_at)
        is_found = place is not None and self._is_in_open(place)
        opened = {record.identity for record in self._records.open()}
        siblings, failure = rotated_files(path, disk.files, opened)
        failures = [failure] if failure else []
        for sibling, status in siblings:
            is_newer = status.modified_at > since - CLOCK_SLACK_SECONDS
            try:
                is_found |= self._take_up(path, sibling, place, pool, is_newer=is_newer)
            except UnreadableError as error:
                failures.append(str(error))
            except InputError as error:  # nothing that time would mend
                log.warning("%s: cannot be looked at for lines of a rotated log: %s", source_text(sibling), error)
            except OSError as error:
                failures.append(unreadable(sibling, error))
        self._unsearched.note(path, since, failures, self._clock())
        return is_found

    def _take_up(self, path: Path, sibling: Path, place: Place | None, pool: Executor, *, is_newer: bool) -> bool:
        """Read a log that rotation made of that at ``path`` if it is that of ``place``, or is new; whether it is that.

        :raises InputError: it cannot be opened.
        :raises OSError: it cannot be read.
        """
        with ExitStack() as closing:
            opened = open_file(sibling)
            closing.callback(opened.close)
            is_it = place is not None and place.is_in(opened)
            if not (is_it or (is_newer and self._find(opened) is None)):
                return False
            if isinstance(opened, GzipFile):
                self._land_gzip(path, sibling, opened, pool)
            else:
                identity = Status.of(opened.status()).identity
                self._begin(identity, path, State.ROTATED, opened, place if is_it else None)
                closing.pop_all()
        return is_it

    def _is_in_open(self, place: Place) -> bool:
        """Whether one of the open logs that were rotated away is that of ``place``: copied over an older one perhaps."""
        for record in self._records.are(State.ROTATED):
            try:
                if place.is_in(record.open_tail.opened):
                    return True
            except OSError:
                continue
        return False

    # What is known ---------------------------------------------------------------------------------------------------

    def _note_complete(self, disk: Disk) -> None:
        """A log with a place is found again; one without, and the end of a rotated one, must have been landed."""
        without_place = (r for r in self._records.are(State.READING) if r.open_tail.read_up_to is None)
        is_all_read = all(record.is_all_read for record in (*self._records.are(State.ROTATED), *without_place))
        if is_all_read and not self._unsearched.paths and not self._look.failures and not self._stop.is_set():
            self._published.then(partial(self._published.complete, disk.named, self._polled_at))

    def _save(self) -> None:
        existing = {str(record.path) for record in self._records.are(State.ASLEEP)}
        places = [(r, r.open_tail.place) for r in self._records.open()]
        current = [replace(place, path=str(record.path)) for record, place in places if place is not None]
        self._places.save(current, self._wall_clock(), existing=existing)

    def _say_how_far(self) -> None:
        if self.lines != self._said_lines and self._clock() - self._said_at >= SAY_SECONDS:
            log.info("landed %s lines so far, %s of them unparsed", f"{self.lines:,}", f"{self.unparsed:,}")
            self._said_lines, self._said_at = self.lines, self._clock()
