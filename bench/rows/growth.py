"""Row 3: the minute of row 2 by rows of history, with a week of commits in the tables' logs, and with one row that is a year late."""

from functools import partial

from bench.measure import Bench
from bench.results import Case
from bench.rows.history import MILLION, history, shown, with_commits
from bench.rows.merge import running_case

# A merge a minute: the log keeps a week of them.
WEEK = 7 * 1440


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """``cleaner merge`` alone: its cost must not rise with history."""
    sizes = (MILLION, 3 * MILLION, 10 * MILLION, 30 * MILLION) if bench.is_full else (MILLION // 10,)
    least, most = sizes[0], sizes[-1]
    late = partial(running_case, bench, history(bench, most), most, f"{shown(most)}, one row a year late", is_late=True)
    if not bench.is_full:  # row 2 has the same minute without it
        return [late()], {}
    cases = [running_case(bench, history(bench, rows), rows, shown(rows)) for rows in sizes]
    committed = running_case(
        bench, with_commits(bench, history(bench, least), WEEK), least, f"{shown(least)}, {WEEK:,} commits in each log"
    )
    return [*cases, committed, late()], {}
