"""Figures by the day of another time zone, from tables whose days are UTC's. I/O by way of the reader."""

from datetime import date
from typing import Any

from consumer.components.day_panels import days
from consumer.components.figures import Figures
from consumer.components.filters import Filters
from consumer.page.reader import LakeReader


def local_days(reader: LakeReader, filters: Filters) -> dict[date, Figures]:
    """The figures of each day; without visitors where these cannot be counted (``has_local_visitors``)."""
    if reader.has_local_days:
        return days(reader, "batch", filters)
    query = f"""
        SELECT event_date, sum(requests), coalesce(sum(bytes), 0), coalesce(sum(requests) FILTER (status BETWEEN 400 AND 499), 0),
            coalesce(sum(requests) FILTER (status BETWEEN 500 AND 599), 0), coalesce(sum(requests) FILTER (is_bot), 0)
        FROM t WHERE {filters.condition} GROUP BY event_date
    """
    visitors = local_visitors(reader, filters, "day") if reader.has_local_visitors else {}
    return {
        day: Figures(int(requests), visitors.get(day, 0), None, int(size), int(client), int(server), int(bots))
        for day, requests, size, client, server, bots in reader.rows("batch", "hourly", query, filters.parameters)
    }


def local_visitors(reader: LakeReader, filters: Filters, key: str) -> dict[Any, int]:
    """The visitors by the day, or those of each day by the site.

    A row of ``visitor`` is of one day in UTC, which has parts of two local ones at most (but for one of 1916, in Dublin). So the
    visitor came on the day of the first request and on that of the last, and on no other.

    :param key: ``day`` or ``site``.
    """
    first, last = (reader.local.day(column) for column in ("first_seen", "last_seen"))
    query = f"""
        WITH seen AS (
            SELECT site, ip, agent, unnest(CASE WHEN {first} = {last} THEN [{first}] ELSE [{first}, {last}] END) AS day
            FROM t WHERE {filters.condition}
        )
        SELECT {key}, count(*) FROM (SELECT DISTINCT {key}, day, ip, agent FROM seen) GROUP BY {key}
    """
    return {value: int(visitors) for value, visitors in reader.rows("batch", "visitor", query, filters.parameters)}
