"""``producer inspect``: what a log is and how it would be read, without landing anything (I/O: reads logs).

Of a large log its beginning, its end and some places between are looked at; of a compressed one the beginning.
"""

import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from lakehouse.errors import InputError
from lakehouse.logs import printable
from lakehouse.readable import count_text
from producer.blocks import Block, PlainFile, open_file
from producer.formats.detection import parse
from producer.formats.tally import Tally
from producer.formats.w3c_days import Above, below
from producer.identity import line_spans
from producer.reports import proxy_hint
from producer.rows import Reading, line_texts

PIECE_BYTES = 1 << 20
PIECES = 6
SHOWN_LINES, SHOWN_CHARACTERS = 2, 300
# A zone that no setting has by default: times that move with it have no offset of their own.
OTHER_ZONE = "Pacific/Kiritimati"
_REASONS = (
    (r"^\s*$", "empty"),
    (r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] ", "nginx's error log, no request"),
    (r"^\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d", "Apache's error log, no request"),
    (r"^\x00+$", "NULs: the log was cut while it was written"),
    (r"^#", "a comment or header"),
    (r"^\s*\{", "JSON without a time or a request under the usual keys: name them in ingest.json_fields"),
    (
        r"\[\d\d/\w{3}/\d{4}:",
        "a time as in Combined, but other fields: give the server's format string as --log-format",
    ),
    (r"[^\x09\x20-\x7e\u0080-\uffff]", "binary"),
)


@dataclass
class Inspection:
    """What was seen of one log.

    :param is_whole: whether all of it was looked at.
    :param first: the earliest time that was read, and ``last`` the latest.
    """

    source: str
    is_whole: bool = True
    tally: Tally = field(default_factory=Tally)
    first: datetime | None = None
    last: datetime | None = None
    examples: list[dict[str, Any]] = field(default_factory=list)
    unparsed: list[str] = field(default_factory=list)
    has_local_times: bool = False

    def add(self, lines: pl.Series, reading: Reading, header: str | None) -> None:
        """Look at more lines."""
        likely = self.tally.formats.most_common(1)[0][0] if self.tally.formats else None
        found = parse(lines, reading.parsing, likely, header)
        self.tally.add(found.tally)
        times = found.rows["timestamp"].drop_nulls()
        if times.len():
            low, high = times.min(), times.max()
            assert isinstance(low, datetime)
            assert isinstance(high, datetime)
            self.first, self.last = min(self.first or low, low), max(self.last or high, high)
        parsed = found.rows.filter(pl.col("timestamp").is_not_null())
        self.examples += parsed.head(SHOWN_LINES - len(self.examples)).to_dicts()
        is_shown = found.rows["raw"].is_not_null()
        if found.is_row is not None:
            is_shown &= found.is_row
        self.unparsed += found.rows["raw"].filter(is_shown).head(SHOWN_LINES - len(self.unparsed)).to_list()

    def look_at_zone(self, lines: pl.Series, reading: Reading, header: str | None) -> None:
        """Whether the times have no offset."""
        elsewhere = replace(reading, options=replace(reading.options, time_zone=OTHER_ZONE))
        here, there = (parse(lines, way.parsing, None, header).rows["timestamp"] for way in (reading, elsewhere))
        self.has_local_times = not here.equals(there)


def inspected(path: Path, reading: Reading) -> Inspection:
    """Look at a log.

    :raises InputError: it cannot be read.
    """
    opened = open_file(path)
    seen = Inspection(reading.source)
    try:
        header = None
        for number, block in enumerate(_pieces(opened, path, seen)):
            lines = line_texts(block, line_spans(block.data), has_cut_lines=False)
            if number == 0:
                header = below(lines.head(100), Above()).text
                seen.look_at_zone(lines.head(50), reading, header)
            seen.add(lines, reading, header)
    except OSError as error:
        raise InputError(f"{reading.source}: cannot be read: {error.strerror}") from None
    finally:
        opened.close()
    if not isinstance(opened, PlainFile) and opened.error is not None:
        raise InputError(f"{reading.source}: {opened.error}")
    return seen


def _pieces(opened: Any, path: Path, seen: Inspection) -> Any:
    """Blocks of whole lines, from the beginning on."""
    size = path.stat().st_size
    if not isinstance(opened, PlainFile):
        data = bytearray()
        while len(data) < PIECES * PIECE_BYTES and (chunk := opened.read(PIECE_BYTES)):
            data += chunk
        seen.is_whole = len(data) < PIECES * PIECE_BYTES
        yield Block(0, bytes(data) if seen.is_whole else _whole_lines(bytes(data), is_first=True))
        return
    if size <= PIECES * PIECE_BYTES:
        yield Block(0, opened.read_at(0, size))
        return
    seen.is_whole = False
    step = (size - PIECE_BYTES) // (PIECES - 1)
    for number in range(PIECES):
        offset = number * step if number < PIECES - 1 else size - PIECE_BYTES
        yield Block(offset, _whole_lines(opened.read_at(offset, PIECE_BYTES), is_first=number == 0))


def _whole_lines(data: bytes, *, is_first: bool) -> bytes:
    start = 0 if is_first else data.find(b"\n") + 1
    return data[start : data.rfind(b"\n") + 1]


def reason(line: str) -> str:
    """Why a line may not have been read."""
    return next((why for look, why in _REASONS if re.search(look, line, re.ASCII)), "no known format")


def inspection_lines(seen: Inspection, reading: Reading) -> list[str]:
    """What there is to say of a log, for a terminal."""
    tally = seen.tally
    share = tally.parsed / tally.lines if tally.lines else 0.0
    looked = "" if seen.is_whole else ", a part of the file"
    lines = [printable(seen.source), f"  lines: {count_text(tally.lines)}{looked}; {share:.1%} of them parsed"]
    for name, count in tally.formats.most_common():
        envelope, _, known = name.rpartition("+")
        within = f", within {envelope.replace('+', ', ')}" if envelope else ""
        lines.append(f"  format: {known}{within}: {count_text(count)} lines")
    if seen.first is not None and seen.last is not None:
        lines.append(f"  times: {seen.first:%F %T} to {seen.last:%F %T} UTC")
    lines += [f"  read as: {_fields_text(example)}" for example in seen.examples]
    lines += [f"  not read ({reason(line)}): {printable(line[:SHOWN_CHARACTERS])}" for line in seen.unparsed]
    return lines + [f"  to set: {text}" for text in advice(seen, reading)]


def advice(seen: Inspection, reading: Reading) -> list[str]:
    """What to set, if anything."""
    found = []
    if not seen.tally.parsed and seen.tally.lines:
        found.append("--log-format with the format string from your server's configuration, if these are requests")
    elif any(row["agent"] is None and '"rest":' in (row["rescued"] or "") for row in seen.examples):
        found.append(
            "--log-format with the format string from your server's configuration: there are fields without a name"
        )
    if seen.has_local_times and reading.options.time_zone == "UTC":
        found.append("ingest.time_zone, if the times are not UTC: they have no offset")
    hint = proxy_hint(seen.tally, is_trusting=bool(reading.trusted))
    return [*found, hint] if hint else found


def _fields_text(row: dict[str, Any]) -> str:
    plain = {name: value for name, value in row.items() if value is not None and name not in ("raw", "rescued")}
    plain |= {"rescued": json.loads(row["rescued"])} if row["rescued"] else {}
    return printable(json.dumps(plain, ensure_ascii=False, default=lambda time: time.isoformat()))[
        : 4 * SHOWN_CHARACTERS
    ]
