"""What the rows about history share: lakes made once, and a merge of a minute that is checked."""

import shutil
from pathlib import Path

from bench.history import with_history
from bench.lakes import BenchLake, copy, moved
from bench.landed import NOON, Minute, minute
from bench.measure import Bench, wrong
from bench.programs import pipeline
from lakehouse.tables import query, table_facts

MINUTE_ROWS = 20_000
BOTH = ("merged", "delta")
MILLION = 1_000_000


def shown(rows: int) -> str:
    """A number of rows of history in words."""
    return f"{rows / MILLION:g} million rows of history"


def history(bench: Bench, rows: int) -> BenchLake:
    """A lake with so many rows of history, made if it is not there yet."""
    lake = BenchLake(bench.made / f"history-{rows}")
    return lake if lake.data.exists() else _made(bench, lake.folder, rows)


def history_with_figures(bench: Bench, rows: int) -> BenchLake:
    """The same, with ``metrics/batch/`` up to date."""
    lake = BenchLake(bench.made / f"figures-{rows}")
    if lake.data.exists():
        return lake
    made = copy(history(bench, rows), hidden(lake.folder))
    bench.say(f"computing the metrics of {shown(rows)}")
    pipeline(made, "consumer", "batch")
    return moved(made, lake.folder)


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


def _made(bench: Bench, folder: Path, rows: int) -> BenchLake:
    bench.say(f"making a lake with {shown(rows)}")
    return moved(with_history(hidden(folder), rows), folder)


def hidden(folder: Path) -> Path:
    """Where a lake is made: one that is half made must not be taken for one that is there."""
    beside = folder.with_name(f".{folder.name}")
    shutil.rmtree(beside, ignore_errors=True)
    return beside
