r"""Lines of JSON, as web servers are commonly set up to write, to the fields that :mod:`producer.formats` lands. Pure.

Each column has several usual spellings of its key; the first that the object has counts. Values that are objects or
arrays are passed over. What no column took is kept in ``rescued``, a JSON object. nginx's default escaping writes
``\xNN`` into what is meant to be JSON: such lines are taken too, and the escape stays in the value as it stays in a
Combined line.
"""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import polars as pl

TIMESTAMP = pl.Datetime("us", "UTC")
TIME_KEYS = ("time_iso8601", "time_local", "msec", "@timestamp", "timestamp", "time", "ts")
TEXT_KEYS = {
    "ip": ("remote_addr", "client_ip", "clientip", "ip", "remote_ip"),
    "user": ("remote_user", "user"),
    "request": ("request",),
    "referer": ("http_referer", "http_referrer", "referer", "referrer"),
    "agent": ("http_user_agent", "user_agent", "agent"),
    "host": ("host", "http_host", "server_name", "vhost"),
}
# A request in parts, for where it does not stand in one piece.
PART_KEYS = {
    "verb": ("request_method", "method"),
    "uri": ("request_uri", "uri", "path"),
    "version": ("server_protocol", "protocol"),
    "arguments": ("args", "query_string"),
}
NUMBER_KEYS = {"status": ("status",), "bytes": ("body_bytes_sent", "bytes_sent", "bytes", "size")}
SCALARS = frozenset({str, int, float})  # and not bool
LARGEST = {"status": 2**31 - 1, "bytes": 2**63 - 1}
SCHEMA: dict[str, pl.DataType] = {
    "timestamp": TIMESTAMP, **dict.fromkeys((*TEXT_KEYS, *PART_KEYS), pl.String()), "status": pl.Int32(),
    "bytes": pl.Int64(), "rescued": pl.String(),
}  # fmt: skip

_NGINX_ESCAPE = re.compile(r"\\(\\|x[0-9A-Fa-f]{2})")
_LOGGED_TIME = re.compile(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", re.ASCII)
_EPOCH_NUMBER = re.compile(r"\d{1,17}(?:\.\d{1,18})?", re.ASCII)
_DIGITS = re.compile(r"\d{1,19}", re.ASCII)
_SHORTEST_ISO_TIME = len("20150517T100503")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# From so many on, an epoch counts milliseconds, and then microseconds.
_MILLISECONDS, _MICROSECONDS = 10**11, 10**14

Entry = dict[str, Any]
Fields = tuple[datetime | str | int | None, ...]
NOT_PARSED: Fields = (None,) * len(SCHEMA)
NO_PARTS: dict[str, str | None] = dict.fromkeys(PART_KEYS)


def json_fields(lines: pl.Series) -> pl.DataFrame:
    """One row for each line with the columns of ``SCHEMA``; of a line that does not parse, all are null."""
    columns = zip(*map(_fields, lines), strict=True) if lines.len() else ([] for _ in SCHEMA)
    return pl.DataFrame(
        [pl.Series(name, column, kind) for (name, kind), column in zip(SCHEMA.items(), columns, strict=True)]
    )


def _fields(line: str) -> Fields:
    """The fields of one line. It parses if it is an object with a time and a request, whole or in parts."""
    entry = _object(line)
    time = None if entry is None else _time(entry)
    if entry is None or time is None:
        return NOT_PARSED
    try:
        numbers = [_number(entry, keys, LARGEST[name]) for name, keys in NUMBER_KEYS.items()]
    except ValueError:
        return NOT_PARSED
    texts = {name: _text(entry, keys) for name, keys in TEXT_KEYS.items()}
    parts = NO_PARTS if texts["request"] else _parts(entry)
    if texts["request"] is None and parts["uri"] is None:
        return NOT_PARSED
    try:
        return (time, *texts.values(), *parts.values(), *numbers, _rescued(entry))
    except RecursionError:
        return NOT_PARSED


def _object(line: str) -> Entry | None:
    if not line.lstrip(" \t").startswith("{"):
        return None
    try:
        try:
            value = _DECODER.decode(line)
        except ValueError:
            value = _DECODER.decode(_NGINX_ESCAPE.sub(_kept_escape, line))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _kept_escape(match: re.Match[str]) -> str:
    return match[0] if match[1] == "\\" else "\\" + match[0]


def _float(text: str) -> float | str:
    """A number that JSON can write again; one beyond all numbers stays text."""
    number = float(text)
    return number if math.isfinite(number) else text


_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=str)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _parts(entry: Entry) -> dict[str, str | None]:
    """The parts of the request; arguments only where the URI has none."""
    uri = _text(entry, PART_KEYS["uri"])
    has_query = uri is not None and "?" in uri
    return {
        name: uri if name == "uri" else None if name == "arguments" and has_query else _text(entry, keys)
        for name, keys in PART_KEYS.items()
    }


def _rescued(entry: Entry) -> str | None:
    """What is left of the entry, as JSON; nulls say nothing.

    :raises RecursionError: it is nested too deep.
    """
    rest = {key: value for key, value in entry.items() if value is not None}
    return _unicode(_ENCODER.encode(rest)) if rest else None


def _taken(entry: Entry, keys: tuple[str, ...]) -> str | int | float | None:
    """The first value that a column can take. It leaves the entry."""
    for key in keys:
        if type(entry.get(key)) in SCALARS:
            return cast("str | int | float", entry.pop(key))
    return None


def _text(entry: Entry, keys: tuple[str, ...]) -> str | None:
    value = _taken(entry, keys)
    if value is None:
        return None
    return _unicode(value if isinstance(value, str) else str(value))


def _unicode(text: str) -> str:
    """``text`` with half surrogates as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _number(entry: Entry, keys: tuple[str, ...], largest: int) -> int | None:
    """A count, or ``None`` where there is none.

    :raises ValueError: something else stands there, or it is too large.
    """
    value = _taken(entry, keys)
    if value is None or value in ("", "-"):
        return None
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            raise ValueError(value)
        value = int(value)
    if not 0 <= value <= largest or value != int(value):
        raise ValueError(value)
    return int(value)


def _time(entry: Entry) -> datetime | None:
    for key in TIME_KEYS:
        value = entry.get(key)
        if type(value) in SCALARS:
            try:
                time = _instant(str(value))
            except (ValueError, OverflowError):
                continue
            del entry[key]
            return time
    return None


def _instant(text: str) -> datetime:
    """A time as ISO 8601 (in UTC where it names no offset), as Combined has it, or as an epoch.

    :raises ValueError: it is none of these.
    :raises OverflowError: it is outside the years 1 to 9999.
    """
    if _EPOCH_NUMBER.fullmatch(text):
        return _from_epoch(Decimal(text))
    if _LOGGED_TIME.fullmatch(text):
        time = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")
    elif len(text) < _SHORTEST_ISO_TIME:
        raise ValueError(text)
    else:
        time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def _from_epoch(number: Decimal) -> datetime:
    if number >= _MICROSECONDS:
        micros = number
    elif number >= _MILLISECONDS:
        micros = number * 1000
    else:
        micros = number * 1_000_000
    return _EPOCH + timedelta(microseconds=int(micros))
