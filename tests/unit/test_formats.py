import json
import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producer.formats.columns import PARSED
from producer.formats.detection import detect, first_timestamp, parse
from producer.formats.keys import JSON_KEYS, NESTING_KEYS

T0 = datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC)
FRONT = "192.0.2.1 - - [17/May/2015:10:05:03 +0000]"
GET = f'{FRONT} "GET / HTTP/1.1" 200 100'
COMMON: dict[str, Any] = {
    "timestamp": T0, "ip": "192.0.2.1", "user": "-", "method": "GET", "path": "/", "query": None,
    "protocol": "HTTP/1.1", "status": 200, "bytes": 100, "referer": None, "agent": None, "site": None, "raw": None, "rescued": None,
}  # fmt: skip


def row(**fields: Any) -> dict[str, Any]:
    """The columns of ``GET``, but for those given."""
    return COMMON | fields


def rejected(line: str) -> dict[str, Any]:
    """The columns of a line that does not parse."""
    return dict.fromkeys(COMMON) | {"raw": line}


def parsed(lines: list[str], parser: str = "combined") -> list[dict[str, Any]]:
    rows = parse(pl.Series(lines, dtype=pl.String), parser).rows
    assert dict(rows.schema) == PARSED
    return rows.to_dicts()


# Combined and Common -------------------------------------------------------------------------------------------------

LINES = {
    "common": (GET, row()),
    "combined": (f'{GET} "http://a/" "curl/8"', row(referer="http://a/", agent="curl/8")),
    "more fields": (
        f'{GET} "-" "-" "10.0.0.1" rt=0.1 [\\é\x00]',
        row(referer="-", agent="-", rescued=r'{"rest":"\"10.0.0.1\" rt=0.1 [\\é\u0000]"}'),
    ),
    "a blank after the agent": (f'{GET} "-" "-" ', row(referer="-", agent="-")),
    "empty referer and agent": (f'{GET} "" ""', row(referer="", agent="")),
    "no bytes": (f'{FRONT} "GET / HTTP/1.1" 304 -', row(status=304, bytes=None)),
    "most bytes": (f'{FRONT} "GET / HTTP/1.1" 200 9223372036854775807', row(bytes=2**63 - 1)),
    "bytes of -1, counted without sign": (f'{FRONT} "GET / HTTP/1.1" 200 18446744073709551615', row(bytes=None)),
    "a time in ISO 8601": (GET.replace("17/May/2015:10:05:03 +0000", "2015-05-17T12:05:03+02:00"), row()),
    "a day of one digit": (GET.replace("17/May", "7/May"), row(timestamp=T0.replace(day=7))),
    "a user": (GET.replace("- -", "- josé@x"), row(user="josé@x")),
    "an ident": (GET.replace("- -", "id -"), row(rescued='{"ident":"id"}')),
    "a host name in the place of ident": (
        GET.replace("- -", "www.example.org -"), row(rescued='{"ident":"www.example.org"}'),
    ),
    "two blanks": (GET.replace("- -", "-  -"), row()),
    "blank in the user": (GET.replace("- -", "- j doe"), row(user="j doe")),
    "an empty user in quotes": (GET.replace("- -", '- ""'), row()),
    "no ident": (GET.replace("- - ", "- "), row()),
    "quotes around the host": (GET.replace("192.0.2.1", '"192.0.2.1"'), row()),
    "a port behind the host": (
        GET.replace("192.0.2.1", "192.0.2.1:5000"), row(rescued='{"remote_addr":"192.0.2.1:5000"}'),
    ),
    "a list of addresses": (
        GET.replace("192.0.2.1", "192.0.2.1, 10.0.0.1"), row(rescued='{"remote_addr":"192.0.2.1, 10.0.0.1"}'),
    ),
    "month in capitals": (GET.replace("May", "MAY"), row()),
    "no offset": (GET.replace(" +0000", ""), row()),
    "a fraction of a second": (GET.replace(":03 ", ":03.25 "), row(timestamp=T0.replace(microsecond=250_000))),
    "begins with a blank": (" " + GET, row()),
    "begins with NULs": ("\0\0" + GET, row()),
    "a blank after the bytes": (GET + " ", row()),
    "status is a dash": (GET.replace(" 200 ", " - "), row(status=None)),
    "bytes are -1": (GET.replace(" 100", " -1"), row(bytes=None)),
    "fields after the bytes": (GET + " 12 thread-1", row(rescued='{"rest":"12 thread-1"}')),
    "referer alone": (f'{GET} "-"', row(rescued=r'{"rest":"\"-\""}')),
    "IPv6": (GET.replace("192.0.2.1", "2001:db8::1"), row(ip="2001:db8::1")),
    "host name": (GET.replace("192.0.2.1", "a-b.example.org"), row(ip="a-b.example.org")),
    "host is a dash": (GET.replace("192.0.2.1", "-"), row(ip="-")),
    "query": (GET.replace("GET / ", "GET /a?b=1&c=?d "), row(path="/a", query="b=1&c=?d")),
    "empty query": (GET.replace("GET / ", "GET /a? "), row(path="/a", query="")),
    "blanks in the target": (GET.replace("GET / ", "GET /a b?c d "), row(path="/a b", query="c d")),
    "no protocol": (GET.replace(" HTTP/1.1", ""), row(protocol=None)),
    "another protocol": (GET.replace("HTTP/1.1", "RTSP/1.0"), row(path="/ RTSP/1.0", protocol=None)),
    "HTTP/2.0": (GET.replace("HTTP/1.1", "HTTP/2.0"), row(protocol="HTTP/2.0")),
    "odd method": (GET.replace("GET", "M-SEARCH*"), row(method="M-SEARCH*")),
    "single word": (GET.replace("GET / HTTP/1.1", "GET"), row(method=None, path="GET", protocol=None)),
    "protocol alone": (GET.replace("GET / HTTP/1.1", "GET HTTP/1.1"), row(path="HTTP/1.1", protocol=None)),
    "method and blank": (GET.replace("GET / HTTP/1.1", "GET "), row(path="", protocol=None)),
    "request is a dash": (GET.replace("GET / HTTP/1.1", "-"), row(method=None, path="-", protocol=None)),
    "empty request": (GET.replace("GET / HTTP/1.1", ""), row(method=None, path="", protocol=None)),
    "TLS on a plain port": (
        GET.replace("GET / HTTP/1.1", r"\x16\x03\x01?x"),
        row(method=None, path=r"\x16\x03\x01?x", protocol=None),
    ),
    "no token as method": (
        GET.replace("GET / HTTP/1.1", "G@T /?a HTTP/1.1"),
        row(method=None, path="G@T /?a HTTP/1.1", protocol=None),
    ),
    "escaped quotes": (
        GET.replace("GET /", r"GET /\"a\"?\\") + r' "\"" "a\"b\\"',
        row(path=r"/\"a\"", query=r"\\", referer=r"\"", agent=r"a\"b\\"),
    ),
    "escaped bytes": (GET + r' "-" "caf\xc3\xa9"', row(referer="-", agent=r"caf\xc3\xa9")),
    "other alphabets": (f'{GET} "-" "мо\u2028зилла 🦎"', row(referer="-", agent="мо\u2028зилла 🦎")),
    "NUL and tab": (f'{GET} "\x00" "a\tb"', row(referer="\x00", agent="a\tb")),
    "east": (GET.replace("+0000", "+0530"), row(timestamp=T0 - timedelta(hours=5, minutes=30))),
    "west": (GET.replace("+0000", "-0330"), row(timestamp=T0 + timedelta(hours=3, minutes=30))),
    "no such offset": (GET.replace("+0000", "+9999"), row(timestamp=T0 - timedelta(hours=99, minutes=99))),
    "leap second": (GET.replace(":10:05:03", ":23:59:60"), row(timestamp=T0.replace(day=18, hour=0, minute=0, second=0))),
    "a zone's name": (GET.replace("+0000", "CEST"), row(timestamp=T0 - timedelta(hours=2))),
    "leap day": (GET.replace("17/May/2015", "29/Feb/2016"), row(timestamp=T0.replace(2016, 2, 29))),
    "leap day of 2000": (GET.replace("17/May/2015", "29/Feb/2000"), row(timestamp=T0.replace(2000, 2, 29))),
    "first year": (GET.replace("17/May/2015", "02/Jan/0001"), row(timestamp=T0.replace(1, 1, 2))),
    "last year": (GET.replace("17/May/2015", "31/Dec/9999"), row(timestamp=T0.replace(9999, 12, 31))),
}  # fmt: skip
REJECTED_LINES = {
    "agent not closed": f'{GET} "-" "curl',
    "closing quote escaped": f'{GET} "-" "curl\\"',
    "quote inside": f'{GET} "-" "a"b"',
    "blank": "",
    "blanks": "   ",
    "text": "not a log line",
    "no request": f"{FRONT} 200 100",
    "status of two digits": GET.replace(" 200 ", " 20 "),
    "status of four digits": GET.replace(" 200 ", " 2000 "),
    "digits of another alphabet": GET.replace(" 200 ", " ٢٠٠ "),
    "bytes with a sign": GET.replace(" 100", " +100"),
    "bytes beyond 64 bits": GET.replace(" 100", " 9223372036854775808"),
    "vhost first": f"www.example.org:80 {GET}",
    "two lines in one": f"{FRONT[:30]}{GET}",
    "an address before the host": GET.replace("- -", "192.0.2.2 -").replace("192.0.2.1", "www.example.org"),
    "a container's time before the end of a line": GET.replace("192.0.2.1 - -", "2015-05-17T10:05:03Z stdout F"),
    "syslog's time before a line without a host": GET.replace("192.0.2.1 - -", "May 17 10:05:03"),
    "30 February": GET.replace("17/May", "30/Feb"),
    "a zone's name that has two meanings": GET.replace("+0000", "CST"),
    "leap day of 1900": GET.replace("17/May/2015", "29/Feb/1900"),
    "leap day of 2015": GET.replace("17/May/2015", "29/Feb/2015"),
    "day 0": GET.replace("17/May", "00/May"),
    "31 April": GET.replace("17/May", "31/Apr"),
    "year 0": GET.replace("2015", "0000"),
    "before year 1": GET.replace("17/May/2015", "01/Jan/0001").replace("+0000", "+1100"),
    "after year 9999": GET.replace("17/May/2015", "31/Dec/9999").replace("+0000", "-1400"),
    "hour 24": GET.replace(":10:05:03", ":24:00:00"),
    "minute 60": GET.replace(":10:05:03", ":10:60:00"),
    "no such month": GET.replace("May", "Mai"),
    "JSON": '{"time": "2015-05-17T10:05:03Z"}',
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_is_read_into_its_columns(name: str) -> None:
    line, expected = LINES[name]
    assert parsed([line]) == [expected]


@pytest.mark.parametrize("name", REJECTED_LINES)
def test_a_line_that_does_not_parse_keeps_its_text(name: str) -> None:
    line = REJECTED_LINES[name]
    assert parsed([line]) == [rejected(line)]


def test_lines_keep_their_order_and_number_whatever_they_are() -> None:
    lines = [line for line, _ in LINES.values()] + list(REJECTED_LINES.values())
    mixed = [line for pair in zip(lines, reversed(lines), strict=True) for line in pair]
    assert parsed(mixed) == [parsed([line])[0] for line in mixed]


@pytest.mark.parametrize("parser", ["combined", "vhost", "json"])
def test_no_lines_are_no_rows(parser: str) -> None:
    assert parsed([], parser) == []


def test_a_line_of_a_megabyte_is_read() -> None:
    long = "x" * 1_000_000
    assert parsed([f'{GET} "-" "{long}"', long]) == [row(referer="-", agent=long), rejected(long)]


# Virtual host first --------------------------------------------------------------------------------------------------


def test_vhost_first_lines_name_their_site_without_the_port() -> None:
    lines = [
        f"www.example.org:443 {GET}",
        f"[2001:db8::1]:80 {GET}",
        f"www.example.org:80 2001:db8::2{GET[9:]}",
        GET,
        f"2001:db8::80{GET[9:]}",
        f"www.example.org {GET}",
        f"www.example.org:80 {GET[:-3]}-",
    ]
    assert parsed(lines, "vhost") == [
        row(site="www.example.org"),
        row(site="[2001:db8::1]"),
        row(site="www.example.org", ip="2001:db8::2"),
        row(),
        row(ip="2001:db8::80"),
        row(site="www.example.org"),
        row(site="www.example.org", bytes=None),
    ]


# JSON ----------------------------------------------------------------------------------------------------------------

ENTRY: dict[str, Any] = {
    "time_iso8601": "2015-05-17T12:05:03+02:00", "remote_addr": "192.0.2.1", "remote_user": "-",
    "request": "GET /a?b HTTP/1.1", "status": 200, "body_bytes_sent": 100, "http_referer": "-",
    "http_user_agent": "curl/8", "host": "www.example.org",
}  # fmt: skip
ENTRY_ROW = row(path="/a", query="b", referer="-", agent="curl/8", site="www.example.org")


def entry(**fields: Any) -> str:
    """``ENTRY`` as a line, with fields changed, or left out where ``...``."""
    return json.dumps({key: value for key, value in (ENTRY | fields).items() if value is not ...})


JSON_LINES = {
    "nginx": (entry(), ENTRY_ROW),
    "empty variables without quotes": (
        entry(body_bytes_sent=-1, rt=-2, up=-3, v="a:,").replace(": -1", ": -").replace(": -2", ": ").replace(": -3", ": -").replace("}", ",}"),
        ENTRY_ROW | {"bytes": None, "rescued": '{"rt":"","up":"-","v":"a:,"}'},
    ),
    "a status of 000": (entry(status=-7).replace("-7", "000"), ENTRY_ROW | {"status": 0}),
    "pino": (
        json.dumps({
            "time": 1431857103000, "req": {"method": "GET", "url": "/p?a=1", "headers": {"user-agent": "ua", "host": "s:80"},
            "remoteAddress": "::1"}, "res": {"statusCode": 200}, "responseTime": 5,
        }),
        row(ip="::1", user=None, path="/p", query="a=1", protocol=None, bytes=None, agent="ua", site="s", rescued='{"responseTime":5}'),
    ),
    "a status with its reason": (entry(status="200 OK"), ENTRY_ROW | {"rescued": '{"status":"200 OK"}'}),
    "bytes with their unit": (entry(body_bytes_sent="100 B"), ENTRY_ROW),
    "CloudFront": (
        json.dumps({
            "timestamp": "1431857103", "c-ip": "192.0.2.1", "cs-method": "GET", "cs-uri-stem": "/a", "cs-uri-query": "b", "sc-status": "200",
            "sc-bytes": "100", "cs(Referer)": "-", "cs(User-Agent)": "curl/8", "x-host-header": "www.example.org", "cs-protocol-version": "HTTP/1.1",
        }),
        ENTRY_ROW | {"user": None},
    ),
    "OpenTelemetry": (
        json.dumps({
            "timestamp": "2015-05-17T10:05:03Z",
            "attributes": {
                "http": {"method": "GET", "url": "https://www.example.org/a?b", "status_code": 200, "useragent": "curl/8", "version": "1.1"},
                "network": {"client": {"ip": "192.0.2.1"}, "bytes_written": 100},
            },
        }),
        ENTRY_ROW | {"user": None, "protocol": "1.1", "referer": None},
    ),
    "a day and a clock": (
        entry(time_iso8601=..., date="2015-05-17", time="10:05:03.5"),
        ENTRY_ROW | {"timestamp": T0.replace(microsecond=500_000), "rescued": '{"time":"10:05:03.5"}'},
    ),
    "a key's letters do not matter, if there is no other key": (
        entry(remote_addr=..., **{"Remote-Addr": "192.0.2.1", "STATUS": 404}), ENTRY_ROW | {"rescued": '{"STATUS":404}'},
    ),
    "what a visitor sent, below a request": (
        entry(remote_addr=..., ip="192.0.2.1", status=..., code=200, body={"client_ip": "198.51.100.9", "status": 500, "user": "root"}),
        ENTRY_ROW | {"rescued": '{"body":{"client_ip":"198.51.100.9","status":500,"user":"root"}}'},
    ),
    "a time above the request": (
        json.dumps({"timestamp": "2020-01-01T00:00:00Z", "data": {**ENTRY, "time": "x"}}),
        ENTRY_ROW | {"rescued": '{"timestamp":"2020-01-01T00:00:00Z","data":{"time":"x"}}'},
    ),
    "Vercel": (
        json.dumps({
            "id": "1", "timestamp": 1431857103000, "path": "/[a]",
            "proxy": {"method": "GET", "host": "www.example.org", "path": "/a?b", "userAgent": ["curl/8"], "statusCode": 200, "clientIp": "192.0.2.1"},
        }),
        ENTRY_ROW | {"user": None, "protocol": None, "bytes": None, "referer": None, "rescued": '{"id":"1","path":"/[a]"}'},
    ),
    "what is no number, under a key that is hardly ours": (
        entry(body_bytes_sent=..., Size="big", data={"bytes": "many"}), ENTRY_ROW | {"bytes": None, "rescued": '{"Size":"big","data":{"bytes":"many"}}'},
    ),
    "numbers as text": (entry(status="200", body_bytes_sent="100"), ENTRY_ROW),
    "other spellings": (
        json.dumps({
            "@timestamp": "2015-05-17T10:05:03.123456789Z", "client_ip": "::1", "user": "u", "method": "POST",
            "uri": "/q", "args": "a=1", "protocol": "HTTP/2.0", "status": 404, "bytes": 0, "referrer": "r",
            "user_agent": "ua", "server_name": "s:8080",
        }),
        row(timestamp=T0.replace(microsecond=123456), ip="::1", user="u", method="POST", path="/q", query="a=1",
            protocol="HTTP/2.0", status=404, bytes=0, referer="r", agent="ua", site="s"),
    ),
    "parts of the request": (
        entry(request=..., request_method="GET", request_uri="/a?b", server_protocol="HTTP/1.1", args="b"),
        ENTRY_ROW | {"rescued": '{"args":"b"}'},
    ),
    "empty arguments": (
        entry(request=..., request_method="GET", uri="/a", args="", protocol="HTTP/1.1"), ENTRY_ROW | {"query": None},
    ),
    "empty request": (entry(request=""), ENTRY_ROW | {"method": None, "path": "", "query": None, "protocol": None}),
    "time as in Combined": (entry(time_iso8601=..., time_local="17/May/2015:10:05:03 +0000"), ENTRY_ROW),
    "epoch as text": (
        entry(time_iso8601=..., msec="1431857103.250"), ENTRY_ROW | {"timestamp": T0.replace(microsecond=250_000)},
    ),
    "epoch": (entry(time_iso8601=..., ts=1431857103), ENTRY_ROW),
    "epoch in milliseconds": (entry(time_iso8601=..., timestamp=1431857103000), ENTRY_ROW),
    "epoch in microseconds": (entry(time_iso8601=..., timestamp=1431857103000000), ENTRY_ROW),
    "epoch in nanoseconds": (entry(time_iso8601=..., timestamp=1431857103000000000), ENTRY_ROW),
    "bytes are -1": (entry(body_bytes_sent=-1), ENTRY_ROW | {"bytes": None}),
    "time without offset": (entry(time_iso8601=..., time="2015-05-17 10:05:03"), ENTRY_ROW),
    "second time counts": (
        entry(time_iso8601="-", time_local="17/May/2015:10:05:03 +0000"),
        ENTRY_ROW | {"rescued": '{"time_iso8601":"-"}'},
    ),
    "no bytes": (entry(body_bytes_sent="-"), ENTRY_ROW | {"bytes": None}),
    "no status": (entry(status=...), ENTRY_ROW | {"status": None}),
    "null user": (entry(remote_user=None), ENTRY_ROW | {"user": None}),
    "no host": (entry(host="-"), ENTRY_ROW | {"site": None}),
    "host is an object": (
        entry(host={"name": "x"}, server_name="www.example.org"), ENTRY_ROW | {"rescued": '{"host":{"name":"x"}}'},
    ),
    "unknown keys": (
        entry(x=[1, {"y": None}], z="é\n", n=None, f=0.25, b=True, i=10**30),
        ENTRY_ROW | {"rescued": '{"x":[1,{"y":null}],"z":"é\\n","f":0.25,"b":true,"i":1' + 30 * "0" + "}"},
    ),
    "a key that is a column's name": (entry(path="/x", raw=1), ENTRY_ROW | {"rescued": '{"path":"/x","raw":1}'}),
    "what no column took": (
        entry(msec="1431857103.250", bytes_sent=140, server_name="s", request_uri="/a?b", args="b"),
        ENTRY_ROW | {
            "rescued": '{"msec":"1431857103.250","bytes_sent":140,"server_name":"s","request_uri":"/a?b","args":"b"}',
        },
    ),
    "numbers that JSON has not": (
        entry(a=float("nan"), b="B", c=[float("-inf")]).replace('"B"', "-1e999"),
        ENTRY_ROW | {"rescued": '{"a":"NaN","b":"-1e999","c":["-Infinity"]}'},
    ),
    "half a surrogate in an unknown key": (entry(**{"\ud83d": 1}), ENTRY_ROW | {"rescued": r'{"\ud83d":1}'}),
    "nginx's own escapes": (
        entry(http_user_agent="A", remote_user="U").replace('"A"', r'"a\x22b\\x22\xC3\xA9"').replace('"U"', r'"\x2D"'),
        ENTRY_ROW | {"agent": r"a\x22b\x22\xC3\xA9", "user": r"\x2D"},
    ),
    "escapes of JSON": (entry(http_user_agent='"\\\n\u00e9\x00'), ENTRY_ROW | {"agent": '"\\\n\u00e9\x00'}),
    "half a surrogate": (entry(http_user_agent="\ud83d"), ENTRY_ROW | {"agent": r"\ud83d"}),
    "blanks around": (f" \t{entry()}  ", ENTRY_ROW),
}  # fmt: skip
REJECTED_JSON = {
    "blank": "",
    "Combined": GET,
    "an array": f"[{entry()}]",
    "cut": entry()[:-1],
    "two objects": entry() * 2,
    "no time": entry(time_iso8601=...),
    "impossible time": entry(time_iso8601="2015-02-29T10:05:03Z"),
    "a date alone": entry(time_iso8601="2015-05-17"),
    "time outside all years": entry(time_iso8601="0001-01-01T00:00:00+14:00"),
    "an epoch is no duration": entry(time_iso8601=..., ts=12.5),
    "no request": entry(request=...),
    "status is text": entry(status="OK"),
    "status is a fraction": entry(status=200.5),
    "status is no number": entry(status=float("nan")),
    "bytes of another unit": entry(body_bytes_sent="1.5 KB"),
    "negative bytes": entry(body_bytes_sent=-2),
    "bytes beyond 64 bits": entry(body_bytes_sent=2**63),
    "a number of 5000 digits": entry(status="N").replace('"N"', "9" * 5000),
    "nested too deep": '{"a":' * 100_000,
    "control character": entry(http_user_agent="A").replace('"A"', '"\x01"'),
}


@pytest.mark.parametrize("name", JSON_LINES)
def test_a_json_line_is_read_into_its_columns(name: str) -> None:
    line, expected = JSON_LINES[name]
    assert parsed([line], "json") == [expected]


@pytest.mark.parametrize("name", REJECTED_JSON)
def test_a_json_line_that_does_not_parse_keeps_its_text(name: str) -> None:
    line = REJECTED_JSON[name]
    assert parsed([line], "json") == [rejected(line)]


# Which format --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        (["", "garbage"], None),
        ([GET], "combined"),
        (["", "garbage", GET], "combined"),
        ([f"a:80 {GET}"], "vhost"),
        ([f"a:80 {GET}", f"a:80 {GET}", GET], "vhost"),
        ([f"a:80 {GET}", GET], "combined"),
        ([entry()], "json"),
        ([entry(), GET], "combined"),
        ([entry(), entry(), GET], "json"),
    ],
)
def test_the_format_is_that_of_most_lines_and_combined_when_even(lines: list[str], expected: str | None) -> None:
    assert detect(pl.Series(lines, dtype=pl.String)) == expected


def test_the_first_time_is_that_of_the_first_line_that_parses() -> None:
    later = GET.replace("2015", "2016")
    assert first_timestamp(pl.Series(["", GET, later])) == T0
    assert first_timestamp(pl.Series([entry()])) == T0
    assert first_timestamp(pl.Series(["", "x"])) is None


# Properties ----------------------------------------------------------------------------------------------------------

QUOTED = r'"((?:[^"\\]|\\.)*)"'
SLOW_LINE = re.compile(
    r'([^< \t\n\v\f\r"\0][^ \t\n\v\f\r"\0]*) ([^ \t\n\v\f\r]+) ([^ \t\n\v\f\r]+) '
    r"\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\] "
    rf"{QUOTED} (\d{{3}}) (\d+|-)(?: {QUOTED} {QUOTED}(?: (.+)?)?)?",
    re.DOTALL | re.ASCII,
)
SLOW_REQUEST = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (.*?)(?: (HTTP/[0-9.]+))?", re.DOTALL)
NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})", re.ASCII)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def kept(**values: str | None) -> str | None:
    """``rescued`` with these values, numbers as JSON has them."""
    said = {key: value for key, value in values.items() if value not in (None, "", "-")}
    plain = {
        key: json.loads(value) if NUMBER.fullmatch(value) else value for key, value in said.items() if value is not None
    }
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")) if plain else None


def slow_parse(line: str) -> dict[str, Any]:
    """The rules again, one line at a time."""
    match = SLOW_LINE.fullmatch(line)
    if match is None:
        return rejected(line)
    ip, ident, user, day, month, year, *clock, sign, hours, minutes, request, status, size, referer, agent, rest = (
        match.groups()
    )
    try:
        hour, minute, second = map(int, clock)
        leap = timedelta(seconds=second == 60)
        local = (
            datetime(int(year), MONTHS.index(month) + 1, int(day), hour, minute, second - leap.seconds, tzinfo=UTC)
            + leap
        )
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        timestamp = local - offset if sign == "+" else local + offset
    except (ValueError, OverflowError):
        return rejected(line)
    if size != "-" and int(size) >= 2**63:
        return rejected(line)
    parts = SLOW_REQUEST.fullmatch(request)
    method, target, protocol = parts.groups() if parts else (None, request, None)
    path, mark, query = target.partition("?") if parts else (request, "", "")
    return row(
        timestamp=timestamp, ip=ip, user=user, method=method, path=path, query=query if mark else None,
        protocol=protocol, status=int(status), bytes=None if size == "-" else int(size), referer=referer, agent=agent,
        rescued=kept(rest=rest, ident=None if ident == "-" else ident),
    )  # fmt: skip


any_text = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12)
no_blank = st.text(st.characters(exclude_characters=" \t\n\v\f\r", exclude_categories=["Cs"]), min_size=1, max_size=8)
pieces = st.sampled_from([*"aZ09/?&=% ;:.é\t\x00", r"\"", r"\\", r"\x22", "HTTP/1.1"])
unquoted = st.lists(pieces, max_size=12).map("".join)
digits = st.integers(0, 99).map("{:02}".format)
dates = st.one_of(
    st.datetimes().map(lambda t: f"{t.day:02}/{MONTHS[t.month - 1]}/{t.year:04}:{t:%H:%M:%S} +0000"),
    st.builds(
        "{}/{}/{}:{}:{}:{} {}{}{}".format,
        digits, st.sampled_from([*MONTHS, "Foo", "MAY"]),
        st.sampled_from(["0000", "0001", "1900", "2000", "2015", "9999"]),
        digits, digits, digits, st.sampled_from("+-"), digits, digits,
    ),
)  # fmt: skip
requests = st.one_of(
    st.builds(
        "{} {}{}".format, st.sampled_from(["GET", "POST", "M-S", "G@", ""]), unquoted,
        st.sampled_from([" HTTP/1.1", " HTTP/2", ""]),
    ),
    unquoted,
)  # fmt: skip
numbers = st.one_of(st.integers(0, 10**22).map(str), st.sampled_from(["-", "", "-1"]))
log_lines = st.builds(
    '{} {} {} [{}] "{}" {} {}{}'.format,
    no_blank, no_blank, no_blank, dates, requests, st.sampled_from(["200", "404", "099", "20", "2000"]), numbers,
    st.just("") | st.builds(' "{}" "{}"{}'.format, unquoted, unquoted, st.sampled_from(["", " ", " x y", "x"])),
)  # fmt: skip
mutated_lines = st.builds(
    lambda line, at, text: line[: at % (len(line) + 1)] + text + line[at % (len(line) + 1) + len(text) :],
    log_lines, st.integers(0, 300), any_text,
)  # fmt: skip


@given(st.lists(st.one_of(log_lines, mutated_lines, any_text), max_size=12))
@example([GET, "", f'{GET} "" ""'])
def test_what_the_strict_rules_take_is_read_as_they_say(lines: list[str]) -> None:
    expected = [slow_parse(line) for line in lines]
    found = parsed(lines)
    assert [row for row, rule in zip(found, expected, strict=True) if rule["raw"] is None] == [
        rule for rule in expected if rule["raw"] is None
    ]


@given(st.lists(st.one_of(log_lines, mutated_lines, any_text)), st.sampled_from(["combined", "vhost", "json"]))
def test_every_line_is_either_parsed_or_kept_as_it_is(lines: list[str], parser: str) -> None:
    rows = parsed(lines, parser)
    assert len(rows) == len(lines)
    for line, found in zip(lines, rows, strict=True):
        assert (found["timestamp"] is None) == (found["raw"] is not None)
        assert found["timestamp"] is not None or found == rejected(line)


def is_not_mapped(address: IPv4Address | IPv6Address) -> bool:
    """An IPv4 address that is mapped into IPv6 comes back as IPv4: ``test_addresses``."""
    return isinstance(address, IPv4Address) or address.ipv4_mapped is None


@given(
    st.fixed_dictionaries({
        "timestamp": st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
        "ip": st.ip_addresses().filter(is_not_mapped).map(str),
        "user": no_blank,
        "method": st.sampled_from(["GET", "POST", "PROPFIND"]),
        "path": st.text(st.sampled_from("/abcé%20."), min_size=1),
        "query": st.none() | st.text(st.sampled_from("?&=ab%")),
        "protocol": st.none() | st.sampled_from(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"]),
        "status": st.integers(100, 599),
        "bytes": st.none() | st.integers(0, 2**63 - 1),
        "referer": unquoted,
        "agent": unquoted,
        "site": st.none() | st.from_regex(r"\A[a-z0-9][a-z0-9.-]*\Z"),
        "raw": st.none(),
        "rescued": st.none(),
    }),
    st.integers(-14 * 60, 14 * 60),
)  # fmt: skip
def test_what_is_written_comes_back(fields: dict[str, Any], offset_minutes: int) -> None:
    local = fields["timestamp"] + timedelta(minutes=offset_minutes)
    sign, (hours, minutes) = "+-"[offset_minutes < 0], divmod(abs(offset_minutes), 60)
    target = fields["path"] + ("" if fields["query"] is None else f"?{fields['query']}")
    request = " ".join(filter(None, (fields["method"], target, fields["protocol"])))
    size = "-" if fields["bytes"] is None else fields["bytes"]
    site = "" if fields["site"] is None else f"{fields['site']}:80 "
    line = (
        f"{site}{fields['ip']} - {fields['user']} "
        f"[{local.day:02}/{MONTHS[local.month - 1]}/{local.year}:{local:%H:%M:%S} {sign}{hours:02}{minutes:02}] "
        f'"{request}" {fields["status"]} {size} "{fields["referer"]}" "{fields["agent"]}"'
    )
    assert parsed([line], "vhost") == [fields]


scalars = st.none() | st.booleans() | st.floats() | st.integers() | any_text
json_values = st.recursive(scalars, lambda values: st.dictionaries(st.sampled_from([*ENTRY, "ts", "uri"]), values))


@given(json_values)
def test_no_json_is_too_odd(value: object) -> None:
    line = json.dumps(value)
    (found,) = parsed([line], "json")
    assert found["timestamp"] is not None or found == rejected(line)


KNOWN_KEYS = {part for keys in JSON_KEYS.values() for key in keys for part in (key, key.partition(".")[0])} | {
    *NESTING_KEYS
}


@given(st.dictionaries(any_text.filter(lambda key: key not in KNOWN_KEYS), json_values))
def test_every_unknown_field_is_rescued_with_its_value(fields: dict[str, Any]) -> None:
    (found,) = parsed([entry(**fields)], "json")
    rest = {key: value for key, value in fields.items() if value is not None}
    assert (found["raw"], found["path"]) == (None, "/a")
    assert json.loads(found["rescued"] or "{}") == json.loads(json.dumps(rest), parse_constant=str)
