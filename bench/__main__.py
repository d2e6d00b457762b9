"""``python -m bench``: measures the rows of the table, and writes the page that shows them."""

import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from bench.results import RowResult, read_results, write_results
from lakehouse.cli import application, reporting_errors

RESULTS = Path("bench/results.json")
PAGE = Path("docs/benchmarks.md")
PICTURE = Path("docs/pictures/benchmarks.svg")
INSTALL = "type: .venv/bin/pip install -c constraints.txt -e '.[producer,spark,connect,bench]'"
NEEDED = ("psutil", "pyspark", "deltalake", "polars", "duckdb")

app = application("Measure the pipeline as whole processes, beside what a user would pick instead.")
Results = Annotated[
    Path, typer.Option("--results", metavar="FILE", help="Where the figures go; rows not measured stay.")
]


@app.command()
def run(
    rows: Annotated[list[str] | None, typer.Argument(metavar="[ROW]...", help="Rows of the table; all of them by default.")] = None,
    full: Annotated[bool, typer.Option("--full", help="The sizes of the full form: hours. Otherwise some ten minutes on 2 cores.")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Of each subject (the quick form runs the streams once).")] = 3,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Where lakes and logs are made, in a folder that is removed at the end.")] = None,
    results: Results = RESULTS,
) -> None:  # fmt: skip
    """Measure, each row's subjects in turn. What was measured is kept after each row, also if the bench is stopped."""
    with reporting_errors():
        _require_packages()
        from bench.table import ROWS

        unknown = [name for name in rows or [] if name not in ROWS]
        if unknown:
            raise typer.BadParameter(f"no such row: {', '.join(unknown)}; there are: {', '.join(ROWS)}")
        signal.signal(signal.SIGTERM, _interrupt)
        with _own_folder(folder) as own:
            for name in ROWS:
                if name in (rows or ROWS):
                    write_results(results, [_measured(name, own, is_full=full, runs=runs)])
    shown = read_results(results)
    voids = [void for name in (rows or ROWS) for void in shown[name].voids]
    if voids:
        typer.echo(f"{len(voids)} runs do not count: their results were wrong", err=True)
        raise typer.Exit(1)


@app.command()
def page(results: Results = RESULTS, page: Annotated[Path, typer.Option(metavar="FILE")] = PAGE, picture: Annotated[Path, typer.Option(metavar="FILE")] = PICTURE) -> None:  # fmt: skip
    """Write the table of the page, between its markers, and its picture, from the figures."""
    with reporting_errors():
        from bench.page import write_page
        from bench.picture import write_picture

        shown = read_results(results)
        write_page(page, shown)
        write_picture(picture, shown)


def _measured(name: str, folder: Path, *, is_full: bool, runs: int) -> RowResult:
    from rich.console import Console

    from bench.machine import machine
    from bench.measure import Bench
    from bench.table import ROWS

    console = Console(highlight=False, stderr=True)
    console.rule(f"{ROWS[name].number}. {ROWS[name].title}")
    load = os.getloadavg()[0]
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    bench = Bench(folder, is_full, runs, lambda line: console.print(line, markup=False, soft_wrap=True))
    cases, skipped = ROWS[name].measure(bench)
    for peer, why in skipped.items():
        console.print(f"{peer} was not measured: {why}", markup=False)
    return RowResult(name, "full" if is_full else "quick", taken_at, load, machine(), cases, skipped)


@contextmanager
def _own_folder(parent: Path | None) -> Iterator[Path]:
    """A folder that is removed, whatever happens."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    (folder / "made").mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _require_packages() -> None:
    from bench.process import BenchError

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise BenchError(f"not installed: {', '.join(missing)}; {INSTALL}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # "run" is what one means without a word.
    words = sys.argv[1:]
    app(words if words[:1] in (["run"], ["page"], ["--help"]) else ["run", *words], prog_name="python -m bench")
