"""A pass of more rows than this process has memory for: Spark does it all, out of the lake into the lake. I/O."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from cleaner.enrich import enriched
from cleaner.figures import Located, counted
from cleaner.insert import insert_new
from cleaner.landing import Delivery
from cleaner.steps import IDENTITY, IS_ROW, QUARANTINE_IDENTITY, identified, quarantined, require_common_times, unique
from lakehouse.lake import Lake
from lakehouse.ledger import FileFigures
from lakehouse.rules import accepted, rejected
from lakehouse.settings import Settings
from lakehouse.sql import hour_ranges, range_condition


def merge_large(
    spark: SparkSession, settings: Settings, checked_rows: DataFrame, taken: Sequence[Delivery]
) -> list[FileFigures]:
    """Merge checked rows and say where each went.

    :param taken: the deliveries that they are from.
    """
    with kept(checked_rows) as rows:
        return counted(taken, _merge(spark, settings, rows, taken))


def _merge(spark: SparkSession, settings: Settings, rows: DataFrame, taken: Sequence[Delivery]) -> list[Located]:
    lake = settings.lake
    contents = summary(rows)
    hours = range_condition("t", hour_ranges(contents.hours, settings.merge.max_ranges))
    if contents.has_unidentified:
        require_common_times(rows)
        rows = rows.transform(identified)
    if contents.has_rejected:
        insert_new(rows.transform(rejected).transform(quarantined), lake.quarantine, QUARANTINE_IDENTITY, IS_ROW)
    if contents.hours:
        insert_new(rows.transform(accepted).transform(unique), lake.merged, IDENTITY, hours)
        # From the record, not from the batch: a row that an earlier pass merged is enriched as it stands there.
        with kept(merged_rows(spark, lake, taken, hours)) as requests:
            insert_new(requests.transform(enriched, settings.enrichment), lake.delta, IDENTITY, hours)
    return count(spark, lake, rows, hours, has_rejected=contents.has_rejected)


@contextmanager
def kept(rows: DataFrame) -> Iterator[DataFrame]:
    """``rows``, computed once for all that is asked of them."""
    found = rows.persist()
    try:
        yield found
    finally:
        found.unpersist()


def merged_rows(spark: SparkSession, lake: Lake, deliveries: Sequence[Delivery], hours: str) -> DataFrame:
    """The rows of ``merged/`` that these deliveries brought.

    :param hours: a condition on the table, ``t``, which all of them meet.
    """
    requests = spark.read.format("delta").load(str(lake.merged)).alias("t").where(hours)
    return requests.where(F.col("landed_file").isin([d.landed_file for d in deliveries]))


@dataclass(frozen=True)
class Contents:
    """What a batch holds: the hours of its accepted rows, whether it has rejected ones, and any without an id."""

    hours: list[datetime]
    has_rejected: bool
    has_unidentified: bool


def summary(rows: DataFrame) -> Contents:
    """What checked ``rows`` hold. An action."""
    is_accepted = F.size("reasons") == 0
    kinds = rows.select(
        F.when(is_accepted, F.unix_seconds(F.date_trunc("hour", "timestamp"))).alias("hour"),
        (~is_accepted).alias("is_rejected"),
        F.col("event_id").isNull().alias("is_unidentified"),
    )
    found = kinds.distinct().collect()
    return Contents(
        hours=[datetime.fromtimestamp(hour, UTC) for hour in {k.hour for k in found} if hour is not None],
        has_rejected=any(k.is_rejected for k in found),
        has_unidentified=any(k.is_unidentified for k in found),
    )


def count(spark: SparkSession, lake: Lake, rows: DataFrame, hours: str, *, has_rejected: bool) -> list[Located]:
    """Where the rows of each delivery are now, looked up in the tables. An action.

    A row is merged (or quarantined) if the table holds its identity from this very delivery, once; every other arrival of
    an identity that a table holds is a duplicate. A row that no table holds is counted nowhere, and shows.
    """
    merged = spark.read.format("delta").load(str(lake.merged)).alias("t").where(hours)
    found = located(rows.transform(accepted), merged, IDENTITY)
    if has_rejected:
        quarantine = spark.read.format("delta").load(str(lake.quarantine)).alias("t").where(IS_ROW)
        found = found.unionByName(located(rows.transform(rejected), quarantine, QUARANTINE_IDENTITY))
    return [Located(row.landed_file, row.reasons, row.homes, row.duplicates) for row in found.collect()]


def located(rows: DataFrame, stored: DataFrame, identity: Sequence[str]) -> DataFrame:
    """One row per delivery and reasons: ``homes``, rows that the table holds from there, and ``duplicates`` of what it holds."""
    arrived = rows.groupBy("landed_file", *identity).agg(
        F.count(F.lit(1)).alias("arrivals"), F.min("reasons").alias("reasons")
    )
    homes = stored.select(*(F.col(c).alias(f"stored_{c}") for c in identity), F.col("landed_file").alias("home"))
    is_same: Column = F.lit(True)
    for column in identity:
        is_same &= F.col(column).eqNullSafe(F.col(f"stored_{column}"))
    is_home = F.when(F.col("home") == F.col("landed_file"), 1).otherwise(0)
    placed = arrived.join(homes, on=is_same, how="inner")
    return placed.groupBy("landed_file", "reasons").agg(
        F.sum(is_home).alias("homes"), F.sum(F.col("arrivals") - is_home).alias("duplicates")
    )
