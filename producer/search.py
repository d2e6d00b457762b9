"""Looking for logs that were rotated, also while nobody looked, and reading the rest of them (I/O)."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event

from lakehouse.errors import InputError, UnreadableError
from producer.blocks import CompressedFile, open_file
from producer.ingest import source_text
from producer.open_logs import OpenLogs
from producer.plan import State, Status
from producer.positions import Place
from producer.records import Record
from producer.rotated import CLOCK_SLACK_SECONDS, Folders, Unsearched, is_followed, rotated_files, unreadable

log = logging.getLogger("producer.follow")


class RotatedLogs:
    """Searches the folders of logs for what rotation has made of them.

    :param complete_until: by path: all that was there up to this time was landed by an earlier process.
    :param clock: a monotonic clock in seconds.
    """

    def __init__(
        self, logs: OpenLogs, complete_until: Mapping[str, float], stop: Event, clock: Callable[[], float]
    ) -> None:
        self.looked_at: float | None = None
        """When all was last looked at, in seconds since the epoch."""
        self.unsearched = Unsearched()
        self._folders = Folders()
        self._logs, self._complete_until, self._stop, self._clock = logs, dict(complete_until), stop, clock

    def has_changed(self, path: Path) -> bool:
        """Whether the folder of ``path`` may have changed since this was last asked."""
        return self._folders.has_changed(path.parent, self._logs.polled_at)

    def read(self, record: Record | None, followed: Mapping[Path, Status], pool: Executor) -> None:
        """Read what is new in an open log; if it was cut or written anew, what stood in it before is looked for."""
        if record is None or record.tail is None or self._logs.read_on(record, pool):
            return
        if not self._logs.begin_anew(record, list(followed)):
            return
        if record.state is State.READING:
            log.info("%s: cut or written anew; reading it from its beginning", source_text(record.path))
            self._logs.read_on(self._logs.records[record.identity], pool)
            self.search(record.path, None, followed, pool)
            self._logs.note_lost(record.path)
        else:
            self.find_lost([record.path], followed, pool)

    def find_lost(self, paths: Sequence[Path], followed: Mapping[Path, Status], pool: Executor) -> None:
        """Read on in the logs that stood at these paths, and at those where one has changed, before."""
        asleep = {record.path for record in self._logs.records.are(State.ASLEEP)}
        for path in paths:
            if path not in asleep:  # its place is that of the log that is there
                self._logs.note_lost(path)
        lost, self._logs.lost = list(dict.fromkeys(self._logs.lost)), []
        for path, place in lost:
            self._find_rest(path, place, followed, pool)
        for record in self._logs.records.are(State.ROTATED):
            if record.seen is None and record.retry is None:
                self.read(record, followed, pool)
        if self._stop.is_set():
            return
        for path, place in lost:
            if path not in self.unsearched.paths:
                self._logs.published.then(partial(self._logs.published.finish, place))

    def _find_rest(self, path: Path, place: Place, followed: Mapping[Path, Status], pool: Executor) -> None:
        """Read on in the log that was at ``path``, under a name that rotation gives, and in what was rotated after it."""
        is_found = self.search(path, place, followed, pool) or is_followed(path, place, followed)
        if not is_found and path not in self.unsearched.paths:
            log.warning(
                "%s: what stood in it before, up to byte %d, was cut off or rotated away and is not to be found; "
                "lines that were written after that place are missing", source_text(path), place.offset,
            )  # fmt: skip

    def search(self, path: Path, place: Place | None, followed: Mapping[Path, Status], pool: Executor) -> bool:
        """Read, under the names that rotation gives, the logs that have come and gone at ``path`` since the last time.

        :param place: where to read on in the log that was there before them, if it is not open.
        :return: whether that log was found. What is followed anyway is left out.
        """
        looked_at = self._complete_until.get(str(path), math.inf) if self.looked_at is None else self.looked_at
        since = self.unsearched.since(path, looked_at, self._logs.polled_at)
        is_found = place is not None and self._is_in_open(place)
        opened = {record.identity for record in self._logs.records.open()}
        siblings, failure = rotated_files(path, followed, opened)
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
        self.unsearched.note(path, since, failures, self._clock())
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
            if not (is_it or (is_newer and self._logs.find(opened) is None)):
                return False
            if isinstance(opened, CompressedFile):
                self._logs.land_gzip(path, sibling, opened, pool)
            else:
                identity = Status.of(opened.status()).identity
                self._logs.begin(identity, path, State.ROTATED, opened, place if is_it else None)
                closing.pop_all()
        return is_it

    def _is_in_open(self, place: Place) -> bool:
        """Whether one of the open logs that were rotated away is that of ``place``: copied over an older one perhaps."""
        for record in self._logs.records.are(State.ROTATED):
            try:
                if place.is_in(record.open_tail.opened):
                    return True
            except OSError:
                continue
        return False
