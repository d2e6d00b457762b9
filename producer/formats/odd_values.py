"""JSON as some loggers write it: what is none, a status with its reason, a day and a clock under two keys, encoded agents. Pure."""

import re
from collections.abc import Iterable
from urllib.parse import unquote

import polars as pl

# How a key begins that names a header as the W3C's format does (CloudFront).
_W3C_HEADER = "cs("
_DAY, _CLOCK = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII), re.compile(r"\d\d:\d\d:\d\d", re.ASCII)

_NGINX_ESCAPE = re.compile(r"\\(\\|x[0-9A-Fa-f]{2})")
# Texts, and what nginx writes of an empty or odd variable without quotes, which is no JSON: nothing, ``-``, ``000``; a comma too many.
_BARE = re.compile(r'"(?:[^"\\]|\\.)*+"?|(?P<colon>:\s*+)(?P<value>-|0[0-9]++)?+(?=\s*+[,}])|,(?=\s*+[}\]])', re.DOTALL)


def as_json(text: str) -> str:
    """A line of nginx's that is no JSON as JSON: escapes of its own, values without quotes, a comma too many."""
    return _BARE.sub(_quoted, _NGINX_ESCAPE.sub(_kept_escape, text))


def _kept_escape(match: re.Match[str]) -> str:
    return match[0] if match[1] == "\\" else "\\" + match[0]


def _quoted(match: re.Match[str]) -> str:
    if match["colon"] is not None:
        return f'{match["colon"]}"{match["value"] or ""}"'
    return "" if match[0] == "," else match[0]


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


def unicode_text(text: str) -> str:
    """``text`` with half surrogates as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
