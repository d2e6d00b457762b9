"""Rows to land: the lines of a made-up log, and what lands in the minute that is merged."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from bench.lakes import BenchLake
from bench.traffic import blocks
from producer.identity import event_ids
from producer.landing import LANDED

# History ends at noon, so that the last day is half full when the minute that is measured begins.
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
DAYS = 365
MINUTE = timedelta(minutes=1)
HISTORY_SEED, MINUTE_SEED, LATE_SEED = 7, 8, 9
SEEDS = 10  # from one minute's to the next
LINE_BYTES = 237


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
    """What lands in a minute, and what a merge must make of it: ``new`` of ``rows`` are new, ``old`` are from history."""

    rows: pl.DataFrame
    new: int
    old: int


def minute(lake: BenchLake, rows: int, *, number: int = 0, duplicates: float = 0.05, is_late: bool = False) -> Minute:
    """The rows of a minute after the end of history.

    :param number: which one; each has rows of its own.
    :param duplicates: the share of them that are redelivered: half of them from history, half from the minute itself.
    :param is_late: one more row that is a year late.
    """
    again = round(rows * duplicates)
    begin = NOON + number * MINUTE
    fresh = pl.concat(requests(rows - again, begin, begin + MINUTE, seed=MINUTE_SEED + SEEDS * number))
    old = _last_rows(lake, again // 2)
    parts = [fresh, old, fresh.head(again - old.height)]
    new = fresh.height
    if is_late:
        seed = LATE_SEED + SEEDS * number
        parts.append(pl.concat(requests(1, NOON - timedelta(days=DAYS - 1), NOON, seed=seed)))
        new += 1
    return Minute(pl.concat(parts), new, old.height)


def _last_rows(lake: BenchLake, count: int) -> pl.DataFrame:
    """The last rows of history as they once landed."""
    merged = pl.scan_delta(str(lake.settings.lake.merged))
    merged = merged.filter(pl.col("event_date") == NOON.date(), pl.col("timestamp") < NOON)
    found = merged.sort("timestamp", "event_id").tail(count).collect()
    return found.with_columns(raw=pl.lit(None, pl.String)).select(
        pl.col(name).cast(kind) for name, kind in LANDED.items()
    )
