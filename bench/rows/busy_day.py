"""Row 9: a day that grows: a minute merged into its rows."""

from bench.measure import Bench
from bench.results import Case
from bench.rows.batch import so_far
from bench.rows.history import MILLION, busy_day
from bench.rows.merge import running_case


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """By the rows that the day has so far, which the merge must not care for. Its exact figures are in row 7."""
    sizes = (MILLION, 5 * MILLION, 20 * MILLION) if bench.is_full else (MILLION // 10,)
    return [running_case(bench, busy_day(bench, rows), rows, so_far(rows)) for rows in sizes], {}
