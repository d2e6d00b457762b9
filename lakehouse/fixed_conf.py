"""Spark's settings that figures or identities depend on: each session has them so, and ``spark.conf`` cannot change them."""

from typing import NamedTuple


class Fixed(NamedTuple):
    """The one value that a setting of Spark may have here, and why no other."""

    value: str
    reason: str


# Any session takes these, a remote one too.
FIXED_SQL = {
    "spark.sql.session.timeZone": Fixed("UTC", "days, and the ids of rows that come without one, are made in it"),
    "spark.sql.parquet.outputTimestampType": Fixed("TIMESTAMP_MICROS", "INT96 is read wrongly elsewhere"),
    "spark.sql.mapKeyDedupPolicy": Fixed(
        "LAST_WIN", "JSON may have a key twice; that is no reason for a query to fail"
    ),
    "spark.sql.files.ignoreCorruptFiles": Fixed("false", "rows of a damaged file would go missing without a word"),
    "spark.sql.files.ignoreMissingFiles": Fixed("false", "rows of a missing file would go missing without a word"),
}
# Only a JVM at its start takes these.
FIXED_STATIC = {
    "spark.sql.extensions": Fixed("io.delta.sql.DeltaSparkSessionExtension", "the lake's tables are Delta's"),
    "spark.sql.catalog.spark_catalog": Fixed(
        "org.apache.spark.sql.delta.catalog.DeltaCatalog", "the lake's tables are Delta's"
    ),
}
FIXED = FIXED_SQL | FIXED_STATIC


def values(fixed: dict[str, Fixed]) -> dict[str, str]:
    """The settings as a session takes them."""
    return {key: setting.value for key, setting in fixed.items()}
