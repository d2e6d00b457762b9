"""A status for programs and for the terminal."""

import math
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consumer.components.health import JobStatus, Part, Status, TableStatus
from lakehouse.ledger import ENDED, KILLED, NEVER
from lakehouse.logs import printable
from lakehouse.readable import CUT_CHARACTERS, ago_text, bytes_text, count_text, duration_text, new_table, safe

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

PART_KEYS: dict[Part, tuple[str, ...]] = {"jobs": ("jobs",), "stream": ("stream_started_at", "queries")}


def as_json(seen: Status, part: Part | None = None) -> dict[str, Any]:
    """The status, or a part of it, in plain values that JSON can hold.

    Times are in ISO 8601, ages in seconds. Tables not made are null.
    """
    tables = {name: _table_json(table) for name, table in seen.tables.items()}
    plain: dict[str, Any] = _plain(asdict(seen))
    piles = {name: plain.pop(name) for name in ("waiting", "unmerged", "unarchived", "left_alone", "first_landed_at")}
    plain |= {"landing": piles, "tables": tables, "exit_code": seen.exit_code}
    for job in plain["jobs"].values():
        since = job["ended_at"] or job["started_at"]
        job["age_seconds"] = (seen.now - datetime.fromisoformat(since)).total_seconds() if since else None
    return {key: plain[key] for key in ("now", "data_lake", *PART_KEYS[part], "late", "exit_code")} if part else plain


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


def summary(seen: Status, part: Part) -> str:
    """What is wrong with a part, a line for each thing, or that all is well in one line."""
    if seen.late:
        return "\n".join(_line(sentence) for sentence in seen.late)
    if part == "jobs":
        ends = (f"{name} {ago_text(job.last_good_end, seen.now) or 'never'}" for name, job in seen.jobs.items())
        return _line(f"{part}: last ended well: {', '.join(ends)}")
    progress = (f"{name} {ago_text(query.progress_at, seen.now)}" for name, query in seen.queries.items())
    return _line(f"{part}: started {ago_text(seen.stream_started_at, seen.now)}; last progress: {', '.join(progress)}")


def _line(text: str) -> str:
    return printable(text if len(text) <= CUT_CHARACTERS else f"{text[:CUT_CHARACTERS]}…")


def render(seen: Status) -> "RenderableType":
    """The status for a terminal of 80 columns or more."""
    from rich.console import Group
    from rich.padding import Padding

    if not seen.has_data and not any(table.facts for table in seen.tables.values()):
        parts: list[RenderableType] = [safe(f"nothing has landed yet in {seen.data_lake / 'logs_to_merge'}")]
    else:
        parts = [_landing_table(seen), _tables_table(seen)]
    if seen.producers:
        parts.insert(0, _producers_table(seen))
    if any(job.state != NEVER for job in seen.jobs.values()) or seen.has_data:
        parts.append(_jobs_table(seen))
    if seen.queries:
        parts.append(_queries_table(seen))
    late = [safe(f"late: {sentence}", "bold red") for sentence in seen.late]
    parts.append(Group(*late) if late else safe("nothing is late", "green"))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1]), parts[-1])


def _producers_table(seen: Status) -> "Table":
    table = _figures_table("producer", "state", "files", "rows", "last landed", "progress")
    for name, found in seen.producers.items():
        landed, progress = (ago_text(time, seen.now) for time in (found.landed_at, found.progress_at))
        counts = count_text(found.files), count_text(found.rows)
        table.add_row(safe(name), found.state, *counts, landed or "nothing yet", progress or "none yet")
    return table


def _landing_table(seen: Status) -> "Table":
    table = _figures_table("landing", "files", "bytes", "oldest")
    piles = {"waiting": seen.waiting, "  to be merged": seen.unmerged, "  for the archive": seen.unarchived}
    for name, pile in piles.items():
        age = "" if pile.oldest_seconds is None else duration_text(pile.oldest_seconds)
        table.add_row(name, count_text(pile.files), bytes_text(pile.bytes), age)
    if seen.left_alone:
        table.add_row("no landed files", count_text(seen.left_alone), "", "left alone")
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
    table = _figures_table("query", "progress", "batch", "rows", "took", "rows/s", "state", "waiting")
    for name, query in seen.queries.items():
        table.add_row(
            safe(name),
            ago_text(query.progress_at, seen.now) or "none yet",
            "" if query.batch_id is None else str(query.batch_id),
            "" if query.rows is None else count_text(query.rows),
            "" if query.batch_seconds is None else f"{query.batch_seconds:.1f} s",
            "" if query.processed_rate is None else count_text(round(query.processed_rate)),
            "" if query.state_bytes is None else bytes_text(query.state_bytes),
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
