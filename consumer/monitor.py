"""How the pipeline is doing, from the ledger, the tables' logs and the landing folder alone. No JVM, and quick. I/O."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consumer.components.health import (
    ENDED,
    KILLED,
    NEVER,
    RUNNING,
    JobStatus,
    Pile,
    QueryStatus,
    Status,
    TableStatus,
    lateness,
)
from consumer.components.readable import ago_text, bytes_text, count_text, duration_text, safe
from lakehouse.arrivals import Arrivals
from lakehouse.lake import Lake, waiting_files
from lakehouse.ledger import Ledger
from lakehouse.locks import is_locked
from lakehouse.settings import Settings
from lakehouse.tables import table_facts

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

QUERIES = ("archive", "metrics")


def status(settings: Settings, now: datetime) -> Status:
    """How the pipeline is doing at ``now`` (UTC)."""
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    landed = _arrival_times(lake.landing)
    unmerged = set(ledger.deliveries(landed))
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
    from deltalake.exceptions import DeltaError

    try:
        return TableStatus(table_facts(path))
    except (DeltaError, OSError, ValueError) as error:
        return TableStatus(problem=str(error).splitlines()[0])


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


def as_json(seen: Status) -> dict[str, Any]:
    """The status in plain values that JSON can hold; times in ISO 8601, ages in seconds. Tables not made are null."""
    tables = {name: _table_json(table) for name, table in seen.tables.items()}
    plain: dict[str, Any] = _plain(asdict(seen))
    piles = {name: plain.pop(name) for name in ("waiting", "unmerged", "unarchived", "first_landed_at")}
    plain |= {"landing": piles, "tables": tables, "exit_code": seen.exit_code}
    for job in plain["jobs"].values():
        since = job["ended_at"] or job["started_at"]
        job["age_seconds"] = (seen.now - _time(since)).total_seconds() if since else None
    return plain


def _table_json(table: TableStatus) -> dict[str, Any] | None:
    if table.facts is None and table.problem is None:
        return None
    facts: dict[str, Any] = _plain(asdict(table.facts)) if table.facts else {}
    return facts | ({"problem": table.problem} if table.problem else {})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return _finite(value)
    return str(value) if isinstance(value, Path) else value


def render(seen: Status) -> "RenderableType":
    """The status for a terminal of 80 columns or more."""
    from rich.console import Group
    from rich.padding import Padding

    if not seen.has_data and not any(table.facts for table in seen.tables.values()):
        parts: list[RenderableType] = [safe(f"nothing has landed yet in {seen.data_lake / 'logs_to_merge'}")]
    else:
        parts = [_landing_table(seen), _tables_table(seen)]
    if any(job.state != NEVER for job in seen.jobs.values()) or seen.has_data:
        parts.append(_jobs_table(seen))
    if seen.queries:
        parts.append(_queries_table(seen))
    late = [safe(f"late: {sentence}", "bold red") for sentence in seen.late]
    parts.append(Group(*late) if late else safe("nothing is late", "green"))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1]), parts[-1])


def _landing_table(seen: Status) -> "Table":
    table = _new_table("landing", "files", "bytes", "oldest")
    piles = {"waiting": seen.waiting, "  to be merged": seen.unmerged, "  for the archive": seen.unarchived}
    for name, pile in piles.items():
        age = "" if pile.oldest_seconds is None else duration_text(pile.oldest_seconds)
        table.add_row(name, count_text(pile.files), bytes_text(pile.bytes), age)
    return table


def _tables_table(seen: Status) -> "Table":
    table = _new_table("table", "rows", "files", "bytes", "version", "last commit")
    for name, found in seen.tables.items():
        facts = found.facts
        if facts is None:
            table.add_row(name, "", "", "", "", "cannot be read" if found.problem else "not made yet")
        else:
            counts = count_text(facts.rows), count_text(facts.files), bytes_text(facts.bytes), str(facts.version)
            table.add_row(name, *counts, ago_text(facts.committed_at, seen.now))
    return table


def _jobs_table(seen: Status) -> "Table":
    table = _new_table("job", "last run", "took", "exit code", "what it left")
    table.columns[-1].justify = "left"
    for name, job in seen.jobs.items():
        when = ago_text(job.ended_at, seen.now) if job.state == ENDED else job.state
        figures = ", ".join(f"{key} {_figure(value)}" for key, value in (job.figures or {}).items() if value != {})
        code = "" if job.exit_code is None else str(job.exit_code)
        table.add_row(safe(name), when, _took(job, seen.now), code, safe(figures))
    return table


def _took(job: JobStatus, now: datetime) -> str:
    if job.started_at is None or job.state == KILLED:
        return ""
    return duration_text(((job.ended_at or now) - job.started_at).total_seconds())


def _queries_table(seen: Status) -> "Table":
    table = _new_table("query", "progress", "batch", "rows", "took", "rows/s", "state rows", "waiting")
    for name, query in seen.queries.items():
        table.add_row(
            safe(name),
            ago_text(query.progress_at, seen.now) or "none yet",
            "" if query.batch_id is None else str(query.batch_id),
            "" if query.rows is None else count_text(query.rows),
            "" if query.batch_seconds is None else f"{query.batch_seconds:.1f} s",
            "" if query.processed_rate is None else count_text(round(query.processed_rate)),
            "" if query.state_rows is None else count_text(query.state_rows),
            "" if query.waiting_seconds is None else duration_text(query.waiting_seconds),
        )
    return table


def _figure(value: object) -> object:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_figure(item)}" for key, item in value.items()) + ")"
    return count_text(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _new_table(first: str, *others: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
