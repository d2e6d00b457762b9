"""The tables of the exact metrics, ``metrics/batch/``: days counted from ``delta/``, replaced whole. I/O."""

from collections.abc import Set
from datetime import date
from multiprocessing.pool import ThreadPool

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from consumer.components.aggregate import exact
from consumer.components.visitors import bot_requests, visitors
from lakehouse.lake import GRAINS, Lake
from lakehouse.metric_columns import METRIC_KEYS
from lakehouse.sail import is_sail
from lakehouse.schema import METRICS
from lakehouse.sql import day_condition
from lakehouse.tables import FIGURES_HOURS, create_table


def create_tables(lake: Lake) -> None:
    """Create those of the three tables that are not there, and add the columns that those of an older lake lack."""
    for grain in GRAINS:
        create_table(
            lake.metrics("batch", grain), METRICS[grain],
            partition_by=() if grain == "daily" else ("event_date",),
            description=f"one row per {' and '.join(METRIC_KEYS[grain])}: exact figures",
            kept_hours=FIGURES_HOURS,
        )  # fmt: skip


def replace_days(spark: SparkSession, lake: Lake, version: int, days: Set[date] | None) -> None:
    """Count ``days`` of ``delta/`` at ``version`` and replace their rows in each table, in one commit a table.

    In Spark the tables are written side by side: much of each write is planning and Delta's log, which leave cores idle. Sail
    keeps nothing between queries: it would count all days three times at once, in no less time and in twice the memory.

    :param days: ``None`` for all.
    """
    requests = spark.read.format("delta").option("versionAsOf", version).load(str(lake.delta))
    if days is not None:
        requests = requests.where(F.col("event_date").isin(sorted(days)))
    rows = visitors(requests, bot_requests()).persist()
    try:
        # Unlike an executor, it does not wait for its threads when the job is told to end. What they have asked for then ends with
        # the session, or is committed, which is as good: the next run replaces it.
        with ThreadPool(1 if is_sail(spark) else len(GRAINS)) as pool:
            pool.map(lambda grain: replace(exact(rows, grain), lake, grain, days), GRAINS, chunksize=1)
    finally:
        rows.unpersist()


def replace(figures: DataFrame, lake: Lake, grain: str, days: Set[date] | None) -> None:
    """Replace the rows of ``days`` in the table of ``grain``; days without requests vanish."""
    writer = figures.coalesce(1).write.format("delta").mode("overwrite")
    if days is not None:
        writer = writer.option("replaceWhere", day_condition("event_date", days))
    writer.save(str(lake.metrics("batch", grain)))
