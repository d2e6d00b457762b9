"""Programs that are killed, at random moments and at named points, leave what an undisturbed run leaves."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest

from tests.faults.kills import CORE, POINTS_OF_REPLAY, Tally, kill_jobs, kill_replay, kill_shared_jobs, shuffled_points
from tests.faults.producer_kills import kill_producers
from tests.faults.programs import Programs

SEED = int(os.environ.get("SEED") or 1)  # "make faults" takes another one each time
AGAIN = f"SEED={SEED} make faults runs it again"
JOB_KILLS, PRODUCER_KILLS = 104, 200
KILLS_A_ROUND = 26
SHARED_KILLS = 40

log = logging.getLogger("faults")


def test_producers_that_are_killed_land_every_row(tmp_path: Path) -> None:
    tally = Tally()
    assert kill_producers(tmp_path, SEED, 9, tally) == [], AGAIN
    assert tally.kills == 9


@pytest.mark.spark
def test_jobs_that_are_killed_leave_what_an_undisturbed_run_leaves(
    tmp_path: Path, undisturbed: Callable[[Programs], None]
) -> None:
    tally, points = Tally(), shuffled_points(Random(SEED))
    assert kill_jobs(tmp_path, SEED, 3, tally, points, undisturbed, waves=1) == [], AGAIN
    assert tally.kills == 3


@pytest.mark.long
@pytest.mark.spark
@pytest.mark.timeout(3600)
def test_jobs_that_are_killed_in_the_consumers_spark_leave_what_an_undisturbed_run_leaves(
    tmp_path: Path, undisturbed: Callable[[Programs], None]
) -> None:
    """Their work there goes on for a while without them, beside the next run."""
    tally = Tally()
    assert kill_shared_jobs(tmp_path, SEED, SHARED_KILLS, tally, undisturbed) == [], AGAIN
    assert tally.kills == SHARED_KILLS
    log.info("in the consumer's Spark: %d kills, %d rows compared", tally.kills, tally.rows)


@pytest.mark.long
@pytest.mark.spark
@pytest.mark.timeout(1200)
def test_a_replay_that_is_killed_at_each_of_its_steps_leaves_what_an_undisturbed_one_leaves(
    tmp_path: Path, undisturbed: Callable[[Programs], None]
) -> None:
    tally = Tally()
    assert kill_replay(tmp_path, SEED, tally, undisturbed) == [], AGAIN
    assert tally.kills == len(POINTS_OF_REPLAY)
    log.info("replay: %d kills, %d rows compared", tally.kills, tally.rows)


@pytest.mark.long
@pytest.mark.spark
@pytest.mark.timeout(3 * 3600)
def test_hundreds_of_kills(
    tmp_path: Path, undisturbed: Callable[[Programs], None], pytestconfig: pytest.Config
) -> None:
    """At named points, and at as many random moments. A run that was broken off goes on when it gets its seed."""
    cache = pytestconfig.cache
    assert cache is not None
    key = f"faults/{SEED}"
    known = cache.get(key, None) or {"jobs": {}, "producers": {}, "points": shuffled_points(Random(SEED)), "seconds": 0}
    jobs, producers, points = Tally(**known["jobs"]), Tally(**known["producers"]), known["points"]
    log.info("SEED=%d", SEED)
    while (is_jobs_turn := jobs.kills < JOB_KILLS or bool(CORE - set(jobs.hit))) or producers.kills < PRODUCER_KILLS:
        started = time.monotonic()
        number = jobs.rounds + producers.rounds + 1
        folder, seed = tmp_path / str(number), SEED + number
        if is_jobs_turn:
            found = kill_jobs(folder, seed, KILLS_A_ROUND, jobs, points, undisturbed)
        else:
            found = kill_producers(folder, seed, KILLS_A_ROUND, producers)
        assert found == [], f"{AGAIN}, from round {number} on"
        seconds = known["seconds"] + time.monotonic() - started
        known = {"jobs": asdict(jobs), "producers": asdict(producers), "points": points, "seconds": seconds}
        cache.set(key, known)
        log.info("round %d: %d kills of jobs, %d of producers so far", number, jobs.kills, producers.kills)
    for name, tally in (("programs with a JVM", jobs), ("producers", producers)):
        log.info(
            "%s: %d kills, %d of them at named points; %d rounds, %d rows compared, all as in an undisturbed run",
            name, tally.kills, tally.at_points, tally.rounds, tally.rows,
        )  # fmt: skip
    log.info("%.0f minutes; points that no run came by: %s", known["seconds"] / 60, ", ".join(jobs.never_hit) or "none")
    cache.set(key, None)
