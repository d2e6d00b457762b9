"""What a person wants to see: days, agents, IPs, what was rejected, and where every row went. No JVM. I/O."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from consumer.components.figures import Day, Figures, Ranked, Report, Top, total
from consumer.components.identity import Identity, identity
from consumer.components.readable import counted_text
from consumer.components.report_view import as_json, render
from lakehouse.errors import PipelineError
from lakehouse.lake import Lake, waiting_files
from lakehouse.ledger import Ledger
from lakehouse.locks import lock
from lakehouse.settings import Settings
from lakehouse.tables import changed_days, is_table, table_facts, table_id

if TYPE_CHECKING:
    import polars as pl

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
        waiting=len(ledger.deliveries(path.name for path in waiting_files(lake.landing))),
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
    except PermissionError:
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
    names = [f.name for f in fields(Figures)]
    if not is_table(path):
        return {}
    with _reading(path):
        rows = _scan(path).select("event_date", *names).collect().iter_rows()
        return {day: Figures(*(value or 0 for value in figures)) for day, *figures in rows}


def _top(path: Path, key: str) -> Top:
    """The keys with the most requests over all days; of equals, the first by name."""
    if not is_table(path):
        return Top([], [])
    import polars as pl

    sums = ("requests", "bot_requests", "bytes")
    with _reading(path):
        ranked = _scan(path).select(key, *sums).group_by(key).agg(pl.col(*sums).sum()).collect()
    of_kind = {"humans": pl.col("requests") - pl.col("bot_requests"), "bots": pl.col("bot_requests")}
    return Top(**{kind: _ranked(ranked, key, requests) for kind, requests in of_kind.items()})


def _ranked(rows: "pl.DataFrame", key: str, requests: "pl.Expr") -> list[Ranked]:
    import polars as pl

    by_requests = rows.filter(requests > 0).sort(requests, pl.col(key), descending=[True, False])
    return [Ranked(*row) for row in by_requests.head(TOP).iter_rows()]


def _scan(path: Path) -> "pl.LazyFrame":
    import polars as pl

    return pl.scan_delta(str(path.absolute()))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    from deltalake.exceptions import DeltaError
    from polars.exceptions import PolarsError

    try:
        yield
    except (DeltaError, PolarsError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise PipelineError(f"{path}: the table cannot be read: {reason}") from error
