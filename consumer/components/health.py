"""What ``status`` knows of the pipeline, and what of it is late. Plain values: nothing is read here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from consumer.components.readable import ago_text, count_text, duration_text
from lakehouse.settings import Limits
from lakehouse.tables import TableFacts

KILLED, RUNNING, ENDED, NEVER = "killed", "running", "ended", "never run"


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
    """A streaming query's last progress, and since when something waits for it. Rates are rows per second."""

    progress_at: datetime | None = None
    batch_id: int | None = None
    batch_started: str | None = None
    rows: int | None = None
    input_rate: float | None = None
    processed_rate: float | None = None
    batch_seconds: float | None = None
    state_rows: int | None = None
    waiting_seconds: float | None = None


@dataclass(frozen=True)
class Status:
    """The whole pipeline at ``now``.

    ``waiting`` has all landed files, ``unmerged`` and ``unarchived`` those that wait for the cleaner and for the
    archive query. ``first_landed_at`` is the first arrival that is still known of. ``late`` has a sentence for each
    thing that is late by the settings' limits.
    """

    now: datetime
    data_lake: Path
    waiting: Pile
    unmerged: Pile
    unarchived: Pile
    first_landed_at: datetime | None
    tables: Mapping[str, TableStatus]
    jobs: Mapping[str, JobStatus]
    queries: Mapping[str, QueryStatus]
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
    that, and any whose last run failed. A query is late when something waits for it that long without any progress.
    """
    late = []
    for name, table in seen.tables.items():
        if table.problem:
            late.append(f"{name}: the table cannot be read: {table.problem}")
    for name, job in seen.jobs.items():
        late += _late_job(name, job, seen, getattr(limits, f"{name}_seconds", math.inf))
    oldest = seen.unmerged.oldest_seconds
    if oldest is not None and oldest > limits.landed_seconds:
        late.append(
            f"landing: {count_text(seen.unmerged.files)} files not merged, the oldest for {duration_text(oldest)}"
            f" (limit {duration_text(limits.landed_seconds)}); merge with: python -m cleaner merge"
        )
    for name, query in seen.queries.items():
        late += _late_query(name, query, seen.now, limits.stream_seconds)
    return late


def _late_job(name: str, job: JobStatus, seen: Status, limit_seconds: float) -> list[str]:
    late = []
    if job.state == ENDED and job.exit_code:
        ago = ago_text(job.ended_at, seen.now)
        error = f": {job.figures['error']}" if job.figures and "error" in job.figures else ""
        late.append(f"{name}: the last run, {ago}, failed with exit code {job.exit_code}{error}")
    since = job.last_good_end or seen.first_landed_at
    if since is not None and (seen.now - since).total_seconds() > limit_seconds:
        what = "last ended well" if job.last_good_end else "has never ended well, and the first file landed"
        doing = " and is running" if job.state == RUNNING else ""
        late.append(f"{name}: {what} {ago_text(since, seen.now)} (limit {duration_text(limit_seconds)}){doing}")
    return late


def _late_query(name: str, query: QueryStatus, now: datetime, limit_seconds: float) -> list[str]:
    waited = query.waiting_seconds
    is_idle = query.progress_at is None or (now - query.progress_at).total_seconds() > limit_seconds
    if waited is None or waited <= limit_seconds or not is_idle:
        return []
    progress = "never" if query.progress_at is None else ago_text(query.progress_at, now)
    sentence = (
        f"{name}: rows have been waiting for the query for {duration_text(waited)}"
        f" (limit {duration_text(limit_seconds)}), its last progress was {progress};"
        " run it with: python -m consumer stream"
    )
    return [sentence]
