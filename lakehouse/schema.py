"""The record at each layer, as Spark types. These constants are the reference; the grain stands beside each."""

import json

from pyspark.sql import types as T

from lakehouse.metric_columns import SHARED_TABLES

STRING, INT, LONG, TIMESTAMP = T.StringType(), T.IntegerType(), T.LongType(), T.TimestampType()


def _schema(*fields: tuple[str, T.DataType]) -> T.StructType:
    return T.StructType([T.StructField(name, kind) for name, kind in fields])


# One row per received line, as the producer lands it. `raw` is the line itself where it did not parse, else null.
# `rescued` is a JSON object of what came with the line and has no column, null where nothing is left.
LANDED = _schema(
    ("event_id", STRING), ("timestamp", TIMESTAMP), ("ip", STRING), ("user", STRING), ("method", STRING),
    ("path", STRING), ("query", STRING), ("protocol", STRING), ("status", INT), ("bytes", LONG), ("referer", STRING),
    ("agent", STRING), ("site", STRING), ("source", STRING), ("source_offset", LONG), ("ingested_at", TIMESTAMP),
    ("raw", STRING), ("rescued", STRING),
)  # fmt: skip

# One row per received line: LANDED as it came, with its file and when the archive took it.
ARCHIVED = T.StructType([*LANDED.fields, T.StructField("landed_file", STRING), T.StructField("archived_at", TIMESTAMP)])

# One row per request, cleaned and unique: the record.
MERGED = _schema(
    ("event_id", STRING), ("timestamp", TIMESTAMP), ("event_date", T.DateType()), ("ip", STRING), ("user", STRING),
    ("method", STRING), ("path", STRING), ("query", STRING), ("protocol", STRING), ("status", INT), ("bytes", LONG),
    ("referer", STRING), ("agent", STRING), ("site", STRING), ("source", STRING), ("source_offset", LONG),
    ("ingested_at", TIMESTAMP), ("landed_file", STRING), ("rescued", STRING),
)  # fmt: skip

# One row per request: MERGED, enriched for questions. `country` comes after these where the setting `geoip.database` is
# made, then the columns of the setting `promoted`.
DELTA = T.StructType([
    *MERGED.fields,
    *_schema(
        ("browser", STRING), ("os", STRING), ("device", STRING), ("is_bot", T.BooleanType()), ("bot", STRING),
        ("bot_class", STRING), ("status_class", STRING),
    ).fields,
])  # fmt: skip
COUNTRY = T.StructField("country", STRING)

# One row per rejected row or refused file, with every reason. A refused file has `landed_file`, `reasons` and an id only.
QUARANTINE = T.StructType([
    *LANDED.fields,
    *_schema(
        ("landed_file", STRING), ("reasons", T.ArrayType(STRING)), ("quarantined_at", TIMESTAMP)
    ).fields,
])  # fmt: skip

# The metrics tables that stream and batch share; their columns and grains are in ``metric_columns``.
METRICS = {grain: T.StructType.fromJson(json.loads(table.json())) for grain, table in SHARED_TABLES.items()}
