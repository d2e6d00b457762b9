"""A pass of a minute's rows: Spark checks them, once; what follows is done in this process, and Spark enriches them. I/O.

Most of what such a pass costs are plans, not rows. So one query brings the checked rows here as Arrow; the tables are written
by delta-rs and looked at by DuckDB. Rules, first arrivals and enrichment are Spark's, as in ``large_pass``.
"""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cleaner import stored
from cleaner.enrich import enriched
from cleaner.figures import Located, counted
from cleaner.insert import insert_new
from cleaner.landing import Delivery
from cleaner.steps import IDENTITY, IS_ROW, QUARANTINE_IDENTITY, arrival, identified, require_common_times
from lakehouse.lake import Lake
from lakehouse.ledger import FileFigures
from lakehouse.schema import MERGED, QUARANTINE
from lakehouse.settings import Settings
from lakehouse.sql import hour_ranges, range_condition

MAX_ROWS = 100_000
MAX_BYTES = 64 * 1024 * 1024


def is_small(taken: Sequence[Delivery]) -> bool:
    """Whether all that these deliveries hold has room in this process."""
    return sum(d.file.rows for d in taken) <= MAX_ROWS and sum(d.file.bytes for d in taken) <= MAX_BYTES


def merge_small(
    spark: SparkSession, settings: Settings, checked_rows: DataFrame, taken: Sequence[Delivery]
) -> list[FileFigures]:
    """Merge checked rows and say where each went.

    :param taken: the deliveries that they are from.
    """
    lake = settings.lake
    rows = collected(checked_rows)
    accepted, rejected = rows.filter(pc.field("is_accepted")), rows.filter(~pc.field("is_accepted"))
    hours = range_condition("t", hour_ranges(_hours(accepted), settings.merge.max_ranges))
    if rejected.num_rows:
        insert_new(_first(rejected).select(QUARANTINE.names), lake.quarantine, QUARANTINE_IDENTITY, IS_ROW)
    if accepted.num_rows:
        insert_new(_first(accepted).select(MERGED.names), lake.merged, IDENTITY, hours)
        # From the record, not from the batch: a row that an earlier pass merged is enriched as it stands there.
        requests = stored.brought(lake.merged, [d.landed_file for d in taken], stored.times(accepted), hours)
        if requests.num_rows:
            rows_again = spark.createDataFrame(requests, MERGED)
            insert_new(rows_again.transform(enriched, settings.enrichment).toArrow(), lake.delta, IDENTITY, hours)
    return counted(taken, count(lake, accepted, rejected, hours))


def collected(checked_rows: DataFrame) -> pa.Table:
    """Checked rows, identified, in this process: with ``is_accepted``, ``arrival`` and ``quarantined_at``. An action."""
    found = checked_rows.transform(_numbered).toArrow()
    if found["event_id"].null_count:
        require_common_times(checked_rows)
        found = checked_rows.transform(identified).transform(_numbered).toArrow()
    return found


def _numbered(rows: DataFrame) -> DataFrame:
    """``rows`` with which arrival of its identity each is, among the accepted ones and among the rejected."""
    is_accepted = F.size("reasons") == 0
    # A request is known by its time too, a rejected row by its id alone.
    time = F.when(F.col("is_accepted"), F.col("timestamp"))
    named = rows.withColumns({"is_accepted": is_accepted, "quarantined_at": F.current_timestamp()})
    return named.coalesce(1).withColumn("arrival", arrival("is_accepted", "event_id", time))


def _first(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.field("arrival") == 1)


def _hours(accepted: pa.Table) -> list[datetime]:
    hours: list[datetime] = pc.unique(pc.floor_temporal(accepted["timestamp"], unit="hour")).to_pylist()
    return hours


def count(lake: Lake, accepted: pa.Table, rejected: pa.Table, hours: str) -> list[Located]:
    """Where the rows are now, looked up in the tables: see ``large_pass.count``."""
    found = stored.located(accepted, lake.merged, IDENTITY, hours) if accepted.num_rows else []
    if rejected.num_rows:
        found += stored.located(rejected, lake.quarantine, QUARANTINE_IDENTITY, IS_ROW)
    return found
