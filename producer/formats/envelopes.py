"""What log shippers put around a line: recognised and removed, and what it says kept under ``envelope``. Pure.

Known are syslog (RFC 3164 and 5424), journald's short forms, Docker's json-file, the container runtime interface (CRI; what it cut
is joined), ``docker compose logs``, a time before the line (``docker logs -t``) and objects with the line in ``message``.
"""

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from producer.addresses import ADDRESS_LIST
from producer.formats.columns import rescued_json
from producer.formats.json_lines import json_object
from producer.formats.keys import NESTING_KEYS
from producer.formats.odd_values import unicode_text

_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:[.,][0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_SYSLOG_TIME = r"[A-Z][a-z]{2} [ 0-9]?[0-9] (?:[0-9]{4} )?[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
# As journalctl writes it with -o short-full and short-unix.
_JOURNAL_TIME = r"[A-Z][a-z]{2} [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}(?:\.[0-9]+)? [A-Z0-9+-]+|[0-9]{9,10}\.[0-9]{6}|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}(?:[.,][0-9]+)?"
# No brace or quote, so that an object behind a mere time is no host; and a blank, so that an IPv6 address is no program.
_HOST = r"(?P<host>[^ \[\]{\"]+)"
_PROGRAM = r"(?P<program>[^ \[\]:{\"]+)(?:\[(?P<pid>[0-9]+)\]: ?|: )"
_PRIORITY = r"(?:<(?P<priority>[0-9]{1,3})>)?"
_DATA_5424 = r'(?P<message_id>\S+) (?P<data>-|(?:\[[A-Za-z][^\]" ]*(?: [^\]"]*)?(?:"(?:[^"\\]|\\.)*"[^\]"]*)*\])+)(?: \x{FEFF}?(?P<line>.*))?'
# How a line begins that no program's name stands before: an address, perhaps behind a site with a port, an object, a quote.
_BEGINNING = rf"(?:(?:[^ ]+:[0-9]+ )?{ADDRESS_LIST}[ :]|[{{\"\[])"
_POD = r"[a-z0-9][a-z0-9.-]*"
_COLOUR = r"(?:\x1b\[[0-9;]*m)*"


@dataclass(frozen=True)
class Envelope:
    """An expression whose group ``line`` is the line within; the others are what the envelope says."""

    name: str
    expression: str


ENVELOPES = (
    Envelope("cri", rf"(?s)^(?P<time>{_ISO}) (?P<stream>stdout|stderr) (?P<tag>[FP]) (?P<line>.*)$"),
    Envelope(
        "syslog5424",
        rf"(?s)^<(?P<priority>[0-9]{{1,3}})>1 (?P<time>{_ISO}|-) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S+) {_DATA_5424}$",
    ),
    # As files hold it, without priority and version.
    Envelope(
        "syslog5424",
        rf"(?s)^(?:1 )?(?P<time>{_ISO}) (?P<host>\S+) (?P<program>[A-Za-z_/][^ :\[\]]*) (?P<pid>[0-9]+|-) {_DATA_5424}$",
    ),
    Envelope("syslog", rf"(?s)^{_PRIORITY}(?P<time>{_SYSLOG_TIME}) (?:{_HOST} )?{_PROGRAM}(?P<line>.*)$"),
    Envelope("journald", rf"(?s)^{_PRIORITY}(?P<time>{_ISO}|{_JOURNAL_TIME}) {_HOST} {_PROGRAM}(?P<line>.*)$"),
    Envelope("journald", rf"(?s)^(?P<time>{_ISO}) (?P<program>[a-z]+)\[(?P<pid>[a-z]+[.0-9]*)\]: (?P<line>.*)$"),
    Envelope("syslog", rf"(?s)^{_PRIORITY}(?P<time>{_SYSLOG_TIME}) {_HOST} (?P<line>{_BEGINNING}.*)$"),
    Envelope("syslog", rf"(?s)^{_PRIORITY}(?P<time>{_SYSLOG_TIME}) (?P<line>{_BEGINNING}.*)$"),
    Envelope("syslog", r"(?s)^<(?P<priority>[0-9]{1,3})>(?P<line>.*)$"),
    Envelope("kubectl", rf"(?s)^\[(?P<pod>(?:pod/)?{_POD})(?:[/ ](?P<container>{_POD}))?\] (?P<line>.*)$"),
    Envelope("kubectl", rf"(?s)^(?P<pod>{_POD}-{_POD}) (?P<container>{_POD}) (?P<line>{_BEGINNING}.*)$"),
    Envelope("compose", rf"(?s)^{_COLOUR}(?P<container>[A-Za-z0-9][A-Za-z0-9_.@-]*) +\| {_COLOUR}(?P<line>.*)$"),
    Envelope("time", rf"(?s)^(?P<time>{_ISO}) (?P<line>.*)$"),
)
ENVELOPE_NAMES = (*dict.fromkeys(envelope.name for envelope in ENVELOPES), "docker", "message")
# The keys under which an object has a whole line, at the top or one object below, and the envelope's name.
LINE_KEYS = {
    "log": "docker", "message": "message", "MESSAGE": "journald", "line": "message", "msg": "message", "_msg": "message",
    "@message": "message", "short_message": "message", "textPayload": "message", "data": "message", "jsonPayload": "message",
    "event": "message", "original": "message", "payload": "message", "_raw": "message", "raw": "message", "body": "message",
}  # fmt: skip

_OUTER_KEYS = frozenset([*LINE_KEYS, *NESTING_KEYS])


@dataclass(frozen=True)
class Opened:
    """Lines without their envelopes: null where there was none.

    :param said: JSON objects of what each envelope said.
    :param streams: of a container, stdout or stderr.
    :param is_part: whether the line goes on in the next one of its stream.
    """

    name: pl.Series
    lines: pl.Series
    said: pl.Series
    streams: pl.Series
    is_part: pl.Series


def opened(lines: pl.Series) -> Opened:
    """Each line out of the first envelope that it is in."""
    height = lines.len()
    name = pl.Series("name", [None] * height, dtype=pl.String)
    inner, said, streams = name.alias("line"), name.alias("said"), name.alias("streams")
    is_part = pl.Series("is_part", [False] * height)
    is_open = lines.str.starts_with("{")
    if is_open.any():
        found = [_from_object(line) for line in lines.filter(is_open)]
        kinds = (pl.String, pl.String, pl.String, pl.String, pl.Boolean)
        columns = [pl.Series(list(v), dtype=kind) for v, kind in zip(zip(*found, strict=True), kinds, strict=True)]
        pairs = zip((name, inner, said, streams), columns[:4], strict=True)
        name, inner, said, streams = (_set(series, is_open, column) for series, column in pairs)
        is_docker = columns[0] == "docker"
        has_ends = (is_docker & ~columns[4]).any()  # exports may have lost all line ends
        is_part = _set(is_part, is_open, columns[4] & has_ends)
    for envelope in ENVELOPES:
        is_left = ~is_open
        if not is_left.any():
            break
        texts = lines.filter(is_left).str.extract_groups(envelope.expression).struct.unnest()
        is_hit = texts["line"].is_not_null()
        if not is_hit.any():
            continue
        texts = texts.filter(is_hit)
        mask = _spread(is_left, is_hit)
        keys = {column: column for column in texts.columns if column not in ("line", "tag")}
        name = name.set(mask, envelope.name)
        inner = _set(inner, mask, texts["line"])
        said = _set(said, mask, rescued_json(texts, keys))
        if "tag" in texts.columns:
            is_part = _set(is_part, mask, texts["tag"] == "P")
            streams = _set(streams, mask, texts["stream"])
        is_open |= mask
    return Opened(name, inner, said, streams, is_part)


def _spread(mask: pl.Series, inner: pl.Series) -> pl.Series:
    """A mask over all rows from one over those of ``mask``."""
    places = pl.int_range(mask.len(), eager=True).filter(mask).filter(inner)
    return pl.Series("mask", [False] * mask.len()).scatter(places, True)


def _set(series: pl.Series, mask: pl.Series, values: pl.Series) -> pl.Series:
    places = pl.int_range(mask.len(), eager=True).filter(mask)
    return series.clone().scatter(places, values.cast(series.dtype))


def _from_object(text: str) -> tuple[str | None, str | None, str | None, str | None, bool]:
    """Name, line, what else the object says, its stream, and whether the line goes on."""
    entry = json_object(text)
    if entry is None:
        return None, None, None, None, False
    if isinstance(entry.get("MESSAGE"), list):  # of a line that is not all printable, journald writes the bytes
        entry["MESSAGE"] = _text_of(entry["MESSAGE"])
    if (key := _line_key(entry)) is not None:
        line, stream = entry.pop(key), entry.get("stream")
        stream = stream if isinstance(stream, str) else None
        is_part = key == "log" and not line.endswith("\n") and stream is not None
        return LINE_KEYS[key], unicode_text(line.rstrip("\r\n")), _json(entry), stream, is_part
    for outer, inner in entry.items():
        if outer in _OUTER_KEYS and isinstance(inner, dict) and (key := _line_key(inner)) is not None:
            line = inner.pop(key)
            said = {name: value for name, value in entry.items() if value != {}}
            return "message", unicode_text(line.rstrip("\r\n")), _json(said), None, False
    return None, None, None, None, False


def _text_of(numbers: list[Any]) -> str | None:
    try:
        return bytes(numbers).decode("utf-8", "backslashreplace")
    except (TypeError, ValueError):
        return None


def _line_key(entry: dict[str, Any]) -> str | None:
    return next((key for key in LINE_KEYS if isinstance(entry.get(key), str)), None)


def _json(entry: dict[str, Any]) -> str | None:
    try:
        return unicode_text(json.dumps(entry, ensure_ascii=False, separators=(",", ":"))) if entry else None
    except RecursionError:
        return None
