"""Row 11: from the start of the three programs in an empty lake until every table has rows."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.errors import BenchError
from bench.lakes import BenchLake, new_lake
from bench.measure import Bench, Subject
from bench.process import Program
from bench.programs import pipeline
from bench.results import OURS, Case, Run
from bench.rows.compose import consumer_and_cleaner, simulator
from bench.rows.memory import together
from bench.whole import filled, tables_due

LIMIT_SECONDS = 300
LOOK_SECONDS = 0.5
ALL = "s to all tables"
LAYERS = ("merged", "quarantine", "delta", "metrics/streaming", "metrics/batch")


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """At the default rate, started together as ``docker compose up`` does once images are built."""
    return bench.take_turns([Subject(OURS, "an empty lake", _measured)]), {}


def _measured(folder: Path) -> Run:
    lake = new_lake(folder / "lake")
    begin = time.time()
    with simulator(lake) as producer, consumer_and_cleaner(lake) as others:
        programs = {"producer": producer, **others}
        at = first_rows(set(tables_due(lake)), lambda: _filled(lake, programs), begin + LIMIT_SECONDS)
        # The consumer last: a merge may be at work in its Spark.
        used = {name: programs[name].stop() for name in ("producer", "cleaner", "consumer")}
    end = max(at.values())
    seconds = sum(usage.processor_used(begin, end) for usage in used.values())
    figures = {ALL: end - begin} | {f"s to {layer}/": seen - begin for layer, seen in by_layer(at).items()}
    pipeline(lake, "consumer", "report", "--json")  # fails if a row is not accounted for
    return Run(end - begin, seconds, together(used, begin, end), figures)


def first_rows(due: set[str], look: Callable[[], set[str]], deadline: float) -> dict[str, float]:
    """When each table was first seen with rows, in seconds since the epoch.

    :raises BenchError: some have none at the deadline; names them.
    """
    at: dict[str, float] = {}
    while missing := due - set(at):
        found = look()
        now = time.time()
        at |= dict.fromkeys(missing & found, now)
        if now >= deadline and due - set(at):
            raise BenchError(f"no rows in {', '.join(sorted(due - set(at)))} after {LIMIT_SECONDS} s")
        time.sleep(LOOK_SECONDS)
    return at


def by_layer(at: Mapping[str, float]) -> dict[str, float]:
    """When the last table of each layer had rows."""
    seen = {
        layer: [when for name, when in at.items() if name == layer or name.startswith(f"{layer}/")] for layer in LAYERS
    }
    return {layer: max(times) for layer, times in seen.items() if times}


def _filled(lake: BenchLake, programs: Mapping[str, Program]) -> set[str]:
    for program in programs.values():
        program.require_running()
    return filled(lake)
