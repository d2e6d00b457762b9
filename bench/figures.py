"""What metrics tables must hold, counted by polars from the requests themselves, and how a table is compared with it."""

from collections.abc import Mapping

import polars as pl

from lakehouse.metric_columns import METRIC_KEYS

# What every subject computes.
SUMS = {
    "requests": pl.len().cast(pl.Int64),
    "bytes": pl.col("bytes").sum(),
    "client_errors": pl.col("status").is_between(400, 499).sum().cast(pl.Int64),
    "server_errors": pl.col("status").is_between(500, 599).sum().cast(pl.Int64),
}


def exact(requests: pl.LazyFrame) -> dict[str, pl.DataFrame]:
    """One row per day and key with SUMS, by grain.

    :param requests: event_date, ip, agent, status, bytes: valid and unique.
    """
    sums = [expression.alias(name) for name, expression in SUMS.items()]
    return {grain: requests.group_by(keys).agg(sums).collect(engine="streaming") for grain, keys in METRIC_KEYS.items()}


def exact_visitors(requests: pl.LazyFrame) -> pl.DataFrame:
    """Visitors by day, exactly."""
    visitors = requests.group_by("event_date", "ip", "agent").len()
    return visitors.group_by("event_date").agg(pl.len().cast(pl.Int64).alias("visitors")).collect(engine="streaming")


def wrong_figures(found: Mapping[str, pl.DataFrame], due: Mapping[str, pl.DataFrame]) -> str | None:
    """Which tables hold something else than they must, and in how many rows; ``None`` if all are right."""
    problems = []
    for grain, wanted in due.items():
        names = wanted.columns
        there = found[grain].select(pl.col(name).cast(wanted.schema[name]) for name in names)
        missing = wanted.join(there, on=names, how="anti", nulls_equal=True).height
        excess = there.join(wanted, on=names, how="anti", nulls_equal=True).height
        if missing or excess or there.height != wanted.height:
            problems.append(f"{grain}: {missing:,} rows of {wanted.height:,} missing, {excess:,} wrong")
    return "; ".join(problems) or None
