"""Programs that are told to stop end at once, quietly, with the code that says so, and lose nothing."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.faults.programs import Programs
from tests.faults.stops import Stops, stop_jobs, stop_producers

SEED = int(os.environ.get("SEED") or 1)  # "make faults" takes another one each time
AGAIN = f"SEED={SEED} make faults runs it again"
JOB_STOPS = 30


def test_producers_that_are_stopped_end_quietly_and_land_every_row(tmp_path: Path) -> None:
    stops = Stops()
    stop_producers(tmp_path, Random(SEED), stops, points=2)
    assert stops.wrong == [], AGAIN
    assert stops.count == 9


@pytest.mark.spark
def test_jobs_that_are_stopped_end_quietly_and_the_next_run_does_the_rest(
    tmp_path: Path, undisturbed: Callable[[Programs], None]
) -> None:
    stops = Stops()
    assert stop_jobs(tmp_path, SEED, 3, stops, undisturbed) == [], AGAIN
    assert stops.wrong == [], AGAIN
    assert stops.count == 3


@pytest.mark.long
@pytest.mark.spark
@pytest.mark.timeout(1800)
def test_jobs_that_are_stopped_at_many_moments_end_quietly_and_the_next_run_does_the_rest(
    tmp_path: Path, undisturbed: Callable[[Programs], None]
) -> None:
    stops = Stops()
    assert stop_jobs(tmp_path, SEED, JOB_STOPS, stops, undisturbed) == [], AGAIN
    assert stops.wrong == [], AGAIN


@pytest.mark.long
def test_producers_that_are_stopped_at_each_of_their_points_land_every_row(tmp_path: Path) -> None:
    stops = Stops()
    stop_producers(tmp_path, Random(SEED), stops)
    assert stops.wrong == [], AGAIN
