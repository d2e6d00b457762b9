"""Archive the classes that Spark and Delta load (class data sharing), so that a JVM maps them instead of reading JARs. I/O.

Most of what a short job's JVM does is to load classes. A rehearsal of what the programs ask of Spark, on a few rows, has
a JVM load them; it writes the archive as it ends. A JVM of another version takes no notice of it.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from subprocess import Popen

EXIT_SECONDS = 600
CONF = {
    "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR",
    "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",  # 50 by default
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
}  # fmt: skip


def main() -> int:
    """Write ``spark-classes.jsa`` beside pyspark's JARs, unless it is newer than these."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    home = Path(pyspark.__file__).parent
    archive = home / "spark-classes.jsa"
    if archive.exists() and archive.stat().st_mtime > max(jar.stat().st_mtime for jar in (home / "jars").glob("*.jar")):
        return 0
    made = archive.with_name(f".{archive.name}")
    made.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        spark = session(
            f"-XX:+UseSerialGC -XX:ArchiveClassesAtExit={made} -Xlog:disable -Xlog:all=error:stderr", folder
        )
        jvm: Popen[bytes] = spark.sparkContext._gateway.proc  # type: ignore[union-attr]
        try:
            rehearse(spark, Path(folder))
            spark.stop()
            assert jvm.stdin is not None
            jvm.stdin.close()  # the JVM ends, and writes
            has_written = jvm.wait(EXIT_SECONDS) == 0
        finally:
            jvm.kill()
    if not (has_written and made.exists()):
        print("The JVM wrote no archive of its classes; jobs will start more slowly, and run all the same.")
        return 0
    made.replace(archive)
    return 0


def session(options: str, folder: str) -> SparkSession:
    """A session of a JVM with these options."""
    builder = SparkSession.builder.master("local[2]").config("spark.driver.extraJavaOptions", options)
    for key, value in (CONF | {"spark.sql.warehouse.dir": folder}).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def rehearse(spark: SparkSession, folder: Path) -> None:
    """What the programs do with Spark, on a few rows."""
    landed, table, metrics = folder / "landed", folder / "table", folder / "metrics"
    rows = spark.range(100).select(
        F.concat(F.lit("e"), F.col("id")).alias("event_id"), F.timestamp_seconds(F.col("id") * 3600).alias("timestamp"),
        F.when(F.col("id") % 3 == 0, "-").otherwise("x").alias("agent"), F.lit(200).alias("status"),
        F.lit('{"a": [1, "2"]}').alias("json"),
    ).withColumn("event_date", F.to_date("timestamp"))  # fmt: skip
    rows.write.parquet(str(landed))
    rows.select("json").write.text(str(folder / "lines"))
    rows.limit(0).write.format("delta").partitionBy("event_date").save(str(table))
    known = spark.createDataFrame([("x", True)], "known string, is_bot boolean")
    for _ in range(2):
        kept = checked(spark.read.schema(rows.schema).parquet(str(landed))).persist()
        kept.agg(F.collect_set(F.date_trunc("hour", "timestamp")), F.max(F.size("reasons"))).collect()
        first = kept.withColumn("n", F.row_number().over(Window.partitionBy("event_id").orderBy("timestamp")))
        joined = first.where("n = 1").join(F.broadcast(known), F.col("agent").eqNullSafe(F.col("known")), "left")
        insert(joined.select(*rows.columns), table)
        read = spark.read.format("delta").load(str(table))
        found = kept.groupBy("event_id").count().join(read.select("event_id"), on="event_id")
        found.groupBy("event_id").agg(F.sum("count"), F.min("count")).collect()
        kept.unpersist()
    lines = spark.read.text(str(folder / "lines")).withColumn("value", F.from_json("value", "a map<string, variant>"))
    lines.select(F.to_json("value"), F.json_object_keys(F.to_json("value"))).collect()
    days = read.groupBy("event_date", "agent").agg(
        F.count(F.lit(1)).alias("requests"), F.countDistinct("event_id").alias("ids"), F.max("timestamp").alias("last")
    )
    days.write.format("delta").partitionBy("event_date").save(str(metrics))
    first_day = "event_date IN (DATE'1970-01-01')"
    again = days.where(first_day).coalesce(1).write.format("delta").mode("overwrite")
    again.option("replaceWhere", first_day).save(str(metrics))
    spark.sql(f"OPTIMIZE delta.`{table}` WHERE event_date >= '1970-01-01' ZORDER BY (`timestamp`)")
    spark.sql(f"VACUUM delta.`{table}`")
    stream(spark, rows, landed, folder, table)


def checked(rows: DataFrame) -> DataFrame:
    """Rows with reasons."""
    reasons = F.array_compact(F.array(F.when(F.col("status") > 599, "status"), F.when(F.trim("agent") == "", "agent")))
    return rows.withColumn("reasons", reasons)


def insert(rows: DataFrame, table: Path) -> None:
    """A MERGE that only inserts, and looks at some hours alone."""
    rows.createOrReplaceTempView("new_rows")
    rows.sparkSession.sql(
        f"MERGE INTO delta.`{table}` AS t USING new_rows AS s ON t.event_id <=> s.event_id AND t.timestamp <=> s.timestamp"
        " AND (t.timestamp >= TIMESTAMP'1970-01-01 00:00:00' AND t.timestamp < TIMESTAMP'1970-01-03 00:00:00')"
        " WHEN NOT MATCHED THEN INSERT *"
    )


def stream(spark: SparkSession, rows: DataFrame, landed: Path, folder: Path, table: Path) -> None:
    """A query that archives, and one that removes duplicates and merges."""
    arriving = spark.readStream.schema(rows.schema).parquet(str(landed))
    archived = arriving.writeStream.format("parquet").option("path", str(folder / "archive"))
    unique = arriving.withWatermark("timestamp", "1 hour").dropDuplicatesWithinWatermark(["event_id"])
    merged = unique.writeStream.foreachBatch(lambda batch, _: insert(batch, table))
    for name, query in (("archived", archived), ("merged", merged)):
        ready = query.option("checkpointLocation", str(folder / f"_{name}")).trigger(availableNow=True)
        ready.start().awaitTermination()


if __name__ == "__main__":
    sys.exit(main())
