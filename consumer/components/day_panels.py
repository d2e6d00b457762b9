"""Figures of days, and the agents and IPs with the most requests, from the tables that can answer under given filters. I/O."""

from dataclasses import fields
from datetime import date
from typing import Any

from consumer.components.figures import Figures, Ranked, Top
from consumer.components.filters import Filters
from consumer.components.table_reader import TableReader

NOBODY = Top((), ())


def days(reader: TableReader, mode: str, filters: Filters) -> dict[date, Figures]:
    """The figures of each day; none where the mode has no table that can answer."""
    if not filters.is_by_request:
        names = ", ".join(field.name for field in fields(Figures))
        return _figures(reader.rows(mode, "daily", f"SELECT event_date, {names} FROM t"))
    return _filtered_days(reader, filters) if mode == "batch" else {}


def _filtered_days(reader: TableReader, filters: Filters) -> dict[date, Figures]:
    """From ``site``, where humans, bots and both have counts of their own, and so has each site and all of them."""
    bot_requests = {None: "bots", True: "requests", False: "0"}[filters.is_bot]
    query = f"""
        WITH every AS (
            SELECT *, coalesce(sum(requests) FILTER (is_bot) OVER (PARTITION BY event_date), 0) AS bots
            FROM t WHERE is_all_sites = $is_all_sites AND {filters.site_condition}
        )
        SELECT event_date, requests, visitors, ips, bytes, client_errors, server_errors, {bot_requests}
        FROM every WHERE is_bot IS NOT DISTINCT FROM $is_bot
    """
    parameters = filters.parameters | {"is_all_sites": filters.site is None, "is_bot": filters.is_bot}
    return _figures(reader.rows("batch", "site", query, parameters))


def _figures(rows: list[tuple[Any, ...]]) -> dict[date, Figures]:
    return {day: Figures(*(value or 0 for value in figures)) for day, *figures in rows}


def top(reader: TableReader, mode: str, key: str, filters: Filters, limit: int, *, has_visitors: bool) -> Top:
    """The agents or IPs with the most requests of humans, and of bots; nobody where no table can answer.

    :param key: ``agent`` or ``ip``.
    :param has_visitors: the table ``visitor`` is there and has all days. It alone knows the bytes of bots, and sites.
    """
    if has_visitors and mode == "batch":
        bot_sums = """
            coalesce(sum(requests) FILTER (is_bot), 0) AS bot_requests, coalesce(sum(bytes) FILTER (is_bot), 0) AS bot_bytes
        """
        return _top(reader, mode, "visitor", key, bot_sums, filters, limit)
    if filters.is_by_request:
        return NOBODY
    # Both humans and bots may have come from an IP on one day: whose bytes they are, is not known then.
    bot_sums = """
        coalesce(sum(bot_requests), 0) AS bot_requests, CASE WHEN coalesce(bool_or(bot_requests BETWEEN 1 AND requests - 1), false)
        THEN NULL ELSE coalesce(sum(bytes) FILTER (bot_requests > 0), 0) END AS bot_bytes
    """
    return _top(reader, mode, key, key, bot_sums, filters, limit)


def _top(reader: TableReader, mode: str, table: str, key: str, bot_sums: str, filters: Filters, limit: int) -> Top:
    condition = filters.condition if table == "visitor" else "true"
    query = f"""
        WITH sums AS (
            SELECT {key} AS key, sum(requests) AS requests, coalesce(sum(bytes), 0) AS bytes, {bot_sums}
            FROM t WHERE {condition} GROUP BY {key}
        )
        SELECT * FROM (
            SELECT false, key, requests, bot_requests, bytes - bot_bytes FROM sums WHERE requests > bot_requests
            ORDER BY requests - bot_requests DESC, key NULLS LAST LIMIT {limit}
        ) UNION ALL SELECT * FROM (
            SELECT true, key, requests, bot_requests, bot_bytes FROM sums WHERE bot_requests > 0
            ORDER BY bot_requests DESC, key NULLS LAST LIMIT {limit}
        )
    """
    rows = reader.rows(mode, table, query, filters.parameters if table == "visitor" else None)
    humans, bots = ([Ranked(*row) for is_bot, *row in rows if is_bot is kind] for kind in (False, True))
    return Top(humans, bots)
