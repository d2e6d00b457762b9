"""Row 3: the minute of row 2 by rows of history, and with one row in it that is a year late."""

from bench.measure import Bench
from bench.results import Case
from bench.rows.history import MILLION, history, shown
from bench.rows.merge import running_case


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """``cleaner merge`` alone: its cost must not rise with history."""
    quick, full = (MILLION // 10, MILLION), (MILLION, 3 * MILLION, 10 * MILLION, 30 * MILLION)
    sizes = full if bench.is_full else quick
    cases = [running_case(bench, history(bench, rows), rows, shown(rows)) for rows in sizes]
    most = sizes[-1]
    late = running_case(bench, history(bench, most), most, f"{shown(most)}, one row a year late", is_late=True)
    return [*cases, late], {}
