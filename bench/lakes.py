"""Lakes to measure on: with a year of history, made once for each size, and copied for each run. I/O; no JVM."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import yaml
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake

from bench.traffic import blocks, pools
from cleaner.delta_lake import create_tables
from lakehouse.agents import parse_agent
from lakehouse.layout import adopt
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.schema import DELTA, MERGED
from lakehouse.settings import Settings, load_settings
from producer.identity import event_ids
from producer.landing import LANDED, Lander

# History ends at noon, so that the last day is half full when the minute that is measured begins.
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
DAYS = 365
DAYS_A_COMMIT = 30
SEED = 7
LINE_BYTES = 237
HISTORY_FILE = "history.parquet"


@dataclass(frozen=True)
class BenchLake:
    """A lake with a settings file of its own; all other settings are the defaults."""

    folder: Path

    @property
    def conf(self) -> Path:
        """The settings file."""
        return self.folder / "pipeline.yaml"

    @property
    def settings(self) -> Settings:
        """The settings."""
        return load_settings(self.conf)

    @property
    def data(self) -> Path:
        """Its ``data_lake/``."""
        return self.folder / "data_lake"

    def land(self, rows: pl.DataFrame, *, batch_rows: int = 100_000) -> None:
        """Publish rows as the producer does."""
        lander = Lander(self.settings.lake.landing, "parquet", batch_rows=batch_rows, batch_seconds=3600)
        lander.add(rows)
        lander.flush()


def new_lake(folder: Path) -> BenchLake:
    """An empty lake."""
    lake = BenchLake(folder)
    folder.mkdir(parents=True)
    _write_conf(lake)
    adopt(lake.settings.lake)
    return lake


def copy(lake: BenchLake, folder: Path) -> BenchLake:
    """A lake that shares the data files, which nobody changes, and has a copy of everything else."""
    copied = BenchLake(folder)
    folder.mkdir(parents=True)
    shutil.copytree(lake.data, copied.data, copy_function=_link_or_copy)
    _write_conf(copied)
    return copied


def moved(lake: BenchLake, folder: Path) -> BenchLake:
    """The lake in another place."""
    lake.folder.rename(folder)
    _write_conf(BenchLake(folder))
    return BenchLake(folder)


def with_history(folder: Path, rows: int, *, days: int = DAYS) -> BenchLake:
    """A lake with ``rows`` requests in ``merged/`` and ``delta/``, as the merge and a night's maintenance leave them.

    A partition a day, in time order, a file each; the ledger knows them as one landed file of long ago.
    """
    lake = new_lake(folder)
    settings = lake.settings
    create_tables(settings)
    agents = _agents()
    for piece in _pieces(rows, days):
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


def requests(rows: int, begin: datetime, end: datetime, *, seed: int) -> Iterator[pl.DataFrame]:
    """Landed rows, ``event_id`` and all, in blocks: the lines of one log."""
    rng = np.random.default_rng([seed, 2])
    first = 0
    for block in blocks(rows, begin, end, seed=seed):
        count = block.height
        offsets = np.arange(first, first + count, dtype=np.int64) * LINE_BYTES
        ids = event_ids(f"{seed:016x}", offsets, rng.integers(0, 2**63, count).astype(np.uint64))
        first += count
        made = block.with_columns(
            event_id=ids, source=pl.lit("access.log"), source_offset=pl.Series(offsets), ingested_at=pl.lit(end),
            site=pl.lit(None, pl.String), raw=pl.lit(None, pl.String), rescued=pl.lit(None, pl.String),
        )  # fmt: skip
        yield made.select(pl.col(name).cast(kind) for name, kind in LANDED.items())


@dataclass(frozen=True)
class Minute:
    """What lands in a minute, and what a merge must make of it: ``new`` of ``rows`` are new."""

    rows: pl.DataFrame
    new: int


def minute(lake: BenchLake, rows: int, *, duplicates: float = 0.05, is_late: bool = False) -> Minute:
    """A minute's rows, after the end of history.

    :param duplicates: the share of them that are redelivered: half of them from history, half from the minute itself.
    :param is_late: one more row that is a year late.
    """
    again = round(rows * duplicates)
    fresh = pl.concat(requests(rows - again, NOON, NOON + timedelta(minutes=1), seed=SEED + 1))
    old = _last_rows(lake, again // 2)
    parts = [fresh, old, fresh.head(again - old.height)]
    new = fresh.height
    if is_late:
        parts.append(pl.concat(requests(1, NOON - timedelta(days=DAYS - 1), NOON, seed=SEED + 2)))
        new += 1
    return Minute(pl.concat(parts), new)


def _last_rows(lake: BenchLake, count: int) -> pl.DataFrame:
    """The last rows of history as they once landed."""
    merged = pl.scan_delta(str(lake.settings.lake.merged)).filter(pl.col("event_date") == NOON.date())
    found = merged.sort("timestamp", "event_id").tail(count).collect()
    return found.with_columns(raw=pl.lit(None, pl.String)).select(
        pl.col(name).cast(kind) for name, kind in LANDED.items()
    )


def _pieces(rows: int, days: int) -> Iterator[pl.DataFrame]:
    """MERGED's columns of some weeks at a time, so that memory stays flat."""
    begin = NOON - timedelta(days=days)
    waiting: list[pl.DataFrame] = []
    bound = begin.date() + timedelta(days=DAYS_A_COMMIT)
    for block in requests(rows, begin, NOON, seed=SEED):
        rows_of = block.with_columns(event_date=pl.col("timestamp").dt.date(), landed_file=pl.lit(HISTORY_FILE))
        is_before = pl.col("event_date") < bound
        waiting.append(rows_of.filter(is_before))
        rest = rows_of.filter(~is_before)
        while not rest.is_empty():
            yield pl.concat(waiting)
            bound += timedelta(days=DAYS_A_COMMIT)
            is_before = pl.col("event_date") < bound
            waiting, rest = [rest.filter(is_before)], rest.filter(~is_before)
    if waiting:
        yield pl.concat(waiting)


def _append(path: Path, rows: pl.DataFrame) -> None:
    write_deltalake(
        str(path), rows, mode="append", writer_properties=WriterProperties(compression="SNAPPY"),
        commit_properties=CommitProperties(custom_metadata={"made": "for a measurement"}),
    )  # fmt: skip


def _agents() -> pl.DataFrame:
    """What the cleaner makes of the agents."""
    names = [*pools(SEED).agents.unique(maintain_order=True).to_list(), None]
    parsed = [parse_agent(name) for name in names]
    return pl.DataFrame(
        {
            "agent": names,
            **{kind: [getattr(p, kind) for p in parsed] for kind in ("browser", "os", "device", "is_bot")},
        },
        schema_overrides={"browser": pl.String, "os": pl.String, "device": pl.String, "is_bot": pl.Boolean},
    )


def _write_conf(lake: BenchLake) -> None:
    paths = {"data_lake": str(lake.data.absolute()), "log": str((lake.folder / "log").absolute())}
    lake.conf.write_text(yaml.safe_dump({"paths": paths}), encoding="utf-8")


def _link_or_copy(source: str, target: str) -> None:
    is_data = source.endswith(".parquet") and not {"_delta_log", "_checkpoints", "logs_to_merge"} & set(
        Path(source).parts
    )
    if is_data:
        os.link(source, target)
    else:
        shutil.copy2(source, target)
