"""What was measured, as ``results.json`` keeps it: for each row its cases, for each case its runs. Plain values."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

OURS = "this pipeline"


@dataclass(frozen=True)
class Run:
    """One measured run.

    :param figures: what is measured beside time and memory, by name with its unit, e.g. ``lines/s``.
    :param void: why the run does not count: its result was wrong. ``None`` for a good one.
    """

    wall_seconds: float
    processor_seconds: float
    peak_megabytes: float
    figures: Mapping[str, float] = field(default_factory=dict)
    void: str | None = None


@dataclass(frozen=True)
class Case:
    """The runs of one subject at one size.

    :param subject: who does the work: ``OURS``, perhaps with a word on how, or the peer's name.
    :param size: how much work it is.
    """

    subject: str
    size: str
    runs: Sequence[Run]

    @property
    def good_runs(self) -> Sequence[Run]:
        """The runs that count."""
        return [run for run in self.runs if run.void is None]

    def median(self, figure: str) -> float | None:
        """The median of a figure over the runs that count; ``None`` where none has it."""
        values = [value for run in self.good_runs if (value := _value(run, figure)) is not None]
        return median(values) if values else None

    def spread(self, figure: str) -> tuple[float, float] | None:
        """The least and the most of a figure over the runs that count."""
        values = [value for run in self.good_runs if (value := _value(run, figure)) is not None]
        return (min(values), max(values)) if values else None

    @property
    def figures(self) -> Sequence[str]:
        """The names of its own figures."""
        return sorted({name for run in self.runs for name in run.figures})


@dataclass(frozen=True)
class RowResult:
    """One row of the table.

    :param form: ``quick`` or ``full``.
    :param skipped: peers that were not measured, and why.
    :param load: the machine's load (one minute) when the row began: what else was going on.
    :param loop_seconds: how long a fixed piece of work took before the row and after it: how fast the machine was.
    """

    row: str
    form: str
    taken_at: str
    load: float
    machine: Mapping[str, str]
    cases: Sequence[Case]
    skipped: Mapping[str, str] = field(default_factory=dict)
    loop_seconds: Sequence[float] = field(default_factory=list)

    @property
    def voids(self) -> Sequence[str]:
        """A sentence for each run that does not count."""
        return [f"{c.subject}, {c.size}: {run.void}" for c in self.cases for run in c.runs if run.void is not None]


def ratio(one: Case, other: Case, figure: str) -> float | None:
    """How many times ``one``'s median of a figure is ``other``'s."""
    mine, theirs = one.median(figure), other.median(figure)
    return mine / theirs if mine is not None and theirs else None


def read_results(path: Path) -> dict[str, RowResult]:
    """The rows of a results file, by name; none where there is no file."""
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: _row(plain) for name, plain in content["rows"].items()}


def write_results(path: Path, rows: Iterable[RowResult]) -> None:
    """Put these rows into a results file; other rows that it has stay."""
    known = read_results(path) | {row.row: row for row in rows}
    content = {"rows": {name: asdict(known[name]) for name in sorted(known)}}
    hidden = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden.write_text(json.dumps(_rounded(content), indent=1) + "\n", encoding="utf-8")
    hidden.replace(path)


def _row(plain: dict[str, Any]) -> RowResult:
    cases = [Case(c["subject"], c["size"], [Run(**run) for run in c["runs"]]) for c in plain.pop("cases")]
    return RowResult(**plain, cases=cases)


def _value(run: Run, figure: str) -> float | None:
    if figure in run.figures:
        return run.figures[figure]
    value = getattr(run, figure, None)
    return value if isinstance(value, float | int) else None


def _rounded(content: Any) -> Any:
    if isinstance(content, float):
        return round(content, 3)
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, list | tuple) else content
