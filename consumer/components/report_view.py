"""A report for programs and for the terminal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consumer.components.figures import Day, Figures, Report, Top, minus
from consumer.components.filters import Filters
from consumer.components.identity import Identity
from consumer.components.panel_view import panel_tables, panels_json
from consumer.components.rejected_logs import LEAST_SHARE
from lakehouse.lake import Lake
from lakehouse.readable import bytes_text, count_text, counted_text, new_table, safe, short_count_text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

MODES = ("batch", "streaming")
MODE_NAMES = {"batch": "batch", "streaming": "stream"}
SHOWN_DAYS = 14
UNLIMITED = 10_000  # columns
NO_KEY = {"agent": "(none sent)", "ip": "(none)"}


def as_json(seen: Report) -> dict[str, Any]:
    """The report in plain values that JSON can hold: all days, dates and times in ISO 8601."""
    return {
        "data_lake": str(seen.data_lake),
        "days": [_day_json(day) for day in seen.days],
        "totals": {mode: figures and asdict(figures) for mode, figures in seen.totals.items()},
        "top_mode": seen.top_mode,
        "agents": _top_json(seen.agents, "agent"),
        "ips": _top_json(seen.ips, "ip"),
        "reasons": dict(seen.reasons),
        "identity": asdict(seen.identity) | {"holds": seen.identity.holds},
        "waiting_files": seen.waiting,
        "stale": seen.stale,
        "exit_code": seen.exit_code,
        "filters": _filters_json(seen.filters),
        "panels": panels_json(seen.panels),
        "notes": list(seen.notes),
        "rejected_logs": [asdict(log) | {"share": log.share} for log in seen.rejected_logs],
    }


def _filters_json(filters: Filters) -> dict[str, Any]:
    first, last = (day and day.isoformat() for day in (filters.first, filters.last))
    kind = {None: None, True: "bots", False: "humans"}[filters.is_bot]
    return {"site": filters.site, "from": first, "to": last, "kind": kind}


def _day_json(day: Day) -> dict[str, Any]:
    sources = {"batch": day.batch, "streaming": day.streaming, "difference": day.difference}
    return {"date": day.day.isoformat()} | {name: figures and asdict(figures) for name, figures in sources.items()}


def _top_json(top: Top, key: str) -> dict[str, list[dict[str, Any]]]:
    kinds = {"humans": top.humans, "bots": top.bots}
    return {
        kind: [
            {key: row.key, "requests": row.requests, "bot_requests": row.bot_requests, "bytes": row.bytes}
            for row in ranked
        ]
        for kind, ranked in kinds.items()
    }


def render(seen: Report) -> "RenderableType":
    """The report for a terminal of 80 columns or more. Of many days the last, of keys the first; JSON has all days."""
    from rich.console import Group
    from rich.padding import Padding

    if not seen.has_data:
        what = "been merged" if seen.waiting else "landed"
        parts: list[RenderableType] = [safe(f"nothing has {what} yet in {seen.data_lake}")]
    else:
        parts = [
            *_filter_lines(seen),
            *_days_tables(seen),
            *_top_tables(seen, "agent"),
            *_top_tables(seen, "ip"),
            *panel_tables(seen.panels, seen.filters),
            *(safe(note, "yellow") for note in seen.notes),
            *_reasons_tables(seen),
            *_rejected_logs_tables(seen),
            _identity_lines(seen),
        ]
    if seen.stale:
        parts.append(safe(seen.stale, "yellow"))
    if seen.waiting:
        parts.append(
            safe(f"{counted_text(seen.waiting, 'file')} landed and not merged yet: merge with: python -m cleaner merge")
        )
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1]), parts[-1])


def _filter_lines(seen: Report) -> "list[RenderableType]":
    """What the figures are of, where not of everything."""
    text = seen.filters.text
    return (
        [safe(f"Requests: {text}. What landed and what was quarantined is counted for the whole lake.", "bold")]
        if text
        else []
    )


def _days_tables(seen: Report) -> "list[RenderableType]":
    """Every day's figures; where both count, streaming beside batch and their difference."""
    from rich.console import Group

    modes = [mode for mode in MODES if seen.totals[mode]]
    if not modes and seen.filters.text:
        return [safe("no figures of such requests")]
    if not modes:
        return [safe("no metrics yet: make them with: python -m consumer batch, or: python -m consumer stream")]
    notes = [f"bots made {_share(seen.totals[modes[0]])} of the requests"] if seen.filters.is_bot is None else []
    if len(seen.days) > SHOWN_DAYS:
        notes.append(f"{count_text(len(seen.days) - SHOWN_DAYS)} earlier days are in: python -m consumer report --json")
    if "streaming" in modes:
        error = f"{100 * seen.visitor_error:.1f} %"
        notes.append(f"streaming estimates visitors and IPs (standard error {error}), and counts a late replay again")
    table = Fitting(_days_table(seen, modes, count_text), _days_table(seen, modes, short_count_text))
    return [table, Group(*(safe(note, "dim") for note in notes))] if notes else [table]


def _days_table(seen: Report, modes: Sequence[str], as_text: Callable[[int], str]) -> "Table":
    table = new_table(f"Days (UTC), from metrics/{' and metrics/'.join(modes)}")
    for name in ("day", ""):
        table.add_column(name, no_wrap=True)
    for name in ("requests", "visitors", "IPs", "bytes", "4xx", "5xx", "bots"):
        table.add_column(name, justify="right", no_wrap=True)

    def add_rows(name: str, figures: Mapping[str, Figures | None]) -> None:
        for mode in modes:
            table.add_row(name if mode == modes[0] else "", MODE_NAMES[mode], *_cells(figures[mode], as_text))
        if len(modes) > 1:
            difference = minus(figures["streaming"], figures["batch"])
            table.add_row("", "diff", *_cells(difference, as_text, is_signed=True), style="dim")

    for day in seen.days[-SHOWN_DAYS:]:
        add_rows(day.day.isoformat(), {mode: getattr(day, mode) for mode in modes})
    table.add_section()
    add_rows(counted_text(len(seen.days), "day"), seen.totals)
    return table


def _cells(figures: Figures | None, as_text: Callable[[int], str], *, is_signed: bool = False) -> list[str]:
    if figures is None:
        return ["-"] * len(fields(Figures))
    texts = []
    for field in fields(Figures):
        value = getattr(figures, field.name)
        sign = "+" if is_signed and value and value > 0 else ""
        text = "" if value is None else bytes_text(value) if field.name == "bytes" else as_text(value)
        texts.append(sign + text)
    return texts


class Fitting:
    """The first of two tables if the terminal is wide enough for it, else the second."""

    def __init__(self, wide: "Table", narrow: "Table") -> None:
        self.wide = wide
        self.narrow = narrow

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """What rich asks of something that it can print."""
        needed = console.measure(self.wide, options=options.update(max_width=UNLIMITED)).maximum
        yield self.wide if needed <= options.max_width else self.narrow


def _share(sums: Figures | None) -> str:
    return "none" if not sums or not sums.requests else f"{100 * sums.bot_requests / sums.requests:.1f} %"


def _top_tables(seen: Report, key: str) -> "list[RenderableType]":
    """Humans and bots apart: requests and bytes of the kind, and the share of all requests of the kind."""
    sums = seen.totals[seen.top_mode]
    if sums is None:
        return []
    top, what = (seen.ips, "IPs") if key == "ip" else (seen.agents, "Agents")
    kinds = {
        "humans": (sums.requests - sums.bot_requests, {row: row.human_requests for row in top.humans}),
        "bots": (sums.bot_requests, {row: row.bot_requests for row in top.bots}),
    }
    tables: list[RenderableType] = []
    for kind, (all_requests, ranked) in kinds.items():
        if not ranked:
            continue
        which = "these" if seen.filters.has_range else "all"
        table = new_table(f"{what} of {kind}, by requests over {which} days ({seen.top_mode})")
        table.expand = True
        table.add_column(key, ratio=1, no_wrap=True, overflow="ellipsis")
        for name in ("requests", "share", "bytes"):
            table.add_column(name, justify="right", no_wrap=True)
        for row, requests in ranked.items():
            name = NO_KEY[key] if row.key is None else row.key
            share = f"{100 * requests / max(all_requests, requests):.1f} %"
            size = "-" if row.bytes is None else bytes_text(row.bytes)
            table.add_row(safe(name), count_text(requests), share, size)
        tables.append(table)
    return tables


def _reasons_tables(seen: Report) -> "list[RenderableType]":
    if not seen.reasons:
        return []
    table = new_table("Quarantined, by reason (a row can have several)")
    table.expand = True
    table.add_column("reason", ratio=1, overflow="fold")
    table.add_column("rows", justify="right", no_wrap=True)
    for reason, rows in seen.reasons.items():
        table.add_row(safe(reason), count_text(rows))
    return [table]


def _rejected_logs_tables(seen: Report) -> "list[RenderableType]":
    """The worst logs, and how to see what is wrong with one."""
    if not seen.rejected_logs:
        return []
    table = new_table(f"Logs with {100 * LEAST_SHARE:g} % or more of their lines rejected, the worst first")
    table.expand = True
    table.add_column("log", ratio=3, overflow="fold")
    for name in ("lines", "rejected", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("main reason", ratio=2, overflow="fold")
    for log in seen.rejected_logs:
        counts = (short_count_text(log.lines), short_count_text(log.rejected), f"{100 * log.share:.1f} %")
        table.add_row(safe(log.source), *counts, safe(log.reason or ""))
    if not any(log.unparsed for log in seen.rejected_logs):
        return [table]
    return [table, safe("To see how a log is read, and what to set: python -m producer inspect LOG", "dim")]


def _identity_lines(seen: Report) -> "RenderableType":
    from rich.console import Group

    found = seen.identity
    parts = found.merged + found.duplicates + found.quarantined
    equation = (
        f"{count_text(found.landed)} landed {'=' if found.landed == parts else '!='} {count_text(found.merged)} merged"
        f" + {count_text(found.duplicates)} duplicates + {count_text(found.quarantined)} quarantined"
    )
    refused = f" ({count_text(found.refused)} refused)" if found.refused else ""
    files = f"{counted_text(found.files, 'file')}{refused}"
    if found.holds:
        agreed = f"The identity holds for {files}: merged/, quarantine/ and delta/ agree."
        return Group(safe(equation, "bold"), safe(agreed, "green"))
    problems = [safe(f"- {problem}", "bold red") for problem in found.problems]
    failed = safe(f"The identity does not hold for {files}:", "bold red")
    return Group(safe(equation, "bold"), failed, *problems, safe(_advice(found, seen.data_lake)))


def _advice(found: Identity, data_lake: Path) -> str:
    if found.table_rows["merged"] >= found.merged:
        return "If a merge was killed, the next one completes it: python -m cleaner merge"
    return (
        "Rows are gone from merged/. Put back what was taken from its _delta_log/, or ingest their logs again: what is there"
        f" already is a duplicate. Then move {Lake(data_lake).ledger} away: the next merge counts anew from the tables"
    )
