import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from producer.formats.detection import NAMES, Parsing, detect, parse
from producer.formats.envelopes import ENVELOPE_NAMES
from producer.formats.options import Options
from producer.formats.tally import Tally

T0 = datetime(2026, 11, 27, 10, 1, 0, tzinfo=UTC)
LINE = '192.0.2.1 - - [27/Nov/2026:10:01:00 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "curl/8"'
ENTRY = '{"time":"2026-11-27T10:01:00Z","remote_addr":"192.0.2.1","request":"GET /a?b HTTP/1.1","status":200,"size":5}'
ROW: dict[str, Any] = {
    "timestamp": T0, "ip": "192.0.2.1", "user": "-", "method": "GET", "path": "/a", "query": "b", "protocol": "HTTP/1.1",
    "status": 200, "bytes": 5, "referer": "-", "agent": "curl/8", "site": None, "raw": None, "rescued": None,
}  # fmt: skip
JSON_ROW = ROW | {"user": None, "referer": None, "agent": None}


def rejected(line: str) -> dict[str, Any]:
    return dict.fromkeys(ROW) | {"raw": line}


def enveloped(**said: Any) -> dict[str, Any]:
    return ROW | {"rescued": json.dumps({"envelope": said}, separators=(",", ":"))}


ENVELOPES = {
    "syslog": (f"Nov 27 10:01:00 web1 nginx: {LINE}", enveloped(time="Nov 27 10:01:00", host="web1", program="nginx")),
    "syslog with a priority": (
        f"<190>Nov  7 10:01:00 web1 nginx[12]: {LINE}",
        enveloped(priority=190, time="Nov  7 10:01:00", host="web1", program="nginx", pid=12),
    ),
    "RFC 5424": (
        f'<190>1 2026-11-27T10:01:00Z web1 nginx 12 - [a@1 b="c]"] {LINE}',
        enveloped(priority=190, time="2026-11-27T10:01:00Z", host="web1", program="nginx", pid=12, data='[a@1 b="c]"]'),
    ),
    "journald": (
        f"2026-11-27T11:01:00+0100 web1 nginx[12]: {LINE}",
        enveloped(time="2026-11-27T11:01:00+0100", host="web1", program="nginx", pid=12),
    ),
    "CRI": (f"2026-11-27T10:01:00.1Z stdout F {LINE}", enveloped(time="2026-11-27T10:01:00.1Z", stream="stdout")),
    "docker": (json.dumps({"log": LINE + "\n", "stream": "stdout"}), enveloped(stream="stdout")),
    "docker, line ends lost": (json.dumps({"log": LINE, "stream": "stdout"}), enveloped(stream="stdout")),
    "coloured": (f"\x1b[36mweb.1@node  | \x1b[0m{LINE}", enveloped(container="web.1@node")),
    "no host": (f"Nov 27 10:01:00 nginx: {LINE}", enveloped(time="Nov 27 10:01:00", program="nginx")),
    "short-unix": (
        f"1795773660.123456 web1 nginx[3]: {LINE}",
        enveloped(time=1795773660.123456, host="web1", program="nginx", pid=3),
    ),
    "syslog without a program": (
        f"<190>Nov 27 10:01:00 web1 {LINE}",
        enveloped(priority=190, time="Nov 27 10:01:00", host="web1"),
    ),
    "syslog without host and program": (f"Nov 27 10:01:00 {LINE}", enveloped(time="Nov 27 10:01:00")),
    "syslog with a year": (
        f"Nov 7 2026 10:01:00 web1 nginx: {LINE}",
        enveloped(time="Nov 7 2026 10:01:00", host="web1", program="nginx"),
    ),
    "a priority alone": (f"<190>{LINE}", enveloped(priority=190)),
    "RFC 5424 without priority": (
        f"2026-11-27T10:01:00Z web1 nginx 12 - - {LINE}",
        enveloped(time="2026-11-27T10:01:00Z", host="web1", program="nginx", pid=12),
    ),
    "kubectl": (f"[pod/web-1/nginx] {LINE}", enveloped(pod="pod/web-1", container="nginx")),
    "Heroku": (
        f"2026-11-27T10:01:00.1+00:00 app[web.1]: {LINE}",
        enveloped(time="2026-11-27T10:01:00.1+00:00", program="app", pid="web.1"),
    ),
    "kubetail": (f"[web-1-x] {LINE}", enveloped(pod="web-1-x")),
    "stern": (f"web-7c5d-x2x nginx {LINE}", enveloped(pod="web-7c5d-x2x", container="nginx")),
    "a day and a clock": (
        f"2026-11-27 10:01:00 web1 nginx: {LINE}",
        enveloped(time="2026-11-27 10:01:00", host="web1", program="nginx"),
    ),
    "jsonPayload": (json.dumps({"jsonPayload": {"message": LINE}, "x": 1}), enveloped(x=1)),
    "event.original": (json.dumps({"event": {"original": LINE, "kind": "e"}}), enveloped(event={"kind": "e"})),
    "data": (json.dumps({"data": LINE, "stream": 1}), enveloped(stream=1)),
    "textPayload": (json.dumps({"textPayload": LINE, "x": 1}), enveloped(x=1)),
    "compose": (f"web-1  | {LINE}", enveloped(container="web-1")),
    "docker logs -t": (f"2026-11-27T10:01:00Z {LINE}", enveloped(time="2026-11-27T10:01:00Z")),
    "ECS": (json.dumps({"message": LINE, "host": {"name": "web1"}}), enveloped(host={"name": "web1"})),
    "two with a time": (
        f"2026-11-27T10:01:00.1Z stdout F Nov 27 10:01:00 web1 nginx: {LINE}",
        enveloped(
            time="2026-11-27T10:01:00.1Z", stream="stdout", time_2="Nov 27 10:01:00", host="web1", program="nginx"
        ),
    ),
    "two of them": (
        json.dumps({"log": f"<190>Nov 27 10:01:00 web1 nginx: {LINE}\n", "stream": "stdout"}),
        enveloped(stream="stdout", priority=190, time="Nov 27 10:01:00", host="web1", program="nginx"),
    ),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_an_envelope_goes_and_what_it_says_is_kept(name: str) -> None:
    line, expected = ENVELOPES[name]
    found = parse(pl.Series([line, "x", LINE]))
    assert found.rows.to_dicts() == [expected, rejected("x"), ROW]
    assert parse(pl.Series([line] * 2), likely=detect(pl.Series([line]))).rows.to_dicts() == [expected] * 2


@pytest.mark.parametrize(
    "before", ["2026-11-27T10:01:00Z ", "web-1  | 2026-11-27T10:01:00Z ", "Nov 27 10:01:00 web1 nginx: "]
)
def test_an_object_in_an_envelope_is_no_part_of_it(before: str) -> None:
    (row,) = parse(pl.Series([before + ENTRY])).rows.drop("rescued").to_dicts()
    assert row == {name: value for name, value in JSON_ROW.items() if name != "rescued"}


def test_a_word_between_a_time_and_the_address_is_no_header_of_rfc_5424() -> None:
    (row,) = parse(pl.Series([f"2026-11-27T10:01:00Z web-1 {LINE}"])).rows.to_dicts()
    assert row == ROW | {"rescued": '{"first":"web-1","envelope":{"time":"2026-11-27T10:01:00Z"}}'}


def test_an_ipv6_address_behind_syslogs_host_is_no_program() -> None:
    line = f"Nov 27 10:01:00 web1 {LINE.replace('192.0.2.1', '2001:db8::1')}"
    expected = enveloped(time="Nov 27 10:01:00", host="web1") | {"ip": "2001:db8::1"}
    assert parse(pl.Series([line])).rows.to_dicts() == [expected]


@pytest.mark.parametrize("key", ["jsonPayload", "data", "log", "message", "event"])
def test_a_request_may_stand_in_an_object_or_a_text_of_an_object(key: str) -> None:
    lines = pl.Series([json.dumps({key: json.loads(ENTRY), "x": 1}), json.dumps({key: ENTRY, "x": 1})])
    found = parse(lines).rows.to_dicts()
    assert found[0] == JSON_ROW | {"rescued": '{"x":1}'}
    assert found[1] == JSON_ROW | {"rescued": '{"envelope":{"x":1}}'}


def test_lines_that_a_container_runtime_has_cut_are_joined() -> None:
    times = "2026-11-27T10:01:00.1Z stdout"
    lines = pl.Series(
        [f"{times} P {LINE[:20]}", f"{times} P {LINE[20:40]}", f"{times} F {LINE[40:]}", f"{times} P x", f"{times} F y"]
    )
    found = parse(lines)
    assert found.is_row is not None
    assert found.rows.filter(found.is_row).to_dicts() == [
        enveloped(time="2026-11-27T10:01:00.1Z", stream="stdout"), rejected(lines[3]), rejected(lines[4])
    ]  # fmt: skip
    assert found.tally == Tally(3, found.tally.formats)
    assert dict(found.tally.formats) == {"cri+combined": 1}


def test_each_line_is_read_in_its_own_format_whatever_the_log_was_likely_in() -> None:
    lines = pl.Series(
        [
            "",
            LINE,
            f"www.example.org:80 {LINE}",
            ENTRY,
            f"web-1 | {ENTRY}",
            "x",
            LINE.replace("192.0.2.1 -", "192.0.2.1:80 -"),
        ]
    )
    expected = [
        rejected(""), ROW, ROW | {"site": "www.example.org"}, JSON_ROW, JSON_ROW | {"rescued": '{"envelope":{"container":"web-1"}}'},
        rejected("x"), ROW | {"rescued": '{"remote_addr":"192.0.2.1:80"}'},
    ]  # fmt: skip
    for likely in (None, "combined", "json", "compose+json", "vhost", "squid"):
        found = parse(lines, likely=likely)
        assert found.rows.to_dicts() == expected
        assert dict(found.tally.formats) == {"combined": 2, "vhost": 1, "json": 1, "compose+json": 1}
        assert found.is_row is None


def test_a_thousand_other_lines_before_the_first_request_do_no_harm() -> None:
    lines = pl.Series([*(f"starting module {n}" for n in range(1000)), ENTRY])
    assert parse(lines).rows["timestamp"].to_list() == [None] * 1000 + [T0]


def test_a_w3c_log_is_read_by_the_header_above_each_line() -> None:
    header = "#Fields: date time c-ip cs-method cs-uri-stem sc-status"
    other = "#Fields: time date sc-status c-ip cs-method cs-uri-stem x-more"
    line, other_line = "2026-11-27 10:01:00 192.0.2.1 GET /a 200", "10:01:00 2026-11-27 200 192.0.2.1 GET /a 7"
    row = dict.fromkeys(ROW) | {"timestamp": T0, "ip": "192.0.2.1", "method": "GET", "path": "/a", "status": 200}
    found = parse(pl.Series(["#Version: 1.0", header, line, "too short", other, other_line, "# a remark of someone"]))
    assert found.is_row is not None
    assert found.rows.filter(found.is_row).to_dicts() == [
        row, rejected("too short"), row | {"rescued": '{"x-more":7}'}, rejected("# a remark of someone"),
    ]  # fmt: skip
    assert parse(pl.Series([line]), header=header).rows.to_dicts() == [row]
    assert parse(pl.Series([line])).rows.to_dicts() == [rejected(line)]


def test_a_time_without_offset_is_in_the_zone_that_is_set() -> None:
    berlin = Parsing(options=Options(time_zone="Europe/Berlin"))
    lines = pl.Series([
        LINE.replace(" +0000", ""), LINE, ENTRY.replace("Z", ""), ENTRY, ENTRY.replace("2026-11-27T10:01:00Z", "2026-03-29 02:30:00"),
    ])  # fmt: skip
    assert parse(lines, berlin).rows["timestamp"].to_list() == [
        T0.replace(hour=9), T0, T0.replace(hour=9), T0, datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    ]  # fmt: skip


def test_keys_of_ones_own_come_before_the_usual_ones() -> None:
    options = Options(json_fields={"ip": "http.peer", "path": "target", "timestamp": "at"})
    line = json.dumps({
        "at": "2026-11-27T10:01:00Z", "time": "2020-01-01T00:00:00Z", "http": {"peer": "192.0.2.1", "more": 1},
        "remote_addr": "192.0.2.9", "target": "https://a.example.org/a?b", "method": "GET", "status": 200,
    })  # fmt: skip
    rescued = {"time": "2020-01-01T00:00:00Z", "http": {"more": 1}, "remote_addr": "192.0.2.9"}
    expected = JSON_ROW | {
        "protocol": None, "bytes": None, "site": "a.example.org", "rescued": json.dumps(rescued, separators=(",", ":"))
    }  # fmt: skip
    assert parse(pl.Series([line] * 30), Parsing(options=options)).rows.to_dicts() == [expected] * 30


def test_both_values_of_a_key_that_comes_twice_are_there() -> None:
    line = ENTRY.replace('"status":200', '"status":200,"status":404,"time":"2020-01-01T00:00:00Z"')
    expected = JSON_ROW | {"rescued": '{"status_2":404,"time_2":"2020-01-01T00:00:00Z"}'}
    assert parse(pl.Series([line])).rows.to_dicts() == [expected]


def test_names_are_told_apart() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len(set(ENVELOPE_NAMES)) == len(ENVELOPE_NAMES)
