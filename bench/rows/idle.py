"""Row 4: a minute with nothing to do: what the schedule starts then finds nothing new, and commits nothing."""

from pathlib import Path

from bench.lakes import copy
from bench.measure import Bench, Subject, run_of, wrong
from bench.programs import pipeline
from bench.results import OURS, Case, Run
from bench.rows.history import MILLION, history, with_figures
from lakehouse.tables import latest_version


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """Each of the jobs that run by the minute, and the merge as cron starts it: through ``cleaner job``."""
    words = (("cleaner", "merge"), ("consumer", "batch"), ("cleaner", "job", "merge"))
    return bench.take_turns([_job(bench, *typed) for typed in words]), {}


def _job(bench: Bench, *typed: str) -> Subject:
    def measured(folder: Path) -> Run:
        lake = copy(with_figures(bench, history(bench, bench.pick(MILLION // 10, MILLION))), folder / "lake")
        tables = lake.settings.lake.tables
        before = {name: latest_version(path) for name, path in tables.items()}
        used = pipeline(lake, *typed)
        after = {name: latest_version(path) for name, path in tables.items()}
        return run_of(used, wrong(**{f"version of {name}/": (after[name], before[name]) for name in tables}))

    return Subject(OURS, " ".join(typed), measured)
