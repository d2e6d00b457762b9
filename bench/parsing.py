"""``python -m bench.parsing LOG...``: processor time that parsing takes, of this checkout and of another one beside it. I/O.

Each checkout has a process with one thread, warm and kept. They take turns, so that whatever else the machine does meets both. Reading the
file, hashing its lines and writing them are no part of the figures but for the hashes, which are the same in all checkouts.
"""

import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.process import ROOT

MAX_LINE_BYTES = 1 << 20


def main(
    logs: Annotated[list[Path], typer.Argument(metavar="LOG...", exists=True, dir_okay=False)],
    beside: Annotated[Path | None, typer.Option(metavar="DIR", help="Another checkout.", show_default=False)] = None,
    log_format: Annotated[str, typer.Option(metavar="FORMAT", help="Of the logs, in this checkout.")] = "auto",
    turns: Annotated[int, typer.Option(min=1, help="How often each parses each log.")] = 5,
) -> None:
    """Show lines a second of processor time, and how much of it this checkout takes beside the other, by the quickest turn of each."""
    with ExitStack() as stack:
        ours = stack.enter_context(_Parser(ROOT, log_format))
        other = None if beside is None else stack.enter_context(_Parser(beside.resolve(), "auto"))
        for log in logs:
            pairs = [(ours.parse(log), None if other is None else other.parse(log)) for _ in range(turns)]
            least = min(own["seconds"] for own, _ in pairs)
            told = f"{log.name}: {pairs[0][0]['lines'] / least:,.0f} lines/s, {pairs[0][0]['unparsed']} unparsed"
            others = [their["seconds"] for _, their in pairs if their is not None]
            if others:
                ratios = [own["seconds"] / seconds for (own, _), seconds in zip(pairs, others, strict=True)]
                told += f"; {least / min(others):.3f} times the other's time, median of the turns {statistics.median(ratios):.3f}"
            typer.echo(told)


class _Parser:
    """A process that parses with a checkout's code, one log after another."""

    def __init__(self, checkout: Path, log_format: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--parse", log_format],
            cwd=checkout, env={"PYTHONPATH": str(checkout), "POLARS_MAX_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> "_Parser":
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.communicate()

    def parse(self, log: Path) -> dict[str, Any]:
        """What parsing took: ``lines``, ``unparsed`` and ``seconds`` of user and system time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(log.resolve(), file=self._process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


def parsed(log: Path, log_format: str) -> dict[str, Any]:
    """Parse a log, as ``producer ingest`` does."""
    from producer.blocks import BlockReader
    from producer.rows import LineParser, Reading

    parser = LineParser(Reading(str(log), "", log_format, MAX_LINE_BYTES, False))
    lines = unparsed = 0
    with log.open("rb", buffering=0) as file:
        reader = BlockReader(file.read, max_line_bytes=MAX_LINE_BYTES)
        blocks = list(iter(reader.next, None))
    now, begin = datetime.now(UTC), time.process_time()
    for block in blocks:
        rows = parser.task(block, now)()
        lines += rows.height
        unparsed += rows["raw"].count()
    return {"seconds": time.process_time() - begin, "lines": lines, "unparsed": unparsed}


def serve(log_format: str) -> None:
    """Parse each log that is named on standard input."""
    from producer.memory import keep_freed_memory

    keep_freed_memory()
    for line in sys.stdin:
        typer.echo(json.dumps(parsed(Path(line.rstrip("\n")), log_format)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--parse"]:
        serve(sys.argv[2])
    else:
        typer.run(main)
