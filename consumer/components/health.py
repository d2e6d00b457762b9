"""What ``status`` knows of the pipeline, and what of it is late. Plain values: nothing is read here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from lakehouse.ledger import ENDED, NEVER, RUNNING
from lakehouse.producers import ProducerStatus, stuck
from lakehouse.readable import ago_text, bytes_text, count_text, counted_text, duration_text
from lakehouse.settings import Limits
from lakehouse.tables import TableFacts

# The stream's lock, and the record of its start in the ledger.
STREAM = "stream"
MERGE = "merge"
MEGABYTE = 1_000_000
Part = Literal["stream", "jobs"]


@dataclass(frozen=True)
class Pile:
    """Files that wait, their bytes, and the age of the oldest in seconds (``None`` where there are none)."""

    files: int = 0
    bytes: int = 0
    oldest_seconds: float | None = None


@dataclass(frozen=True)
class TableStatus:
    """A table: what its log says, or why that cannot be read; neither where it has not been made yet."""

    facts: TableFacts | None = None
    problem: str | None = None


@dataclass(frozen=True)
class JobStatus:
    """A job's last run, and when it last ended well. ``state`` is running, ended, killed or never run."""

    state: str = NEVER
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    figures: Mapping[str, Any] | None = None
    last_good_end: datetime | None = None


@dataclass(frozen=True)
class QueryStatus:
    """A streaming query's last progress, and since when something waits for it. Rates are rows per second.

    ``state_bytes`` is the memory outside the heap that its state takes: what it remembers to recognise duplicates.

    ``problem`` is why it cannot go on from its checkpoint at its next start, and what is to be done.
    """

    progress_at: datetime | None = None
    batch_id: int | None = None
    batch_started: str | None = None
    rows: int | None = None
    input_rate: float | None = None
    processed_rate: float | None = None
    batch_seconds: float | None = None
    state_bytes: int | None = None
    waiting_seconds: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Status:
    """The pipeline at ``now``, or what was asked for of it.

    ``free_bytes`` are those of the lake's disk. ``producers`` are those that ever ran. ``waiting`` has all landed files,
    ``unmerged`` and ``unarchived`` those that wait for the cleaner and for the archive query, ``left_alone`` counts what
    lies there and can be no landed file. ``first_landed_at`` is the first arrival that is still known of.
    ``lost_rows`` are those that the ledger knows as merged and ``merged/`` does not have. ``differing_days`` are those whose
    exact figures differed from a full count (``batch_record.BatchRecord.differences``).
    ``stream_started_at`` is ``None`` where no stream runs that is to go on. ``late`` has a sentence for each thing that
    is late by the settings' limits.
    """

    now: datetime
    data_lake: Path
    free_bytes: int | None = None
    producers: Mapping[str, ProducerStatus] = field(default_factory=dict)
    waiting: Pile = Pile()
    unmerged: Pile = Pile()
    unarchived: Pile = Pile()
    left_alone: int = 0
    first_landed_at: datetime | None = None
    tables: Mapping[str, TableStatus] = field(default_factory=dict)
    lost_rows: int = 0
    differing_days: Mapping[str, Any] = field(default_factory=dict)
    jobs: Mapping[str, JobStatus] = field(default_factory=dict)
    stream_started_at: datetime | None = None
    queries: Mapping[str, QueryStatus] = field(default_factory=dict)
    late: tuple[str, ...] = ()

    @property
    def has_data(self) -> bool:
        """Whether anything has ever landed."""
        return self.first_landed_at is not None

    @property
    def exit_code(self) -> int:
        """1 if something is late."""
        return 1 if self.late else 0


def lateness(seen: Status, limits: Limits) -> list[str]:
    """A sentence for each thing that is late.

    A job is late when it has not ended well for as long as its limit, one that never did when something landed before
    that, and any whose last run failed. A query is late when something waits for it that long without any progress,
    and while the stream runs, when it has made none for that long, whatever waits. So is a producer that runs.
    """
    are_stuck = (stuck(name, producer, seen.now, limits.producer_seconds) for name, producer in seen.producers.items())
    late = [sentence for sentence in are_stuck if sentence is not None]
    if seen.free_bytes is not None and seen.free_bytes < limits.free_megabytes * MEGABYTE:
        limit = bytes_text(int(limits.free_megabytes * MEGABYTE))
        late.append(
            f"disk: {bytes_text(seen.free_bytes)} are free (limit {limit}); free some space, nothing can be written without"
        )
    for name, table in seen.tables.items():
        if table.problem:
            late.append(f"{name}: the table cannot be read: {table.problem}")
    if seen.lost_rows:
        lost = counted_text(seen.lost_rows, "row")
        late.append(f"merged: {lost} fewer than were merged; see what to do by: python -m consumer report")
    for day, found in seen.differing_days.items():
        rows = ", ".join(f"{counted_text(number, 'row')} of {name}" for name, number in found["rows"].items())
        late.append(
            f"metrics/batch: what was added up for {day} differed from a full count, which has replaced it ({rows}): that is a"
            f" fault of this program, report it; see that all is well now with: python -m consumer batch --recount {day}"
        )
    for name, job in seen.jobs.items():
        late += _late_job(name, job, seen, limits)
    oldest = seen.unmerged.oldest_seconds
    if oldest is not None and oldest > limits.landed_seconds:
        late.append(
            f"landing: {count_text(seen.unmerged.files)} files not merged, the oldest for {duration_text(oldest)}"
            f" (limit {duration_text(limits.landed_seconds)}); merge with: python -m cleaner merge"
        )
    for name, query in seen.queries.items():
        late += _late_query(name, query, seen, limits.stream_seconds)
    return late


def faults(seen: Status, limits: Limits, part: Part) -> list[str]:
    """A sentence for each thing that is wrong with a part which must be at work, whether or not anything waits for it.

    The stream must run, and each query must have made progress since it was started and within the limit. The merge
    must have ended well within its limit; the other jobs must not be late.
    """
    wrong = []
    if part == "jobs":
        for name, job in ({MERGE: JobStatus()} | dict(seen.jobs)).items():
            wrong += _late_job(name, job, seen, limits, is_due=name == MERGE)
    elif seen.stream_started_at is None:
        wrong.append(f"{STREAM}: it is not running; start it with: python -m consumer stream")
    else:
        started = ago_text(seen.stream_started_at, seen.now)
        for name, query in seen.queries.items():
            late = _late_query(name, query, seen, limits.stream_seconds)
            if not late and (query.progress_at is None or query.progress_at < seen.stream_started_at):
                late = [f"{name}: no progress yet, the stream was started {started}"]
            wrong += late
    return wrong


def _late_job(name: str, job: JobStatus, seen: Status, limits: Limits, *, is_due: bool = False) -> list[str]:
    """What is late of a job. One that is due must have ended well, whatever has landed."""
    late = []
    limit_seconds = getattr(limits, f"{name}_seconds", math.inf)
    if job.state == ENDED and job.exit_code:
        ago = ago_text(job.ended_at, seen.now)
        error = f": {job.figures['error']}" if job.figures and "error" in job.figures else ""
        late.append(f"{name}: the last run, {ago}, failed with exit code {job.exit_code}{error}")
    since = job.last_good_end or seen.first_landed_at
    doing = " and is running" if job.state == RUNNING else ""
    if since is not None and (seen.now - since).total_seconds() > limit_seconds:
        what = "last ended well" if job.last_good_end else "has never ended well, and the first file landed"
        late.append(f"{name}: {what} {ago_text(since, seen.now)} (limit {duration_text(limit_seconds)}){doing}")
    elif is_due and job.last_good_end is None:
        late.append(f"{name}: has never ended well{doing}")
    return late


def _late_query(name: str, query: QueryStatus, seen: Status, limit_seconds: float) -> list[str]:
    if query.problem is not None:
        return [f"{name}: {query.problem}"]
    waited, progress_at, started_at = query.waiting_seconds, query.progress_at, seen.stream_started_at
    if progress_at is not None and (seen.now - progress_at).total_seconds() <= limit_seconds:
        return []
    progress = "never" if progress_at is None else ago_text(progress_at, seen.now)
    limit = f"(limit {duration_text(limit_seconds)})"
    is_stuck = started_at is not None and (seen.now - started_at).total_seconds() > limit_seconds
    advice = "run it with: python -m consumer stream"
    if started_at is not None:
        advice = f"the stream was started {ago_text(started_at, seen.now)}"
        advice += "; see its log, consumer/consumer.log, and start it again" if is_stuck else ""
    if waited is not None and waited > limit_seconds:
        waiting = f"rows have been waiting for the query for {duration_text(waited)} {limit}"
        return [f"{name}: {waiting}, its last progress was {progress}; {advice}"]
    if is_stuck:
        return [f"{name}: its last progress was {progress} {limit}; {advice}"]
    return []
