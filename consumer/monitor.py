"""How the pipeline is doing, from the ledger, the tables' logs and the landing folder alone. No JVM, and quick. I/O."""

import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from consumer.components.batch_record import read_record
from consumer.components.health import (
    STREAM,
    JobStatus,
    Part,
    Pile,
    QueryStatus,
    Status,
    TableStatus,
    faults,
    lateness,
)
from consumer.components.status_view import as_json, render, summary
from lakehouse.arrivals import Arrivals
from lakehouse.checkpoint import Checkpoint
from lakehouse.errors import CheckpointError
from lakehouse.lake import Lake, left_alone, waiting_files
from lakehouse.ledger import ENDED, KILLED, NEVER, RUNNING, Ledger
from lakehouse.locks import is_locked
from lakehouse.producers import producers
from lakehouse.readable import first_line
from lakehouse.settings import Settings
from lakehouse.sink_log import require_whole
from lakehouse.tables import table_facts

__all__ = ["Status", "as_json", "part_status", "render", "status", "summary"]

Progress = Mapping[str, Mapping[str, Any]]

QUERIES = ("archive", "metrics")


def status(settings: Settings, now: datetime) -> Status:
    """How the pipeline is doing at ``now`` (UTC)."""
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    merged_rows = ledger.totals()["merged"]  # before the tables, which may only get more
    landed = _arrival_times(lake.landing)
    unmerged = set(ledger.deliveries(lake.landing / name for name in landed))
    unarchived = set(landed) - _done_with(lake)
    started_at, progress = _stream_progress(lake, ledger)
    waiting_since = {
        "archive": [landed[name][0] for name in unarchived],
        "metrics": _archived_since(lake, _looked_at(progress.get("metrics"))),
    }
    tables = {name: _table(path) for name, path in settings.tables.items()}
    seen = Status(
        now=now,
        data_lake=lake.root,
        free_bytes=shutil.disk_usage(lake.root).free if lake.root.is_dir() else None,
        producers={name: found for name, found in producers(lake).items() if found.state != NEVER},
        waiting=_pile(landed.values(), now),
        unmerged=_pile((landed[name] for name in unmerged), now),
        unarchived=_pile((landed[name] for name in unarchived), now),
        left_alone=len(left_alone(lake.landing)),
        first_landed_at=_first_landed_at(landed, ledger),
        tables=tables,
        lost_rows=_lost_rows(tables["merged"], merged_rows),
        differing_days=record.differences if (record := read_record(ledger)) else {},
        jobs=_jobs(settings, ledger),
        stream_started_at=started_at,
        queries={
            name: replace(
                _query(progress.get(name), waiting_since[name], now),
                problem=_checkpoint_problem(lake, name),
            )
            for name in QUERIES
            if started_at or name in progress or lake.checkpoint(name).is_dir()
        },
    )
    return replace(seen, late=tuple(lateness(seen, settings.limits)))


def part_status(settings: Settings, part: Part, now: datetime) -> Status:
    """How one part of the pipeline is doing at ``now`` (UTC), which must be at work; nothing else is read."""
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    seen = Status(now=now, data_lake=lake.root)
    if part == "jobs":
        first_landed_at = _first_landed_at(_arrival_times(lake.landing), ledger)
        seen = replace(seen, first_landed_at=first_landed_at, jobs=_jobs(settings, ledger))
    else:
        started_at, progress = _stream_progress(lake, ledger)
        queries = {name: _query(progress.get(name), [], now) for name in QUERIES}
        seen = replace(seen, stream_started_at=started_at, queries=queries)
    return replace(seen, late=tuple(faults(seen, settings.limits, part)))


def _first_landed_at(landed: Mapping[str, tuple[datetime, int]], ledger: Ledger) -> datetime | None:
    arrivals = [arrived for arrived, _ in landed.values()]
    if first_merged_at := ledger.first_merged_at():
        arrivals.append(_time(first_merged_at))
    return min(arrivals, default=None)


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
    try:
        refused = {a.name for a in arrivals.read() if a.refused is not None and a.is_file(lake.landing / a.name)}
        return refused | arrivals.archived_names(lake.landing)
    except CheckpointError:
        return set()


def _checkpoint_problem(lake: Lake, query: str) -> str | None:
    """Why a query cannot go on from its checkpoint, and what to do, or ``None``. One that runs changes it while we look, and would know."""
    if is_locked(lake.locks, STREAM):
        return None
    checkpoint = lake.checkpoint(query)
    try:
        if query == "archive":
            require_whole(lake.logs, max(Checkpoint(checkpoint).committed(), default=-1))
    except CheckpointError as error:
        return str(error)
    try:
        if query == "archive":
            Arrivals(checkpoint).require_whole()
        else:
            Checkpoint(checkpoint).require_whole()
    except CheckpointError as error:
        return f"{error}; it is made anew from logs/ by: python -m consumer stream"
    return None


def _table(path: Path) -> TableStatus:
    try:
        return TableStatus(table_facts(path))
    except Exception as error:  # noqa: BLE001  delta-rs raises bare ones too, and one bad table must not hide the rest
        return TableStatus(problem=first_line(error))


def _lost_rows(merged: TableStatus, merged_rows: int) -> int:
    """Rows that the ledger knows as merged and the table does not have; none of a table that cannot be read."""
    if merged.problem:
        return 0
    return max(0, merged_rows - (merged.facts.rows if merged.facts else 0))


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


def _stream_progress(lake: Lake, ledger: Ledger) -> tuple[datetime | None, Progress]:
    """When the stream that runs was started, ``None`` if none does, and what is recorded of its queries."""
    is_running = is_locked(lake.locks, STREAM)
    progress = ledger.progress()
    is_known = is_running and STREAM in progress  # ``stream --once`` holds the lock too, and has no such record
    return (_time(progress[STREAM]["updated_at"]) if is_known else None), progress


def _looked_at(record: Mapping[str, Any] | None) -> datetime | None:
    """When a query's last batch had looked for what is new: what was written later waits for the next one.

    Not when its progress was recorded: files are written while a batch goes on, and while the query idles.
    """
    batch = record["progress"] if record else {}
    if "timestamp" not in batch:
        return None
    return _time(batch["timestamp"]) + timedelta(milliseconds=batch["durationMs"].get("latestOffset", 0))


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


def _query(record: Mapping[str, Any] | None, waiting_since: list[datetime], now: datetime) -> QueryStatus:
    progress = record["progress"] if record else {}
    milliseconds = progress.get("durationMs", {}).get("triggerExecution")
    return QueryStatus(
        progress_at=_time(record["updated_at"]) if record else None,
        batch_id=progress.get("batchId"),
        batch_started=progress.get("timestamp"),
        rows=progress.get("numInputRows"),
        input_rate=_finite(progress.get("inputRowsPerSecond")),
        processed_rate=_finite(progress.get("processedRowsPerSecond")),
        batch_seconds=None if milliseconds is None else milliseconds / 1000,
        state_bytes=sum(s["memoryUsedBytes"] for s in progress.get("stateOperators", [])) if progress else None,
        waiting_seconds=(now - min(waiting_since)).total_seconds() if waiting_since else None,
    )


def _finite(rate: float | None) -> float | None:
    """A rate as JSON can hold it."""
    return rate if rate is not None and math.isfinite(rate) else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
