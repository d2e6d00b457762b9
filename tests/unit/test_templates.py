"""What is read by a learnt expression is what is read line by line."""

import json
from typing import Any

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from producer.formats.json_lines import FEWEST_LINES, Columns, JsonFormat, json_object
from producer.formats.keys import JSON_KEYS
from producer.formats.options import Options
from producer.formats.templates import learnt

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


def one_by_one(lines: pl.Series) -> pl.DataFrame:
    """Each line by itself, so that nothing is learnt."""
    return pl.concat(JsonFormat().read(lines.slice(n, 1), OPTIONS) for n in range(lines.len()))


values = st.one_of(
    st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(),
    st.decimals(-(10**6), 10**6, places=3).map(float),
    st.sampled_from(["", "-", "/b?c=1", "GET /b HTTP/1.1", "GET", "192.0.2.7:80", "192.0.2.7, 10.0.0.1", "unknown", "::1", "200 OK", "5B", "é\\\"\n", "200", "0"]),
)  # fmt: skip
changes = st.dictionaries(st.sampled_from(sorted({*ENTRY, *PARTS})), values, max_size=3)


@given(st.sampled_from([ENTRY, PARTS]), st.lists(changes, min_size=1, max_size=12))
@example(ENTRY, [{}])
@example(PARTS, [{"uri": "/a?b"}, {"args": ""}, {"ts": 0.5}])
@example(ENTRY, [{"request_time": 0.1}, {"request_time": 1e-05}, {"request_time": 1.0}, {"status": 200.0}])
def test_what_is_learnt_reads_as_line_by_line(entry: dict[str, Any], changed: list[dict[str, Any]]) -> None:
    entries = [entry] * FEWEST_LINES + [
        {key: change.get(key, value) for key, value in entry.items()} for change in changed
    ]
    lines = pl.Series([json.dumps(line, ensure_ascii=False) for line in entries])
    assert_frame_equal(JsonFormat().read(lines, OPTIONS), one_by_one(lines))


def test_a_usual_line_is_read_by_what_is_learnt() -> None:
    columns = Columns(JSON_KEYS, OPTIONS)
    for entry in (ENTRY, PARTS):
        line = json.dumps(entry)
        found = json_object(line)
        assert found is not None
        template = learnt(line, found, columns)
        assert template is not None
        assert template.read(pl.Series([line]), OPTIONS)["timestamp"].null_count() == 0
