"""The plain streaming version: a query for each table, landed files grouped, each batch's groups merged into Delta.

As tutorials have it, but for the number of shuffle partitions, which is the machine's cores instead of 200. It knows neither
duplicates nor rules, keeps no archive, and a batch that is run again after a crash is counted right only because Spark
keeps the groups' whole state.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from lakehouse.metric_columns import METRIC_KEYS
from lakehouse.schema import LANDED


def main() -> None:
    """Count ``LAKE/logs_to_merge/`` in ``LAKE/metrics/streaming/``, until ended; with ``--once`` what is there."""
    lake, is_once = Path(sys.argv[1]), "--once" in sys.argv
    spark = (
        SparkSession.builder.appName("PlainStream")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", str(os.cpu_count()))
        .getOrCreate()
    )
    queries = [start(spark, lake, grain, is_once=is_once) for grain in METRIC_KEYS]
    for query in queries:
        query.awaitTermination()


def start(spark: SparkSession, lake: Path, grain: str, *, is_once: bool) -> StreamingQuery:
    """The query of one table."""
    landed = spark.readStream.schema(LANDED).parquet(str(lake / "logs_to_merge"))
    requests = landed.withColumn("event_date", F.to_date("timestamp"))
    figures = requests.groupBy(*METRIC_KEYS[grain]).agg(
        F.count(F.lit(1)).alias("requests"),
        F.approx_count_distinct(F.struct("ip", "agent")).alias("visitors"),
        F.coalesce(F.sum("bytes"), F.lit(0)).alias("bytes"),
        F.count_if(F.col("status").between(400, 499)).alias("client_errors"),
        F.count_if(F.col("status").between(500, 599)).alias("server_errors"),
    )
    writer = figures.writeStream.outputMode("update").foreachBatch(merge(lake / "metrics" / "streaming" / grain, grain))
    writer = writer.option("checkpointLocation", str(lake / "_checkpoints" / grain))
    return (writer.trigger(availableNow=True) if is_once else writer).start()


def merge(table: Path, grain: str) -> Callable[[DataFrame, int], None]:
    """What writes a batch: the groups' new figures in the place of the old ones."""
    is_same = " AND ".join(f"t.{key} <=> s.{key}" for key in METRIC_KEYS[grain])

    def write(figures: DataFrame, _batch_id: int) -> None:
        if not (table / "_delta_log").exists():
            figures.limit(0).write.format("delta").save(str(table))
        figures.createOrReplaceTempView("figures")
        figures.sparkSession.sql(
            f"MERGE INTO delta.`{table}` AS t USING figures AS s ON {is_same}"
            " WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )

    return write


if __name__ == "__main__":
    main()
