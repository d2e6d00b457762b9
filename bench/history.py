"""A lake with a year of history, as the merge and a night's maintenance leave it. I/O; no JVM."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, WriterProperties, write_deltalake

from bench.lakes import BenchLake, new_lake
from bench.landed import DAYS, HISTORY_SEED, NOON, requests
from bench.traffic import pools
from cleaner.delta_lake import create_tables
from lakehouse.agents import AGENT_COLUMNS, parse_agent
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.schema import DELTA, MERGED

YEAR, DAY = timedelta(days=DAYS), timedelta(days=1)
HISTORY_FILE = "history.parquet"


def with_history(folder: Path, rows: int, *, span: timedelta = YEAR, commit: timedelta = 10 * DAY) -> BenchLake:
    """A lake with ``rows`` requests in ``merged/`` and ``delta/``, as the merge and a night's maintenance leave them.

    A partition a day, in time order, a file each; the ledger knows them as one landed file of long ago.

    :param span: the time before noon that they are from.
    :param commit: how much of it has a commit of its own. If it is less than a day, a day has several files.
    """
    lake = new_lake(folder)
    settings = lake.settings
    create_tables(settings)
    agents = _agents()
    for piece in _pieces(rows, span, commit):
        merged, delta = settings.lake.merged, settings.lake.delta
        _append(merged, piece.select(MERGED.names))
        known = piece.join(agents, on="agent", how="left", nulls_equal=True, maintain_order="left")
        status_class = pl.format("{}xx", pl.col("status") // 100)
        _append(delta, known.with_columns(status_class=status_class).select(DELTA.names))
    for path in (settings.lake.merged, settings.lake.delta):
        DeltaTable(str(path)).create_checkpoint()
    ledger = Ledger(settings.lake.ledger)
    with ledger.run("merge") as run:
        ledger.record_files(run, [FileFigures(HISTORY_FILE, HISTORY_FILE, rows, rows, 0, 0)])
        ledger.retire([HISTORY_FILE])
    return lake


def add_commits(table: Path, commits: int) -> None:
    """Add commits that change nothing to a table's log, with the last of its checkpoints after them."""
    log = table / "_delta_log"
    version = DeltaTable(str(table)).version()
    info = json.dumps({"commitInfo": {"timestamp": int(NOON.timestamp() * 1000), "operation": "MERGE"}})
    for number in range(version + 1, version + commits + 1):
        (log / f"{number:020}.json").write_text(info + "\n", encoding="utf-8")
    DeltaTable(str(table)).create_checkpoint()


def _pieces(rows: int, span: timedelta, commit: timedelta) -> Iterator[pl.DataFrame]:
    """MERGED's columns of a commit at a time, so that memory stays flat."""
    begin = NOON - span
    waiting: list[pl.DataFrame] = []
    bound = datetime.combine(begin.date(), time(), UTC) + commit
    for block in requests(rows, begin, NOON, seed=HISTORY_SEED):
        rows_of = block.with_columns(event_date=pl.col("timestamp").dt.date(), landed_file=pl.lit(HISTORY_FILE))
        is_before = pl.col("timestamp") < bound
        waiting.append(rows_of.filter(is_before))
        rest = rows_of.filter(~is_before)
        while not rest.is_empty():
            yield pl.concat(waiting)
            bound += commit
            is_before = pl.col("timestamp") < bound
            waiting, rest = [rest.filter(is_before)], rest.filter(~is_before)
    if waiting:
        yield pl.concat(waiting)


def _append(path: Path, rows: pl.DataFrame) -> None:
    properties = WriterProperties(compression="SNAPPY")  # as Spark does
    write_deltalake(str(path), rows, mode="append", writer_properties=properties)


def _agents() -> pl.DataFrame:
    """What the cleaner makes of the agents."""
    names = [*pools().agents.unique(maintain_order=True).to_list(), None]
    parsed = [parse_agent(name) for name in names]
    return pl.DataFrame(
        {
            "agent": names,
            **{column: [getattr(p, column) for p in parsed] for column in AGENT_COLUMNS},
        },
        schema_overrides=dict.fromkeys(AGENT_COLUMNS, pl.String) | {"is_bot": pl.Boolean},
    )
