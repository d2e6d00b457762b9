"""Minutes of a running pipeline: the consumer streams, and a job of the minute does its work in the consumer's Spark."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError
from bench.lakes import BenchLake, copy
from bench.measure import Bench, void, wait_until
from bench.process import Program, Usage
from bench.programs import pipeline, start
from bench.results import Run
from bench.rows.history import land_minute
from bench.streams import counted_rows
from lakehouse.errors import PipelineError

START_SECONDS = 180
STREAMED_SECONDS = 120
# Compilers go on for a moment when a job has ended; that is its work too.
SETTLE_SECONDS = 1

Job = Callable[[BenchLake], Usage]


def merge(lake: BenchLake) -> Usage:
    """``cleaner merge``."""
    return pipeline(lake, "cleaner", "merge")


def batch(lake: BenchLake) -> Usage:
    """``consumer batch``."""
    return pipeline(lake, "consumer", "batch")


def running_minutes(
    bench: Bench,
    history: BenchLake,
    measured: Job,
    *,
    wrong: Callable[[BenchLake, int], str | None],
    is_late: bool = False,
) -> list[Run]:
    """Runs of a job in the minutes of one running consumer, after as many as it takes to be warm.

    Each minute's rows land, are streamed, and then the job runs.

    :param history: a lake, which is copied.
    :param wrong: why the lake is not as it must be with so many new rows; ``None`` if it is.
    """  # fmt: skip
    warm = bench.pick(1, 10)
    runs: list[Run] = []
    new = 0
    try:
        with running(bench.folder / "running", history) as (lake, consumer):
            for number in range(warm + bench.runs):
                landed = land_minute(lake, number=number, is_late=is_late)
                new += landed.new
                _wait_until_streamed(lake, consumer, new + landed.old)
                run = _measured(lake, consumer, measured)
                if number >= warm:
                    runs.append(Run(*run, void=wrong(lake, new)))
                    bench.say(f"{history.folder.name}, minute {number}: {run[0]:.2f} s, {run[1]:.2f} core-seconds")
    except PipelineError as error:  # said, and the other subjects go on
        runs.append(void(error))
        bench.say(f"{history.folder.name}: VOID: {runs[-1].void}")
    return runs


def _wait_until_streamed(lake: BenchLake, consumer: Program, rows: int) -> None:
    def is_done() -> bool:
        consumer.require_running()
        return min(counted_rows(lake).values()) >= rows

    wait_until(is_done, STREAMED_SECONDS, "a minute's rows in the stream")


@contextmanager
def running(folder: Path, history: BenchLake) -> Iterator[tuple[BenchLake, Program]]:
    """A copy of a lake with a consumer that shares its Spark. Both go at the end."""
    lake = copy(history, folder)
    try:
        with start(lake, "stream", "consumer", "stream") as consumer:

            def is_shared() -> bool:
                consumer.require_running()
                return lake.settings.lake.shared_spark.exists()

            wait_until(is_shared, START_SECONDS, "the consumer's Spark")
            yield lake, consumer
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(lake: BenchLake, consumer: Program, job: Job) -> tuple[float, float, float]:
    """Seconds, processor seconds (the consumer's too) and peak megabytes (of the job's own process) of a job.

    :raises BenchError: it did not run in the consumer's Spark.
    """
    before = consumer.processor_seconds()
    used = job(lake)
    time.sleep(SETTLE_SECONDS)
    theirs = consumer.processor_seconds() - before
    if used.processor_seconds > theirs + 5:
        raise BenchError("the job had a Spark of its own")
    return used.wall_seconds, used.processor_seconds + theirs, used.peak_megabytes
