from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.sql import Range, day_condition, hour_ranges, range_condition, table

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


def test_too_many_ranges_become_whole_days() -> None:
    day = H.replace(hour=0)
    assert hour_ranges(hours(0, 2, 4), 2) == [(day, day + timedelta(days=1))]
    assert hour_ranges(hours(0, 2, 24, 72), 2) == [
        (day, day + timedelta(days=2)), (day + timedelta(days=3), day + timedelta(days=4)),
    ]  # fmt: skip


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
