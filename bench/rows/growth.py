"""Row 3: the minute of row 2 by rows of history, with a week of commits in the tables' logs, and with one row that is a year late."""

from bench.measure import Bench
from bench.results import Case
from bench.rows.history import MILLION, history, shown, with_commits
from bench.rows.merge import running_case

# A merge a minute: the log keeps a week of them.
WEEK = 7 * 1440


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """``cleaner merge`` alone: its cost must not rise with history."""
    full = (MILLION, 3 * MILLION, 10 * MILLION, 30 * MILLION)
    sizes = full if bench.is_full else (MILLION // 10,)
    cases = [running_case(bench, history(bench, rows), rows, shown(rows)) for rows in sizes]
    least, most = sizes[0], sizes[-1]
    committed = running_case(
        bench, with_commits(bench, history(bench, least), WEEK), least, f"{shown(least)}, {WEEK:,} commits in each log"
    )
    late = running_case(bench, history(bench, most), most, f"{shown(most)}, one row a year late", is_late=True)
    return [*cases, committed, late], {}
