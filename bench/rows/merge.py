"""Row 2: one scheduled minute, ``cleaner merge`` as a whole process, beside what one would write by hand."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bench.lakes import BenchLake, copy
from bench.measure import Bench, Subject, run_of
from bench.process import Usage
from bench.programs import peer, pipeline
from bench.results import OURS, Case, Run
from bench.rows.history import MILLION, history, land_minute, shown, wrong_tables

SEED_SCRIPT = "a plain Spark script"
BOTH = ("merged", "delta")
NO_PYSAIL = "not installed; type: .venv/bin/pip install -c constraints.txt -e '.[bench]'"


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """The minute into one size of history; the plain script also into a tenth of it, to see its cost grow."""
    rows = bench.pick(MILLION, 10 * MILLION)
    skipped = {}
    subjects = [
        minute_subject(bench, OURS, rows),
        minute_subject(bench, SEED_SCRIPT, rows, lambda lake: peer("seed_script", lake), tables=("merged",)),
        minute_subject(bench, "delta-rs with polars", rows, lambda lake: peer("delta_rs", lake)),
    ]
    if find_spec("pysail"):
        subjects.append(minute_subject(bench, "the same MERGE on pysail", rows, lambda lake: peer("sail", lake)))
    else:
        skipped["pysail"] = NO_PYSAIL
    smaller = [
        minute_subject(bench, OURS, rows // 10),
        minute_subject(bench, SEED_SCRIPT, rows // 10, lambda lake: peer("seed_script", lake), tables=("merged",)),
    ]
    return bench.take_turns([*subjects, *(smaller if bench.is_full else [])]), skipped


def minute_subject(
    bench: Bench, name: str, rows: int, merge: Callable[[BenchLake], Usage] | None = None,
    *, tables: tuple[str, ...] = BOTH, is_late: bool = False,
) -> Subject:  # fmt: skip
    """Somebody's merge of a minute's rows into ``rows`` rows of history; ``cleaner merge`` unless one is given."""

    def measured(folder: Path) -> Run:
        lake = copy(history(bench, rows), folder / "lake")
        new = land_minute(lake, is_late=is_late)
        used = merge(lake) if merge else pipeline(lake, "cleaner", "merge")
        return run_of(used, wrong_tables(lake, rows + new, *tables))

    return Subject(name, shown(rows) + (", one row a year late" if is_late else ""), measured)
