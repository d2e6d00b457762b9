"""Tells the real programs to stop, by SIGTERM and SIGINT, at named points and random moments, and sees how they end.

However a program is stopped, it must end soon, with the code that says so, and without tracebacks.
"""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.kills import COMMANDS, known_waves, land
from tests.faults.lakes import contents, differences
from tests.faults.producer_kills import LINES, POINTS_OF_FOLLOW, POINTS_OF_INGEST, landed_rows, log_lines
from tests.faults.programs import Programs, kill

SIGNALS = (signal.SIGTERM, signal.SIGINT)
END_SECONDS = 60
# A program that goes on is told to stop after so long if it does not come by its point.
PATIENCE_SECONDS = 8.0
# From a program's start to its stop: from when Python has loaded it, up to its end on a machine with two cores.
PRODUCER_SECONDS = (1.0, 2.0)
JOB_SECONDS = {"stream": (1.5, 20.0), "merge": (1.5, 16.0), "batch": (1.5, 3.0)}
# What nobody wants to read who has just stopped a program.
UNWANTED = re.compile(
    r"Traceback|^\tat |^Caused by|^(java|org|scala|py4j|pyspark)\.[\w.]+|\b\w+(Error|Exception)\b| ERROR |^Aborted"
)


@dataclass
class Stops:
    """What was done: how often a program was stopped, and what was wrong with how it ended."""

    count: int = 0
    wrong: list[str] = field(default_factory=list)


def stop(
    programs: Programs,
    words: Sequence[str],
    by: signal.Signals,
    stops: Stops,
    *,
    at: str | None = None,
    after_seconds: float = END_SECONDS,
) -> None:
    """Run a program until it has been told to stop, at a named point or after a time, and look at how it ended."""
    begin = programs.output.stat().st_size if programs.output.exists() else 0
    program = programs.start(*words, kill_at=at, kill_by=by if at else None)
    try:
        program.wait(after_seconds)
    except subprocess.TimeoutExpired:
        program.send_signal(by)
    try:
        code = program.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        code = None
    kill(program)
    stops.count += 1
    said = programs.output.read_bytes()[begin:].decode(errors="replace")
    where = f"{' '.join(words[:2])} stopped by {by.name} {f'at {at}' if at else f'after {after_seconds:.1f} s'}"
    if code not in (0, 128 + by, -by):  # the latter as Python itself starts or ends
        stops.wrong.append(f"{where}: ended with {code}: {said}")
    if unwanted := [line for line in said.splitlines() if UNWANTED.search(line)]:
        stops.wrong.append(f"{where}: said {unwanted[:3]}")


def stop_producers(folder: Path, random: Random, stops: Stops, points: int | None = None) -> None:
    """Each producer is stopped at its points (all, or so many of each), and then runs to its end: no row is lacking.

    Log lines are as many bytes as several blocks, in a log that has not changed for long. Simulated events have a seed.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True)
    log = logs / "access.log"
    log.write_bytes(log_lines(random, LINES))
    ingest = ("producer", "ingest", str(log))
    simulate = ("producer", "simulate", "--events", str(LINES), "--seed", str(random.randrange(10**6)))
    of_the_log, simulated = _undisturbed(folder / "undisturbed", ingest), _undisturbed(folder / "unstopped", simulate)
    for name, words, all_points, expected in (
        ("ingest", ingest, POINTS_OF_INGEST, of_the_log),
        ("follow", (*ingest, "--follow"), POINTS_OF_FOLLOW, of_the_log),
        ("simulate", simulate, POINTS_OF_INGEST, simulated),
    ):
        programs = _programs(folder / name)
        chosen = random.sample(all_points, points) if points else all_points
        for point in chosen:
            by = random.choice(SIGNALS)
            stop(programs, words, by, stops, at=point, after_seconds=PATIENCE_SECONDS)
        stop(programs, words, random.choice(SIGNALS), stops, after_seconds=random.uniform(*PRODUCER_SECONDS))
        if name == "follow":
            _land_all(programs, words, expected)
        else:
            programs.run(*words)
        found = landed_rows(programs.lake)
        if found != expected:
            stops.wrong.append(f"{name}: {len(expected - found)} rows lacking, {len(found - expected)} too many")


def stop_jobs(folder: Path, seed: int, count: int, stops: Stops, undisturbed: Callable[[Programs], None]) -> list[str]:
    """``stream --once``, ``merge`` and ``batch`` are stopped at random moments, so often in all; then they run to their end.

    :param undisturbed: runs the three once, in the lake that is compared with.
    :return: a line for each table that is not what it is in a lake where nothing was stopped.
    """
    random = Random(seed)
    stopped, compared = Programs(folder / "stopped"), Programs(folder / "undisturbed")
    names = ("stream", "merge", "batch")
    landed = [path for wave in known_waves(folder / "source", seed) for path in wave]
    for programs in (stopped, compared):
        land(landed, programs.lake)
    for number in range(count):
        name = names[number % len(names)]
        stop(stopped, COMMANDS[name], random.choice(SIGNALS), stops, after_seconds=random.uniform(*JOB_SECONDS[name]))
    for programs in (stopped, compared):
        undisturbed(programs)
    return differences(contents(stopped.lake), contents(compared.lake))


def _undisturbed(folder: Path, words: Sequence[str]) -> set[tuple[object, ...]]:
    """What a producer lands that nobody stops."""
    programs = _programs(folder)
    programs.run(*words)
    return landed_rows(programs.lake)


def _land_all(programs: Programs, words: Sequence[str], expected: set[tuple[object, ...]]) -> None:
    follower = programs.start(*words)
    deadline = time.monotonic() + END_SECONDS
    while expected - landed_rows(programs.lake) and time.monotonic() < deadline:
        time.sleep(0.2)
    follower.send_signal(signal.SIGTERM)
    follower.wait(END_SECONDS)


def _programs(folder: Path) -> Programs:
    return Programs(
        folder,
        landing={"batch_rows": 1000, "batch_seconds": 0.2},
        ingest={"poll_seconds": 0.05, "quiet_seconds": 0.1},
    )
