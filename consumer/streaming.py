"""The streaming consumer: the archive and metrics queries on one driver. I/O: it starts, watches and stops them."""

import json
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from consumer.components import archive, metrics
from consumer.components.health import STREAM
from lakehouse.errors import PipelineError
from lakehouse.failures import cause, explained
from lakehouse.ledger import Ledger
from lakehouse.locks import lock
from lakehouse.settings import Settings

POLL_SECONDS = 0.5
# Spark tells of a query that idles at its triggers alone, and these may be far apart.
TOUCH_SECONDS = 10
SET_BACK_SECONDS = 1.0
CONF_OF_ONCE = {
    # The state's snapshots and the removal of old ones, which would not come round by its end.
    "spark.sql.streaming.stateStore.maintenanceInterval": "3s",
    # How often a query without a trigger's pace looks for work.
    "spark.sql.streaming.pollingDelay": "100ms",
}
NOTHING = nullcontext()

log = logging.getLogger("consumer.stream")


def stream(
    spark: SparkSession,
    settings: Settings,
    stop: threading.Event,
    alongside: AbstractContextManager[None] = NOTHING,
) -> None:
    """Run both queries until ``stop`` is set; the batch under way is finished first.

    :param alongside: entered while they run, and left before they are stopped.
    :raises PipelineError: a query failed; says which and why.
    """
    with lock(settings.lake.locks, STREAM):
        ledger = Ledger(settings.lake.ledger)
        ledger.record_progress(STREAM, {})  # its start: what the queries did before no longer counts as their progress
        watcher, wall_clock = ProgressWatcher(ledger), WallClock()
        queries = _started(spark, settings)
        log.info("archive and metrics are running; logs/ and metrics/streaming/ in %s", settings.lake.root)
        try:
            with alongside:
                while not stop.is_set():
                    time.sleep(POLL_SECONDS)  # not stop.wait(): the handler that sets it runs in this very thread
                    if wall_clock.was_set_back():
                        log.warning(
                            "the clock was set back: starting the queries anew, which would else wait for its old time"
                        )
                        _drain_all(queries, settings)
                        queries = _started(spark, settings)
                    watcher.record(queries)
                    _raise_if_failed(queries, settings)
            log.info("stopping after the current batch")
        finally:
            _drain_all(queries, settings)
            watcher.record(queries)
        log.info("stopped")


def stream_once(spark: SparkSession, settings: Settings) -> None:
    """Process what has landed, through the archive and the metrics, and return."""
    for key, value in CONF_OF_ONCE.items():
        spark.conf.set(key, value)
    with lock(settings.lake.locks, STREAM):
        ledger = Ledger(settings.lake.ledger)
        ledger.clear_progress(STREAM)  # this one ends by itself: nobody need see to it that it goes on
        watcher = ProgressWatcher(ledger)
        queries = _started(spark, settings, is_once=True)
        with ThreadPoolExecutor(1) as waiting:
            try:
                done = waiting.submit(_process_all, queries)
                while not wait([done], POLL_SECONDS).done:
                    watcher.record(queries)
                    _raise_if_failed(queries, settings)
                _raise_if_failed(queries, settings)
                done.result()
                spark.sparkContext.setLogLevel(
                    "OFF"
                )  # what is interrupted now looks for work in vain, and would complain
            finally:
                for query in queries:
                    query.stop()
                watcher.record(queries)
        spark.sparkContext.setLogLevel(spark.conf.get("spark.log.level", "WARN") or "WARN")


def _process_all(queries: list[StreamingQuery]) -> None:
    """Wait until the queries have nothing left to do, one after the other: each brings the next one's work."""
    for query in queries:
        query.processAllAvailable()


class WallClock:
    """Notices that the wall clock was set back: Spark's triggers would wait until it shows their time again.

    :param now: seconds since the epoch.
    :param clock: a monotonic clock in seconds.
    """

    def __init__(self, *, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic) -> None:
        self.now, self.clock = now, clock
        self.ahead = now() - clock()

    def was_set_back(self) -> bool:
        """Whether that happened since the last time this was asked."""
        before, self.ahead = self.ahead, self.now() - self.clock()
        return before - self.ahead > SET_BACK_SECONDS


class ProgressWatcher:
    """Keeps each query's last progress in the ledger, for ``status``, and logs batches that had rows.

    :param clock: a monotonic clock in seconds.
    """

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.ledger = ledger
        self.clock = clock
        self.seen: dict[str, tuple[int, str]] = {}
        self.written_at: dict[str, float] = {}

    def record(self, queries: list[StreamingQuery]) -> None:
        """Record what is new in the queries' progress, and that those go on which have nothing to do."""
        for query in queries:
            progress = self._new_progress(query)
            if progress is not None:
                self.ledger.record_progress(query.name, progress)
                _log_batch(query.name, progress)
            elif self.clock() - self.written_at.get(query.name, -math.inf) >= TOUCH_SECONDS and _is_idle(query):
                self.ledger.touch_progress(query.name)
            else:
                continue
            self.written_at[query.name] = self.clock()

    def _new_progress(self, query: StreamingQuery) -> dict[str, Any] | None:
        """The query's last progress, or ``None`` if there is none yet or it is known already."""
        last = query.lastProgress
        if last is None:
            return None
        progress: dict[str, Any] = json.loads(last.json)
        identity = (progress["batchId"], progress["timestamp"])
        if self.seen.get(query.name) == identity:
            return None
        self.seen[query.name] = identity
        return progress


def _is_idle(query: StreamingQuery) -> bool:
    """Whether the query is between two triggers. One that still starts is not, and one that hangs in a trigger."""
    status = query.status
    is_waiting = status["message"].startswith("Waiting ")  # for data to arrive, or for the next trigger
    return bool(query.isActive and is_waiting and not status["isTriggerActive"])


def _log_batch(name: str, progress: dict[str, Any]) -> None:
    if progress["numInputRows"]:
        seconds = progress["durationMs"]["triggerExecution"] / 1000
        log.info("%s: batch %d, %d rows in %.1f s", name, progress["batchId"], progress["numInputRows"], seconds)


def _started(spark: SparkSession, settings: Settings, *, is_once: bool = False) -> list[StreamingQuery]:
    """Both queries, neither if one does not start. Each with its trigger's pace, or without a pause between batches."""
    pace = settings.stream
    archiving = _start_archive(
        spark, settings, 0 if is_once else pace.archive_trigger_seconds, 0 if is_once else pace.gather_seconds
    )
    try:
        return [archiving, _start_metrics(spark, settings, 0 if is_once else pace.metrics_trigger_seconds)]
    except BaseException:
        archiving.stop()
        raise


def _start_archive(
    spark: SparkSession, settings: Settings, every_seconds: float, gather_seconds: float
) -> StreamingQuery:
    archive.recover_checkpoint(spark, settings.lake)
    rows = archive.archived(archive.landed(spark, settings, gather_seconds))
    return archive.archive_query(rows, settings, every_seconds).start()


def _start_metrics(spark: SparkSession, settings: Settings, every_seconds: float) -> StreamingQuery:
    application_id = metrics.prepare(settings.lake)
    unique = metrics.requests(metrics.archive(spark, settings), settings)
    return metrics.metrics_query(unique, settings, application_id, every_seconds).start()


def _drain_all(queries: list[StreamingQuery], settings: Settings) -> None:
    deadline = time.monotonic() + settings.stream.stop_seconds
    for query in queries:
        _drain(query, deadline)


def _drain(query: StreamingQuery, deadline: float) -> None:
    """Stop ``query`` between two batches, or at ``deadline`` in the middle of one, which then runs again at the next start."""
    while query.isActive and query.status["isTriggerActive"] and time.monotonic() < deadline:
        time.sleep(0.05)
    query.stop()


def _raise_if_failed(queries: list[StreamingQuery], settings: Settings) -> None:
    for query in queries:
        error = query.exception()
        if error is None:
            continue
        known = explained(error)
        if query.name == metrics.QUERY and known is None and metrics.has_lost_its_state(str(error)):
            metrics.give_up_checkpoint(settings.lake)
            raise PipelineError(
                f"query {query.name} stopped: what it remembers, in {settings.lake.checkpoint(query.name)}, is damaged:"
                f" {cause(error)}; nothing is lost, metrics/streaming/ is filled anew from logs/ at the next start"
            ) from error
        raise PipelineError(
            f"query {query.name} stopped: {known or cause(error)}; nothing is lost, it goes on from its checkpoint at the next"
            f" start. Should it stop so again, move {settings.lake.checkpoint(query.name)} away: it is made anew from logs/"
        ) from error
