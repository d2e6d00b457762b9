"""``python -m bench``: measures the rows of the table, and writes the page that shows them."""

import os
import signal
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import BenchError
from bench.results import RowResult, read_results, write_results
from bench.work import own_folder
from lakehouse.cli import application, reporting_errors
from lakehouse.errors import PipelineError

if TYPE_CHECKING:
    from rich.console import Console

RESULTS, QUICK_RESULTS = Path("bench/results.json"), Path("bench/quick.json")
PAGE, PICTURE = Path("docs/benchmarks.md"), Path("docs/pictures/benchmarks.svg")
WORK = Path("bench/scratch")
# What the lakes and logs of a form take, with some to spare.
QUICK_BYTES, FULL_BYTES = 3 * 10**9, 30 * 10**9
NEEDED = ("psutil", "pyspark", "deltalake", "polars", "duckdb")
INSTALL = "type: .venv/bin/pip install -c constraints.txt -e '.[producer,spark,connect,bench]'"

app = application("Measure the pipeline as whole processes, beside what a user would pick instead.")


@app.command()
def run(
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROW]...",
            help="Rows of the table; by default all; in the small form all but growth, busy-day and default-rate.",
        ),
    ] = None,
    is_full: Annotated[
        bool, typer.Option("--full", help="The real sizes, which take hours. Otherwise small ones.")
    ] = False,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Of each subject; by default 3, in the small form 1.", show_default=False)
    ] = None,
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Lakes and logs are made in a folder in it, which goes at the end.")
    ] = WORK,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Where the figures go; rows not measured stay. By default {RESULTS}, in the small form {QUICK_RESULTS}.",
        ),
    ] = None,
) -> None:
    """Measure the rows, the subjects of each in turn. Exits 1 if a run's result was wrong, whose figures do not count, or a row failed.

    What was measured is kept after each row, also if the bench is stopped.
    """
    with reporting_errors():
        _require_packages()
        from bench.table import ROWS

        wanted = rows or [name for name, row in ROWS.items() if is_full or row.is_in_small_form]
        if unknown := [name for name in wanted if name not in ROWS]:
            raise typer.BadParameter(f"no such row: {', '.join(unknown)}; there are: {', '.join(ROWS)}")
        results = results or (RESULTS if is_full else QUICK_RESULTS)
        signal.signal(signal.SIGTERM, _interrupt)
        with own_folder(folder, FULL_BYTES if is_full else QUICK_BYTES) as own:
            failed = []
            for name in (name for name in ROWS if name in wanted):
                try:
                    row = _measured(name, own, is_full=is_full, runs=runs or (3 if is_full else 1))
                except PipelineError as error:  # said, and the other rows go on
                    failed.append(name)
                    _console().print(f"{name} was not measured: {error}", markup=False, soft_wrap=True)
                else:
                    write_results(results, [row])
        measured = {name: row for name, row in read_results(results).items() if name in wanted and name not in failed}
        _show(measured)
    if failed or any(row.voids for row in measured.values()):
        raise typer.Exit(1)


@app.command()
def page(
    results: Annotated[Path, typer.Option(metavar="FILE", help="The figures.")] = RESULTS,
    page_file: Annotated[Path, typer.Option("--page", metavar="FILE", help="The page that gets the table.")] = PAGE,
    picture: Annotated[Path, typer.Option(metavar="FILE", help="Where the picture goes.")] = PICTURE,
) -> None:
    """Write the table of the page, between its markers, and the picture, from the figures. The page's prose stays."""
    with reporting_errors():
        _require_packages()
        from bench.page import write_page
        from bench.picture import write_picture

        measured = read_results(results)
        write_picture(picture, measured)
        write_page(page_file, measured)


def _measured(name: str, folder: Path, *, is_full: bool, runs: int) -> RowResult:
    from bench.machine import loop_seconds, machine
    from bench.measure import Bench
    from bench.table import ROWS

    console = _console()
    console.rule(f"{ROWS[name].number}. {ROWS[name].title}")
    load, taken_at = os.getloadavg()[0], datetime.now(UTC).isoformat(timespec="seconds")
    ran_on, before = machine(), loop_seconds()
    bench = Bench(folder, is_full, runs, lambda line: console.print(line, markup=False, soft_wrap=True))
    cases, skipped = ROWS[name].measure(bench)
    for peer, why in skipped.items():
        bench.say(f"{peer} was not measured: {why}")
    return RowResult(
        name, "full" if is_full else "quick", taken_at, load, ran_on, cases, skipped, [before, loop_seconds()]
    )


def _show(measured: dict[str, RowResult]) -> None:
    from rich.markdown import Markdown

    from bench.page import rendered

    _console().print(Markdown(rendered(measured)))


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _require_packages() -> None:
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise BenchError(f"not installed: {', '.join(missing)}; {INSTALL}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Let SIGTERM end the bench as Ctrl-C does: with its programs, and with its folder."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    # Without a command it measures.
    words = sys.argv[1:]
    app(words if words[:1] in (["run"], ["page"], ["--help"]) else ["run", *words], prog_name="python -m bench")
