"""Visitors: one row per day, IP and agent, with its figures. Every metric is a roll-up of these, in stream and batch."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

GRAIN = ("event_date", "ip", "agent")


def visitors(requests: DataFrame) -> DataFrame:
    """One row per (event_date, ip, agent) of ``requests``.

    :param requests: event_date, ip, agent, status, bytes, timestamp, is_bot.
    :return: GRAIN, requests, bytes, client_errors (4xx), server_errors (5xx), bot_requests, first_seen, last_seen.
    """
    status = F.col("status")
    return requests.groupBy(*GRAIN).agg(
        F.count(F.lit(1)).alias("requests"),
        F.coalesce(F.sum("bytes"), F.lit(0)).alias("bytes"),
        F.count_if(status.between(400, 499)).alias("client_errors"),
        F.count_if(status.between(500, 599)).alias("server_errors"),
        F.count_if("is_bot").alias("bot_requests"),
        F.min("timestamp").alias("first_seen"),
        F.max("timestamp").alias("last_seen"),
    )
