"""Row 9: a day that grows: a minute merged into its rows, and its exact figures brought up to it."""

from collections.abc import Sequence

from bench.measure import Bench
from bench.results import OURS, Case
from bench.rows.batch import batch_subject, wrong_day
from bench.rows.history import MILLION, busy_day, with_figures, with_minute
from bench.rows.merge import running_case
from bench.rows.minutes import batch, merge, running_minutes

# More rows of a day are no small work: ``consumer batch`` has a Spark of its own then.
SHARED_ROWS = MILLION // 2


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """By the rows that the day has so far: the merge must not care, the figures are those of the day.

    In the small form only the figures, by a job that has a Spark of its own.
    """
    sizes = (MILLION, 5 * MILLION, 20 * MILLION) if bench.is_full else (MILLION // 10,)
    subjects = [
        batch_subject(f"{OURS}, consumer batch", _shown(rows), with_minute(bench, busy_day(bench, rows)))
        for rows in sizes
    ]
    running = _running(bench, sizes) if bench.is_full else []
    return [*running, *bench.take_turns(subjects)], {}


def _running(bench: Bench, sizes: Sequence[int]) -> list[Case]:
    merges = [
        running_case(bench, busy_day(bench, rows), rows, _shown(rows), name=f"{OURS}, cleaner merge") for rows in sizes
    ]
    figures = running_minutes(bench, with_figures(bench, busy_day(bench, SHARED_ROWS)), batch, merge, wrong=wrong_day)
    return [*merges, Case(f"{OURS}, consumer batch in the consumer's Spark", _shown(SHARED_ROWS), figures)]


def _shown(rows: int) -> str:
    return f"{rows / MILLION:g} million rows so far"
