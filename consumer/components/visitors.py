"""Visitors of a batch: one row per day, IP and agent, with its figures. Every running metric is a roll-up of these."""

from collections.abc import Iterable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.enrich import with_bots

GRAIN = ("event_date", "ip", "agent")


def visitors(requests: DataFrame) -> DataFrame:
    """One row per (event_date, ip, agent) of ``requests``.

    :param requests: event_date, ip, agent, status, bytes, timestamp.
    :return: GRAIN, requests, bytes, client_errors (4xx), server_errors (5xx), first_seen, last_seen.
    """
    status = F.col("status")
    return requests.groupBy(*GRAIN).agg(
        F.count(F.lit(1)).alias("requests"),
        F.coalesce(F.sum("bytes"), F.lit(0)).alias("bytes"),
        F.count_if(status.between(400, 499)).alias("client_errors"),
        F.count_if(status.between(500, 599)).alias("server_errors"),
        F.min("timestamp").alias("first_seen"),
        F.max("timestamp").alias("last_seen"),
    )


def with_bot_requests(visitors: DataFrame, agents: Iterable[str | None]) -> DataFrame:
    """``visitors`` with ``bot_requests`` by today's knowledge of their ``agents``: all of a bot's, none of anyone else's."""
    known = with_bots(visitors, agents)
    return known.withColumn("bot_requests", F.when(F.col("is_bot"), F.col("requests")).otherwise(0))
