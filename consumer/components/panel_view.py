"""The panels of a report for programs and for the terminal. What came from a log is made harmless."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from consumer.components.figures import HourFigures, Panels, Ranking
from consumer.components.filters import Filters
from lakehouse.readable import bytes_text, count_text, counted_text, new_table, safe, short_count_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

TITLES = {
    "pages": "Pages",
    "static_files": "Static files",
    "client_errors": "Client errors (4xx), by path",
    "server_errors": "Server errors (5xx), by path",
    "referring_hosts": "Hosts that refer, without the site itself",
    "referers": "Referers, without the site's own",
    "browsers": "Browsers of humans",
    "systems": "Systems of humans",
    "bots": "Bots",
    "bot_classes": "Bots, by class",
    "countries": "Countries",
}
# What a column is called, and what stands for a value that is not there.
COLUMNS = {
    "path": ("path", "(none)"),
    "referer_host": ("host", "(no host)"),
    "referer": ("referer", "(none sent)"),
    "browser": ("browser", "(unknown)"),
    "os": ("system", "(unknown)"),
    "bot": ("bot", "(no name)"),
    "bot_class": ("class", "(unknown)"),
    "country": ("country", "(unknown)"),
}
NO_SITE = "(no site)"
ALL_SITES = "all sites"


def panels_json(panels: Panels) -> dict[str, Any]:
    """The panels in plain values: rankings by name, hours, sites, response times."""
    return {
        **{name: _ranking_json(ranking) for name, ranking in panels.rankings.items()},
        "hours": [asdict(hour) | {"hour": _hour_json(hour.hour)} for hour in panels.hours],
        "sites": [asdict(site) for site in panels.sites],
        "response_times": [asdict(times) for times in panels.response_times],
    }


def _ranking_json(ranking: Ranking) -> dict[str, Any]:
    values = [
        dict(zip(ranking.columns, value.keys, strict=True)) | {"requests": value.requests, "bytes": value.bytes}
        for value in ranking.values
    ]
    return {"requests": ranking.requests, "other_requests": ranking.other_requests, "values": values}


def _hour_json(hour: datetime | int) -> str | int:
    return hour if isinstance(hour, int) else hour.isoformat()


def panel_tables(panels: Panels, filters: Filters) -> "list[RenderableType]":
    """The panels that say something beyond the days, each as a table of 80 columns or more."""
    tables: list[RenderableType] = []
    for name, ranking in panels.rankings.items():
        if ranking.requests:
            tables += _ranking_table(TITLES[name], ranking)
    if panels.hours:
        tables.append(_hours_table(panels.hours))
    if filters.site is None and any(site.site is not None for site in panels.sites):
        tables.append(_sites_table(panels))
    if panels.response_times:
        tables.append(_times_table(panels))
    return tables


def _ranking_table(title: str, ranking: Ranking) -> "list[RenderableType]":
    """Values with their share of all requests of the ranking; below them how many requests have no value here."""
    table = new_table(title)
    table.expand = True
    for column in ranking.columns:
        table.add_column(COLUMNS[column][0], ratio=1, no_wrap=True, overflow="ellipsis")
    _add_numbers(table, "requests", "share", "bytes")
    for value in ranking.values:
        names = (
            COLUMNS[column][1] if key is None else key for column, key in zip(ranking.columns, value.keys, strict=True)
        )
        share = f"{100 * value.requests / ranking.requests:.1f} %"
        table.add_row(*map(safe, names), count_text(value.requests), share, bytes_text(value.bytes))
    if not ranking.other_requests:
        return [table]
    note = (
        f"and {counted_text(ranking.other_requests, 'request')} of values beyond those that are kept of a day and site"
    )
    return [table, safe(note, "dim")]


def _hours_table(hours: Sequence[HourFigures]) -> "Table":
    is_short = isinstance(hours[0].hour, datetime)
    table = new_table("Hours (UTC)" if is_short else "Hours of the day (UTC), over all these days")
    table.expand = True
    table.add_column("hour", ratio=1, no_wrap=True)
    _add_numbers(table, "requests", "share", "bytes", "4xx", "5xx")
    every = sum(hour.requests for hour in hours)
    for hour in hours:
        name = f"{hour.hour:%Y-%m-%d %H}:00" if isinstance(hour.hour, datetime) else f"{hour.hour:02}:00"
        share = f"{100 * hour.requests / max(every, 1):.1f} %"
        errors = (short_count_text(hour.client_errors), short_count_text(hour.server_errors))
        table.add_row(name, count_text(hour.requests), share, bytes_text(hour.bytes), *errors)
    return table


def _sites_table(panels: Panels) -> "Table":
    table = new_table("Sites")
    table.expand = True
    table.add_column("site", ratio=1, no_wrap=True, overflow="ellipsis")
    _add_numbers(table, "requests", "visitors", "bytes", "4xx", "5xx")
    for site in panels.sites:
        counts = (short_count_text(n) for n in (site.visitors, site.client_errors, site.server_errors))
        visitors, *errors = counts
        table.add_row(_site(site.site), count_text(site.requests), visitors, bytes_text(site.bytes), *errors)
    return table


def _times_table(panels: Panels) -> "Table":
    """Response times as the log has them, so without a unit."""
    table = new_table("Response times, in the log's own unit")
    table.expand = True
    table.add_column("site", ratio=1, no_wrap=True, overflow="ellipsis")
    _add_numbers(table, "requests", "p50", "p95", "p99")
    for times in panels.response_times:
        name = safe(ALL_SITES, "bold") if times.is_all_sites else _site(times.site)
        quantiles = (f"{value:.4g}" for value in (times.p50, times.p95, times.p99))
        table.add_row(name, count_text(times.requests), *quantiles)
    return table


def _site(site: str | None) -> "RenderableType":
    return safe(NO_SITE if site is None else site)


def _add_numbers(table: "Table", *names: str) -> None:
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
