"""Row 7: exact metrics: after a minute's data, by the requests that the day has so far, and of all days, beside DuckDB."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import polars as pl

from bench.figures import exact, exact_visitors, wrong_figures
from bench.lakes import BenchLake, copy
from bench.measure import Bench, Subject, run_of
from bench.programs import peer
from bench.results import OURS, Case, Run
from bench.rows.history import MILLION, busy_day, history, shown, with_minute
from bench.rows.minutes import Job, batch
from lakehouse.lake import GRAINS

REFRESHED, WHOLE = f"{OURS}, after a minute's data", f"{OURS}, all days"
DUCKDB_DAY, DUCKDB = "DuckDB, the whole day", "DuckDB, all days"


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """The refresh after a minute's data must not care for what the day has so far. DuckDB counts whole days."""
    sizes = (MILLION // 4, 5 * MILLION // 2, 25 * MILLION) if bench.is_full else (MILLION // 40, MILLION // 4, MILLION)
    days = {so_far(rows): with_minute(bench, busy_day(bench, rows)) for rows in sizes}
    rows = bench.pick(MILLION // 10, 10 * MILLION)
    whole, size = history(bench, rows), shown(rows)
    refreshes = [batch_subject(REFRESHED, shown_size, day) for shown_size, day in days.items()]
    recounts = [_duckdb_subject(DUCKDB_DAY, shown_size, day) for shown_size, day in days.items()]
    all_days = [batch_subject(WHOLE, size, whole), _duckdb_subject(DUCKDB, size, whole)]
    return bench.take_turns([*refreshes, *recounts, *all_days]), {}


def so_far(rows: int) -> str:
    """A number of rows of a day in words."""
    return f"{rows / MILLION:g} million rows so far"


def batch_subject(
    name: str, size: str, original: BenchLake, computed: Job = batch, read: Callable[[BenchLake, str], pl.DataFrame] | None = None
) -> Subject:  # fmt: skip
    """Somebody's exact figures of a lake; by default ``consumer batch``'s.

    :param original: the lake, which is copied.
    :param read: reads the figures of a grain afterwards; by default from ``metrics/batch/``.
    """

    def measured(folder: Path) -> Run:
        lake = copy(original, folder / "lake")
        used = computed(lake)
        return run_of(used, wrong_figures({grain: (read or _ours)(lake, grain) for grain in GRAINS}, _due(original)))

    return Subject(name, size, measured)


def counted(lake: BenchLake) -> dict[str, pl.DataFrame]:
    """What the tables must hold, from the requests that are there now."""
    delta = pl.scan_delta(str(lake.settings.lake.delta))
    due = exact(delta)
    return due | {"daily": due["daily"].join(exact_visitors(delta), on="event_date")}


def _duckdb_subject(name: str, size: str, original: BenchLake) -> Subject:
    return batch_subject(name, size, original, lambda lake: peer("duckdb_batch", lake), _duckdb)


def _ours(lake: BenchLake, grain: str) -> pl.DataFrame:
    return pl.read_delta(str(lake.settings.lake.metrics("batch", grain)))


def _duckdb(lake: BenchLake, grain: str) -> pl.DataFrame:
    return pl.read_parquet(lake.data / f"duckdb-{grain}.parquet")


@cache
def _due(lake: BenchLake) -> dict[str, pl.DataFrame]:
    return counted(lake)
