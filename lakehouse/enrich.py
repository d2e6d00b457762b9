"""Agents joined to requests: parsed once for each distinct agent, on the driver, and joined back."""

from collections.abc import Iterable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.agents import parse_agent

AGENTS = "agent string, browser string, os string, device string, is_bot boolean"


def with_agents(requests: DataFrame, agents: Iterable[str | None] | None = None) -> DataFrame:
    """``requests`` with browser, os, device and is_bot of their ``agent``.

    :param agents: the distinct ones, where they are known. Otherwise they are looked up: an action.
    """
    if agents is None:
        agents = [row.agent for row in requests.select("agent").distinct().collect()]
    parsed = ((agent, parse_agent(agent)) for agent in agents)
    rows = [(agent, p.browser, p.os, p.device, p.is_bot) for agent, p in parsed]
    known = requests.sparkSession.createDataFrame(rows, AGENTS).withColumnRenamed("agent", "known_agent")
    is_same = F.col("agent").eqNullSafe(F.col("known_agent"))
    return requests.join(F.broadcast(known), on=is_same, how="left").drop("known_agent")
