"""Programs that are told to stop end at once, quietly, with the code that says so, and lose nothing."""

import os
from pathlib import Path
from random import Random

import pytest

from tests.faults.stops import Stops, stop_producers

SEED = int(os.environ.get("SEED") or 1)  # "make faults" takes another one each time
AGAIN = f"SEED={SEED} make faults runs it again"


def test_producers_that_are_stopped_end_quietly_and_land_every_row(tmp_path: Path) -> None:
    stops = Stops()
    stop_producers(tmp_path, Random(SEED), stops, points=2)
    assert stops.wrong == [], AGAIN
    assert stops.count == 6


@pytest.mark.long
def test_producers_that_are_stopped_at_each_of_their_points_land_every_row(tmp_path: Path) -> None:
    stops = Stops()
    stop_producers(tmp_path, Random(SEED), stops)
    assert stops.wrong == [], AGAIN
