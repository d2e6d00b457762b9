"""Running metrics: visitors rolled up by day, by IP and by agent, with mergeable sketches for distinct counts."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.metric_columns import METRIC_COLUMNS, METRIC_KEYS

SUMS = ("requests", "bytes", "client_errors", "server_errors", "bot_requests")


def sketched(visitors: DataFrame, grain: str, lg_k: int) -> DataFrame:
    """One row per day and key, with a HyperLogLog sketch (Apache DataSketches) in place of each distinct count.

    :param lg_k: log2 of the sketch's size; its relative standard error is 1.04 / sqrt(2 ** lg_k).
    :return: the keys, sums, first_seen, last_seen, and ``<count>_sketch`` for each of ``sketches(grain)``.
    """
    keys = {"visitors": F.xxhash64("ip", F.col("agent").isNull(), "agent"), "ips": F.xxhash64("ip")}
    distinct = [F.hll_sketch_agg(keys[name], lg_k).alias(f"{name}_sketch") for name in sketches(grain)]
    return _rolled_up(visitors, grain, distinct)


def sketches(grain: str) -> tuple[str, ...]:
    """The distinct counts of a grain that streaming keeps as sketches."""
    return tuple(name for name in ("visitors", "ips") if name in METRIC_COLUMNS[grain])


def _rolled_up(visitors: DataFrame, grain: str, distinct: list[Column]) -> DataFrame:
    return visitors.groupBy(*METRIC_KEYS[grain]).agg(
        *(F.sum(name).alias(name) for name in SUMS),
        F.min("first_seen").alias("first_seen"),
        F.max("last_seen").alias("last_seen"),
        *distinct,
    )
