from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.sql import HOUR, MOST_RANGES, Range, day_condition, hour_ranges, range_condition, table

H = datetime(2024, 5, 17, 10, tzinfo=UTC)


def hours(*offsets: int) -> list[datetime]:
    return [H + timedelta(hours=o) for o in offsets]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], []),
        ([0], [(0, 1)]),
        ([2, 0, 1, 1], [(0, 3)]),
        ([0, 2], [(0, 1), (2, 3)]),
        ([13, 14], [(13, 15)]),
    ],
)
def test_adjacent_hours_make_one_range(found: list[int], expected: list[tuple[int, int]]) -> None:
    as_times: list[Range] = [(H + timedelta(hours=a), H + timedelta(hours=b)) for a, b in expected]
    assert hour_ranges(hours(*found), 200) == as_times


def test_of_too_many_ranges_the_nearest_are_joined() -> None:
    def ranges(*bounds: tuple[int, int]) -> list[Range]:
        return [(H + timedelta(hours=a), H + timedelta(hours=b)) for a, b in bounds]

    found = hours(0, 2, 10, 11, 14, 40)
    assert hour_ranges(found, 5) == ranges((0, 1), (2, 3), (10, 12), (14, 15), (40, 41))
    assert hour_ranges(found, 4) == ranges((0, 3), (10, 12), (14, 15), (40, 41))
    assert hour_ranges(found, 3) == ranges((0, 3), (10, 15), (40, 41))
    assert hour_ranges(found, 1) == ranges((0, 41))


@given(st.sets(st.integers(-200_000, 200_000), max_size=300), st.integers(1, 300))
def test_whatever_the_hours_all_are_covered_by_a_condition_of_bounded_length(
    offsets: set[int], max_ranges: int
) -> None:
    found = hours(*offsets)
    ranges = hour_ranges(found, max_ranges)
    assert len(ranges) <= min(max_ranges, MOST_RANGES, len(found))
    assert all(any(start <= hour < end for start, end in ranges) for hour in found)
    # Apart from each other, and none longer than it must be.
    assert all(earlier[1] < later[0] for earlier, later in pairwise(ranges))
    assert {start for start, _ in ranges} | {end - HOUR for _, end in ranges} <= set(found)
    assert len(range_condition("t", ranges)) <= 200 * MOST_RANGES


def test_a_range_is_literal_and_names_its_days() -> None:
    condition = range_condition("t", hour_ranges(hours(13, 14), 200))
    assert condition == (
        "((t.event_date BETWEEN DATE'2024-05-17' AND DATE'2024-05-18' AND t.timestamp >= TIMESTAMP'2024-05-17 23:00:00+00:00'"
        " AND t.timestamp < TIMESTAMP'2024-05-18 01:00:00+00:00'))"
    )
    until_midnight = range_condition("t", hour_ranges(hours(13), 200))
    assert "BETWEEN DATE'2024-05-17' AND DATE'2024-05-17'" in until_midnight
    assert range_condition("t", []) == "(false)"


def test_days_are_literals() -> None:
    assert day_condition("d", [date(2024, 5, 18), date(2024, 5, 17)]) == "d IN (DATE'2024-05-17', DATE'2024-05-18')"
    assert day_condition("d", []) == "false"


def test_a_path_cannot_leave_its_quotes() -> None:
    assert table(Path("/a`; DROP TABLE x; --")) == "delta.`/a``; DROP TABLE x; --`"
