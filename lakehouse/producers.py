"""The producers that go on: what each last did, from its record in the ledger, and whether it runs, from its lock. I/O.

A lake has one record for each name here, which is that of the producer's lock too: who holds it is who is recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lakehouse.lake import Lake
from lakehouse.ledger import ENDED, KILLED, NEVER, RUNNING, Ledger
from lakehouse.locks import is_locked
from lakehouse.readable import ago_text, counted_text, duration_text

SIMULATE, FOLLOW = "simulate", "follow"
POSITIONS = "positions.json"


@dataclass(frozen=True)
class ProducerStatus:
    """What a producer last did. ``state`` is running, ended, killed or never run.

    ``progress_at`` is when it last did what it is there for: simulate landed a batch, follow looked at its logs.
    ``files`` and ``rows`` are what it landed since it was started, the last of it at ``landed_at``. ``unreadable`` are
    logs that it could not read when it last looked.
    """

    state: str = NEVER
    started_at: datetime | None = None
    progress_at: datetime | None = None
    landed_at: datetime | None = None
    ended_at: datetime | None = None
    files: int = 0
    rows: int = 0
    unreadable: int = 0


def positions(lake: Lake) -> Path:
    """The file that ``follow`` keeps the places of its logs in."""
    return lake.checkpoint(FOLLOW) / POSITIONS


def producers(lake: Lake) -> dict[str, ProducerStatus]:
    """Each producer by its name.

    :raises PipelineError: the ledger cannot be read.
    """
    are_running = {name: is_locked(lake.locks, name) for name in (SIMULATE, FOLLOW)}
    recorded = Ledger(lake.ledger).progress()  # after the locks: one that ends in between has said so
    return {
        name: _status(recorded[name]["progress"] if name in recorded else {}, is_running=is_running)
        for name, is_running in are_running.items()
    }


def stuck(name: str, seen: ProducerStatus, now: datetime, limit_seconds: float) -> str | None:
    """The sentence that a producer runs and has made no progress for longer than the limit, or cannot read logs, or ``None``."""
    since = seen.progress_at or seen.started_at
    if seen.state != RUNNING or since is None:
        return None
    if (now - since).total_seconds() <= limit_seconds:
        logs = counted_text(seen.unreadable, "log")
        return f"{name}: {logs} cannot be read now; its log, writer/producer.log, says why" if seen.unreadable else None
    what = f"its last progress was {ago_text(since, now)}"
    if seen.progress_at is None:
        what = f"it has made no progress since it was started {ago_text(since, now)}"
    return (
        f"{name}: it is running, but {what} (limit {duration_text(limit_seconds)});"
        " see its log, writer/producer.log, and start it again"
    )


def _status(record: Mapping[str, Any], *, is_running: bool) -> ProducerStatus:
    if not record:
        return ProducerStatus(RUNNING if is_running else NEVER)
    times = {
        name: record[name] and datetime.fromisoformat(record[name])
        for name in ("started_at", "progress_at", "landed_at", "ended_at")
    }
    state = ENDED if times["ended_at"] else RUNNING if is_running else KILLED
    return ProducerStatus(
        state, **times, files=record["files"], rows=record["rows"], unreadable=record.get("unreadable", 0)
    )
