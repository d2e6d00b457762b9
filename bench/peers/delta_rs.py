"""The merge of a minute by hand, without a JVM: polars cleans, delta-rs inserts what is new into both tables.

It looks at the hours of history that occur in the batch, as the cleaner does. It has none of what makes the cleaner safe to
kill: no check of landed files, no quarantine, no ledger, no count of what went where.
"""

import sys
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from lakehouse.agents import AGENT_COLUMNS, parse_agent
from lakehouse.rules import TEXT_COLUMNS
from lakehouse.schema import DELTA, MERGED
from lakehouse.sql import hour_ranges, range_condition

MAX_RANGES = 20


def main() -> None:
    """Merge ``LAKE/logs_to_merge/`` into ``LAKE/merged/`` and ``LAKE/delta/``."""
    lake = Path(sys.argv[1])
    landed = pl.read_parquet(lake / "logs_to_merge" / "*.parquet", include_file_paths="landed_file")
    texts = [pl.col(name).str.strip_chars().replace(["", "-"], [None, None]) for name in TEXT_COLUMNS]
    clean = landed.filter(pl.col("raw").is_null()).with_columns(*texts, event_date=pl.col("timestamp").dt.date())
    is_valid = pl.all_horizontal(pl.col("event_id", "timestamp", "ip", "status").is_not_null())
    unique = clean.filter(is_valid).unique(["event_id", "timestamp"], keep="first", maintain_order=True)
    hours = unique["timestamp"].dt.truncate("1h").unique().to_list()
    condition = range_condition("t", hour_ranges(hours, MAX_RANGES))
    insert(lake / "merged", unique.select(MERGED.names), condition)
    insert(lake / "delta", enriched(unique).select(DELTA.names), condition)


def enriched(requests: pl.DataFrame) -> pl.DataFrame:
    """With what the agents are."""
    names = requests["agent"].unique().to_list()
    parsed = [parse_agent(name) for name in names]
    columns = {name: [getattr(p, name) for p in parsed] for name in AGENT_COLUMNS}
    agents = pl.DataFrame({"agent": names} | columns)
    known = requests.join(agents, on="agent", how="left", nulls_equal=True)
    return known.with_columns(status_class=pl.format("{}xx", pl.col("status") // 100))


def insert(path: Path, rows: pl.DataFrame, condition: str) -> None:
    """Insert the rows that the table does not hold yet."""
    is_same = f"t.event_id = s.event_id AND t.timestamp = s.timestamp AND {condition}"
    merger = DeltaTable(str(path)).merge(rows, is_same, source_alias="s", target_alias="t")
    merger.when_not_matched_insert_all().execute()


if __name__ == "__main__":
    main()
