"""What the rows about history share: lakes made once, and a merge of a minute that is checked."""

from pathlib import Path

from bench.history import DAY, add_commits, with_history
from bench.lakes import BenchLake, copy, kept
from bench.landed import NOON, Minute, minute
from bench.measure import Bench, wrong
from bench.programs import pipeline
from lakehouse.tables import query, table_facts

MINUTE_ROWS = 20_000
BOTH = ("merged", "delta")
MILLION = 1_000_000


def shown(rows: int, *, is_late: bool = False) -> str:
    """A number of rows of history in words."""
    return f"{rows / MILLION:g} million rows of history{', one row a year late' if is_late else ''}"


def history(bench: Bench, rows: int) -> BenchLake:
    """A lake with so many rows of history, made if it is not there yet."""
    return kept(bench, f"history-{rows}", lambda folder: with_history(folder, rows))


def busy_day(bench: Bench, rows: int) -> BenchLake:
    """A lake whose only day has so many rows up to noon, a file an hour."""
    return kept(bench, f"day-{rows}", lambda folder: with_history(folder, rows, span=DAY / 2, commit=DAY / 24))


def with_figures(bench: Bench, lake: BenchLake) -> BenchLake:
    """The same, with ``metrics/batch/`` up to date."""

    def made(folder: Path) -> BenchLake:
        copied = copy(lake, folder)
        pipeline(copied, "consumer", "batch")
        return copied

    return kept(bench, f"{lake.folder.name}-figures", made)


def with_minute(bench: Bench, lake: BenchLake) -> BenchLake:
    """The same, with ``metrics/batch/`` up to date but for a minute that has been merged since."""

    def made(folder: Path) -> BenchLake:
        copied = copy(with_figures(bench, lake), folder)
        land_minute(copied)
        pipeline(copied, "cleaner", "merge")
        return copied

    return kept(bench, f"{lake.folder.name}-minute", made)


def with_commits(bench: Bench, lake: BenchLake, commits: int) -> BenchLake:
    """The same, with so many commits more in the logs of its tables, which changed nothing."""

    def made(folder: Path) -> BenchLake:
        copied = copy(lake, folder)
        for name in BOTH:
            add_commits(copied.data / name, commits)
        return copied

    return kept(bench, f"{lake.folder.name}-commits", made)


def land_minute(lake: BenchLake, *, number: int = 0, is_late: bool = False) -> Minute:
    """Land a minute's rows, as the producer would."""
    landed = minute(lake, MINUTE_ROWS, number=number, is_late=is_late)
    lake.land(landed.rows)
    return landed


def wrong_tables(lake: BenchLake, rows: int, *names: str) -> str | None:
    """Whether the tables have other than ``rows`` rows, or the minute's rows not each once."""
    tables = {name: lake.data / name for name in names}
    checks: dict[str, tuple[object, object]] = {}
    for name, path in tables.items():
        facts = table_facts(path)
        checks[f"rows of {name}/"] = (facts.rows if facts else None, rows)
        since = f"event_date = DATE '{NOON.date()}'"
        doubled = query(path, f"SELECT count(*) - count(DISTINCT event_id) FROM t WHERE {since}")
        checks[f"doubled rows of {name}/"] = (doubled[0][0] if doubled else None, 0)
    return wrong(**checks)
