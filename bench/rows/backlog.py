"""What the rows about the stream share: lakes in which millions of rows have landed."""

import os
from datetime import timedelta
from pathlib import Path

from bench.lakes import BenchLake, kept, new_lake
from bench.landed import NOON, requests
from bench.measure import Bench

SEED = 11
SPAN = timedelta(days=1)


def backlog(bench: Bench, folder: Path, rows: int) -> BenchLake:
    """A new lake in which so many rows have landed."""
    lake = new_lake(folder)
    landing = lake.settings.lake.landing
    landing.mkdir(parents=True)
    for file in landed_files(bench, rows):
        os.link(file, landing / file.name)
    return lake


def landed_files(bench: Bench, rows: int) -> list[Path]:
    """Landed files with so many rows, made once."""

    def made(folder: Path) -> BenchLake:
        lake = new_lake(folder)
        for block in requests(rows, NOON - SPAN, NOON, seed=SEED):
            lake.land(block)
        return lake

    lake = kept(bench, f"landed-{rows}", made)
    return sorted(lake.settings.lake.landing.glob("*.parquet"))
