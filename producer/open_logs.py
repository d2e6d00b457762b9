"""The logs that a follower knows, and what is done with one of them: opened, read on, put to sleep, closed (I/O)."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from lakehouse.errors import InputError, UnreadableError
from lakehouse.settings import Ingest
from producer.blocks import CompressedFile, PlainFile, open_file
from producer.ingest import source_text
from producer.plan import Identity, Open, State, Status
from producer.positions import Place, Places
from producer.published import Published
from producer.reading import LogReader
from producer.records import Record, Records, Retry
from producer.rotated import is_rotation, unreadable
from producer.tail import Tail

log = logging.getLogger("producer.follow")


class OpenLogs:
    """All records, and what can be done with each.

    :param settings: the group ``ingest``.
    :param clock: a monotonic clock in seconds.
    """

    def __init__(
        self, settings: Ingest, places: Places, published: Published, reader: LogReader, clock: Callable[[], float]
    ) -> None:
        self.records = Records()
        self.polled_at = 0.0
        """When the disk was looked at, in seconds since the epoch."""
        self.lost: list[tuple[Path, Place]] = []
        """What stood at a path where a log was opened, or cut, and is to be looked for."""
        self.grown: set[Identity] = set()
        """The logs that were read on in this poll."""
        self.settings, self.places, self.published, self.reader = settings, places, published, reader
        self._clock = clock

    # Opening ---------------------------------------------------------------------------------------------------------

    def try_to_open(self, action: Open, status: Status, pool: Executor) -> None:
        """Begin with the log at the path. One that cannot be opened or read is refused, for a while."""
        path, earlier = action.path, self.records.pop(action.identity, None)
        try:
            self._open(action, status, pool)
        except UnreadableError as error:
            self._refuse(path, status, earlier, f"{error}; it is tried again every minute", is_cheap=True)
        except InputError as error:
            self._refuse(path, status, earlier, str(error), is_hopeless=True)
        except OSError as error:
            self._refuse(path, status, earlier, unreadable(path, error))
        else:
            if earlier is not None and earlier.state is State.REFUSED:
                log.info("%s: it can be read now", source_text(path))

    def _open(self, action: Open, status: Status, pool: Executor) -> None:
        """Begin with the log at the path. A compressed one is landed here or, if fresh, later.

        :raises InputError: it cannot be opened.
        :raises OSError: it cannot be read, or has gone.
        """
        with ExitStack() as closing:
            opened = open_file(action.path)
            closing.callback(opened.close)
            if isinstance(opened, CompressedFile):
                self._open_gzip(action, status, opened, pool)
                return
            found = Status.of(opened.status())
            if found.identity in self.records:
                return  # another file stands there since we looked, and it is open
            place = self.find(opened, found.size)
            if place is not None and place not in self.places:  # that of another log, which is read now
                place = replace(place, own_until=0)
            record = self.begin(found.identity, action.path, State.READING, opened, place)
            closing.pop_all()
        self.note_lost(action.path)
        if action.is_old and self.read_on(record, pool) and record.seen is not None:
            self.put_to_sleep(record)

    def _open_gzip(self, action: Open, status: Status, opened: CompressedFile, pool: Executor) -> None:
        record = Record(action.identity, action.path, State.GROWING, status.signature, self._clock())
        if not action.is_quiet:
            self.records[action.identity] = record
        elif self.land_gzip(action.path, action.path, opened, pool):
            record.state = State.ASLEEP
            self.records[action.identity] = record

    def land_gzip(self, source: Path, path: Path, opened: CompressedFile, pool: Executor) -> bool:
        """Land what is not landed yet of a compressed log; false if that was broken off.

        :param source: the path of the log that it was rotated from, or its own.
        """
        landed = self.reader.land_gzip(source, path, opened, self.polled_at, pool)
        if landed.error is not None:
            log.error("%s: %s; what could be read is landed", source_text(path), landed.error)
        elif landed.found is not None and path == source:  # else it is being looked for, with what came after it
            self.published.then(partial(self.published.finish, landed.found))
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
        self.records[status.identity] = Record(
            status.identity, path, State.REFUSED, status.signature, retry=retry, is_hopeless=is_hopeless
        )

    def begin(self, identity: Identity, path: Path, state: State, opened: PlainFile, place: Place | None) -> Record:
        """A log that is read from ``place`` on, or from its beginning."""
        if place is not None:
            self.places.remove(place)
        record = Record(identity, path, state, changed_at=self._clock(), tail=Tail(path, opened, place, self.settings))
        self.records[identity] = record
        return record

    def note_lost(self, path: Path) -> None:
        """Look for what stood at ``path`` before the log that is there now."""
        self.lost += [(path, place) for place in self.places.lost_from(str(path), self.settings.site)]

    def find(self, opened: PlainFile | CompressedFile, size: int | None = None) -> Place | None:
        """How far this log is landed, under whichever name."""
        return self.published.find(opened, self.settings.site, self.records.places(), size)

    # Reading ---------------------------------------------------------------------------------------------------------

    def read_on(self, record: Record, pool: Executor) -> bool:
        """Read what is new in a log; false if it has become another one."""
        tail = record.open_tail
        try:
            status = Status.of(tail.opened.status())
            if status.signature == record.seen:
                return True
            if tail.is_rewritten(status.size):
                return False
            if self.reader.read_on(tail, record.path, self.polled_at, pool):
                record.seen, record.changed_at, record.retry = status.signature, self._clock(), None
                self.grown.add(record.identity)
        except OSError as error:
            self._put_off(record, error)
        return True

    def _put_off(self, record: Record, error: OSError) -> None:
        """Read a log again in a while, from its last place on: lands some lines again, and passes none over."""
        if record.retry is None:
            log.error("%s", unreadable(record.path, error))
        record.seen, record.retry = None, Retry.after(None, self._clock())
        record.open_tail.go_back()

    def begin_anew(self, record: Record, followed: list[Path]) -> bool:
        """Read the file as another log; what was in it before is now lost from it.

        :param followed: the files that are followed.
        :return: false if it cannot be read: it is tried again in a while.
        """
        self.published.publish()
        tail = record.open_tail
        try:
            place = self.find(tail.opened, tail.opened.status().st_size)
        except OSError as error:
            self._put_off(record, error)
            return False
        if tail.place is not None:
            path = "" if self._was_at_its_end(record, followed) else str(record.path)
            self.published.know(replace(tail.place, path=path))
        self.begin(record.identity, record.path, record.state, tail.opened, place)
        return True

    def _was_at_its_end(self, record: Record, followed: list[Path]) -> bool:
        """Whether nothing can be missing of what was in a file that is written anew: a rotated log that was quiet."""
        is_rotated = record.state is State.ROTATED or is_rotation(record.path, followed)
        is_quiet = self._clock() - record.changed_at >= self.settings.quiet_seconds
        return is_rotated and is_quiet and record.is_all_read

    # Closing ---------------------------------------------------------------------------------------------------------

    def put_to_sleep(self, record: Record) -> None:
        """Close a log that is found again at its path when it changes."""
        self.reader.land_rest(record.open_tail)
        self.close(record, record.path)
        record.state, record.tail = State.ASLEEP, None

    def close(self, record: Record, path: Path | None) -> None:
        """Close a log, and know its place as that of a log to be found at ``path`` (``None``: it is finished)."""
        tail = record.open_tail
        tail.opened.close()

        def know() -> None:
            if tail.place is not None:
                self.published.know(replace(tail.place, path="" if path is None else str(path)))

        self.published.then(know)
