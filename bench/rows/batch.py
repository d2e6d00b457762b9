"""Row 7: exact metrics, of all days and after a minute's data, beside DuckDB on the same files."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import polars as pl

from bench.figures import exact, exact_visitors, wrong_figures
from bench.lakes import BenchLake, copy, moved
from bench.measure import Bench, Subject, run_of
from bench.process import Usage
from bench.programs import peer, pipeline
from bench.results import OURS, Case, Run
from bench.rows.history import MILLION, hidden, history, history_with_figures, land_minute, shown
from bench.rows.minutes import batch, merge, running_minutes
from bench.rows.sail import ON_SAIL, has_sail, missing_sail
from lakehouse.lake import METRICS


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """The refresh of the day that a minute's data changed, all days, and DuckDB's all days."""
    rows = bench.pick(MILLION, 10 * MILLION)
    minute, whole = partial(_with_minute, bench, rows), partial(history, bench, rows)
    on_sail = [
        _subject(f"{OURS}, after a minute's data, engine: sail", rows, minute, batch, _ours, spark=ON_SAIL),
        _subject(f"{OURS}, all days, engine: sail", rows, whole, batch, _ours, spark=ON_SAIL),
    ]
    running = Case(
        f"{OURS}, after a minute's data", shown(rows),
        running_minutes(bench, history_with_figures(bench, rows), batch, merge, wrong=_wrong),
    )  # fmt: skip
    cases = bench.take_turns([
        _subject(f"{OURS}, after a minute's data, the consumer not running", rows, minute, batch, _ours),
        _subject(f"{OURS}, all days", rows, whole, batch, _ours),
        *(on_sail if has_sail() else []),
        _subject("DuckDB, all days", rows, whole, lambda lake: peer("duckdb_batch", lake), _duckdb),
    ])  # fmt: skip
    return [running, *cases], missing_sail()


def _subject(
    name: str, rows: int, made: Callable[[], BenchLake], computed: Callable[[BenchLake], Usage],
    read: Callable[[BenchLake, str], pl.DataFrame], **groups: dict[str, object],
) -> Subject:  # fmt: skip
    def measured(folder: Path) -> Run:
        original = made()
        lake = copy(original, folder / "lake", **groups)
        used = computed(lake)
        return run_of(used, wrong_figures({grain: read(lake, grain) for grain in METRICS}, _due(original.folder)))

    return Subject(name, shown(rows), measured)


def _wrong(lake: BenchLake, _new: int) -> str | None:
    return wrong_figures({grain: _ours(lake, grain) for grain in METRICS}, _counted(lake))


def _ours(lake: BenchLake, grain: str) -> pl.DataFrame:
    return pl.read_delta(str(lake.settings.lake.metrics("batch", grain)))


def _duckdb(lake: BenchLake, grain: str) -> pl.DataFrame:
    return pl.read_parquet(lake.data / f"duckdb-{grain}.parquet")


def _with_minute(bench: Bench, rows: int) -> BenchLake:
    """History whose metrics are up to date but for a minute that has been merged since."""
    lake = BenchLake(bench.made / f"minute-{rows}")
    if lake.data.exists():
        return lake
    made = copy(history_with_figures(bench, rows), hidden(lake.folder))
    land_minute(made)
    pipeline(made, "cleaner", "merge")
    return moved(made, lake.folder)


@cache
def _due(folder: Path) -> dict[str, pl.DataFrame]:
    return _counted(BenchLake(folder))


def _counted(lake: BenchLake) -> dict[str, pl.DataFrame]:
    """What the tables must hold, from the requests that are there now."""
    delta = pl.scan_delta(str(lake.settings.lake.delta))
    due = exact(delta)
    return due | {"daily": due["daily"].join(exact_visitors(delta), on="event_date")}
