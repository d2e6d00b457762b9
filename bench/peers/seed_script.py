"""The obvious Spark script: read all that has landed, clean it, drop duplicates, append what history does not have.

It keeps what most such scripts do: a fresh session with Spark's defaults each minute, no thought of what history holds.
Two lines are kinder than a bare ``dropna().dropDuplicates()`` and ``append``: only the columns that every request has are
required (no request has a value in all), and what is appended is compared with history, or each redelivery would stay.
"""

import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.schema import MERGED

REQUIRED = ["event_id", "timestamp", "ip", "status"]


def main() -> None:
    """Merge ``LAKE/logs_to_merge/`` into ``LAKE/merged/``."""
    lake = Path(sys.argv[1])
    spark = (
        SparkSession.builder.appName("DeltaLakeCleaner")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    landed = spark.read.format("parquet").load(str(lake / "logs_to_merge"))
    named = landed.withColumns({"event_date": F.to_date("timestamp"), "landed_file": F.input_file_name()})
    clean = named.dropna(subset=REQUIRED).select(*MERGED.names)
    merged = spark.read.format("delta").load(str(lake / "merged"))
    identity = ["event_id", "timestamp"]
    new = clean.dropDuplicates(identity).join(merged, on=identity, how="left_anti")
    new.write.format("delta").mode("append").save(str(lake / "merged"))
    spark.stop()


if __name__ == "__main__":
    main()
