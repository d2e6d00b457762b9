"""The page of the measurements: its table is made from the figures, between two markers; what stands outside is kept."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.results import OURS, Case, RowResult, ratio
from bench.table import ROWS

BEGIN, END = "<!-- figures: made by python -m bench page -->", "<!-- end of figures -->"
PICTURE = "pictures/benchmarks.svg"
HEAD = "| who | work | wall, s | core-seconds | peak, MB | more | {unit}: times ours |\n| --- | --- | ---: | ---: | ---: | --- | ---: |"


def write_page(page: Path, rows: Mapping[str, RowResult]) -> None:
    """Put the figures between the page's markers.

    :raises BenchError: the page is not there, or has no markers.
    """
    try:
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        _, after = rest.split(END)
    except (FileNotFoundError, ValueError):
        raise BenchError(f"{page}: must have a line {BEGIN} and below it a line {END}") from None
    content = f"![The rows of the table as bars]({PICTURE})\n\n{rendered(rows)}"
    page.write_text(f"{before}{BEGIN}\n\n{content}\n{END}{after}", encoding="utf-8")


def rendered(rows: Mapping[str, RowResult]) -> str:
    """All rows as Markdown, each with its goal, where it was taken and what does not count."""
    taken = [rows[name] for name in ROWS if name in rows]
    return "\n".join([*(_row(result) for result in taken), _machines(taken)])


def _row(result: RowResult) -> str:
    row = ROWS[result.row]
    goal = "Goal" if result.form == "full" else "Goal of the full form"
    lines = [f"### {row.number}. {row.title}", "", f"{goal}: {row.goal}.", "", HEAD.format(unit=row.unit)]
    lines += [_case(case, result.cases, row.figure) for case in result.cases]
    lines += ["", f"{_taken(result)}."]
    lines += [f"\nNot measured: {peer}: {why}." for peer, why in result.skipped.items()]
    lines += [f"\nDoes not count: {void}." for void in result.voids]
    return "\n".join(lines) + "\n"


def _case(case: Case, cases: Sequence[Case], figure: str) -> str:
    figures = [f"{_number(value)} {name}" for name in case.figures if (value := case.median(name)) is not None]
    cells = [_spread(case, name) for name in ("wall_seconds", "processor_seconds")]
    peak = case.median("peak_megabytes")
    shown = [
        case.subject,
        case.size,
        *cells,
        "" if peak is None else f"{peak:,.0f}",
        "; ".join(figures),
        _times(case, cases, figure),
    ]
    return f"| {' | '.join(shown)} |"


def _times(case: Case, cases: Sequence[Case], figure: str) -> str:
    """How many times our figure a peer's is, in brackets that of our job in a JVM of its own."""
    if case.subject.startswith(OURS):
        return ""
    _, comma, how = case.subject.partition(", ")
    ours = f"{OURS}{comma}{how}"
    shown = []
    for subject, form in ((ours, "{:.2f}"), (f"{ours}, the consumer not running", "({:.2f})")):
        other = next((c for c in cases if (c.subject, c.size) == (subject, case.size)), None)
        times = None if other is None else ratio(case, other, figure)
        shown += [] if times is None else [form.format(times)]
    return " ".join(shown)


def _spread(case: Case, figure: str) -> str:
    """The median, with the least and the most of several runs."""
    middle, ends = case.median(figure), case.spread(figure)
    if middle is None or ends is None:
        return "void"
    several = f" ({ends[0]:.2f} to {ends[1]:.2f})" if len(case.good_runs) > 1 else ""
    return f"{middle:.2f}{several}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _taken(result: RowResult) -> str:
    runs = max((len(case.runs) for case in result.cases), default=0)
    medians = f"medians of {runs} runs (least to most)" if runs > 1 else "one run"
    taken = f"{result.form.capitalize()} form, {medians}, {result.taken_at[:16].replace('T', ' ')} UTC; load {result.load:.1f} before it began"
    loops = " and ".join(f"{seconds:.2f}" for seconds in result.loop_seconds)
    return f"{taken}; the loop took {loops} s before and after" if loops else taken


def _machines(rows: Iterable[RowResult]) -> str:
    """Each machine once, with the rows that were taken on it."""
    numbers: dict[str, list[str]] = {}
    for result in rows:
        shown = ", ".join(f"{name} {value}" for name, value in result.machine.items())
        numbers.setdefault(shown, []).append(str(ROWS[result.row].number))
    return "".join(f"Machine of {', '.join(of)}: {shown}.\n" for shown, of in numbers.items())
