"""The pipeline's figures for Prometheus, from what ``status`` and the ledger know. No path, IP or agent is a label. I/O."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from consumer.components.health import Status
from consumer.components.table_reader import TableReader, reading
from consumer.monitor import status
from lakehouse.errors import PipelineError
from lakehouse.ledger import ENDED, KILLED, NEVER, RUNNING, Ledger
from lakehouse.logs import printable
from lakehouse.settings import Settings

CONTENT_TYPE = CONTENT_TYPE_LATEST
SITES = 100  # with figures of their own; anyone can invent sites
PREFIX = "lakehouse"
STATES = (NEVER, RUNNING, ENDED, KILLED)
# Whatever sums are counted over all days go down when days are removed, so these are gauges.
_BY_SITE = """
    SELECT coalesce(site, '') AS site, status // 100 AS class, sum(requests) FROM t
    WHERE coalesce(site, '') IN (SELECT coalesce(site, '') FROM t GROUP BY ALL ORDER BY sum(requests) DESC LIMIT 100)
    GROUP BY ALL ORDER BY ALL
"""


def exposition(settings: Settings) -> bytes:
    """Prometheus' text format.

    A table that cannot be read has no figures, and is named in ``table_unreadable``.

    :raises PipelineError: the ledger cannot be read.
    """
    return generate_latest(_Figures(settings))


class _Figures(Collector):
    """All figures of a lake, as they are when they are asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collect(self) -> Iterator[Metric]:
        """As Prometheus' client has it."""
        seen, ledger = status(self.settings, datetime.now(UTC)), Ledger(self.settings.lake.ledger)
        yield _gauge("build_info", "Which release this is.", [({"version": _release()}, 1)])
        yield from _rows(ledger)
        yield from _landing(seen)
        yield from _jobs(seen)
        yield from _queries(seen)
        unreadable = {name for name, table in seen.tables.items() if table.problem is not None}
        with reading(self.settings.lake) as reader:
            yield from _requests(reader, unreadable)
            yield from _lag(reader, unreadable)
        yield from _tables(seen, unreadable)
        yield _gauge("late", "Things that are late by the limits in the settings.", [({}, len(seen.late))])


def _release() -> str:
    try:
        return version("access-log-lakehouse")
    except PackageNotFoundError:  # an image has the sources alone
        return "0.1.0"


def _rows(ledger: Ledger) -> Iterator[Metric]:
    totals = ledger.totals()
    landed, merged, duplicates, quarantined = (totals[name] for name in ("rows", "merged", "duplicates", "quarantined"))
    yield _counter("landed_rows", "Rows of merged landed files.", [({}, landed)])
    yield _counter("merged_rows", "Rows that became requests.", [({}, merged)])
    yield _counter("duplicate_rows", "Rows that had been merged before.", [({}, duplicates)])
    yield _gauge("quarantined_rows", "Rejected rows that are in quarantine.", [({}, quarantined)])
    by_reason = [({"reason": _label(reason)}, rows) for reason, rows in ledger.reasons().items()]
    yield _gauge("quarantine_reason_rows", "Rejected rows by reason; a row can have several.", by_reason)
    unaccounted = landed - merged - duplicates - quarantined
    yield _gauge(
        "unaccounted_rows", "Landed rows that are neither merged nor duplicates nor in quarantine.", [({}, unaccounted)]
    )
    yield _gauge("unbalanced_files", "Landed files whose rows do not add up.", [({}, totals["unbalanced"])])


def _landing(seen: Status) -> Iterator[Metric]:
    piles = {"merge": seen.unmerged, "archive": seen.unarchived}
    yield _gauge("waiting_files", "Landed files that wait.", [({"for": n}, pile.files) for n, pile in piles.items()])
    ages = [({"for": name}, pile.oldest_seconds or 0) for name, pile in piles.items()]
    yield _gauge("oldest_waiting_file_age_seconds", "How long the oldest landed file has waited.", ages)
    yield _gauge("lost_rows", "Merged rows by the ledger that merged/ does not have.", [({}, seen.lost_rows)])
    if seen.free_bytes is not None:
        yield _gauge("disk_free_bytes", "Free bytes of the lake's disk.", [({}, seen.free_bytes)])


def _jobs(seen: Status) -> Iterator[Metric]:
    jobs = {_label(name): job for name, job in seen.jobs.items()}
    good = [({"job_name": name}, job.last_good_end.timestamp()) for name, job in jobs.items() if job.last_good_end]
    yield _gauge("job_last_success_timestamp_seconds", "When the job last ended well.", good)
    durations = [
        ({"job_name": name}, (job.ended_at - job.started_at).total_seconds())
        for name, job in jobs.items() if job.ended_at and job.started_at
    ]  # fmt: skip
    yield _gauge("job_last_duration_seconds", "How long its last finished run took.", durations)
    codes = [({"job_name": name}, job.exit_code) for name, job in jobs.items() if job.exit_code is not None]
    yield _gauge("job_last_exit_code", "What its last finished run ended with.", codes)
    states = [({"job_name": n, "state": s}, int(job.state == s)) for n, job in jobs.items() for s in STATES]
    yield _gauge("job_state", "Which state the job's last run is in.", states)


def _queries(seen: Status) -> Iterator[Metric]:
    yield _gauge("stream_running", "Whether the stream runs.", [({}, int(seen.stream_started_at is not None))])
    queries = {_label(name): query for name, query in seen.queries.items()}
    progress = [({"query": n}, q.progress_at.timestamp()) for n, q in queries.items() if q.progress_at]
    yield _gauge("query_last_progress_timestamp_seconds", "When the query last made progress.", progress)
    batches = [({"query": name}, q.batch_id) for name, q in queries.items() if q.batch_id is not None]
    yield _gauge("query_batch_id", "The number of its last batch.", batches)
    took = [({"query": name}, q.batch_seconds) for name, q in queries.items() if q.batch_seconds is not None]
    yield _gauge("query_batch_duration_seconds", "How long its last batch took.", took)
    state = [({"query": name}, q.state_bytes) for name, q in queries.items() if q.state_bytes is not None]
    yield _gauge("query_state_bytes", "The memory of its state.", state)
    lag = [({"query": name}, q.waiting_seconds or 0) for name, q in queries.items()]
    yield _gauge("query_lag_seconds", "How long what waits for the query has waited.", lag)


def _tables(seen: Status, unreadable: set[str]) -> Iterator[Metric]:
    facts = {name: table.facts for name, table in seen.tables.items() if table.facts is not None}
    yield _gauge("table_rows", "Rows of a table.", [({"table": name}, f.rows) for name, f in facts.items()])
    yield _gauge(
        "table_size_bytes", "Bytes of a table's data files.", [({"table": name}, f.bytes) for name, f in facts.items()]
    )
    committed = [({"table": name}, f.committed_at.timestamp()) for name, f in facts.items()]
    yield _gauge("table_last_commit_timestamp_seconds", "When the table was last committed to.", committed)
    yield _gauge("unreadable_tables", "Tables that cannot be read.", [({}, len(unreadable))])
    which = [({"table": name}, int(name in unreadable)) for name in seen.tables]
    yield _gauge("table_unreadable", "Whether the table cannot be read.", which)


def _read(reader: TableReader, mode: str, name: str, query: str, unreadable: set[str]) -> list[tuple[Any, ...]]:
    """The rows of a query over one table of ``metrics/``; none of one that cannot be read."""
    try:
        return reader.rows(mode, name, query)
    except PipelineError:
        unreadable.add(f"metrics/{mode}/{name}")
        return []


def _requests(reader: TableReader, unreadable: set[str]) -> Iterator[Metric]:
    """Requests by site and status class."""
    values = [
        ({"site": _label(site), "status_class": "none" if which is None else f"{which}xx"}, int(requests))
        for site, which, requests in _read(reader, "batch", "hourly", _BY_SITE, unreadable)
    ]
    yield _gauge(
        "requests", f"Requests of all days by site, of the {SITES} sites with the most, and status class.", values
    )


def _lag(reader: TableReader, unreadable: set[str]) -> Iterator[Metric]:
    """How long ago the newest counted request happened."""
    newest = "SELECT epoch_us(max(last_seen)) FROM t"
    last = {mode: _read(reader, mode, "daily", newest, unreadable) for mode in ("batch", "streaming")}
    now = datetime.now(UTC).timestamp()
    lag = [
        ({"figures": mode}, max(0.0, now - rows[0][0] / 1e6))
        for mode, rows in last.items()
        if rows and rows[0][0] is not None
    ]
    yield _gauge("event_to_figure_lag_seconds", "How long ago the newest counted request happened.", lag)


Values = list[tuple[Mapping[str, str], float]]


def _gauge(name: str, about: str, values: Any) -> Metric:
    return _family(GaugeMetricFamily, name, about, values)


def _counter(name: str, about: str, values: Any) -> Metric:
    return _family(CounterMetricFamily, name, about, values)


def _family(kind: Any, name: str, about: str, values: Values) -> Metric:
    family: Metric = kind(f"{PREFIX}_{name}", about, labels=list(values[0][0]) if values else [])
    for labels, value in values:
        family.add_metric(list(labels.values()), value)  # type: ignore[attr-defined]
    return family


def _label(text: str) -> str:
    return printable(text)[:100]
