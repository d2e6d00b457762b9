"""What a streaming run left: what landed when, what its tables had counted when. I/O; no JVM."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from bench.lakes import BenchLake
from bench.latencies import Moment
from lakehouse.lake import GRAINS, waiting_files
from lakehouse.tables import latest_version


def landed(lake: BenchLake) -> list[Moment]:
    """The landed files in order. A file's change time is when it was renamed, that is: when it landed."""
    files = waiting_files(lake.settings.lake.landing)
    return [Moment(path.stat().st_ctime, pq.read_metadata(path).num_rows) for path in files]


def merged_by_file(lake: BenchLake) -> list[Moment]:
    """The landed files in order, with their requests that were merged. The files may be gone: their names say when they landed."""
    merged = pl.scan_delta(str(lake.settings.lake.merged)).group_by("landed_file").len().sort("landed_file").collect()
    return [Moment(landed_at(name), rows) for name, rows in merged.rows()]


def landed_at(name: str) -> float:
    """When a file of that name began to be written, in seconds since the epoch: a moment before it landed."""
    return datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp()


def landed_rows(lake: BenchLake) -> int:
    """How many rows have landed."""
    return sum(moment.rows for moment in landed(lake))


def counted(lake: BenchLake) -> dict[str, list[Moment]]:
    """By streaming table, how many requests it had after each commit that is still there."""
    return {grain: _commits(lake.settings.lake.metrics("streaming", grain)) for grain in GRAINS}


def counted_rows(lake: BenchLake) -> dict[str, int]:
    """By streaming table, how many requests it has counted by now."""
    paths = {grain: lake.settings.lake.metrics("streaming", grain) for grain in GRAINS}
    return {grain: _requests(path, None) if latest_version(path) >= 0 else 0 for grain, path in paths.items()}


def streamed_figures(lake: BenchLake) -> dict[str, pl.DataFrame]:
    """The streaming tables."""
    return {grain: pl.read_delta(str(lake.settings.lake.metrics("streaming", grain))) for grain in GRAINS}


def _commits(table: Path) -> list[Moment]:
    commits = ((version, table / "_delta_log" / f"{version:020}.json") for version in range(latest_version(table) + 1))
    return [Moment(log.stat().st_mtime, _requests(table, version)) for version, log in commits if log.exists()]


def _requests(table: Path, version: int | None) -> int:
    return int(pl.scan_delta(str(table), version=version).select(pl.col("requests").sum()).collect().item() or 0)
