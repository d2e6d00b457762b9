"""When the archive takes what waits."""

from consumer.components.pace import BUSY_ROWS_PER_SECOND, WINDOW_SECONDS, Pace

BUSY = int(BUSY_ROWS_PER_SECOND * WINDOW_SECONDS)


def taken_at(landed: dict[float, int], gather_seconds: float, until: float) -> list[tuple[float, int]]:
    """When how many rows are taken, looked at twice a second. ``landed``: rows by the second that they come at."""
    pace, waiting, taken = Pace(gather_seconds), 0, []
    for tick in range(int(until * 2)):
        now = tick / 2
        waiting += landed.get(now, 0)
        if waiting and pace.is_time(now):
            pace.took(waiting, now)
            taken.append((now, waiting))
            waiting = 0
    return taken


def test_the_first_file_is_taken_at_once_and_the_next_ones_gather() -> None:
    landed = {float(second): 500 for second in range(0, 30, 5)}
    assert taken_at(landed, 8, 40) == [(0.0, 500), (13.0, 1000), (23.0, 1000), (33.0, 500)]


def test_with_many_rows_nothing_waits() -> None:
    landed = {float(second): BUSY for second in range(0, 30, 5)}
    assert taken_at(landed, 8, 40) == [(float(second), BUSY) for second in range(0, 30, 5)]


def test_after_a_silence_the_next_file_is_taken_at_once() -> None:
    assert taken_at({0.0: 9, 40.0: 9, 41.0: 9}, 8, 60) == [(0.0, 9), (40.0, 9), (49.0, 9)]


def test_without_gathering_nothing_waits() -> None:
    assert taken_at({0.0: 1, 0.5: 1, 7.0: 1}, 0, 10) == [(0.0, 1), (0.5, 1), (7.0, 1)]
