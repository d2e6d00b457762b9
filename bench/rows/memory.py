"""Row 8: the whole pipeline, at rest and under load: memory of each program, with all that it starts, and of all together."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.errors import BenchError
from bench.lakes import BenchLake, new_lake
from bench.measure import Bench, Subject, wait_until
from bench.process import Usage
from bench.programs import pipeline, start
from bench.results import OURS, Case, Run
from lakehouse.ledger import Ledger

START_SECONDS = 180
RATE = "1000"
# As docker-compose.yml and the Dockerfile set them; the producer has nothing set.
IMAGE = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
CONSUMER = IMAGE | {"PIPELINE_SPARK__DRIVER_MEMORY": "640m"}
CLEANER = IMAGE | {"PIPELINE_SPARK__DRIVER_MEMORY": "512m"}


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """Producer, consumer and cleaner's schedule, with the containers' settings of memory."""
    rest, load = bench.pick(5, 60), bench.pick(65, 240)  # a job runs under load: they start by the minute
    # What is under way when the load ends: a batch, a job.
    settle = bench.pick(10, 30)
    return bench.take_turns([_subject(rest, load, settle)]), {}


def _subject(rest_seconds: int, load_seconds: int, settle_seconds: int) -> Subject:
    def measured(folder: Path) -> Run:
        lake = new_lake(folder / "lake")
        with ExitStack() as programs:
            consumer = programs.enter_context(start(lake, "stream", "consumer", "stream", environment=CONSUMER))
            cleaner = programs.enter_context(start(lake, "schedule", "cleaner", "schedule", environment=CLEANER))
            wait_until(lambda: _is_streaming(lake), START_SECONDS, "the stream's queries")
            at_rest = time.time(), time.time() + rest_seconds
            time.sleep(rest_seconds)
            producer = programs.enter_context(start(lake, "simulate", "producer", "simulate", "--rate", RATE))
            loaded = time.time(), time.time() + load_seconds
            time.sleep(load_seconds)
            used = {"producer": producer.stop()}
            afterwards = time.time() + settle_seconds, time.time() + settle_seconds + rest_seconds
            time.sleep(settle_seconds + rest_seconds)
            used |= {"cleaner": cleaner.stop(), "consumer": consumer.stop()}
        figures: dict[str, float] = {}
        for name, (begin, end) in {"at first": at_rest, "under load": loaded, "afterwards": afterwards}.items():
            for program, usage in used.items():
                figures[f"MB {program} {name}"] = peak(usage, begin, end)
            figures[f"MB together {name}"] = together(used, begin, end)
            figures[f"busy cores {name}"] = sum(usage.processor_share(begin, end) for usage in used.values())
        begin, end = at_rest[0], afterwards[1]
        seconds = sum(usage.processor_used(begin, end) for usage in used.values())
        most = max(megabytes for name, megabytes in figures.items() if name.startswith("MB together"))
        return Run(end - begin, seconds, most, figures, _unaccounted(lake))

    return Subject(
        OURS, f"{rest_seconds} s at rest, {load_seconds} s at {RATE} events/s, {rest_seconds} s at rest", measured
    )


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


def _unaccounted(lake: BenchLake) -> str | None:
    """Whether rows are missing once all that landed is merged."""
    try:
        pipeline(lake, "cleaner", "merge")
        pipeline(lake, "consumer", "report", "--json")
    except BenchError as error:
        return str(error)
    return None
