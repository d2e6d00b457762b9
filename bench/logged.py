"""Whether somebody's rows are the requests of a made-up log: each once, whole, in any order. Pure."""

from collections.abc import Iterable
from functools import cache

import numpy as np
import polars as pl

from bench.logs import requests

TEXTS = ("user", "referer", "agent")
COLUMNS = ("timestamp", "ip", "user", "method", "path", "query", "protocol", "status", "bytes", "referer", "agent")


@cache
def due_sums(rows: int) -> tuple[int, int]:
    """How many rows the log of so many lines has, and the sum of their hashes."""
    dashed = [pl.col(name).fill_null("-") for name in TEXTS]
    return sums(block.with_columns(*dashed) for block in requests(rows))


def sums(parts: Iterable[pl.DataFrame]) -> tuple[int, int]:
    """How many rows there are, and the sum of their hashes, which no order changes.

    :param parts: with COLUMNS, texts as they are logged; an empty query is none.
    """
    rows, total = 0, np.uint64(0)
    for part in parts:
        found = part.select(
            pl.col(name).cast(pl.Datetime("us", "UTC")) if name == "timestamp" else pl.col(name) for name in COLUMNS
        ).with_columns(pl.col("query").replace("", None), pl.col("status").cast(pl.Int32))
        rows += found.height
        total = np.add(total, found.hash_rows(seed=1).to_numpy().sum(dtype=np.uint64))
    return rows, int(total)
