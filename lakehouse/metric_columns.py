"""The columns, keys and grains of the metrics tables: the one place that says so. Without Spark; its types: ``lakehouse.schema``.

Types are Delta's own names, so that a table is made from them as they stand (``tables.create_table``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

DATE, STRING, INT, LONG, BOOLEAN, TIMESTAMP, BINARY = (
    "date",
    "string",
    "integer",
    "long",
    "boolean",
    "timestamp",
    "binary",
)


@dataclass(frozen=True)
class MetricsTable:
    """One metrics table.

    :param grain: what one row stands for.
    :param keys: what makes a row, with types; any of them but ``event_date`` may be null.
    :param figures: what is counted for it, with types.
    :param is_by_day: the table has a partition for each ``event_date``.
    """

    grain: str
    keys: Mapping[str, str]
    figures: Mapping[str, str]
    is_by_day: bool = True

    @property
    def columns(self) -> dict[str, str]:
        """All columns, with types."""
        return {**self.keys, **self.figures}

    @property
    def partition_by(self) -> tuple[str, ...]:
        """The columns that the table is partitioned by."""
        return ("event_date",) if self.is_by_day else ()

    def json(self) -> str:
        """The schema as Delta writes it."""
        fields = [{"name": n, "type": t, "nullable": True, "metadata": {}} for n, t in self.columns.items()]
        return json.dumps({"type": "struct", "fields": fields})


_DAY = {"event_date": DATE}
_SITE = _DAY | {"site": STRING, "is_bot": BOOLEAN}
_SUMS = {"requests": LONG, "bytes": LONG}
_ERRORS = {"client_errors": LONG, "server_errors": LONG}
_SEEN = {"first_seen": TIMESTAMP, "last_seen": TIMESTAMP}
_CLIENT = {"browser": STRING, "os": STRING, "device": STRING, "bot": STRING, "bot_class": STRING}
_SHARED = {"bytes": LONG} | _ERRORS | {"bot_requests": LONG} | _SEEN

# In metrics/batch/ and metrics/streaming/ alike. An agent is null where none was sent. A visitor is one (IP, day, agent).
SHARED_TABLES = {
    "daily": MetricsTable(
        "one row per day", _DAY, {"requests": LONG, "visitors": LONG, "ips": LONG} | _SHARED, is_by_day=False
    ),
    # Its visitors are the distinct agents seen from the IP.
    "ip": MetricsTable("one row per day and IP", _DAY | {"ip": STRING}, {"requests": LONG, "visitors": LONG} | _SHARED),
    # Its visitors are the distinct IPs seen with the agent.
    "agent": MetricsTable(
        "one row per day and agent", _DAY | {"agent": STRING}, {"requests": LONG, "visitors": LONG} | _SHARED
    ),
}

# In metrics/batch/: exact. Distinct counts do not add up across sites, so `site` has each combination counted by itself.
EXACT_TABLES = {
    # What the tables with distinct counts are derived from.
    "visitor": MetricsTable(
        "one row per day, site, IP, agent, and what delta/ says of the agent and the country of the IP",
        _DAY | {"site": STRING, "ip": STRING, "agent": STRING, "is_bot": BOOLEAN} | _CLIENT | {"country": STRING},
        _SUMS | _ERRORS | _SEEN,
    ),
    **SHARED_TABLES,
    # `durations` requests have one; the sketch (KLL of doubles, Apache DataSketches) holds their distribution.
    "hourly": MetricsTable(
        "one row per hour (UTC), site, is_bot, method and status",
        _DAY | {"hour": TIMESTAMP, "site": STRING, "is_bot": BOOLEAN, "method": STRING, "status": INT},
        _SUMS | {"durations": LONG, "duration_sketch": BINARY},
        is_by_day=False,
    ),
    # `site` is null for requests without one, too: of all sites together is what `is_all_sites` says.
    "site": MetricsTable(
        "one row per day, site and is_bot; is_all_sites: all sites together; is_bot null: humans and bots together",
        _DAY | {"site": STRING, "is_all_sites": BOOLEAN, "is_bot": BOOLEAN},
        _SUMS | {"visitors": LONG, "ips": LONG} | _ERRORS,
        is_by_day=False,
    ),
    # Paths have no query string.
    "path": MetricsTable(
        "one row per day, site, is_bot, status class and path; is_other: all paths without a row of their own",
        _SITE | {"status_class": STRING, "path": STRING, "is_static": BOOLEAN, "is_other": BOOLEAN},
        _SUMS,
    ),
    "referer": MetricsTable(
        "one row per day, site, is_bot and referer; is_other: all referers without a row of their own",
        _SITE | {"referer": STRING, "referer_host": STRING, "is_own_host": BOOLEAN, "is_other": BOOLEAN},
        _SUMS,
    ),
    "client": MetricsTable(
        "one row per day, site, is_bot, browser, os, device and bot",
        _SITE | _CLIENT,
        _SUMS | {"visitors": LONG},
        is_by_day=False,
    ),
    # Only where geoip.database is set.
    "country": MetricsTable(
        "one row per day, site, is_bot and country",
        _SITE | {"country": STRING},
        _SUMS | {"visitors": LONG},
        is_by_day=False,
    ),
}

# The tables that both modes have, by name.
METRIC_KEYS = {grain: tuple(table.keys) for grain, table in SHARED_TABLES.items()}
METRIC_COLUMNS = {grain: tuple(table.columns) for grain, table in SHARED_TABLES.items()}
