"""A log in the Combined format, of any length, in the memory of one block. I/O."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from bench.traffic import blocks

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 30


def write_log(path: Path, rows: int, *, seed: int = 1) -> Path:
    """Write a log of ``rows`` lines over ``DAYS`` days. A log of the same length and seed that is there is kept."""
    if path.exists():
        return path
    hidden = path.with_name(f".{path.name}.tmp")
    with hidden.open("wb") as file:
        for block in requests(rows, seed=seed):
            file.write(text(block))
    hidden.rename(path)
    return path


def requests(rows: int, *, seed: int = 1) -> Iterator[pl.DataFrame]:
    """What the log of ``rows`` lines holds, as ``bench.traffic.blocks``."""
    return blocks(rows, BEGIN, BEGIN + timedelta(days=DAYS), seed=seed)


def text(requests: pl.DataFrame) -> bytes:
    """Requests as lines of a Combined log."""
    target = pl.concat_str(
        "path", pl.when(pl.col("query").is_not_null()).then(pl.concat_str(pl.lit("?"), "query")).otherwise(pl.lit(""))
    )
    lines = requests.select(
        pl.format(
            '{} - {} [{}] "{} {} {}" {} {} "{}" "{}"\n',
            "ip", _or_dash("user"), pl.col("timestamp").dt.strftime("%d/%b/%Y:%H:%M:%S +0000"), "method", target, "protocol",
            "status", _or_dash("bytes"), _or_dash("referer"), _or_dash("agent"),
        ).alias("line")
    )["line"]  # fmt: skip
    return str(lines.str.join("").item()).encode()


def _or_dash(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).fill_null("-")
