"""The picture of the measurements: a bar for each subject, a panel for each row, in one SVG."""

from collections.abc import Mapping
from pathlib import Path

from bench.errors import BenchError
from bench.results import OURS, RowResult
from bench.table import ROWS

OUR_COLOUR, PEER_COLOUR = "#1f6fb2", "#d08a1d"
WIDTH, PANEL_HEIGHT, BAR_HEIGHT = 9.0, 0.9, 0.32


def write_picture(path: Path, rows: Mapping[str, RowResult]) -> None:
    """Draw the rows that were measured.

    :raises BenchError: matplotlib is not installed, or there is nothing to draw.
    """
    drawn = [rows[name] for name in ROWS if name in rows]
    if not drawn:
        raise BenchError("no figures yet; measure first: make bench")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise BenchError(
            "matplotlib is not installed; type: .venv/bin/pip install -c constraints.txt -e '.[bench]'"
        ) from None
    mpl.rcParams |= {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 8}
    heights = [PANEL_HEIGHT + BAR_HEIGHT * len(row.cases) for row in drawn]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    panels = figure.subplots(len(drawn), 1, squeeze=False, height_ratios=heights)
    for (panel,), row in zip(panels, drawn, strict=True):
        about = ROWS[row.row]
        values = [case.median(about.figure) or 0 for case in row.cases]
        colours = [OUR_COLOUR if case.subject.startswith(OURS) else PEER_COLOUR for case in row.cases]
        bars = panel.barh([f"{c.subject}, {c.size}" for c in row.cases], values, color=colours)
        panel.bar_label(bars, labels=[f" {value:,.3g}" if value < 1000 else f" {value:,.0f}" for value in values])
        panel.invert_yaxis()
        panel.margins(x=0.15)
        panel.set_title(f"{about.number}. {about.title}", loc="left", fontweight="bold")
        panel.set_xlabel(about.unit)
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
