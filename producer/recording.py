"""What a producer that goes on has done, in the ledger, where ``status`` finds it (``lakehouse.producers``). I/O.

Landing comes first: what goes wrong here is logged once, and never waited for.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from lakehouse.errors import LockedError, PipelineError
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger, now_text
from lakehouse.locks import lock
from lakehouse.readable import ago_text
from producer.reports import LogReport, as_record, recorded_lines

log = logging.getLogger("producer.recording")

# Below landing.batch_seconds as it is by default, so that every batch of a quiet producer is recorded.
WRITE_SECONDS = 4.0
BUSY_SECONDS = 0.5


class Recorder:
    """Records one producer while it is entered; before, it does nothing. Whoever enters it holds the lock ``name``.

    Entering takes the place of what a process before has left; leaving records the end, if it is no error.

    :param name: one of ``lakehouse.producers``.
    :param clock: a monotonic clock in seconds.
    :param now: the time in UTC, as the ledger writes it.
    """

    def __init__(
        self, lake: Lake, name: str, *, clock: Callable[[], float] = time.monotonic, now: Callable[[], str] = now_text
    ) -> None:
        self.lake, self.name = lake, name
        self._ledger = Ledger(lake.ledger, busy_seconds=BUSY_SECONDS)
        self._clock, self._now = clock, now
        self._record: dict[str, Any] | None = None
        self._written_at = -math.inf
        self._has_failed = False

    def __enter__(self) -> Self:
        self._record = {
            "started_at": self._now(), "progress_at": None, "landed_at": None, "ended_at": None, "files": 0, "rows": 0,
            "unreadable": 0,
        }  # fmt: skip
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self._record is not None:
            self._record["ended_at"] = self._now()
            self._write()

    def progress(self, files: int, rows: int, unreadable: int = 0) -> None:
        """The producer has just done what it is there for; written every ``WRITE_SECONDS`` at most.

        :param files: landed since it was started.
        :param rows: in those files.
        :param unreadable: logs that cannot be read now.
        """
        if self._record is None:
            return
        now = self._now()
        if files > self._record["files"]:
            self._record["landed_at"] = now
        self._record |= {"progress_at": now, "files": files, "rows": rows, "unreadable": unreadable}
        if self._clock() - self._written_at >= WRITE_SECONDS:
            self._write()
            self._written_at = self._clock()

    def _write(self) -> None:
        assert self._record is not None
        try:
            self._ledger.record_progress(self.name, self._record)
        except (PipelineError, OSError) as error:
            if not self._has_failed:
                log.warning("status will not know how %s is doing; landing goes on: %s", self.name, error)
            self._has_failed = True


@contextmanager
def recorded_if_first(recorder: Recorder) -> Iterator[None]:
    """Record, unless another process of that name does so in this lake: the record is that one's."""
    with ExitStack() as held:
        try:
            held.enter_context(lock(recorder.lake.locks, recorder.name))
            held.enter_context(recorder)
        except LockedError:
            log.info("another %s lands here already; status tells how that one is doing", recorder.name)
        except OSError as error:
            log.warning("status will not know how %s is doing; landing goes on: %s", recorder.name, error)
        yield


# Of what ``ingest`` last read, in the ledger.
INGEST_REPORT = "ingest-report"


def record_reports(lake: Lake, reports: Sequence[LogReport], hint: str | None) -> None:
    """Keep what the lines of an ingest's logs were, for ``status``."""
    try:
        ledger = Ledger(lake.ledger, busy_seconds=BUSY_SECONDS)
        ledger.record_progress(INGEST_REPORT, as_record(reports, hint))
    except (PipelineError, OSError) as error:
        log.warning("status will not know what was ingested; landing is done: %s", error)


def report_lines(lake: Lake, now: datetime) -> list[str]:
    """What the last ingest read, in words; nothing where there was none."""
    recorded = Ledger(lake.ledger).progress().get(INGEST_REPORT)
    if recorded is None:
        return []
    return recorded_lines(recorded["progress"], ago_text(datetime.fromisoformat(recorded["updated_at"]), now))
