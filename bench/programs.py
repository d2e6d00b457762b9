"""The pipeline's programs and the peers, as one types them."""

import sys
from collections.abc import Mapping
from pathlib import Path

from bench.lakes import BenchLake
from bench.process import Program, Usage, run


def words(lake: BenchLake, *typed: str) -> list[str | Path]:
    """``python -m TYPED --conf ...``."""
    return [sys.executable, "-m", *typed, "--conf", lake.conf]


def pipeline(lake: BenchLake, *typed: str) -> Usage:
    """Run a program of the pipeline to its end."""
    return run(words(lake, *typed), lake.folder / "output.txt")


def start(lake: BenchLake, name: str, *typed: str, environment: Mapping[str, str] | None = None) -> Program:
    """Start a program of the pipeline."""
    return Program(words(lake, *typed), lake.folder / f"{name}.txt", environment=environment)


def start_peer(name: str, lake: BenchLake, *arguments: str | Path) -> Program:
    """Start ``bench.peers.NAME LAKE ARGUMENTS...``."""
    return Program([sys.executable, "-m", f"bench.peers.{name}", lake.data, *arguments], lake.folder / f"{name}.txt")


def peer(name: str, lake: BenchLake, *arguments: str | Path) -> Usage:
    """Run ``bench.peers.NAME LAKE ARGUMENTS...`` to its end."""
    return run([sys.executable, "-m", f"bench.peers.{name}", lake.data, *arguments], lake.folder / "output.txt")
