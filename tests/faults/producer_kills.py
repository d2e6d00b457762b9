"""Kills the producer's commands and compares what they landed with what an undisturbed run lands: no row lost, none torn.

A killed producer lands rows again when it starts again, with the same ids: the merge knows them. So here each row must
have landed at least once, as it is, in files that can be read, and no row that is not the log's.
"""

import gzip
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from lakehouse.lake import Lake, waiting_files
from lakehouse.landed import check
from lakehouse.producers import positions
from producer.tallies import kept_tallies
from tests.faults.kills import Killer, Tally, each_side
from tests.faults.programs import Programs, kill

POINTS_OF_INGEST = [
    *each_side("producer.landing:Lander._publish", 3),
    *each_side("producer.landing:os.fsync", 3),
    *each_side("producer.landing:sync_folder", 2),
]
POINTS_OF_FOLLOW = [*POINTS_OF_INGEST, *each_side("producer.positions:Places.save", 3)]
LINES = 20_000
BATCH_ROWS = 1_000
FOLLOW_SECONDS = 120
ROTATED_SHARE = 0.3
FIRST_GUESS_SECONDS = 1.5
# What depends on when and under which name a line was read.
CIRCUMSTANCES = ("ingested_at", "source")


def kill_producers(folder: Path, seed: int, kills: int, tally: Tally) -> list[str]:
    """One round each of ``simulate``, ``ingest`` and ``ingest --follow``, which get a third of the kills each.

    :return: a line for each difference.
    """
    random = Random(seed)
    found = kill_simulate(folder / "simulate", random, kills // 3, tally)
    found += kill_ingest(folder / "ingest", random, kills // 3, tally)
    found += kill_follow(folder / "follow", random, kills - 2 * (kills // 3), tally)
    tally.rounds += 1
    return found


def kill_simulate(folder: Path, random: Random, kills: int, tally: Tally) -> list[str]:
    """A simulator with a seed: the same events when it is started again."""
    words = ("producer", "simulate", "--events", str(LINES), "--seed", str(random.randrange(10**6)))
    return _compare_killed(folder, random, kills, tally, words)


def kill_ingest(folder: Path, random: Random, kills: int, tally: Tally) -> list[str]:
    """A log and a compressed one, ingested once each time."""
    logs = folder / "logs"
    logs.mkdir(parents=True)
    (logs / "access.log").write_bytes(log_lines(random, LINES))
    (logs / "access.log.1.gz").write_bytes(gzip.compress(log_lines(random, LINES // 4)))
    return _compare_killed(folder, random, kills, tally, ("producer", "ingest", str(logs)))


def _compare_killed(folder: Path, random: Random, kills: int, tally: Tally, words: tuple[str, ...]) -> list[str]:
    killer = _killer(folder, random, tally, POINTS_OF_INGEST)
    wanted = tally.kills + kills
    while tally.kills < wanted:
        killer.disturb(words[1], words, 1)
    killer.finish(words[1], words)
    compared = _programs(folder / "undisturbed")
    compared.run(*words)
    return _differences(words[1], killer.programs.lake, compared.lake, tally)


def kill_follow(folder: Path, random: Random, kills: int, tally: Tally) -> list[str]:
    """A log that grows and is rotated while its follower is killed, and while none is there."""
    logs = folder / "logs"
    logs.mkdir(parents=True)
    current = logs / "access.log"
    words = ("producer", "ingest", "--follow", str(current))
    killer = _killer(folder, random, tally, POINTS_OF_FOLLOW)
    killer.durations["ingest"] = FIRST_GUESS_SECONDS * 2
    killer.is_endless = True
    wanted, rotations = tally.kills + kills, 0
    while tally.kills < wanted:
        with current.open("ab") as log:
            log.write(log_lines(random, random.randint(1, LINES // 10)))
        # What is rotated before the first look at all is not followed.
        if random.random() < ROTATED_SHARE and has_looked(killer.programs.lake):
            rotations += 1
            for number in range(rotations - 1, 0, -1):
                (logs / f"access.log.{number}").rename(logs / f"access.log.{number + 1}")
            current.rename(logs / "access.log.1")
        killer.disturb("ingest", words, 1)
    compared = _programs(folder / "undisturbed")
    for path in sorted(logs.iterdir()):
        compared.run("producer", "ingest", str(path))
    follower = killer.programs.start(*words)
    deadline = time.monotonic() + FOLLOW_SECONDS
    expected, lake = landed_rows(compared.lake), killer.programs.lake
    while time.monotonic() < deadline and (expected - landed_rows(lake) or counted_lines(lake) < len(expected)):
        time.sleep(0.5)
    follower.send_signal(signal.SIGTERM)
    follower.wait(30)
    kill(follower)
    found = _differences("follow", lake, compared.lake, tally)
    if counted_lines(lake) != len(expected):
        found.append(f"follow: {counted_lines(lake)} lines counted, not {len(expected)}")
    return found


def has_looked(lake: Lake) -> bool:
    """Whether a follower has ever looked at its logs."""
    return positions(lake).exists()


def counted_lines(lake: Lake) -> int:
    """How many lines the follower says it has landed."""
    return sum(report.tally.lines for report in kept_tallies(positions(lake)).reports())


def log_lines(random: Random, count: int) -> bytes:
    """Lines of a Combined log, some of them equal to others, some not to be parsed."""

    def line() -> str:
        if random.random() < 0.01:
            return f"garbage {random.randrange(10)}"
        return (
            f"192.0.2.{random.randrange(250)} - - [17/May/2024:{random.randrange(24):02}:{random.randrange(60):02}:00 +0000]"
            f' "GET /{random.randrange(50)} HTTP/1.1" {random.choice((200, 304, 404, 500))} {random.randrange(5000)}'
            ' "-" "curl/8.5"'
        )

    return "".join(line() + "\n" for _ in range(count)).encode()


def landed_rows(lake: Lake) -> set[tuple[Any, ...]]:
    """The distinct rows that have landed, without what depends on when they were read."""
    files = waiting_files(lake.landing)
    if not files:
        return set()
    rows = pl.concat([pl.read_parquet(path) for path in files]).drop(CIRCUMSTANCES).unique()
    return set(rows.iter_rows())


def _differences(name: str, killed: Lake, compared: Lake, tally: Tally) -> list[str]:
    torn = [path.name for path in waiting_files(killed.landing) if check(path).refused]
    found, expected = landed_rows(killed), landed_rows(compared)
    tally.rows += len(expected)
    lines = [f"{name}: {file} cannot be read" for file in torn]
    if found != expected:
        lines.append(f"{name}: {len(expected - found)} rows lacking, {len(found - expected)} too many")
    return lines


def _killer(folder: Path, random: Random, tally: Tally, points: list[str]) -> Killer:
    killer = Killer(_programs(folder / "killed"), random, tally, {})
    killer.points = {"simulate": points[:], "ingest": points[:]}
    for names in killer.points.values():
        random.shuffle(names)
    killer.durations = dict.fromkeys(killer.points, FIRST_GUESS_SECONDS)
    return killer


def _programs(folder: Path) -> Programs:
    return Programs(
        folder,
        landing={"batch_rows": BATCH_ROWS, "batch_seconds": 0.2},
        ingest={"poll_seconds": 0.05, "quiet_seconds": 0.1},
    )
