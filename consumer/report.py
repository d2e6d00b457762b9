"""What a person wants to see: days, agents, IPs, what was rejected, and where every row went. No JVM. I/O."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

from consumer.components.figures import Day, Figures, Ranked, Report, Top, total
from consumer.components.identity import Identity, identity
from consumer.components.report_view import as_json, render
from lakehouse.commits import changed_days
from lakehouse.errors import PipelineError
from lakehouse.lake import Lake, waiting_files
from lakehouse.ledger import Ledger
from lakehouse.locks import lock
from lakehouse.readable import counted_text, first_line
from lakehouse.settings import Settings
from lakehouse.tables import is_table, query, table_facts, table_id

__all__ = ["Report", "as_json", "render", "report"]

MODES = ("batch", "streaming")
TOP = 10


def report(settings: Settings) -> Report:
    """Read the lake's metrics and recount its rows.

    :raises PipelineError: a table cannot be read.
    :raises LockedError: the rows cannot be recounted, because a merge goes on for too long.
    """
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    by_mode = {mode: _daily(lake.metrics(mode, "daily")) for mode in MODES}
    top_mode = next((mode for mode in MODES if by_mode[mode]), MODES[0])
    every_day = sorted({day for figures in by_mode.values() for day in figures})
    return Report(
        data_lake=lake.root,
        days=[Day(day, *(by_mode[mode].get(day) for mode in MODES)) for day in every_day],
        totals={mode: total(figures.values()) for mode, figures in by_mode.items()},
        top_mode=top_mode,
        agents=_top(lake.metrics(top_mode, "agent"), "agent"),
        ips=_top(lake.metrics(top_mode, "ip"), "ip"),
        reasons=ledger.reasons(),
        identity=_recounted(settings, ledger),
        waiting=len(ledger.deliveries(waiting_files(lake.landing))),
        stale=_staleness(lake, ledger),
        visitor_error=1.04 / 2 ** (settings.stream.sketch_lg_k / 2),
    )


def _recounted(settings: Settings, ledger: Ledger) -> Identity:
    """The identity; if it does not hold, once more when no merge is between its tables and the ledger."""
    found = _counted(settings.lake, ledger)
    if found.holds:
        return found
    try:
        with lock(settings.lake.locks, "merge", wait_seconds=settings.merge.lock_seconds):
            return _counted(settings.lake, ledger)
    except OSError:
        return found  # a lake that we may only read


def _counted(lake: Lake, ledger: Ledger) -> Identity:
    rows = {}
    for name in ("merged", "quarantine", "delta"):
        with _reading(lake.tables[name]):
            facts = table_facts(lake.tables[name])
        rows[name] = facts.rows if facts else 0
    return identity(ledger.totals(), ledger.unbalanced_files(), rows)


def _staleness(lake: Lake, ledger: Ledger) -> str | None:
    """Whether ``delta/`` has changed since batch last wrote all three of its tables."""
    if not is_table(lake.delta):
        return None
    advice = "bring them up to date with: python -m consumer batch"
    version = ledger.last_figure("batch", "delta_version")
    if version is None:
        return "there are no batch figures yet: make them with: python -m consumer batch"
    with _reading(lake.delta):
        if ledger.last_figure("batch", "delta_id") != table_id(lake.delta):
            return f"delta/ was made anew since the batch figures: {advice}"
        days = changed_days(lake.delta, version)
    if days == set():
        return None
    what = "much" if days is None else counted_text(len(days), "day")
    return f"the batch figures are older than delta/, where {what} changed since: {advice}"


def _daily(path: Path) -> dict[date, Figures]:
    names = [field.name for field in fields(Figures)]
    rows = _query(path, f"SELECT event_date, {', '.join(names)} FROM t")
    return {day: Figures(*(value or 0 for value in figures)) for day, *figures in rows}


def _top(path: Path, key: str) -> Top:
    """The keys with the most requests over all days; of equals, the first by name."""
    sums = ", ".join(f"sum({name}) AS {name}" for name in ("requests", "bot_requests", "bytes"))
    over_all_days = f"SELECT {key}, {sums} FROM t GROUP BY {key}"

    def ranked(requests: str) -> list[Ranked]:
        order = f"WHERE {requests} > 0 ORDER BY {requests} DESC, {key} LIMIT {TOP}"
        return [Ranked(*row) for row in _query(path, f"SELECT * FROM ({over_all_days}) {order}")]

    return Top(humans=ranked("requests - bot_requests"), bots=ranked("bot_requests"))


def _query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with _reading(path):
        return query(path, sql)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:  # delta-rs raises bare ones too
        raise PipelineError(f"{path}: the table cannot be read: {first_line(error)}") from error
