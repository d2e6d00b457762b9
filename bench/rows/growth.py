"""Row 3: the minute of row 2 by rows of history, with many commits in the tables' logs, and with one row that is a year late."""

from bench.measure import Bench
from bench.results import Case
from bench.rows.history import MILLION, history, shown, with_commits
from bench.rows.merge import ALONE, minute_subject, running_case

# A merge a minute. A log is kept for a day, and cut by Spark at midnight.
TWO_DAYS = 2 * 1440


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """``cleaner merge`` alone: its cost must not rise with history.

    In the small form the late row only, merged by a job that has a Spark of its own: row 2 has the same without it.
    """
    if not bench.is_full:
        return bench.take_turns([minute_subject(bench, ALONE, MILLION // 10, is_late=True)]), {}
    sizes = (MILLION, 3 * MILLION, 10 * MILLION, 30 * MILLION)
    least, most = sizes[0], sizes[-1]
    cases = [running_case(bench, history(bench, rows), rows, shown(rows)) for rows in sizes]
    committed = running_case(
        bench, with_commits(bench, history(bench, least), TWO_DAYS), least,
        f"{shown(least)}, {TWO_DAYS:,} commits in each log",
    )  # fmt: skip
    late = running_case(bench, history(bench, most), most, shown(most, is_late=True), is_late=True)
    return [*cases, committed, late], {}
