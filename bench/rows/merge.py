"""Row 2: one scheduled minute, ``cleaner merge`` as a whole process, beside what one would write by hand."""

from pathlib import Path

from bench.lakes import BenchLake, copy
from bench.measure import Bench, Subject, run_of
from bench.programs import peer
from bench.results import OURS, Case, Run
from bench.rows.history import BOTH, MILLION, history, land_minute, shown, wrong_tables
from bench.rows.minutes import Job, merge, running_minutes
from bench.rows.sail import ON_SAIL, has_sail, missing_sail

ALONE = f"{OURS}, the consumer not running"
SEED_SCRIPT = "a plain Spark script"


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """The minute into one size of history; the plain script also into a tenth of it, to see its cost grow."""
    rows = bench.pick(MILLION // 10, 10 * MILLION)
    subjects = [
        minute_subject(bench, ALONE, rows),
        minute_subject(bench, SEED_SCRIPT, rows, lambda lake: peer("seed_script", lake), tables=("merged",)),
        minute_subject(bench, "delta-rs with polars", rows, lambda lake: peer("delta_rs", lake)),
        *([minute_subject(bench, f"{OURS}, engine: sail", rows, spark=ON_SAIL)] if has_sail() else []),
    ]
    smaller = [
        minute_subject(bench, ALONE, rows // 10),
        minute_subject(bench, SEED_SCRIPT, rows // 10, lambda lake: peer("seed_script", lake), tables=("merged",)),
    ]
    running = running_case(bench, history(bench, rows), rows, shown(rows))
    cases = bench.take_turns([*subjects, *(smaller if bench.is_full else [])])
    return [running, *cases], missing_sail()


def running_case(
    bench: Bench, lake: BenchLake, rows: int, size: str, *, name: str = OURS, is_late: bool = False
) -> Case:
    """``cleaner merge`` in minutes of a running pipeline.

    :param lake: it has ``rows`` rows.
    """

    def wrong(lake: BenchLake, new: int) -> str | None:
        return wrong_tables(lake, rows + new, *BOTH)

    return Case(name, size, running_minutes(bench, lake, merge, wrong=wrong, is_late=is_late))


def minute_subject(
    bench: Bench, name: str, rows: int, merge: Job = merge,
    *, tables: tuple[str, ...] = BOTH, is_late: bool = False, **groups: dict[str, object],
) -> Subject:  # fmt: skip
    """Somebody's merge of a minute's rows into ``rows`` rows of history.

    :param merge: the merge; by default ``cleaner merge``, in a Spark of its own.
    :param groups: groups of settings that differ from the defaults.
    """

    def measured(folder: Path) -> Run:
        lake = copy(history(bench, rows), folder / "lake", **groups)
        new = land_minute(lake, is_late=is_late).new
        return run_of(merge(lake), wrong_tables(lake, rows + new, *tables))

    return Subject(name, shown(rows, is_late=is_late), measured)
