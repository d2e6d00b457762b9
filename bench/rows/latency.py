"""Row 5: events at a steady rate; how long from the landing of each to the figure in all three streaming tables."""

import time
from collections.abc import Callable
from pathlib import Path

from bench.lakes import BenchLake, new_lake
from bench.latencies import latencies, percentiles
from bench.measure import Bench, Subject, wait_until, wrong
from bench.process import Program
from bench.programs import pipeline, start, start_peer
from bench.results import OURS, Case, Run
from bench.rows.backlog import backlog
from bench.streams import counted, counted_rows, landed, landed_rows
from lakehouse.lake import GRAINS

RATE = 1000
VISIBLE_SECONDS = 600
PLAIN = "three plain queries"
# The plain queries know no duplicates and no rules, so that both count the same rows.
PLAIN_EVENTS = ("--duplicates", "0", "--nulls", "0", "--malformed", "0")


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """Both, one after the other, each on a machine of its own so to speak: no merge runs beside them.

    In the full form ours also with as many requests remembered as an hour at this rate leaves.
    """
    # The first batches compile: some events go ahead of the ones that count.
    warm_up, seconds = bench.pick(5, 60), bench.pick(15, 300)

    def ours(lake: BenchLake) -> Program:
        return start(lake, "stream", "consumer", "stream")

    subjects = [
        _subject(OURS, warm_up, seconds, ours, _nothing_landed),
        _subject(PLAIN, warm_up, seconds, lambda lake: start_peer("plain_stream", lake), _nothing_landed),
    ]
    if bench.is_full:
        remembered = RATE * 3600
        name = f"{OURS}, {remembered:,} requests remembered"
        subjects.append(_subject(name, warm_up, 120, ours, lambda folder: backlog(bench, folder, remembered)))
    return bench.take_turns(subjects), {}


def _nothing_landed(folder: Path) -> BenchLake:
    lake = new_lake(folder)
    lake.settings.lake.landing.mkdir(parents=True)
    return lake


def _subject(
    name: str, warm_up: int, seconds: int, started: Callable[[BenchLake], Program], made: Callable[[Path], BenchLake]
) -> Subject:
    """Somebody's stream of events at the rate.

    :param warm_up: seconds of events that go before those that count.
    :param made: a lake in a folder, with what is to be streamed before these.
    """

    def measured(folder: Path) -> Run:
        lake = made(folder / "lake")
        with started(lake) as consumer:
            _wait(lake, consumer)
            _simulate(lake, warm_up)
            _wait(lake, consumer)
            begin = time.time()
            _simulate(lake, seconds)
            end = time.time()
            _wait(lake, consumer)
            used = consumer.stop()
        files = landed(lake)
        waited = latencies(files, counted(lake))
        loaded = [(file, wait) for file, wait in zip(files, waited, strict=True) if file.at >= begin]
        shares = percentiles([file for file, _ in loaded], [wait for _, wait in loaded], (50, 95, 99, 100))
        rows, loaded_rows = landed_rows(lake), sum(file.rows for file, _ in loaded)
        figures = {f"s p{share}" if share < 100 else "s at most": value for share, value in shares.items()}
        figures |= {"busy cores": used.processor_share(begin, end), "events/s": loaded_rows / (end - begin)}
        busy_seconds = used.processor_share(begin, end) * (end - begin)
        void = wrong(counted=(counted_rows(lake), dict.fromkeys(GRAINS, rows)))
        return Run(end - begin, busy_seconds, used.peak_megabytes, figures, void)

    return Subject(name, f"{RATE:,} events/s for {seconds} s", measured)


def _simulate(lake: BenchLake, seconds: int) -> None:
    pipeline(lake, "producer", "simulate", "--rate", str(RATE), "--duration", str(seconds), *PLAIN_EVENTS)


def _wait(lake: BenchLake, consumer: Program) -> None:
    due = landed_rows(lake)

    def is_done() -> bool:
        consumer.require_running()
        return min(counted_rows(lake).values()) >= due

    wait_until(is_done, VISIBLE_SECONDS, f"{due:,} rows in all streaming tables")
