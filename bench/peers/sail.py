"""The merge of a minute on pysail, a Spark Connect engine without a JVM: the cleaner's own rules and MERGE statements.

It has none of the cleaner's checks, ledger and counts.
"""

import sys
from pathlib import Path

from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cleaner.delta_lake import IDENTITY, insert_new, summary, unique
from cleaner.enrich import enriched
from lakehouse.rules import accepted, checked, normalised
from lakehouse.schema import LANDED
from lakehouse.settings import Rules
from lakehouse.sql import hour_ranges, range_condition

MAX_RANGES = 200


def main() -> None:
    """Merge ``LAKE/logs_to_merge/`` into ``LAKE/merged/`` and ``LAKE/delta/``."""
    lake = Path(sys.argv[1])
    server = SparkConnectServer()
    server.start(background=True)
    _, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    landed = spark.read.schema(LANDED).parquet(str(lake / "logs_to_merge"))
    rows = landed.withColumn("landed_file", F.lit("minute.parquet")).transform(normalised).transform(checked, Rules())
    hours = range_condition("t", hour_ranges(summary(rows).hours, MAX_RANGES))
    requests = rows.transform(accepted).transform(unique)
    insert_new(requests, lake / "merged", IDENTITY, hours)
    insert_new(requests.transform(enriched, {}), lake / "delta", IDENTITY, hours)
    spark.stop()
    server.stop()


if __name__ == "__main__":
    main()
