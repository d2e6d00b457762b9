"""Regular expressions with many groups, as several with few. Pure and vectorised.

Rust's engine reads a line in one pass if it never has to try twice where a value ends, and if there are no more than sixteen groups; else
three times slower. So an expression with more groups is cut: each piece reads a stretch of the line, and the next one goes on behind it.
"""

from collections.abc import Iterable, Sequence

import polars as pl

MOST_GROUPS = 16
_READ = "read_"


def stretches_of(pieces: Iterable[str], flags: str = "") -> tuple[str, ...]:
    """Expressions for whole lines that consist of these pieces, each of which leaves no doubt about where it ends."""
    stretches: list[list[str]] = [[]]
    count = 0
    for piece in pieces:
        groups = piece.count("(?P<")
        if count + groups >= MOST_GROUPS:  # with the one for all that is read
            stretches.append([])
            count = 0
        stretches[-1].append(piece)
        count += groups
    texts = ["".join(stretch) for stretch in stretches]
    if sum(text.count("(?P<") for text in texts) <= MOST_GROUPS:
        return (f"{flags}^{''.join(texts)}$",)
    ends = [*("" for _ in texts[1:]), "$"]
    return tuple(f"{flags}^(?P<{_READ}{n}>{text}){end}" for n, (text, end) in enumerate(zip(texts, ends, strict=True)))


def extracted(lines: pl.Series, stretches: Sequence[str]) -> pl.DataFrame:
    """The groups of each line.

    :return: ``time`` is null where the line does not match, and so are all groups of a single expression.
    """
    texts = lines.str.extract_groups(stretches[0]).struct.unnest()
    for n, stretch in enumerate(stretches[1:]):
        read_bytes = pl.col(f"{_READ}{n}").str.len_bytes()
        lines = texts.select(pl.lit(lines).cast(pl.Binary).bin.slice(read_bytes).cast(pl.String)).to_series()
        texts = texts.hstack(lines.str.extract_groups(stretch).struct.unnest())
    if len(stretches) == 1:
        return texts
    is_whole = pl.col(f"{_READ}{len(stretches) - 1}").is_not_null()
    times = texts.select(pl.when(is_whole).then("time").alias("time"))
    return texts.select(name for name in texts.columns if not name.startswith(_READ)).with_columns(times)
