"""Shapes of log lines, through the producer's parser into a landed file. Line N of a log has number N."""

import io
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from producer.blocks import BlockReader
from producer.rows import LineParser, Reading
from tests.builders import T0
from tests.faults.shape import (
    BAD_STATUS,
    BLANK,
    FUTURE,
    NO_IP,
    NOTHING,
    PAST,
    UNPARSABLE,
    Build,
    Outcome,
    Shape,
    merged,
    quarantined,
)

MAX_LINE_BYTES = 1 << 16
GET = '192.0.2.1 - - [17/May/2024:10:05:03 +0000] "GET / HTTP/1.1" 200 100 "-" "curl/7.68.0"'
ENTRY = '{"time": "2024-05-17T10:05:03Z", "remote_addr": "192.0.2.1", "request": "GET / HTTP/1.1", "status": 200, "user_agent": "curl"}'
SECOND = bytes.fromhex("0d0a")


def log(*lines: str | bytes, log_format: str = "combined", end: bytes = b"\n") -> Build:
    """A landed file of what the producer makes of a log."""
    data = b"".join((line.encode() if isinstance(line, str) else line) + end for line in lines)

    def build(landing: Path, shape: str) -> list[Path]:
        rows = pl.concat(parsed(data, shape, log_format))
        ids = pl.Series("event_id", [f"{shape}-{n}" for n in range(1, rows.height + 1)])
        path = landing / f"{shape}.parquet"
        rows.with_columns(ids).write_parquet(path)
        return [path]

    return build


def parsed(data: bytes, source: str, log_format: str) -> Iterable[pl.DataFrame]:
    reader = BlockReader(io.BytesIO(data).read, max_line_bytes=MAX_LINE_BYTES)
    parser = LineParser(Reading(source, "", log_format, MAX_LINE_BYTES, truncate_ips=False))
    blocks = [*iter(reader.next, None), *([reader.rest] if reader.rest else [])]
    return [parser.task(block, T0)() for block in blocks if block is not None]


def bad(*numbers: int) -> Outcome:
    """These lines do not parse."""
    found = NOTHING
    for number in numbers:
        found |= quarantined(number, UNPARSABLE)
    return found


def with_agent(agent: str | bytes) -> bytes:
    return GET.encode().replace(b"curl/7.68.0", agent if isinstance(agent, bytes) else agent.encode())


LINES = [
    Shape("line-good", "Nothing is wrong with it.", log(GET, GET), merged(1, 2)),
    Shape("line-blank", "Blank lines among good ones.", log(GET, "", "  ", GET), merged(1, 4) | quarantined(2, BLANK) | quarantined(3, BLANK)),
    Shape("line-garbage", "Garbage among good lines.", log(GET, "garbage", GET), merged(1, 3) | bad(2)),
    Shape("line-cut-off", "A line that ends in its middle.", log(GET[:50], GET), merged(2) | bad(1)),
    Shape("line-crlf", "Lines end as on Windows.", log(GET, GET, end=SECOND), merged(1, 2)),
    Shape("line-bom", "A byte order mark before the first line.", log("\ufeff" + GET, GET), merged(1, 2, ip="192.0.2.1")),
    Shape("line-utf16", "A log in UTF-16: its halves of letters are lines that do not parse.", log("\n".join([GET, GET]).encode("utf-16-le"), end=b""), bad(1, 2)),
    Shape("line-latin1", "Bytes that are not UTF-8: written as escapes.", log(with_agent(b"caf\xe9\xff")), merged(1, agent=r"caf\xe9\xff")),
    Shape("line-surrogate", "A lone surrogate as bytes: written as escapes.", log(with_agent(b"\xed\xa0\x80")), merged(1, agent=r"\xed\xa0\x80")),
    Shape("line-nul", "NUL bytes: a line of them, and one inside a line.", log(bytes(100), with_agent(b"a\0b")), merged(2, agent="a\0b") | bad(1)),
    Shape("line-sparse", "A hole of zeros before a line, as a rotation that truncates leaves: the line behind it is read.", log(bytes(5000) + GET.encode(), GET), merged(1, 2)),
    Shape("line-tls", "A TLS greeting on a plain port: no method, but a request.", log(GET.replace("GET / HTTP/1.1", r"\x16\x03\x01\x02")), merged(1, method=None, path=r"\x16\x03\x01\x02")),
    Shape("line-too-long", "A line longer than the limit, between good ones: cut, and rejected.", log(GET, with_agent("x" * 200_000), GET), merged(1, 3) | bad(2)),
    Shape("line-endless", "A megabyte without any newline.", log(b"x" * 1_000_000, end=b""), bad(1)),
    Shape("line-agent-long", "An agent that just fits.", log(with_agent("x" * 60_000)), merged(1, agent="x" * 60_000)),
    Shape("line-agent-script", "A script as agent, with escaped quotes.", log(with_agent(r"<img src=\"x\" onerror=alert(1)>")), merged(1, agent=r"<img src=\"x\" onerror=alert(1)>")),
    Shape("line-agent-ansi", "Escape sequences as agent.", log(with_agent("\x1b[31mred\x1b[0m\x07")), merged(1, agent="\x1b[31mred\x1b[0m\x07")),
    Shape("line-agent-right-to-left", "Right-to-left marks as agent.", log(with_agent("\u202eexe.gpj")), merged(1, agent="\u202eexe.gpj")),
    Shape("line-agent-returns", "Carriage returns inside a line.", log(with_agent("a\rb")), merged(1, agent="a\rb")),
    Shape("line-quote-open", "A quote that nothing closes.", log(GET[:-1]), bad(1)),
    Shape("line-quote-inside", "A quote that is not escaped.", log(with_agent('a"b')), bad(1)),
    Shape("line-1970", "A line of 1970.", log(GET.replace("17/May/2024", "01/Jan/1970")), quarantined(1, PAST)),
    Shape("line-2099", "A line of 2099.", log(GET.replace("2024", "2099")), quarantined(1, FUTURE)),
    Shape("line-year-9999", "The last second of the year 9999.", log(GET.replace("17/May/2024:10:05:03", "31/Dec/9999:23:59:59")), quarantined(1, FUTURE)),
    Shape("line-leap-second", "A leap second: the first second of the next minute.", log(GET.replace("10:05:03", "23:59:60")), merged(1, day=date(2024, 5, 18), timestamp=datetime(2024, 5, 18, tzinfo=UTC))),
    Shape("line-dst", "The hour that comes twice in autumn: two moments, by their offsets.",
          log(GET.replace("17/May/2024:10:05:03 +0000", "27/Oct/2024:02:30:00 +0200"), GET.replace("17/May/2024:10:05:03 +0000", "27/Oct/2023:02:30:00 +0100")),
          quarantined(1, FUTURE) | merged(2, day=date(2023, 10, 27))),
    Shape("line-30-february", "The 30th of February.", log(GET.replace("17/May", "30/Feb")), bad(1)),
    Shape("line-status-999", "Statuses out of range, and of too many digits.", log(GET.replace(" 200 ", " 999 "), GET.replace(" 200 ", " 2000 ")), quarantined(1, BAD_STATUS) | bad(2)),
    Shape("line-bytes-20-digits", "Bytes beyond 64 bits.", log(GET.replace(" 100 ", " 99999999999999999999 ")), bad(1)),
    Shape("line-ip-dash", "No host.", log(GET.replace("192.0.2.1", "-", 1)), quarantined(1, NO_IP)),
    Shape("line-ip-out-of-range", "A host that is no IP.", log(GET.replace("192.0.2.1", "300.1.2.3", 1)), merged(1, ip="300.1.2.3")),
    Shape("line-json-deep", "A JSON log with a line 100,000 deep.", log(ENTRY, "[" * 20_000 + "]" * 20_000, '{"a":' * 8_000, log_format="json"), merged(1) | bad(2, 3)),
    Shape("line-json-surrogate", "A JSON log with a lone surrogate: written as an escape.", log(ENTRY.replace("curl", r"\ud800"), log_format="json"), merged(1, agent=r"\ud800")),
    Shape("line-json-types", "A JSON log with other types.", log(ENTRY.replace("200", '"200"'), ENTRY.replace("200", "[200]"), ENTRY.replace("200", "2e400"), log_format="json"),
          merged(1) | quarantined(2, "no status") | bad(3)),
    Shape("line-json-number", "A JSON log with a number of 5,000 digits.", log(ENTRY.replace("200", "9" * 5_000), log_format="json"), bad(1)),
]  # fmt: skip
