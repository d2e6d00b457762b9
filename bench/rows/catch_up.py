"""Row 6: a stream that starts with millions of landed rows before it, and ends when all are counted; and a merge of them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import polars as pl

from bench.figures import exact, wrong_figures
from bench.lakes import BenchLake
from bench.measure import Bench, Subject, run_of
from bench.process import Usage
from bench.programs import peer, pipeline
from bench.results import OURS, Case, Run
from bench.rows.backlog import backlog, landed_files
from bench.rows.history import BOTH, wrong_tables
from bench.rows.latency import PLAIN
from bench.rows.minutes import merge
from bench.streams import streamed_figures


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """Both streams on the same landed files; in the full form also what the cleaner needs for as much."""
    rows = bench.pick(100_000, 5_000_000)
    ours = _subject(bench, OURS, rows, lambda lake: pipeline(lake, "consumer", "stream", "--once"))
    plain = _subject(bench, PLAIN, rows, lambda lake: peer("plain_stream", lake, "--once"))
    merged = [_merge_subject(bench, rows)] if bench.is_full else []
    return bench.take_turns([ours, plain, *merged]), {}


def _subject(bench: Bench, name: str, rows: int, streamed: Callable[[BenchLake], Usage]) -> Subject:
    def measured(folder: Path) -> Run:
        lake = backlog(bench, folder / "lake", rows)
        used = streamed(lake)
        logs = lake.settings.lake.logs
        stored = {"bytes/row in logs/": _stored(logs) / rows} if logs.exists() else {}
        void = wrong_figures(streamed_figures(lake), _due(bench, rows))
        return run_of(used, void, **{"rows/s": rows / used.wall_seconds}, **stored)

    return Subject(name, f"{rows:,} landed rows", measured)


def _merge_subject(bench: Bench, rows: int) -> Subject:
    def measured(folder: Path) -> Run:
        lake = backlog(bench, folder / "lake", rows)
        used = merge(lake)
        figures = {"rows/s": rows / used.wall_seconds}
        figures |= {f"bytes/row in {name}/": _stored(lake.data / name) / rows for name in BOTH}
        return run_of(used, wrong_tables(lake, rows, *BOTH), **figures)

    return Subject(f"{OURS}, cleaner merge", f"{rows:,} landed rows", measured)


def _stored(folder: Path) -> int:
    """Bytes of data files. Nothing has been rewritten yet, so all of them are in use."""
    return sum(path.stat().st_size for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts)


@cache
def _due(bench: Bench, rows: int) -> dict[str, pl.DataFrame]:
    landed = pl.scan_parquet(landed_files(bench, rows))
    return exact(landed.with_columns(event_date=pl.col("timestamp").dt.date()))
