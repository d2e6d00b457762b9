"""The exact metrics of all days by DuckDB, from the very files of ``delta/``, into a Parquet file a table."""

import sys
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from lakehouse.metric_columns import METRIC_KEYS

VISITORS = """
CREATE TEMP TABLE visitors AS
SELECT event_date, ip, agent, count(*) AS requests, coalesce(sum(bytes), 0) AS bytes,
    count(*) FILTER (status BETWEEN 400 AND 499) AS client_errors, count(*) FILTER (status BETWEEN 500 AND 599) AS server_errors,
    count(*) FILTER (is_bot) AS bot_requests, min(timestamp) AS first_seen, max(timestamp) AS last_seen
FROM read_parquet(?, hive_partitioning = true, hive_types = {'event_date': DATE}) GROUP BY event_date, ip, agent
"""
SUMS = """
count(*) AS visitors, sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes,
sum(client_errors)::BIGINT AS client_errors, sum(server_errors)::BIGINT AS server_errors,
sum(bot_requests)::BIGINT AS bot_requests, min(first_seen) AS first_seen, max(last_seen) AS last_seen
"""


def main() -> None:
    """Write ``LAKE/duckdb-GRAIN.parquet``."""
    lake = Path(sys.argv[1])
    connection = duckdb.connect()
    files = [uri.removeprefix("file://") for uri in DeltaTable(str(lake / "delta")).file_uris()]
    connection.execute(VISITORS, [files])
    for grain, keys in METRIC_KEYS.items():
        ips = "count(DISTINCT ip) AS ips, " if grain == "daily" else ""
        connection.execute(
            f"COPY (SELECT {', '.join(keys)}, {ips}{SUMS} FROM visitors GROUP BY {', '.join(keys)})"
            f" TO '{lake / f'duckdb-{grain}.parquet'}'"
        )


if __name__ == "__main__":
    main()
