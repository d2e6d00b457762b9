"""What the exact metrics count, as SQL for DuckDB. Made of our own names and settings alone: no string from a log gets into it.

    requests -+-> visitor -+-> pair -> ip, agent, daily, site
              |            +-> client, country
              +-> hourly, path, referer

The first four are counted from requests, and add up: what is new is counted by itself and added to what is there. The others
hold distinct counts, which do not add up; they are derived from ``visitor``.
"""

import re
from collections.abc import Iterable

from lakehouse.duck import empty_row, files_table, text
from lakehouse.metric_columns import EXACT_TABLES

COUNTED = ("visitor", "hourly", "path", "referer")
DERIVED = ("ip", "daily", "agent", "site", "client", "country")

# A sum of bytes that is too large for 64 bits stays at the largest number: a log may claim anything.
MACROS = "CREATE TEMP MACRO total(x) AS least(coalesce(sum(x), 0), 9223372036854775807)::BIGINT"

# What counting reads of delta/. A file of an older release lacks some columns, which are null then.
REQUEST_COLUMNS = {
    "timestamp": "TIMESTAMPTZ", "ip": "VARCHAR", "method": "VARCHAR", "path": "VARCHAR", "status": "INTEGER",
    "bytes": "BIGINT", "referer": "VARCHAR", "agent": "VARCHAR", "site": "VARCHAR", "browser": "VARCHAR", "os": "VARCHAR",
    "device": "VARCHAR", "is_bot": "BOOLEAN", "bot": "VARCHAR", "bot_class": "VARCHAR", "status_class": "VARCHAR",
}  # fmt: skip

SUMS = "count(*) AS requests, total(bytes) AS bytes"
ERRORS = """
    count(*) FILTER (status BETWEEN 400 AND 499) AS client_errors,
    count(*) FILTER (status BETWEEN 500 AND 599) AS server_errors
"""
# A URL's host, without the user and the port.
HOST = r"nullif(regexp_extract(lower(referer), '^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(\[[0-9a-f:.]+\]|[^/?#:]*)', 1), '')"
NAME = "regexp_replace(regexp_replace(lower({}), ':[0-9]+$', ''), '^www\\.', '')"
IS_OWN_HOST = f"{NAME.format('referer_host')} = {NAME.format('site')}"

# How a figure of two parts becomes that of both.
ADDED = {
    **dict.fromkeys(("requests", "bytes", "client_errors", "server_errors", "durations"), "total({})"),
    "first_seen": "min({})",
    "last_seen": "max({})",
    "duration_sketch": "add_sketches(list({0}) FILTER ({0} IS NOT NULL))",
}
# The columns whose values anyone can invent: of a day and site so many have rows of their own.
INVENTED = {"path": "path", "referer": "referer"}
# What else is null in the row that the others share.
OF_THE_VALUE = {"path": (), "referer": ("referer_host",)}


# Of an instant, in UTC.
DAY = """make_timestamp(epoch_us("timestamp"))::DATE"""
HOUR = """make_timestamp(epoch_us("timestamp") - epoch_us("timestamp") % 3600000000) AT TIME ZONE 'UTC'"""


def requests_view(
    files: Iterable[str], duration: str | None, *, has_country: bool, condition: str = "true", name: str = "requests",
    day: str = DAY, hour: str = HOUR,
) -> str:  # fmt: skip
    """The view ``requests``: the rows of these files of ``delta/``.

    :param duration: the promoted column whose distribution is kept.
    :param has_country: ``delta/`` has a column ``country``.
    :param condition: which rows, by the columns of ``delta/``.
    :param name: the view's.
    :param day: the column ``event_date``. :param hour: the hour's first instant.
    """
    columns = dict(REQUEST_COLUMNS)
    if duration is not None:
        columns[duration] = "DOUBLE"
    if has_country:
        columns["country"] = "VARCHAR"
    paths = list(files)
    rows = f"SELECT * FROM {files_table(paths)}" if paths else f"SELECT {empty_row(columns)} WHERE false"
    read = ", ".join(f'"{column}"' for column in columns if column not in {"timestamp", "is_bot", "country", duration})
    return f"""
        CREATE OR REPLACE TEMP VIEW {name} AS SELECT
            {day} AS event_date, "timestamp", {hour} AS hour,
            {read}, coalesce(is_bot, false) AS is_bot, {"country" if has_country else "NULL::VARCHAR"} AS country,
            {f'"{duration}"' if duration else "NULL::DOUBLE"} AS duration
        FROM (SELECT {empty_row(columns)} WHERE false UNION ALL BY NAME {rows}) WHERE {condition}
    """


def counted(name: str, static_endings: Iterable[str]) -> str:
    """The rows of one of ``COUNTED``, from the view ``requests``: all values have rows of their own.

    :param static_endings: a path that ends so is a static file.
    """
    if name == "visitor":
        keys = ", ".join(EXACT_TABLES[name].keys)
        seen = 'min("timestamp") AS first_seen, max("timestamp") AS last_seen'
        return f"SELECT {keys}, {SUMS}, {ERRORS}, {seen} FROM requests GROUP BY {keys}"
    if name == "hourly":
        keys = ", ".join(EXACT_TABLES[name].keys)
        durations = (
            "count(duration) AS durations, sketch(list(duration) FILTER (duration IS NOT NULL)) AS duration_sketch"
        )
        return f"SELECT {keys}, {SUMS}, {durations} FROM requests GROUP BY {keys}"
    if name == "path":
        is_static = f"coalesce(regexp_matches(lower(path), {text(ends_with(static_endings))}), false)"
        return f"""
            SELECT event_date, site, is_bot, status_class, path, {is_static} AS is_static, false AS is_other, {SUMS}
            FROM requests GROUP BY ALL
        """
    return f"""
        SELECT event_date, site, is_bot, referer, {HOST} AS referer_host, {IS_OWN_HOST} AS is_own_host,
            false AS is_other, {SUMS}
        FROM requests GROUP BY ALL
    """


def added_up(name: str, source: str, max_values: int) -> str:
    """The rows of ``source`` added up by the keys of one of ``COUNTED``.

    Of a day and site ``max_values`` values have rows of their own: those that have some already, then those with the most
    requests. All others share the rows that say ``is_other``.

    :param source: a relation with the table's columns, and ``is_stored``: whether the row is one of the table's.
    """
    keys = EXACT_TABLES[name].keys
    figures = ", ".join(f"{ADDED[figure].format(figure)} AS {figure}" for figure in EXACT_TABLES[name].figures)
    value = INVENTED.get(name)
    if value is None:
        return f"SELECT {', '.join(keys)}, {figures} FROM {source} GROUP BY {', '.join(keys)}"
    limited = {value, *OF_THE_VALUE[name]}
    chosen = ", ".join(
        "is_other OR is_beyond AS is_other" if key == "is_other"
        else f"CASE WHEN NOT is_beyond THEN {key} END AS {key}" if key in limited
        else key
        for key in keys
    )  # fmt: skip
    return f"""
        WITH found AS (
            SELECT event_date, site, {value}, bool_or(is_stored) AS is_stored, sum(requests) AS requests
            FROM {source} WHERE NOT is_other GROUP BY event_date, site, {value}
        ), beyond AS (
            SELECT event_date, site, {value} FROM found QUALIFY row_number() OVER (
                PARTITION BY event_date, site ORDER BY is_stored DESC, requests DESC, {value} NULLS LAST
            ) > {max_values}
        ), chosen AS (
            SELECT {chosen}, {", ".join(EXACT_TABLES[name].figures)} FROM (
                SELECT s.*, b.event_date IS NOT NULL AS is_beyond FROM {source} AS s LEFT JOIN beyond AS b ON NOT s.is_other
                AND s.event_date = b.event_date AND s.site IS NOT DISTINCT FROM b.site AND s.{value} IS NOT DISTINCT FROM b.{value}
            )
        )
        SELECT {", ".join(keys)}, {figures} FROM chosen GROUP BY {", ".join(keys)}
    """


def derived(name: str, *, has_country: bool) -> str:
    """The rows of one of ``DERIVED``, from all rows of ``visitor`` of their days, ``pair``, and the tables before it.

    :param has_country: rows of ``visitor`` may differ in the country alone.
    """
    if name in ("ip", "agent"):
        return f"SELECT event_date, {name}, total(requests) AS requests, count(*) AS visitors, {_REST} FROM pair GROUP BY ALL"
    if name == "daily":
        visitors = "total(visitors) AS visitors, count(ip) AS ips"
        return f"SELECT event_date, total(requests) AS requests, {visitors}, {_REST} FROM ip GROUP BY event_date"
    if name == "site":
        return _SITE
    keys = ", ".join(EXACT_TABLES[name].keys)
    is_unique = name == "client" and not has_country
    visitors = "count(*)" if is_unique else "count(DISTINCT (ip, agent))"
    sums = "total(requests) AS requests, total(bytes) AS bytes"
    return f"SELECT {keys}, {sums}, {visitors} AS visitors FROM visitor GROUP BY {keys}"


_REST = """
    total(bytes) AS bytes, total(client_errors) AS client_errors, total(server_errors) AS server_errors,
    total(bot_requests) AS bot_requests, min(first_seen) AS first_seen, max(last_seen) AS last_seen
"""
# A visitor is one (IP, day, agent): a row of ``visitor`` is finer, by the site and by what was known of the agent.
PAIR = """
    SELECT event_date, ip, agent, total(requests) AS requests, total(bytes) AS bytes, total(client_errors) AS client_errors,
        total(server_errors) AS server_errors, total(CASE WHEN is_bot THEN requests END) AS bot_requests,
        min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM visitor GROUP BY event_date, ip, agent
"""
# Visitors and IPs of bots, of humans and of both at once: one may be both, if what is known of its agent has changed.
_SITE = """
    WITH pairs AS (
        SELECT event_date, site, false AS is_all_sites, ip, agent, bool_or(is_bot) AS has_bot, bool_or(NOT is_bot) AS has_human
        FROM visitor GROUP BY event_date, site, ip, agent
        UNION ALL SELECT event_date, NULL, true, ip, agent, bot_requests > 0, requests > bot_requests FROM pair
    ), ips AS (
        SELECT event_date, site, is_all_sites, ip, count(*) AS every, count(*) FILTER (has_bot) AS bots,
            count(*) FILTER (has_human) AS humans
        FROM pairs GROUP BY event_date, site, is_all_sites, ip
    ), distinct_counts AS (
        SELECT event_date, site, is_all_sites, kind.is_bot,
            CASE WHEN kind.is_bot IS NULL THEN every WHEN kind.is_bot THEN bots ELSE humans END AS visitors, ip
        FROM ips CROSS JOIN (VALUES (NULL), (true), (false)) AS kind (is_bot)
    ), counts AS (
        SELECT event_date, site, is_all_sites, is_bot, total(visitors) AS visitors, count(ip) FILTER (visitors > 0) AS ips
        FROM distinct_counts GROUP BY event_date, site, is_all_sites, is_bot
    ), sums AS (
        SELECT event_date, site, GROUPING(site) = 1 AS is_all_sites, is_bot, total(requests) AS requests,
            total(bytes) AS bytes, total(client_errors) AS client_errors, total(server_errors) AS server_errors
        FROM visitor
        GROUP BY GROUPING SETS ((event_date, site, is_bot), (event_date, site), (event_date, is_bot), (event_date))
    )
    SELECT s.event_date, s.site, s.is_all_sites, s.is_bot, s.requests, s.bytes, c.visitors, c.ips, s.client_errors,
        s.server_errors
    FROM sums AS s JOIN counts AS c ON s.event_date = c.event_date AND s.is_all_sites = c.is_all_sites
        AND s.site IS NOT DISTINCT FROM c.site AND s.is_bot IS NOT DISTINCT FROM c.is_bot
"""


def ends_with(endings: Iterable[str]) -> str:
    """A pattern for texts in lower case with one of ``endings``; without endings, for none."""
    alternatives = "|".join(re.escape(ending.lower()) for ending in endings)
    return f"(?:{alternatives})$" if alternatives else "[^\\s\\S]"
