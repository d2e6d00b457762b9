"""What a person wants to see: figures, what was rejected, and where every row went. No JVM. I/O."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from consumer.components.day_panels import days, top
from consumer.components.figures import Day, Panels, Report, total
from consumer.components.filters import EVERYTHING, Filters
from consumer.components.identity import Identity, identity
from consumer.components.panels import PANEL_TABLES, RANKINGS, Choice, hours, ranking, sites
from consumer.components.rejected_logs import rejected_logs
from consumer.components.report_view import as_json, render
from consumer.components.response_times import response_times
from consumer.components.table_reader import TableReader, explained, reading
from lakehouse.commits import changed_days
from lakehouse.lake import Lake, waiting_files
from lakehouse.ledger import Ledger
from lakehouse.locks import lock
from lakehouse.readable import counted_text
from lakehouse.settings import Settings
from lakehouse.tables import is_table, table_facts, table_id

__all__ = ["Filters", "Report", "as_json", "render", "report"]

MODES = ("batch", "streaming")
COUNTED_TABLES = ("merged", "quarantine", "delta")
TOP = 10
REFRESH = "python -m consumer batch"


def report(settings: Settings, filters: Filters = EVERYTHING) -> Report:
    """Read the lake's metrics and recount its rows.

    :param filters: which requests the metrics are shown of. What is recounted is the whole lake.
    :raises PipelineError: a table cannot be read.
    :raises LockedError: the rows cannot be recounted, because a merge goes on for too long.
    """
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    with reading(lake, filters.first, filters.last) as reader:
        by_mode = {mode: days(reader, mode, filters) for mode in MODES}
        top_mode = next((mode for mode in MODES if by_mode[mode]), MODES[0])
        tables = _exact_tables(reader, settings)
        lacking = _lacking(reader, tables)
        has_visitors = "visitor" not in lacking
        agents, ips = (top(reader, top_mode, key, filters, TOP, has_visitors=has_visitors) for key in ("agent", "ip"))
        panels = _panels(reader, filters, tables)
        notes = _notes(reader, filters, lacking)
        logs = rejected_logs(reader, TOP)
    every_day = sorted({day for figures in by_mode.values() for day in figures})
    return Report(
        data_lake=lake.root,
        days=[Day(day, *(by_mode[mode].get(day) for mode in MODES)) for day in every_day],
        totals={mode: total(figures.values()) for mode, figures in by_mode.items()},
        top_mode=top_mode,
        agents=agents,
        ips=ips,
        reasons=ledger.reasons(),
        identity=_recounted(settings, ledger),
        waiting=len(ledger.deliveries(waiting_files(lake.landing))),
        stale=_staleness(lake, ledger),
        visitor_error=1.04 / 2 ** (settings.stream.sketch_lg_k / 2),
        filters=filters,
        panels=panels,
        notes=notes,
        rejected_logs=logs,
    )


def _exact_tables(reader: TableReader, settings: Settings) -> list[str]:
    """The exact tables that the panels need. That of countries may be there still when they are no longer counted."""
    has_countries = settings.geoip.database is not None and reader.has("batch", "country")
    return [name for name in ("visitor", *PANEL_TABLES) if name != "country" or has_countries]


def _lacking(reader: TableReader, tables: Sequence[str]) -> dict[str, set[date]]:
    """Those of ``tables`` that do not have every day that ``daily`` has: an earlier release did not make them. With these days."""
    every_day = reader.days("batch", "daily")
    missing = {name: every_day - reader.days("batch", name) for name in tables}
    return {name: days for name, days in missing.items() if days}


def _panels(reader: TableReader, filters: Filters, tables: Sequence[str]) -> Panels:
    names = [name for name, of in RANKINGS.items() if of.table in tables]
    rankings = {name: ranking(reader, name, filters, TOP) for name in names}
    return Panels(
        rankings={name: found for name, found in rankings.items() if found is not None},
        hours=hours(reader, filters),
        sites=sites(reader, filters, Choice(TOP)),
        response_times=response_times(reader, filters, TOP),
    )


def _notes(reader: TableReader, filters: Filters, lacking: dict[str, set[date]]) -> list[str]:
    """What the figures do not show, and why."""
    notes = []
    if filters.is_by_request and reader.has("streaming", "daily"):
        notes.append("metrics/streaming knows neither sites nor humans and bots apart: it is left out")
    if lacking:
        most = max(len(days) for days in lacking.values())
        notes.append(
            f"metrics/batch has not counted {counted_text(most, 'day')} yet in {', '.join(lacking)}: count with: {REFRESH}"
        )
    return notes


def _recounted(settings: Settings, ledger: Ledger) -> Identity:
    """The identity; if it does not hold, once more when no merge is between its tables and the ledger."""
    found = counted_rows(settings.lake, ledger)
    if found.holds:
        return found
    try:
        with lock(settings.lake.locks, "merge", wait_seconds=settings.merge.lock_seconds):
            return counted_rows(settings.lake, ledger)
    except OSError:
        return found  # a lake that we may only read


def counted_rows(lake: Lake, ledger: Ledger) -> Identity:
    """The identity, by the ledger and the tables as they are now: while a merge runs, it may be between these."""
    rows = {name: stored_rows(lake.tables[name]) for name in COUNTED_TABLES}
    return identity(ledger.totals(), ledger.unbalanced_files(), rows)


def stored_rows(path: Path) -> int:
    """The rows of a table by its log; 0 where there is none.

    :raises PipelineError: it cannot be read.
    """
    with explained(path):
        facts = table_facts(path)
    return facts.rows if facts else 0


def _staleness(lake: Lake, ledger: Ledger) -> str | None:
    """Whether ``delta/`` has changed since batch last wrote all three of its tables."""
    if not is_table(lake.delta):
        return None
    advice = f"bring them up to date with: {REFRESH}"
    version = ledger.last_figure("batch", "delta_version")
    if version is None:
        return f"there are no batch figures yet: make them with: {REFRESH}"
    with explained(lake.delta):
        if ledger.last_figure("batch", "delta_id") != table_id(lake.delta):
            return f"delta/ was made anew since the batch figures: {advice}"
        days = changed_days(lake.delta, version)
    if days == set():
        return None
    what = "much" if days is None else counted_text(len(days), "day")
    return f"the batch figures are older than delta/, where {what} changed since: {advice}"
