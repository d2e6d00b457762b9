"""Row 7: exact metrics, of all days and after a minute's data, beside DuckDB on the same files."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import polars as pl

from bench.figures import exact, exact_visitors, wrong_figures
from bench.lakes import BenchLake, copy
from bench.measure import Bench, Subject, run_of
from bench.programs import peer
from bench.results import OURS, Case, Run
from bench.rows.history import MILLION, history, shown, with_figures, with_minute
from bench.rows.minutes import Job, batch, merge, running_minutes
from bench.rows.sail import ON_SAIL, has_sail, missing_sail
from lakehouse.lake import GRAINS

REFRESHED = f"{OURS}, after a minute's data"


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """The refresh of the day that a minute's data changed, all days, and DuckDB's all days.

    In the small form the minute's data only as a running pipeline has them.
    """
    rows = bench.pick(MILLION // 10, 10 * MILLION)
    whole, size = history(bench, rows), shown(rows)
    subjects = [
        batch_subject(f"{OURS}, all days", size, whole),
        batch_subject("DuckDB, all days", size, whole, lambda lake: peer("duckdb_batch", lake), _duckdb),
    ]
    if has_sail():
        subjects.append(batch_subject(f"{OURS}, all days, engine: sail", size, whole, spark=ON_SAIL))
    if bench.is_full:
        minute = with_minute(bench, whole)
        subjects.append(batch_subject(f"{REFRESHED}, the consumer not running", size, minute))
        if has_sail():
            subjects.append(batch_subject(f"{REFRESHED}, engine: sail", size, minute, spark=ON_SAIL))
    refreshed = running_minutes(bench, with_figures(bench, whole), batch, merge, wrong=wrong_day)
    return [Case(REFRESHED, size, refreshed), *bench.take_turns(subjects)], missing_sail()


def _ours(lake: BenchLake, grain: str) -> pl.DataFrame:
    return pl.read_delta(str(lake.settings.lake.metrics("batch", grain)))


def batch_subject(
    name: str, size: str, original: BenchLake, computed: Job = batch, read: Callable[[BenchLake, str], pl.DataFrame] = _ours,
    **groups: dict[str, object],
) -> Subject:  # fmt: skip
    """Somebody's exact figures of a lake; by default ``consumer batch``'s, in a Spark of its own.

    :param original: the lake, which is copied.
    :param read: reads the figures of a grain afterwards.
    :param groups: groups of settings that differ from the defaults.
    """

    def measured(folder: Path) -> Run:
        lake = copy(original, folder / "lake", **groups)
        used = computed(lake)
        return run_of(used, wrong_figures({grain: read(lake, grain) for grain in GRAINS}, _due(original.folder)))

    return Subject(name, size, measured)


def wrong_day(lake: BenchLake, _new: int) -> str | None:
    """Whether the figures are other than those of the requests that are there now."""
    return wrong_figures({grain: _ours(lake, grain) for grain in GRAINS}, _counted(lake))


def _duckdb(lake: BenchLake, grain: str) -> pl.DataFrame:
    return pl.read_parquet(lake.data / f"duckdb-{grain}.parquet")


@cache
def _due(folder: Path) -> dict[str, pl.DataFrame]:
    return _counted(BenchLake(folder))


def _counted(lake: BenchLake) -> dict[str, pl.DataFrame]:
    """What the tables must hold, from the requests that are there now."""
    delta = pl.scan_delta(str(lake.settings.lake.delta))
    due = exact(delta)
    return due | {"daily": due["daily"].join(exact_visitors(delta), on="event_date")}
