"""What ``growth`` saw, as a table and as a picture: a panel of small charts, each with its own scale from nought."""

from collections.abc import Sequence
from html import escape

from tests.faults.growth import JOBS, Growth

WIDTH, HEIGHT, COLUMNS = 250, 120, 3
MARGIN, TITLE = 34, 22
STYLE = """
text { font: 11px sans-serif; fill: #333; } .title { font-weight: bold; } .axis { stroke: #999; }
.line { fill: none; stroke: #1f6fb2; stroke-width: 1.5; } .own { fill: none; stroke: #d08a1d; stroke-dasharray: 4 3; }
"""


def weeks(seen: Growth, first: int) -> str:
    """A Markdown table: the most of everything in the week from day ``first`` on, and in the last week."""
    spans = slice(first - 1, first + 6), slice(-7, None)
    early, last = (seen.days[span] for span in spans)
    lines = [
        f"| | files, days {first} to {first + 6} | last 7 days | in use, days {first} to {first + 6} | last 7 days |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for folder in sorted(last[-1].files):
        files = [max(day.files.get(folder, 0) for day in week) for week in (early, last)]
        live = [max(day.live.get(folder, 0) for day in week) or "" for week in (early, last)]
        lines.append(f"| `{folder}/` | {files[0]} | {files[1]} | {live[0]} | {live[1]} |")
    rows = [max(day.ledger_rows for day in week) for week in (early, last)]
    lines.append(f"| deliveries in the ledger | {rows[0]} | {rows[1]} | | |")
    for job in JOBS:
        means = [_mean(seen.mean_seconds(job)[span]) for span in spans]
        lines.append(f"| `{job}`, seconds | {means[0]:.1f} | {means[1]:.1f} | | |")
    return "\n".join(lines) + "\n"


def plot(seen: Growth) -> str:
    """An SVG: files of each folder by day (dashed: data files in use), then the mean seconds of each job."""
    folders = sorted({folder for day in seen.days for folder in day.files})
    charts = [
        chart(f"{folder}: files", [day.files.get(folder, 0) for day in seen.days],
              [day.live[folder] for day in seen.days] if folder in seen.days[-1].live else None)
        for folder in folders
    ]  # fmt: skip
    charts.append(chart("ledger: rows of deliveries", [day.ledger_rows for day in seen.days]))
    charts += [chart(f"{job}: seconds a tick", seen.mean_seconds(job)) for job in JOBS]
    charts.append(chart("maintain: seconds", [day.maintain for day in seen.days]))
    rows = -(-len(charts) // COLUMNS)
    placed = "\n".join(
        f'<g transform="translate({n % COLUMNS * (WIDTH + MARGIN) + MARGIN} {n // COLUMNS * (HEIGHT + 2 * TITLE) + TITLE})">{c}</g>'
        for n, c in enumerate(charts)
    )
    width, height = COLUMNS * (WIDTH + MARGIN) + MARGIN, rows * (HEIGHT + 2 * TITLE)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{placed}\n</svg>\n'
    )


def chart(title: str, values: Sequence[float], own: Sequence[float] | None = None) -> str:
    """One line chart, with a second dashed line if ``own`` is given. Days go from 1."""
    top = max([*values, *(own or []), 1])
    label = f"{top:,.0f}" if top >= 10 else f"{top:.1f}"
    return "".join([
        f'<text class="title" y="-6">{escape(title)}</text>',
        f'<text x="-4" y="10" text-anchor="end">{label}</text><text x="-4" y="{HEIGHT}" text-anchor="end">0</text>',
        f'<text x="{WIDTH}" y="{HEIGHT + 13}" text-anchor="end">day {len(values)}</text>',
        f'<path class="axis" fill="none" d="M0 0V{HEIGHT}H{WIDTH}"/>',
        _line("own", own, top) if own else "",
        _line("line", values, top),
    ])  # fmt: skip


def _line(kind: str, values: Sequence[float], top: float) -> str:
    step = WIDTH / max(len(values) - 1, 1)
    points = " ".join(f"{n * step:.1f},{HEIGHT * (1 - value / top):.1f}" for n, value in enumerate(values))
    return f'<polyline class="{kind}" points="{points}"/>'


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
