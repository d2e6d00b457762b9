"""What is done to checked rows before a table takes them: a ``DataFrame`` in, a ``DataFrame`` out."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lakehouse.errors import EngineError
from lakehouse.json_text import json_text
from lakehouse.landed import REFUSED
from lakehouse.sail import is_sail
from lakehouse.schema import LANDED, MERGED, QUARANTINE

IDENTITY = ("event_id", "timestamp")
QUARANTINE_IDENTITY = ("event_id",)
ARRIVAL = ("landed_file", "source", "source_offset", "ingested_at", "raw")
# A refused file and a row may have one id in quarantine, for a landed row can claim any: they are told apart by the reason.
# As a text each engine spells the array in its own way, but a reason in it as it is.
IS_REFUSED = f"CAST(t.reasons AS STRING) LIKE '%{REFUSED}%'"
IS_ROW = f"NOT {IS_REFUSED}"
COMMON_TIMES = "TIMESTAMP'0001-01-01 00:00:00+00:00' AND TIMESTAMP'9999-12-31 00:00:00+00:00'"


def unique(requests: DataFrame) -> DataFrame:
    """Accepted rows in MERGED's columns, the first arrival of each request."""
    return first_arrivals(requests, IDENTITY).select(*MERGED.names)


def quarantined(rows: DataFrame) -> DataFrame:
    """Rejected, identified rows in QUARANTINE's columns, the first arrival of each."""
    first = first_arrivals(rows, QUARANTINE_IDENTITY)
    return first.withColumn("quarantined_at", F.current_timestamp()).select(*QUARANTINE.names)


def first_arrivals(rows: DataFrame, identity: Sequence[str]) -> DataFrame:
    """The first arrival of each: the same one in every run and on each engine."""
    return rows.withColumn("arrival", arrival(*identity)).where("arrival = 1")


def arrival(*identity: str | Column) -> Column:
    """Which arrival of its identity a row is, from 1: of those that claim one place in one file, in one order everywhere."""
    others = [name for name in LANDED.names if name not in ARRIVAL]
    return F.row_number().over(Window.partitionBy(*identity).orderBy(*ARRIVAL, *others))


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
