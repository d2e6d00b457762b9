"""A status for programs and for the terminal."""

import math
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consumer.components.health import ENDED, KILLED, NEVER, JobStatus, Status, TableStatus
from consumer.components.readable import ago_text, bytes_text, count_text, duration_text, new_table, safe

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def as_json(seen: Status) -> dict[str, Any]:
    """The status in plain values that JSON can hold; times in ISO 8601, ages in seconds. Tables not made are null."""
    tables = {name: _table_json(table) for name, table in seen.tables.items()}
    plain: dict[str, Any] = _plain(asdict(seen))
    piles = {name: plain.pop(name) for name in ("waiting", "unmerged", "unarchived", "first_landed_at")}
    plain |= {"landing": piles, "tables": tables, "exit_code": seen.exit_code}
    for job in plain["jobs"].values():
        since = job["ended_at"] or job["started_at"]
        job["age_seconds"] = (seen.now - datetime.fromisoformat(since)).total_seconds() if since else None
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
        return value if math.isfinite(value) else None
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
    table = _figures_table("landing", "files", "bytes", "oldest")
    piles = {"waiting": seen.waiting, "  to be merged": seen.unmerged, "  for the archive": seen.unarchived}
    for name, pile in piles.items():
        age = "" if pile.oldest_seconds is None else duration_text(pile.oldest_seconds)
        table.add_row(name, count_text(pile.files), bytes_text(pile.bytes), age)
    return table


def _tables_table(seen: Status) -> "Table":
    table = _figures_table("table", "rows", "files", "bytes", "version", "last commit")
    for name, found in seen.tables.items():
        facts = found.facts
        if facts is None:
            table.add_row(name, "", "", "", "", "cannot be read" if found.problem else "not made yet")
        else:
            counts = count_text(facts.rows), count_text(facts.files), bytes_text(facts.bytes), str(facts.version)
            table.add_row(name, *counts, ago_text(facts.committed_at, seen.now))
    return table


def _jobs_table(seen: Status) -> "Table":
    table = _figures_table("job", "last run", "took", "exit code", "what it left")
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
    table = _figures_table("query", "progress", "batch", "rows", "took", "rows/s", "state rows", "waiting")
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


def _figures_table(first: str, *others: str) -> "Table":
    """A table of a name and its figures."""
    table = new_table()
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
