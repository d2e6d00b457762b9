"""How the pipeline is doing, from the ledger, the tables' logs and the landing folder alone. No JVM, and quick. I/O."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from consumer.components.health import (
    ENDED,
    KILLED,
    RUNNING,
    JobStatus,
    Pile,
    QueryStatus,
    Status,
    TableStatus,
    lateness,
)
from consumer.components.readable import first_line
from consumer.components.status_view import as_json, render
from lakehouse.arrivals import Arrivals
from lakehouse.lake import Lake, waiting_files
from lakehouse.ledger import Ledger
from lakehouse.locks import is_locked
from lakehouse.settings import Settings
from lakehouse.tables import table_facts

__all__ = ["Status", "as_json", "render", "status"]

QUERIES = ("archive", "metrics")


def status(settings: Settings, now: datetime) -> Status:
    """How the pipeline is doing at ``now`` (UTC)."""
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    landed = _arrival_times(lake.landing)
    unmerged = set(ledger.deliveries(lake.landing / name for name in landed))
    unarchived = set(landed) - _done_with(lake)
    arrivals = [arrived for arrived, _ in landed.values()]
    if first_merged_at := ledger.first_merged_at():
        arrivals.append(_time(first_merged_at))
    seen = Status(
        now=now,
        data_lake=lake.root,
        waiting=_pile(landed.values(), now),
        unmerged=_pile((landed[name] for name in unmerged), now),
        unarchived=_pile((landed[name] for name in unarchived), now),
        first_landed_at=min(arrivals, default=None),
        tables={name: _table(path) for name, path in lake.tables.items()},
        jobs=_jobs(settings, ledger),
        queries=_queries(lake, ledger, [landed[name][0] for name in unarchived], now),
    )
    return Status(**vars(seen) | {"late": tuple(lateness(seen, settings.limits))})


def _arrival_times(landing: Path) -> dict[str, tuple[datetime, int]]:
    """Arrival and bytes of each landed file by name. By the inode's time: a copy may keep an old modification time."""
    found = {}
    for path in waiting_files(landing):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue  # retired since
        found[path.name] = datetime.fromtimestamp(stat.st_ctime, UTC), stat.st_size
    return found


def _pile(files: Iterable[tuple[datetime, int]], now: datetime) -> Pile:
    listed = list(files)
    if not listed:
        return Pile()
    oldest = min(arrived for arrived, _ in listed)
    return Pile(len(listed), sum(size for _, size in listed), (now - oldest).total_seconds())


def _done_with(lake: Lake) -> set[str]:
    """Landed files that the archive does not wait for: they are in ``logs/``, or refused."""
    arrivals = Arrivals(lake.checkpoint("archive"))
    refused = {a.name for a in arrivals.read() if a.refused is not None and a.is_file(lake.landing / a.name)}
    return refused | arrivals.archived_names(lake.landing)


def _table(path: Path) -> TableStatus:
    try:
        return TableStatus(table_facts(path))
    except Exception as error:  # noqa: BLE001  delta-rs raises bare ones too, and one bad table must not hide the rest
        return TableStatus(problem=first_line(error))


def _jobs(settings: Settings, ledger: Ledger) -> dict[str, JobStatus]:
    """Each job of the settings, and any other that the ledger knows, by the name it has there: its command."""
    runs, good_ends = ledger.last_runs(), ledger.last_good_ends()
    open_jobs = [job for job, run in runs.items() if run["ended_at"] is None]
    running = {job for job in open_jobs if is_locked(settings.lake.locks, job)}
    if len(running) < len(open_jobs):
        runs = ledger.last_runs()  # one may have ended between the two looks
    names = dict.fromkeys([*(job.command for job in settings.jobs.values()), *runs])
    return {name: _job(runs.get(name), good_ends.get(name), is_running=name in running) for name in names}


def _job(run: dict[str, Any] | None, good_end: str | None, *, is_running: bool) -> JobStatus:
    if run is None:
        return JobStatus()
    ended_at = run["ended_at"] and _time(run["ended_at"])
    return JobStatus(
        state=ENDED if ended_at else RUNNING if is_running else KILLED,
        started_at=_time(run["started_at"]),
        ended_at=ended_at,
        exit_code=run["exit_code"],
        figures=run["figures"],
        last_good_end=_time(good_end) if good_end else None,
    )


def _queries(lake: Lake, ledger: Ledger, unarchived: list[datetime], now: datetime) -> dict[str, QueryStatus]:
    """The queries that were ever started. What waits for the metrics is what the archive wrote after their progress."""
    recorded = ledger.queries()
    found = {}
    for name in dict.fromkeys([*QUERIES, *recorded]):
        progress = recorded.get(name)
        if progress is None and not lake.checkpoint(name).is_dir():
            continue
        progress_at = _time(progress["updated_at"]) if progress else None
        waiting = unarchived if name == "archive" else _archived_since(lake, progress_at) if name == "metrics" else []
        waited = (now - min(waiting)).total_seconds() if waiting else None
        found[name] = _query(progress["progress"] if progress else {}, progress_at, waited)
    return found


def _archived_since(lake: Lake, since: datetime | None) -> list[datetime]:
    """When the archive's batches after ``since`` were written."""
    times = []
    for path in (lake.logs / "_spark_metadata").glob("[0-9]*"):
        try:
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:
            continue  # compacted since
        if since is None or written > since:
            times.append(written)
    return times


def _query(progress: Mapping[str, Any], progress_at: datetime | None, waited: float | None) -> QueryStatus:
    milliseconds = progress.get("durationMs", {}).get("triggerExecution")
    return QueryStatus(
        progress_at=progress_at,
        batch_id=progress.get("batchId"),
        batch_started=progress.get("timestamp"),
        rows=progress.get("numInputRows"),
        input_rate=_finite(progress.get("inputRowsPerSecond")),
        processed_rate=_finite(progress.get("processedRowsPerSecond")),
        batch_seconds=None if milliseconds is None else milliseconds / 1000,
        state_rows=sum(s["numRowsTotal"] for s in progress.get("stateOperators", [])) if progress else None,
        waiting_seconds=waited,
    )


def _finite(rate: float | None) -> float | None:
    """A rate as JSON can hold it."""
    return rate if rate is not None and math.isfinite(rate) else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
