r"""Log lines to columns, vectorised. Pure: text in, columns out, one row for each line whatever is in it.

What parses as Combined or Common::

    host ident user [dd/Mon/yyyy:HH:MM:SS +zzzz] "request" status bytes
    ... the same ...                                                    "referer" "agent" [more fields]

Host, ident and user hold no blank, host no quote and no NUL (a log truncated under its writer begins with many). Inside
quotes a backslash escapes the next character. The status has three digits, bytes are digits that fit 64 bits or ``-``.
A date that does not exist does not parse. Both forms are taken line by line, whether ``combined`` or ``common`` was
asked for; ``vhost`` takes ``name:port `` before them too.

Values stay as logged: ``-`` is ``-`` (but for bytes, a number: null) and escapes such as ``\x22`` are not decoded.
"""

from datetime import UTC, datetime
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from producer.json_lines import TIMESTAMP, json_fields

# What a file's lines can be read as. Common is read as Combined.
Parser = Literal["combined", "vhost", "json"]
PARSERS: tuple[Parser, ...] = ("combined", "vhost", "json")

# The columns that a line is read into. `raw` is the line itself where it did not parse, else null; `rescued` is a JSON
# object of what came with the line and has no column, null where nothing is left.
PARSED: dict[str, pl.DataType] = {
    "timestamp": TIMESTAMP, "ip": pl.String(), "user": pl.String(), "method": pl.String(), "path": pl.String(),
    "query": pl.String(), "protocol": pl.String(), "status": pl.Int32(), "bytes": pl.Int64(), "referer": pl.String(),
    "agent": pl.String(), "site": pl.String(), "raw": pl.String(), "rescued": pl.String(),
}  # fmt: skip
SAMPLE_LINES = 1000

_BLANKS = r" \t\n\v\f\r"
_FIELD = rf"[^{_BLANKS}]+"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110
_IN_QUOTES = r'(?:[^"\\]|\\.)*'
_TIME = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
_VHOST = rf"(?P<site>{_FIELD}):[0-9]+ "
_FRONT = rf'(?P<ip>[^{_BLANKS}"\x00]+) {_FIELD} (?P<user>{_FIELD}) \[(?P<time>{_TIME})\] '
_BACK = (
    r" (?P<status>[0-9]{3}) (?P<bytes>[0-9]+|-)"
    rf'(?: "(?P<referer>{_IN_QUOTES})" "(?P<agent>{_IN_QUOTES})"(?: (?P<rest>.+)?)?)?$'
)
_ANY_REQUEST = rf"(?P<request>{_IN_QUOTES})"
_USUAL_REQUEST = (
    rf"(?P<method>{_TOKEN}) "
    rf'(?P<path>[^{_BLANKS}"\\?]*)(?:\?(?P<query>[^{_BLANKS}"\\]*))? (?P<protocol>HTTP/[0-9.]+)'
)
_REQUEST = rf"(?s)^(?P<method>{_TOKEN}) (?P<target>.*?)(?: (?P<protocol>HTTP/[0-9.]+))?$"


class Grammar(NamedTuple):
    """Two regular expressions for one format.

    ``usual`` takes the request apart in the same pass and misses odd ones; what it misses, ``any`` reads again.
    """

    usual: str
    any: str


COMBINED = Grammar(f'^{_FRONT}"{_USUAL_REQUEST}"{_BACK}', f'(?s)^{_FRONT}"{_ANY_REQUEST}"{_BACK}')
_WITH_VHOST = Grammar(
    f'^{_VHOST}{_FRONT}"{_USUAL_REQUEST}"{_BACK}', f'(?s)^(?:{_VHOST})?{_FRONT}"{_ANY_REQUEST}"{_BACK}'
)


def parse(lines: pl.Series, parser: Parser) -> pl.DataFrame:
    """Read log lines.

    :param lines: text without end-of-line characters, no nulls.
    :return: one row for each line, in order, with the columns of ``PARSED``.
    """
    lines = lines.rename("line")
    if parser == "json":
        return _landed(_json_fields(lines))
    return _landed(_text_fields(lines, _WITH_VHOST if parser == "vhost" else COMBINED))


def detect(lines: pl.Series) -> Parser | None:
    """The format that most of the lines are in; Combined when it is even, ``None`` when none of them parses."""
    sample = lines.head(SAMPLE_LINES)
    counts: dict[Parser, int] = {"combined": parse(sample, "combined")["timestamp"].count()}
    if counts["combined"] == sample.len() > 0:
        return "combined"
    counts["vhost"] = parse(sample, "vhost")["site"].count()
    counts["json"] = parse(sample, "json")["timestamp"].count()
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else None


def first_timestamp(lines: pl.Series) -> datetime | None:
    """The first time that can be read in the lines, in the first format that reads any."""
    for parser in PARSERS:
        found = parse(lines, parser)["timestamp"].drop_nulls()
        if found.len():
            first: datetime = found[0]
            return first
    return None


def _landed(fields: pl.DataFrame) -> pl.DataFrame:
    """PARSED's columns from these and ``line``; where there is no timestamp, the line did not parse."""
    if fields["timestamp"].null_count() == 0:
        return fields.with_columns(pl.lit(None, pl.String).alias("raw")).select(*PARSED)
    is_parsed = pl.col("timestamp").is_not_null()
    raw = pl.when(~is_parsed).then("line")
    return fields.select(
        (raw if name == "raw" else pl.when(is_parsed).then(pl.col(name))).alias(name) for name in PARSED
    )


def _text_fields(lines: pl.Series, grammar: Grammar) -> pl.DataFrame:
    texts = _extracted(lines, grammar.usual)
    if texts["time"].null_count():
        texts = texts.with_row_index("row")
        is_missed = texts["time"].is_null()
        others = _extracted(lines.filter(is_missed), grammar.any)
        others = _with_request_split(others).with_columns(texts["row"].filter(is_missed)).select(texts.columns)
        texts = pl.concat([texts.filter(~is_missed), others]).sort("row")
    size = pl.col("bytes").cast(pl.Int64, strict=False)
    has_size = size.is_not_null() | (pl.col("bytes") == "-")
    return texts.with_columns(
        pl.when(has_size).then(pl.lit(_timestamps(texts["time"]))).alias("timestamp"),
        pl.col("status").cast(pl.Int32),
        size,
        _rescued(texts["rest"]).alias("rescued"),
        *([] if "site" in texts.columns else [pl.lit(None, pl.String).alias("site")]),
    )


def _rescued(rest: pl.Series) -> pl.Expr:
    """What stands after the agent, as a JSON object: ``{"rest": "..."}``."""
    if rest.null_count() == rest.len():
        return pl.lit(None, pl.String)
    return pl.when(pl.col("rest").is_not_null()).then(pl.struct("rest").struct.json_encode())


def _json_fields(lines: pl.Series) -> pl.DataFrame:
    entries = _with_request_split(json_fields(lines))
    has_request = pl.col("request").is_not_null() & ((pl.col("request") != "") | pl.col("uri").is_null())
    uri = pl.col("uri").str.splitn("?", 2)
    arguments = pl.col("arguments").replace(["", "-"], None)
    other = {
        "method": pl.col("verb"),
        "path": uri.struct.field("field_0"),
        "query": pl.coalesce(uri.struct.field("field_1"), arguments),
        "protocol": pl.col("version"),
    }
    return entries.with_columns(
        *(pl.when(has_request).then(pl.col(name)).otherwise(value).alias(name) for name, value in other.items()),
        pl.col("host").replace(["", "-"], None).str.replace(r":[0-9]+$", "").alias("site"),
    ).with_columns(lines)


def _extracted(lines: pl.Series, pattern: str) -> pl.DataFrame:
    """The pattern's groups by their names, and ``line``."""
    texts = lines.str.extract_groups(pattern).struct.unnest()
    texts.insert_column(0, lines)
    return texts


def _with_request_split(fields: pl.DataFrame) -> pl.DataFrame:
    """``method``, ``path``, ``query`` and ``protocol`` from ``request``; what is none stands in ``path`` whole."""
    parts = fields.with_columns(fields["request"].str.extract_groups(_REQUEST).struct.unnest())
    target = pl.col("target").str.splitn("?", 2)
    return parts.with_columns(
        pl.when(pl.col("method").is_null()).then("request").otherwise(target.struct.field("field_0")).alias("path"),
        target.struct.field("field_1").alias("query"),
    )


# Times ---------------------------------------------------------------------------------------------------------------

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_KEYS = np.array([int.from_bytes(m.encode(), "big") for m in _MONTHS])
_MONTH_ORDER = np.argsort(_MONTH_KEYS)
_MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_LOGGED_CHARACTERS = len("17/May/2015:10:05:03 +0000")
_EARLIEST_SECONDS = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
_LATEST_SECONDS = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


def _timestamps(times: pl.Series) -> pl.Series:
    """Logged times such as ``17/May/2015:10:05:03 +0000`` in UTC; null where null, or where no such time exists."""
    is_complete = times.null_count() == 0
    texts = times if is_complete else times.fill_null("0" * _LOGGED_CHARACTERS)
    octets = texts.cast(pl.Binary).bin.reinterpret(dtype=pl.Array(pl.UInt8, _LOGGED_CHARACTERS)).to_numpy()
    seconds, exists = _seconds(octets.reshape(-1, _LOGGED_CHARACTERS).T.astype(np.int32, order="C"))
    micros = pl.Series("timestamp", seconds * 1_000_000).cast(TIMESTAMP)
    if not is_complete:
        exists &= times.is_not_null().to_numpy()
    return micros if exists.all() else micros.set(pl.Series(~exists), None)


def _seconds(characters: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Seconds since the epoch, and whether there is such a time; the first axis are the 26 characters of a time."""

    def number(start: int, stop: int) -> npt.NDArray[np.int32]:
        value: npt.NDArray[np.int32] = characters[start] - ord("0")
        for digit in characters[start + 1 : stop]:
            value = value * 10 + (digit - ord("0"))
        return value

    day, year, hour, minute, second = number(0, 2), number(7, 11), number(12, 14), number(15, 17), number(18, 20)
    month_keys = (characters[3] << 16) | (characters[4] << 8) | characters[5]
    found = np.searchsorted(_MONTH_KEYS, month_keys, sorter=_MONTH_ORDER)
    month = _MONTH_ORDER[np.minimum(found, len(_MONTHS) - 1)]
    is_month = _MONTH_KEYS[month] == month_keys
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    month_days = _MONTH_DAYS[month] + (is_leap & (month == 1))
    exists = is_month & (year >= 1) & (day >= 1) & (day <= month_days) & (hour < 24) & (minute < 60) & (second < 60)
    offset = (number(22, 24) * 60 + number(24, 26)) * 60
    east = np.where(characters[21] == ord("-"), -offset, offset)
    months = ((year - 1970) * 12 + month).astype(np.int64)
    days = months.astype("M8[M]").astype("M8[D]").astype(np.int64) + day - 1
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - east
    return seconds, exists & (seconds >= _EARLIEST_SECONDS) & (seconds <= _LATEST_SECONDS)
