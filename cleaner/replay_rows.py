"""Quarantined rows before today's rules: which pass, which ``merged/`` holds, and their way out of quarantine.

    quarantine/ -> landed_again -> normalised -> checked -+-> passing -> unique -> merged/ -> enriched -> delta/
                                                          +-> placed in merged/ -> out of quarantine/

What leaves is looked up in ``merged/`` after the insert, so that a run that is killed anywhere is simply run again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from cleaner.enrich import enriched
from cleaner.figures import added
from cleaner.insert import insert_new
from cleaner.steps import IDENTITY, IS_ROW, unique
from lakehouse.lake import Lake
from lakehouse.landed import JSON_SUFFIXES
from lakehouse.ledger import FileFigures
from lakehouse.ndjson import landed_rows
from lakehouse.rules import LATEST, checked, normalised
from lakehouse.schema import MERGED
from lakehouse.settings import Rules, Settings
from lakehouse.sql import Range, range_condition, table

if TYPE_CHECKING:
    from cleaner.replay import Asked

# A delivery of a landed NDJSON file: its name, and a number if it is not the first under that name.
JSON_DELIVERY = rf"({'|'.join(sorted(JSON_SUFFIXES)).replace('.', '[.]')})(/[0-9]+)?$"
NO_ID = "no event_id"


def heard(quarantined: DataFrame, rules: Rules, asked: "Asked") -> DataFrame:
    """Quarantined rows after today's rules: as ``landed_again`` and ``checked`` give them, and ``passes``."""
    rows = quarantined.transform(landed_again).transform(normalised).transform(checked, rules)
    rows = rows.withColumn("is_asked", is_asked(asked))
    return rows.withColumn("passes", F.col("is_asked") & (F.size("reasons") == 0))


def landed_again(quarantined: DataFrame) -> DataFrame:
    """Quarantined rows as they would land today; refused files are left out.

    A landed line of JSON is read again, and taken if it still has the id that it is known by: a line of a log that only
    looks like one cannot make itself another request. A row that came without an id has none again.

    :return: LANDED's columns, ``landed_file``, ``quarantined_at``, and what quarantine knows the row by: ``quarantined_id``
        and ``past_reasons``.
    """
    has_its_id = F.get_json_object("raw", "$.event_id") == F.col("event_id")
    is_line = F.col("landed_file").rlike(JSON_DELIVERY) & has_its_id
    known = {
        "quarantined_id": F.col("event_id"), "past_reasons": F.col("reasons"), "json": F.when(is_line, F.col("raw")),
    }  # fmt: skip
    rows = quarantined.alias("t").where(IS_ROW).withColumns(known)
    again = landed_rows(rows, "landed_file", "quarantined_at", "quarantined_id", "past_reasons")
    is_its_own = (F.col("event_id") == F.col("quarantined_id")) & ~F.array_contains("past_reasons", NO_ID)
    return again.withColumn("event_id", F.when(is_its_own, F.col("event_id")))


def is_asked(asked: "Asked") -> Column:
    """Whether a row is one of those that were asked for."""
    day = F.to_date("quarantined_at")
    condition: Column = F.lit(True)
    if asked.reasons:
        condition &= F.arrays_overlap("past_reasons", F.array(*(F.lit(reason) for reason in asked.reasons)))
    if asked.since:
        condition &= day >= F.lit(asked.since)
    if asked.until:
        condition &= day <= F.lit(asked.until)
    return condition


@dataclass(frozen=True)
class Hearing:
    """How many rows were asked for, how many of these pass, and the hours of those and of all rows."""

    rows: int
    passed: int
    passing_hours: list[datetime]
    hours: list[datetime]


def summary(rows: DataFrame) -> Hearing:
    """What heard ``rows`` hold. An action."""
    is_real = F.year("event_date").between(1, LATEST.year)  # no other can be in merged/, and Python has no such hours
    hour = F.when(is_real, F.unix_seconds(F.date_trunc("hour", "timestamp"))).alias("hour")
    found = rows.groupBy(hour, "is_asked", "passes").count().collect()
    return Hearing(
        rows=sum(f["count"] for f in found if f.is_asked),
        passed=sum(f["count"] for f in found if f.passes),
        passing_hours=_times(f.hour for f in found if f.passes),
        hours=_times(f.hour for f in found),
    )


def _times(hours: Iterable[int | None]) -> list[datetime]:
    return [datetime.fromtimestamp(hour, UTC) for hour in sorted({h for h in hours if h is not None})]


def merge_passing(rows: DataFrame, lake: Lake, ranges: Sequence[Range]) -> None:
    """Insert the heard rows that pass into ``merged/``, but for those that it holds."""
    insert_new(rows.where("passes").transform(unique), lake.merged, IDENTITY, range_condition("t", ranges))


def enrich_placed(leaving: DataFrame, settings: Settings, ranges: Sequence[Range]) -> None:
    """Insert the requests that ``merged/`` has from these rows into ``delta/``, as they stand there."""
    lake = settings.lake
    hours = range_condition("t", ranges)
    merged = leaving.sparkSession.read.format("delta").load(str(lake.merged)).alias("t").where(hours)
    brought = leaving.where("is_merged").select(*IDENTITY)
    theirs = merged.join(brought, on=list(IDENTITY), how="left_semi")
    insert_new(theirs.select(*MERGED.names).transform(enriched, settings.enrichment), lake.delta, IDENTITY, hours)


def placed(rows: DataFrame, merged: DataFrame, ranges: Sequence[Range]) -> DataFrame:
    """The heard rows that pass or whose request ``merged`` holds.

    A row without a time has only its id to be known by. The row in ``merged`` is this very one if it has all its columns,
    the delivery's name among them; otherwise this one is its duplicate.

    :return: ``quarantined_id``, ``event_id``, ``timestamp``, ``landed_file``, ``past_reasons``, ``is_held``: whether
        ``merged`` holds the request; ``is_merged``: whether it is there as this row, or would be; if not, it is a duplicate.
    """
    stored = [F.col(name).alias(f"stored_{name}") for name in MERGED.names]
    requests = merged.alias("t").where(range_condition("t", ranges)).select(*stored)
    is_same_request = reduce(and_, (F.col(name) == F.col(f"stored_{name}") for name in IDENTITY))
    is_same_row = reduce(and_, (F.col(name).eqNullSafe(F.col(f"stored_{name}")) for name in MERGED.names))
    is_held = F.col("stored_event_id").isNotNull()
    timed = rows.where("timestamp IS NOT NULL").join(requests, on=is_same_request, how="left")
    timed = timed.where(F.col("passes") | is_held).withColumns(
        {"is_held": is_held, "is_merged": ~is_held | is_same_row}
    )

    untimed = rows.where("timestamp IS NULL AND event_id IS NOT NULL")
    held_ids = merged.join(untimed.select("event_id"), on="event_id", how="left_semi").select("event_id").distinct()
    untimed = untimed.join(held_ids, on="event_id", how="inner")
    untimed = untimed.withColumns({"is_held": F.lit(True), "is_merged": F.lit(False)})
    columns = ("quarantined_id", *IDENTITY, "landed_file", "past_reasons", "is_held", "is_merged")
    return timed.select(*columns).unionByName(untimed.select(*columns))


@dataclass(frozen=True)
class Group:
    """How many rows of one delivery, quarantined for the same reasons, are merged or duplicates now."""

    landed_file: str
    reasons: tuple[str, ...]
    is_merged: bool
    rows: int


def groups(placed_rows: DataFrame) -> list[Group]:
    """The placed rows, counted. An action."""
    found = placed_rows.groupBy("landed_file", "past_reasons", "is_merged").count().collect()
    return [Group(f.landed_file, tuple(f.past_reasons), f.is_merged, f["count"]) for f in found]


def remove(leaving: DataFrame, quarantine: Path, commit: Mapping[str, str]) -> None:
    """Take exactly these rows out of quarantine, in one commit.

    :param commit: settings of the session that Delta writes down with it.
    """
    session = leaving.sparkSession
    leaving.select("quarantined_id").createOrReplaceTempView("leaving_rows")
    for key, value in commit.items():
        session.conf.set(key, value)
    try:
        session.sql(
            f"MERGE INTO {table(quarantine)} AS t USING leaving_rows AS s ON t.event_id = s.quarantined_id"
            f" AND {IS_ROW} WHEN MATCHED THEN DELETE"
        )
    finally:
        for key in commit:
            session.conf.unset(key)


def recounted(
    spark: SparkSession, lake: Lake, files: Sequence[FileFigures], duplicates: Mapping[str, int]
) -> list[FileFigures]:
    """The figures of these deliveries as the tables have them now. An action.

    :param duplicates: by delivery: rows that no table has.
    """
    names = [f.landed_file for f in files]
    lake_table = spark.read.format("delta")
    merged = lake_table.load(str(lake.merged)).select("landed_file", F.array().cast("array<string>").alias("reasons"))
    quarantined = lake_table.load(str(lake.quarantine)).select("landed_file", "reasons")
    there = merged.unionByName(quarantined).where(F.col("landed_file").isin(names))
    figures = {
        f.landed_file: replace(f, merged=0, duplicates=duplicates[f.landed_file], quarantined=0, reasons={}) for f in files
    }  # fmt: skip
    for row in there.groupBy("landed_file", "reasons").count().collect():
        figures[row.landed_file] = added(figures[row.landed_file], row.reasons, row["count"], 0)
    return list(figures.values())
