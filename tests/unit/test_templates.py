"""What is read by learnt expressions is what is read line by line."""

import json
import re
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from producer.formats.epochs import EPOCH
from producer.formats.json_columns import Columns
from producer.formats.json_lines import FEWEST_LINES, JsonFormat, json_object
from producer.formats.keys import JSON_KEYS
from producer.formats.learning import learnt
from producer.formats.numbers import NUMBER, as_python_writes
from producer.formats.options import Options
from producer.formats.shapes import Leaf, shape_of
from producer.formats.spellings import instant
from producer.formats.times import instants

ENTRY: dict[str, Any] = {
    "time_iso8601": "2026-11-27T10:01:00+01:00", "remote_addr": "192.0.2.1", "remote_user": "-", "request": "GET /a?b HTTP/1.1",
    "status": 200, "body_bytes_sent": 5, "http_referer": "-", "http_user_agent": "curl/8", "host": "a.example.org", "request_time": 0.25,
    "http_x_forwarded_for": "198.51.100.1", "is_bot": False, "nothing": None,
}  # fmt: skip
PARTS: dict[str, Any] = {
    "ts": 1795773660.5, "client_ip": "2001:db8::1", "method": "GET", "uri": "/a", "args": "x=1", "proto": "HTTP/2.0", "status": "404",
    "size": "-", "username": "u", "latency": 12, "xff": "198.51.100.1", "Forwarded": "for=198.51.100.2",
}  # fmt: skip
OPTIONS = Options()


# As Caddy, Google's load balancers and ECS write: objects in objects, a list in the place of a text, a full URL, words and nulls.
NESTED: dict[str, Any] = {
    "level": "info", "ts": 1767225600.0009453, "request": {
        "client_ip": "192.0.2.1", "proto": "HTTP/2.0", "method": "GET", "host": "a.example.org", "uri": "/a?b=1",
        "headers": {"User-Agent": ["curl/8"], "Accept": ["*/*", "text/html"], "X-Forwarded-For": ["198.51.100.1"]},
        "tls": {"resumed": False, "version": 772, "none": None, "empty": {}, "list": []},
    }, "user_id": "", "duration": 0.00004516, "size": 5, "status": 200, "nothing": None, "resp_headers": {"Server": ["Caddy"]},
}  # fmt: skip
CLOUD: dict[str, Any] = {
    "httpRequest": {
        "remoteIp": "2001:db8::1", "requestMethod": "GET", "requestUrl": "https://a.example.org/a?b=1", "responseSize": "5",
        "status": 200, "userAgent": "curl/8", "referer": "https://b.example.org/",
    }, "timestamp": "2026-01-01T00:00:00.123456789Z", "jsonPayload": {"@type": "x", "deep": {"er": {"and": {"deeper": [1, [2, {"a": "b"}]]}}}},
    "resource": {"labels": {"zone": "é"}},
}  # fmt: skip
ECS: dict[str, Any] = {
    "@timestamp": "2026-11-27T10:01:00.5Z", "client": {"ip": "192.0.2.1", "address": "unused"}, "url": {"path": "/a", "query": "x=1", "domain": "a.example.org"},
    "http": {"request": {"method": "GET", "referrer": "-"}, "response": {"status_code": 404, "body": {"bytes": 7}}, "version": "1.1"},
    "user": {"name": "u"}, "user_agent": {"original": "curl/8"},
}  # fmt: skip
# Keys in other letters, a day and a clock under two keys, a status and a size that may be in words.
LOOSE: dict[str, Any] = {
    "timestamp": "2026-11-27 10:01:00", "time": "10:01:00", "Client-Ip": "192.0.2.1", "Method": "GET", "Path": "/a", "StatusCode": "200", "Bytes": "5",
    "UserAgent": "curl/8", "other": 1, "x-forwarded-for": "-", "Forwarded": "for=198.51.100.1",
}  # fmt: skip
# All of it in an object, a full URL in it.
WRAPPED: dict[str, Any] = {
    "jsonPayload": {"time": "2026-11-27T10:01:00Z", "client": "192.0.2.1", "method": "GET", "request.url": "https://a.example.org/a?b", "status": 200, "bytes": "5", "x": "y"},
    "at": 1, "sub_status": "0",
}  # fmt: skip
LOGGERS = {
    "nginx": ENTRY,
    "parts": PARTS,
    "caddy": NESTED,
    "cloud": CLOUD,
    "ecs": ECS,
    "loose": LOOSE,
    "wrapped": WRAPPED,
}
# What a value is replaced by, as it stands in the line.
LITERALS = (
    '""', '"-"', '" "', "null", "true", "{}", "[]", '{"a":1}', '{"a":1,"a":2}', '["a"]', '["a","b"]', '["a",1]', "[null]", "0", "-1", "200", "-0", "0.10", "1.0", "1.50",
    "-0.5", "0.00004516", "0.0000", "4.516e-05", "1e-05", "1.0e-05", "1e5", "1E400", "-1e400", "NaN", "-Infinity", "123456789012345678", "1234567890123456789",
    "12345678901234567890123", "0.1234567890123456789", "1767225600", "1767225600.1", "1767225600.12345678", "1767225600123", "17672256001234567",
    "20260101100000", '"20260101_100000"', '"2026-01-01 10:00:00"', '" 2026-01-01T10:00:00Z "', '"1767225600.5"', '"27/Nov/2026:10:01:00 +0100"',
    '"/b?c=1"', '"/b"', '"?"', '"/b c?d"', '"GET /b?c HTTP/1.1"', '"GET /b"', '"GET"', '"http://c.example.org"', '"http://c.example.org#x?y"', '"https://c.example.org:8080/d?e?f"',
    '"192.0.2.7:80"', '"192.0.2.7, 10.0.0.1"', '"unknown"', '"unix:"', '"for=192.0.2.7"', '"200 OK"', '"5B"', '"2026-01-01"', '"10:00:00"', '"2026-01-01T10:00:60Z"', '"2026-01-01T10:00:00 CET"', '"::1"', '"::ffff:192.0.2.7"', '"999"', '"é"', '"\\"\\\\"', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\x22"',
    '"a\x00b"', '"\x7f"', '"\u2028"', '"a\tb"', "", "-", "000", "'a'",
)  # fmt: skip


def few_at_a_time(lines: list[str]) -> pl.DataFrame:
    """So few lines at a time that nothing is learnt."""
    parts = (lines[n : n + FEWEST_LINES - 1] for n in range(0, len(lines), FEWEST_LINES - 1))
    return pl.concat(JsonFormat().read(pl.Series(part), OPTIONS) for part in parts)


@st.composite
def changed(draw: st.DrawFn, line: str) -> str:
    """A line with some values replaced, and perhaps a key twice, blanks around it, or an end too early."""
    shape = shape_of(line)
    assert shape is not None
    count = sum(isinstance(piece, Leaf) for piece in shape.pieces)
    literals = draw(st.dictionaries(st.integers(0, count - 1), st.sampled_from(LITERALS), max_size=3))
    pieces = (
        piece if isinstance(piece, str) else literals.get(piece.number) or written(piece) for piece in shape.pieces
    )
    text = "".join(pieces)
    end = draw(st.integers(1, len(text)))
    key = draw(st.sampled_from(re.findall(r'"[^"]+":', text)))
    how = st.sampled_from(
        [
            text,
            text,
            text,
            f"{text[:end]}",
            f"{{{key} 1,{text[1:]}",
            f'{text[:-1]},{key}"2"}}',
            f" {text}",
            f"{text} ",
            f"{text},",
            f"@cee: {text}",
        ]
    )
    return draw(how)


def written(leaf: Leaf) -> str:
    """The value as it stood in the line."""
    return f'"{leaf.text}"' if leaf.kind == "string" else leaf.text


@st.composite
def logs(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A line of a logger, and lines of another mind."""
    entry = draw(st.sampled_from(sorted(LOGGERS)))
    spaced = json.dumps(LOGGERS[entry], ensure_ascii=False)
    usual = draw(st.sampled_from([spaced, json.dumps(LOGGERS[entry], ensure_ascii=False, separators=(",", ":"))]))
    return usual, draw(st.lists(changed(usual), min_size=1, max_size=12))


def assert_same(usual: str, others: list[str]) -> None:
    """What comes of lines among those that one learns from is what comes of them without."""
    alone = few_at_a_time([usual, *others])
    expected = pl.concat([alone[:1]] * FEWEST_LINES + [alone[1:]])
    assert_frame_equal(JsonFormat().read(pl.Series([usual] * FEWEST_LINES + others), OPTIONS), expected)


@given(logs())
def test_what_is_learnt_reads_as_line_by_line(log: tuple[str, list[str]]) -> None:
    assert_same(*log)


@pytest.mark.parametrize("logger", LOGGERS)
def test_each_value_of_a_line_may_be_anything(logger: str) -> None:
    usual = json.dumps(LOGGERS[logger], ensure_ascii=False)
    shape = shape_of(usual)
    assert shape is not None
    before = [piece if isinstance(piece, str) else written(piece) for piece in shape.pieces]
    places = [n for n, piece in enumerate(shape.pieces) if isinstance(piece, Leaf)]
    others = ["".join([*before[:n], text, *before[n + 1 :]]) for n in places for text in LITERALS]
    assert_same(usual, others)


def test_encoded_agents_are_decoded_in_all_lines() -> None:
    entry = {"time": "2026-11-27T10:01:00Z", "cs-method": "GET", "cs-uri-stem": "/a", "cs(User-Agent)": "curl%2F8"}
    assert_same(json.dumps(entry), [json.dumps(entry | {"cs(User-Agent)": "a%20b"})])
    found = JsonFormat().read(pl.Series([json.dumps(entry)] * FEWEST_LINES), OPTIONS)
    assert found["agent"].to_list() == ["curl/8"] * FEWEST_LINES


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_usual_line_is_read_by_what_is_learnt(logger: str) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        line = json.dumps(LOGGERS[logger], ensure_ascii=False, separators=separators)
        entry = json_object(line)
        assert entry is not None
        template = learnt(line, entry, Columns(JSON_KEYS, OPTIONS))
        assert template is not None
        assert template.read(pl.Series([line]), OPTIONS)["timestamp"].null_count() == 0


@given(
    st.lists(
        st.one_of(
            st.decimals(-(10**9), 10**9, allow_nan=False).map(lambda number: f"{number:f}"),
            st.floats(0, 1e15).map(repr),
        ),
        min_size=1,
    )
)
def test_numbers_are_as_python_writes_them(texts: list[str]) -> None:
    number = re.compile(NUMBER)
    known = pl.DataFrame({"n": [text for text in texts if number.fullmatch(text)]}, schema={"n": pl.String})
    found = known.with_columns(as_python_writes(known, ["n"]))["n"]
    assert [
        json.dumps(json.loads(text)) for text, new in zip(known["n"], found, strict=True) if new is not None
    ] == found.drop_nulls().to_list()


@given(st.lists(st.from_regex(EPOCH, fullmatch=True), min_size=1, max_size=20))
def test_epochs_are_the_same_one_by_one(texts: list[str]) -> None:
    assert instants(pl.Series(texts)).to_list() == [instant(text) for text in texts]
