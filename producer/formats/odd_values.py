"""Values of JSON as some loggers write them: a status with its reason, a day and a clock under two keys, encoded agents. Pure."""

import re
from collections.abc import Iterable
from urllib.parse import unquote

import polars as pl

# How a key begins that names a header as the W3C's format does (CloudFront).
_W3C_HEADER = "cs("
_DAY, _CLOCK = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII), re.compile(r"\d\d:\d\d:\d\d", re.ASCII)


def without_words(texts: pl.DataFrame) -> pl.DataFrame:
    """``200`` of a status such as ``200 OK``, ``5`` of bytes such as ``5B``."""
    has_words = pl.col("status").str.contains(" ", literal=True) | pl.col("bytes").str.ends_with("B")
    if not texts.select(has_words.any()).item():
        return texts
    return texts.with_columns(
        pl.col("status").str.replace(r"^([0-9]{3}) [A-Z][A-Za-z' -]*$", "${1}"),
        pl.col("bytes").str.replace(r"^([0-9]+) ?B$", "${1}"),
    )


def with_clock(time: str, others: Iterable[str | None]) -> str:
    """The time; of a day alone, with the first clock's time among ``others``."""
    if not _DAY.fullmatch(time):
        return time
    clock = next((text for text in others if text is not None and _CLOCK.match(text)), None)
    return time if clock is None else f"{time} {clock}"


def decoded(key: str, text: str) -> str:
    """A header's value as it was sent: CloudFront's percent-encoding undone."""
    return unquote(text) if is_encoded(key) else text


def is_encoded(key: str) -> bool:
    """Whether the key's values are percent-encoded."""
    return key.startswith(_W3C_HEADER)
