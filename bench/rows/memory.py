"""Rows 8 and 10: the whole pipeline, at rest and under load: memory, processor time, and how soon figures are there."""

import time
from collections.abc import Mapping
from pathlib import Path

from bench.lakes import BenchLake, new_lake
from bench.latencies import latencies, percentiles
from bench.measure import Bench, Subject, wait_until
from bench.process import Usage
from bench.programs import pipeline
from bench.results import OURS, Case, Run
from bench.rows.compose import consumer_and_cleaner, simulator
from bench.streams import counted, merged_by_file
from bench.whole import wrong_lake
from lakehouse.ledger import Ledger

START_SECONDS = 180
RATE, DEFAULT_RATE = 1000, 100


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """Producer, consumer and cleaner's schedule, with the containers' settings of memory."""
    return _at(bench, RATE)


def measure_default(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """The same at the rate that ``docker compose up`` has by default."""
    return _at(bench, DEFAULT_RATE)


def _at(bench: Bench, rate: int) -> tuple[list[Case], dict[str, str]]:
    rest, load = bench.pick(5, 60), bench.pick(60, 240)  # jobs run under load: they start by the minute
    # What is under way when the load ends: a batch, a job. The first batches and jobs compile: events go ahead of those that count.
    warm_up, settle = bench.pick(10, 60), bench.pick(10, 30)
    return bench.take_turns([_subject(rate, rest, warm_up, load, settle)]), {}


def _subject(rate: int, rest_seconds: int, warm_up: int, load_seconds: int, settle_seconds: int) -> Subject:
    def measured(folder: Path) -> Run:
        lake = new_lake(folder / "lake")
        with consumer_and_cleaner(lake) as others:
            wait_until(lambda: _is_streaming(lake), START_SECONDS, "the stream's queries")
            at_rest = time.time(), time.time() + rest_seconds
            time.sleep(rest_seconds)
            with simulator(lake, rate) as producer:
                time.sleep(warm_up)
                loaded = time.time(), time.time() + load_seconds
                time.sleep(load_seconds)
                used = {"producer": producer.stop()}
            afterwards = time.time() + settle_seconds, time.time() + settle_seconds + rest_seconds
            time.sleep(settle_seconds + rest_seconds)
            used |= {name: others[name].stop() for name in ("cleaner", "consumer")}
        figures = _used(used, {"at first": at_rest, "under load": loaded, "afterwards": afterwards})
        begin, end = at_rest[0], afterwards[1]
        seconds = sum(usage.processor_used(begin, end) for usage in used.values())
        most = max(megabytes for name, megabytes in figures.items() if name.startswith("MB together"))
        _merge_and_count(lake)
        void = wrong_lake(lake)
        return Run(end - begin, seconds, most, figures | ({} if void else _waited(lake, *loaded)), void)

    return Subject(
        OURS, f"{rest_seconds} s at rest, {load_seconds} s at {rate:,} events/s, {rest_seconds} s at rest", measured
    )


def _used(used: Mapping[str, Usage], spans: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, (begin, end) in spans.items():
        for program, usage in used.items():
            figures[f"MB {program} {name}"] = peak(usage, begin, end)
        figures[f"MB together {name}"] = together(used, begin, end)
        figures[f"busy cores {name}"] = sum(usage.processor_share(begin, end) for usage in used.values())
    return figures


def _waited(lake: BenchLake, begin: float, end: float) -> dict[str, float]:
    """From landing to the figure in all streaming tables, over the rows that landed in a span of time."""
    files = merged_by_file(lake)
    waited = [
        (file, wait)
        for file, wait in zip(files, latencies(files, counted(lake)), strict=True)
        if begin <= file.at < end
    ]
    shares = percentiles([file for file, _ in waited], [wait for _, wait in waited], (50, 95, 99, 100))
    return {f"s p{share}" if share < 100 else "s at most": value for share, value in shares.items()}


def peak(usage: Usage, begin: float, end: float) -> float:
    """The most megabytes in a span of time."""
    return max((sample.megabytes for sample in usage.between(begin, end)), default=0.0)


def together(used: Mapping[str, Usage], begin: float, end: float) -> float:
    """The most megabytes of all programs at one moment: each as it was last seen."""
    seen = sorted((s.at, name, s.megabytes) for name, usage in used.items() for s in usage.between(begin, end))
    last: dict[str, float] = {}
    most = 0.0
    for _, name, megabytes in seen:
        last[name] = megabytes
        most = max(most, sum(last.values()))
    return most


def _is_streaming(lake: BenchLake) -> bool:
    return {"archive", "metrics"} <= set(Ledger(lake.settings.lake.ledger).progress())


def _merge_and_count(lake: BenchLake) -> None:
    """What the schedule's jobs had not come to when they were stopped.

    :raises BenchError: a job failed, or rows are not accounted for.
    """
    for words in (("cleaner", "merge"), ("consumer", "batch"), ("consumer", "report", "--json")):
        pipeline(lake, *words)
