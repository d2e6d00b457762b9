"""The cleaner's heart: what has landed into ``merged/``, ``quarantine/`` and ``delta/``, every row once.

    logs_to_merge/ -> normalised -> checked -+-> accepted -> unique -> merged/ -> enriched -> delta/
                                             +-> rejected -> identified -> quarantine/

Each arrow into a table is an insert-only MERGE on identity, so a pass that is killed anywhere is simply run again. What
a pass did is then counted in the tables themselves, not taken from what it meant to do.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from cleaner.enrich import delta_schema, enriched, require_promotable
from cleaner.landing import Delivery, read_landed
from lakehouse.countries import require_database
from lakehouse.errors import EngineError
from lakehouse.json_text import json_text
from lakehouse.lake import Lake
from lakehouse.landed import REFUSED
from lakehouse.ledger import FileFigures
from lakehouse.rules import accepted, checked, normalised, rejected
from lakehouse.sail import is_sail
from lakehouse.schema import LANDED, MERGED, QUARANTINE
from lakehouse.settings import Settings
from lakehouse.sql import hour_ranges, range_condition, table
from lakehouse.tables import create_table

IDENTITY = ("event_id", "timestamp")
ARRIVAL = ("landed_file", "source", "source_offset", "ingested_at", "raw")
# A pass of so many rows is over before two tasks have shared it out.
ONE_PARTITION_ROWS = 100_000
BY_DAY = ("event_date",)
# A refused file and a row may have one id in quarantine, for a landed row can claim any: they are told apart by the reason.
IS_REFUSED = f"array_join(t.reasons, ' ') LIKE '{REFUSED}%'"
IS_ROW = f"NOT {IS_REFUSED}"
COMMON_TIMES = "TIMESTAMP'0001-01-01 00:00:00+00:00' AND TIMESTAMP'9999-12-31 00:00:00+00:00'"

log = logging.getLogger("cleaner.merge")


def create_tables(settings: Settings) -> None:
    """Make the cleaner's tables, or columns of them, where they are missing.

    Outside of any merge, which could otherwise find one half made.

    :raises InputError: countries cannot be looked up; nothing is done.
    """
    lake = settings.lake
    require_database(settings.geoip.database)  # before anything is written
    create_record(lake)
    create_table(lake.quarantine, QUARANTINE, description="one row per rejected row or refused file")
    columns = delta_schema(settings.enrichment)
    create_table(lake.delta, columns, partition_by=BY_DAY, description="one row per request, enriched")


def create_record(lake: Lake) -> None:
    """Make ``merged/``, or columns of it, where they are missing."""
    create_table(lake.merged, MERGED, partition_by=BY_DAY, description="one row per request, cleaned and unique")


def merge_deliveries(spark: SparkSession, settings: Settings, deliveries: Sequence[Delivery]) -> list[FileFigures]:
    """Merge what these deliveries hold and say where each row went. May be run again with the same or more deliveries.

    :param deliveries: checked landed files, refused ones too.
    """
    lake = settings.lake
    require_promotable(spark, settings.promoted)  # before anything is written
    refused = [d for d in deliveries if d.file.refused]
    taken = [d for d in deliveries if not d.file.refused]
    if refused:
        insert_new(refused_files(spark, refused), lake.quarantine, ("event_id",), IS_REFUSED)
    figures = [refused_figures(d) for d in refused]
    if not any(d.file.rows for d in taken):
        return figures + [figures_of(d) for d in taken]

    is_small = sum(d.file.rows for d in taken) <= ONE_PARTITION_ROWS
    now = F.lit(datetime.now(UTC))  # one for all queries: not every engine keeps what they share
    landed = read_landed(spark, taken).transform(normalised).transform(checked, settings.rules, now)
    with kept(landed, is_small=is_small) as rows:
        return figures + merge_rows(spark, settings, rows, taken, is_small=is_small)


def merge_rows(
    spark: SparkSession, settings: Settings, rows: DataFrame, taken: Sequence[Delivery], *, is_small: bool
) -> list[FileFigures]:
    """Merge checked ``rows`` and say where each went.

    :param taken: the deliveries that they are from.
    """
    lake = settings.lake
    contents = summary(rows)
    hours = range_condition("t", hour_ranges(contents.hours, settings.merge.max_ranges))
    if contents.has_unidentified:
        require_common_times(rows)
        rows = rows.transform(identified)
    if contents.has_rejected:
        insert_new(rows.transform(rejected).transform(quarantined), lake.quarantine, ("event_id",), IS_ROW)
    if contents.hours:
        insert_new(rows.transform(accepted).transform(unique), lake.merged, IDENTITY, hours)
        # From the record, not from the batch: a row that an earlier pass merged is enriched as it stands there.
        with kept(merged_rows(spark, lake, taken, hours), is_small=is_small) as requests:
            insert_new(requests.transform(enriched, settings.enrichment), lake.delta, IDENTITY, hours)
    return count(spark, lake, rows, taken, hours, has_rejected=contents.has_rejected)


@contextmanager
def kept(rows: DataFrame, *, is_small: bool) -> Iterator[DataFrame]:
    """``rows``, computed once for all that is asked of them.

    :param is_small: they are put into one partition, so that nothing need be shuffled.
    """
    found = (rows.coalesce(1) if is_small else rows).persist()
    try:
        yield found
    finally:
        found.unpersist()


def complete_delta(spark: SparkSession, settings: Settings) -> None:
    """Give ``delta/`` what ``merged/`` has and it lacks."""
    log.warning("delta/ lacks rows of merged/: filling it anew from there")
    create_tables(settings)
    merged = spark.read.format("delta").load(str(settings.lake.merged))
    insert_new(merged.transform(enriched, settings.enrichment), settings.lake.delta, IDENTITY)


def complete_merged(spark: SparkSession, lake: Lake) -> None:
    """Give ``merged/`` what ``delta/`` has and it lacks, after it lost commits: the same rows, which were only enriched."""
    log.warning("merged/ lacks rows that delta/ has: taking them back from there")
    create_record(lake)
    enriched_rows = spark.read.format("delta").load(str(lake.delta))
    insert_new(enriched_rows.select(*MERGED.names), lake.merged, IDENTITY)


def unique(requests: DataFrame) -> DataFrame:
    """Accepted rows in MERGED's columns, the first arrival of each request."""
    return first_arrivals(requests, IDENTITY).select(*MERGED.names)


def identified(rows: DataFrame) -> DataFrame:
    """Checked ``rows``, those that came without an id with one.

    It is made from the file's name, the row's content and its number among its equals there: the same again whenever
    the file is read again. Columns that are null are no part of the content, so that new ones do not change it.
    """
    content = json_text(LANDED)
    equals = Window.partitionBy("landed_file", "content").orderBy("landed_file")
    number = F.row_number().over(equals).cast("string")
    name = F.regexp_replace("landed_file", "/[0-9]+$", "")
    own_id = F.sha2(F.concat_ws("\n", name, "content", number), 256)
    without = rows.where(F.col("event_id").isNull()).withColumn("content", content)
    return rows.where(F.col("event_id").isNotNull()).unionByName(without.withColumn("event_id", own_id).drop("content"))


def require_common_times(rows: DataFrame) -> None:
    """See that the rows without an id get the same one from each engine. On Sail an action.

    :raises EngineError: the engine is Sail, which writes times before the year 1 and after 9999 in another way than Spark.
    """
    if not is_sail(rows.sparkSession):
        return
    times = [f.name for f in LANDED if isinstance(f.dataType, T.TimestampType)]
    is_uncommon = " OR ".join(f"{time} NOT BETWEEN {COMMON_TIMES}" for time in times)
    if found := rows.where(f"event_id IS NULL AND ({is_uncommon})").select("landed_file").head(1):
        raise EngineError(
            f"{found[0].landed_file} has rows without an id and with times before the year 1 or after 9999, which only"
            " Spark identifies: set spark.engine to spark for this merge, or move the file away"
        )


def quarantined(rows: DataFrame) -> DataFrame:
    """Rejected, identified rows in QUARANTINE's columns, the first arrival of each."""
    first = first_arrivals(rows, ("event_id",))
    return first.withColumn("quarantined_at", F.current_timestamp()).select(*QUARANTINE.names)


def first_arrivals(rows: DataFrame, identity: Sequence[str]) -> DataFrame:
    """The first arrival of each: of those that claim one place in one file, the same one in every run and on each engine."""
    others = [name for name in LANDED.names if name not in {*ARRIVAL, *identity}]
    arrivals = Window.partitionBy(*identity).orderBy(*ARRIVAL, *others)
    return rows.withColumn("arrival", F.row_number().over(arrivals)).where("arrival = 1")


def refused_files(spark: SparkSession, refused: Sequence[Delivery]) -> DataFrame:
    """Refused files in QUARANTINE's columns: one row each."""
    rows = [(f"refused-{d.landed_file}", d.landed_file, [d.file.reason]) for d in refused]
    named = spark.createDataFrame(rows, "event_id string, landed_file string, reasons array<string>")
    empty = {f.name: F.lit(None).cast(f.dataType) for f in QUARANTINE if f.name not in named.columns}
    return named.withColumns(empty | {"quarantined_at": F.current_timestamp()}).select(*QUARANTINE.names)


def insert_new(rows: DataFrame, path: Path, identity: Sequence[str], among: str | None = None) -> None:
    """Insert those ``rows`` into the table at ``path`` whose identity it does not hold yet.

    :param rows: unique in ``identity``. Columns that the table has and they have not become null.
    :param among: a condition on the table's rows, ``t``: no other is the same, whatever its identity. Hours, for one, since
        a duplicate has its original's timestamp: files of others need not be read.
    """
    conditions = [f"t.{name} <=> s.{name}" for name in identity]
    if among is not None:
        conditions.append(among)
    columns = [f"`{name}`" for name in rows.columns]
    rows.createOrReplaceTempView("new_rows")
    rows.sparkSession.sql(
        f"MERGE INTO {table(path)} AS t USING new_rows AS s ON {' AND '.join(conditions)}"
        f" WHEN NOT MATCHED THEN INSERT ({', '.join(columns)}) VALUES ({', '.join(f's.{name}' for name in columns)})"
    )


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


def count(
    spark: SparkSession,
    lake: Lake,
    rows: DataFrame,
    taken: Sequence[Delivery],
    hours: str,
    *,
    has_rejected: bool,
) -> list[FileFigures]:
    """Where the rows of each delivery are now, looked up in the tables. An action.

    A row is merged (or quarantined) if the table holds its identity from this very delivery, once; every other arrival of
    an identity that a table holds is a duplicate. A row that no table holds is counted nowhere, and shows.
    """  # fmt: skip
    merged = spark.read.format("delta").load(str(lake.merged)).alias("t").where(hours)
    found = located(rows.transform(accepted), merged, IDENTITY)
    if has_rejected:
        quarantine = spark.read.format("delta").load(str(lake.quarantine)).alias("t").where(IS_ROW)
        found = found.unionByName(located(rows.transform(rejected), quarantine, ("event_id",)))
    figures = {d.landed_file: figures_of(d) for d in taken}
    for row in found.collect():
        figures[row.landed_file] = added(figures[row.landed_file], row.reasons, row.homes, row.duplicates)
    return list(figures.values())


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


def added(file: FileFigures, reasons: Sequence[str], homes: int, duplicates: int) -> FileFigures:
    """A file's figures and those of its rows with these reasons; none: its accepted rows."""
    counts = dict(file.reasons)
    for reason in reasons:
        if homes:
            counts[reason] = counts.get(reason, 0) + homes
    kind = "quarantined" if reasons else "merged"
    return replace(file, duplicates=file.duplicates + duplicates, reasons=counts, **{kind: getattr(file, kind) + homes})


def figures_of(delivery: Delivery) -> FileFigures:
    """A taken delivery's figures before its rows are found. It has as many as the check read, whatever Spark read."""
    return FileFigures(
        delivery.landed_file, delivery.file.path.name, delivery.file.rows, 0, 0, 0, stamp=delivery.file.stamp
    )


def refused_figures(delivery: Delivery) -> FileFigures:
    """A refused file counts as one row, quarantined."""
    return FileFigures(
        landed_file=delivery.landed_file, name=delivery.file.path.name, rows=1, merged=0, duplicates=0, quarantined=1,
        reasons={delivery.file.reason: 1}, refused=delivery.file.refused, stamp=delivery.file.stamp,
    )  # fmt: skip
