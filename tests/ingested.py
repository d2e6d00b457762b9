"""Real logs in ``delta/``, by the producer and what is known of agents, but without a JVM: for what only reads the lake."""

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import polars as pl

from lakehouse.agents import parse_agent
from lakehouse.settings import Settings
from tests.requests import append, request

ROOT = Path(__file__).parents[1]


def ingest(settings: Settings, *words: str) -> int:
    """Run ``producer WORDS`` on the lake, and bring what landed and is a request into ``delta/``. How many there are."""
    environment = os.environ | {
        "PIPELINE_PATHS__DATA_LAKE": str(settings.paths.data_lake), "PIPELINE_PATHS__LOG": str(settings.paths.log),
    }  # fmt: skip
    command = [sys.executable, "-m", "producer", *words]
    subprocess.run(command, check=True, env=environment, cwd=ROOT, capture_output=True)
    landed = pl.read_parquet(settings.lake.landing / "*.parquet").unique("event_id", keep="first", maintain_order=True)
    valid = landed.filter(pl.all_horizontal(pl.col("timestamp", "ip", "status").is_not_null()))
    rows = [
        {name: None if value in ("-", "") else value for name, value in row.items()}
        for row in valid.iter_rows(named=True)
    ]
    append(settings.lake, [request(**row, **asdict(parse_agent(row["agent"]))) for row in rows])
    return len(rows)
