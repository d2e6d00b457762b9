"""The cleaner's heart: what has landed into ``merged/``, ``quarantine/`` and ``delta/``, every row once.

    logs_to_merge/ -> normalised -> checked -+-> accepted -> unique -> merged/ -> enriched -> delta/
                                             +-> rejected -> identified -> quarantine/

Each arrow into a table inserts only what it does not hold by identity, so a pass that is killed anywhere is simply run again.
What a pass did is then counted in the tables themselves, not taken from what it meant to do.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cleaner import small_pass
from cleaner.enrich import delta_schema, enriched, require_promotable
from cleaner.figures import figures_of, refused_figures
from cleaner.insert import insert_new
from cleaner.landing import Delivery, read_landed
from cleaner.large_pass import merge_large
from cleaner.steps import IDENTITY, IS_REFUSED, QUARANTINE_IDENTITY
from lakehouse.countries import require_database
from lakehouse.lake import Lake
from lakehouse.ledger import FileFigures
from lakehouse.rules import checked, normalised
from lakehouse.schema import MERGED, QUARANTINE
from lakehouse.settings import Settings
from lakehouse.tables import create_table

BY_DAY = ("event_date",)

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
        insert_new(refused_files(refused), lake.quarantine, QUARANTINE_IDENTITY, IS_REFUSED)
    figures = [refused_figures(d) for d in refused]
    if not any(d.file.rows for d in taken):
        return figures + [figures_of(d) for d in taken]

    now = F.lit(datetime.now(UTC))  # one for all queries: not every engine keeps what they share
    rows = read_landed(spark, taken).transform(normalised).transform(checked, settings.rules, now)
    merge_rows = small_pass.merge_small if small_pass.is_small(taken) else merge_large
    return figures + merge_rows(spark, settings, rows, taken)


def complete_delta(spark: SparkSession, settings: Settings) -> None:
    """Give ``delta/`` what ``merged/`` has and it lacks."""
    log.warning("delta/ lacks rows of merged/: filling it anew from there")
    create_tables(settings)
    merged = spark.read.format("delta").load(str(settings.lake.merged))
    rows = merged.transform(enriched, settings.enrichment, is_bounded=False)
    insert_new(rows, settings.lake.delta, IDENTITY)


def complete_merged(spark: SparkSession, lake: Lake) -> None:
    """Give ``merged/`` what ``delta/`` has and it lacks, after it lost commits: the same rows, which were only enriched."""
    log.warning("merged/ lacks rows that delta/ has: taking them back from there")
    create_record(lake)
    enriched_rows = spark.read.format("delta").load(str(lake.delta))
    insert_new(enriched_rows.select(*MERGED.names), lake.merged, IDENTITY)


def refused_files(refused: Sequence[Delivery]) -> pa.Table:
    """Refused files in columns of QUARANTINE: one row each."""
    now = datetime.now(UTC)
    return pa.table(
        {
            "event_id": [f"refused-{d.landed_file}" for d in refused],
            "landed_file": [d.landed_file for d in refused],
            "reasons": [[d.file.reason] for d in refused],
            "quarantined_at": pa.array([now] * len(refused), pa.timestamp("us", "UTC")),
        }
    )
