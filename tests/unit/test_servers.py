"""Formats of servers and clouds that write another text than Combined, each as its documentation shows it."""

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from producer.formats.detection import parse

T0 = datetime(2026, 11, 27, 10, 1, 0, tzinfo=UTC)
ROW: dict[str, Any] = {
    "timestamp": T0, "ip": "192.0.2.1", "user": None, "method": "GET", "path": "/a", "query": "b=c", "protocol": "HTTP/1.1",
    "status": 200, "bytes": 5, "referer": None, "agent": None, "site": None, "raw": None, "rescued": None,
}  # fmt: skip
NO_REQUEST = {"method": None, "path": "-", "query": None, "protocol": None}
ALB = "http 2026-11-27T10:01:00Z app/lb/1 192.0.2.1:2817 - -1 -1 -1 400 - 0 5"
ALB_KEPT = {
    "type": "http", "elb": "app/lb/1", "request_processing_time": -1, "target_processing_time": -1, "response_processing_time": -1,
    "received_bytes": 0, "remote_addr": "192.0.2.1:2817",
}  # fmt: skip
ELB = "2026-11-27T10:01:00Z my-lb 192.0.2.1:2817 10.0.0.1:80 0.1 0.2 0.3 200 200 0 5"
ELB_KEPT = {
    "elb": "my-lb", "backend": "10.0.0.1:80", "request_processing_time": 0.1, "backend_processing_time": 0.2,
    "response_processing_time": 0.3, "backend_status_code": 200, "received_bytes": 0, "remote_addr": "192.0.2.1:2817",
}  # fmt: skip
HAPROXY = "192.0.2.1:33317 [27/Nov/2026:10:01:00.000]"
HAPROXY_KEPT = {"client_port": 33317, "frontend": "fe~", "backend": "be/s1"}
LOAD = {"connections": "1/1/1/1/0", "queues": "0/0"}

LINES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # a line, its columns beyond those of ROW, and what is kept
    "ALB": (
        f'{ALB} "GET http://www.example.org:80/a?b=c HTTP/1.1" "curl/8" - - x', {"status": 400, "agent": "curl/8", "site": "www.example.org"},
        ALB_KEPT | {"rest": "x"},
    ),
    "ALB, a broken request": (
        f'{ALB} "- http://lb.example.org:80- -" "-" - - x', NO_REQUEST | {"status": 400, "agent": "-", "site": "lb.example.org"},
        ALB_KEPT | {"rest": "x"},
    ),
    "ALB, a connection alone": (f'{ALB} "- - - " "-" - - x', NO_REQUEST | {"status": 400, "agent": "-"}, ALB_KEPT | {"rest": "x"}),
    "ELB": (f'{ELB} "GET http://www.example.org:80/a?b=c HTTP/1.1" "curl/8" - -', {"agent": "curl/8", "site": "www.example.org"}, ELB_KEPT),
    "ELB, without an agent": (f'{ELB} "GET http://www.example.org:80/a?b=c HTTP/1.1"', {"site": "www.example.org"}, ELB_KEPT),
    "HAProxy": (
        f'{HAPROXY} fe~ be/s1 10/0/30/69/109 200 5 - - ---- 1/1/1/1/0 0/0 {{x|y}} {{z}} "GET /a?b=c HTTP/1.1"', {},
        HAPROXY_KEPT | {"timers": "10/0/30/69/109", "termination_state": "----"} | LOAD | {"captured": "{x|y} {z}"},
    ),
    "HAProxy, TCP": (
        f"{HAPROXY} fe~ be/s1 0/0/5007 5 -- 1/1/1/1/0 0/0", NO_REQUEST | {"path": None, "status": None},
        HAPROXY_KEPT | {"timers": "0/0/5007", "termination_state": "--"} | LOAD,
    ),
    "Istio, the client has gone": (
        '[2026-11-27T10:01:00Z] "GET /a?b=c HTTP/1.1" 0 DC downstream_remote_disconnect - "-" 0 5 9 - "-" "curl/8" "r" "www.example.org" "10.0.0.2:80" out 10.0.0.3:1 10.0.0.2:80 192.0.2.1:9 - default',
        {"status": 0, "agent": "curl/8", "site": "www.example.org"},
        {
            "response_flags": "DC", "response_code_details": "downstream_remote_disconnect", "bytes_received": 0, "duration": 9, "request_id": "r",
            "upstream_host": "10.0.0.2:80", "upstream_cluster": "out", "upstream_local_address": "10.0.0.3:1", "downstream_local_address": "10.0.0.2:80",
            "route_name": "default", "remote_addr": "192.0.2.1:9",
        },
    ),
    "Envoy's JSON": (
        json.dumps({
            "start_time": "2026-11-27T10:01:00Z", "method": "GET", "x-envoy-origin-path": "/a?b=c", "protocol": "HTTP/1.1", "response_code": 200,
            "bytes_sent": 5, "downstream_remote_address": "192.0.2.1:5555", ":authority": "www.example.org:80", "user-agent": "curl/8",
        }),
        {"agent": "curl/8", "site": "www.example.org"}, {"downstream_remote_address": "192.0.2.1:5555", "remote_addr": "192.0.2.1:5555"},
    ),
    "CloudFront's JSON": (
        json.dumps({
            "date": "2026-11-27", "time": "10:01:00", "c-ip": "192.0.2.1", "cs-method": "GET", "cs-uri-stem": "/a", "cs-uri-query": "b=c", "sc-status": "200",
            "sc-bytes": "5", "cs(Referer)": "-", "cs(User-Agent)": "Mozilla/5.0%20(X11)", "x-host-header": "www.example.org", "cs-protocol-version": "HTTP/1.1",
        }),
        {"referer": "-", "agent": "Mozilla/5.0 (X11)", "site": "www.example.org"}, {"time": "10:01:00"},
    ),
    "Azure Front Door": (
        json.dumps({
            "time": "2026-11-27T10:01:00.0000000Z", "category": "FrontDoorAccessLog",
            "properties": {
                "httpMethod": "GET", "httpVersion": "HTTP/1.1", "requestUri": "https://www.example.org:443/a?b=c", "responseBytes": "5", "userAgent": "curl/8",
                "clientIp": "192.0.2.1", "httpStatusCode": "200", "referer": "-",
            },
        }),
        {"referer": "-", "agent": "curl/8", "site": "www.example.org"}, {"category": "FrontDoorAccessLog"},
    ),
    "Fastly": (
        "<134>2026-11-27T10:01:00Z cache logname[42]: "
        + json.dumps({
            "timestamp": "2026-11-27T10:01:00", "client_ip": "192.0.2.1", "host": "www.example.org", "url": "/a?b=c", "request_method": "GET",
            "request_protocol": "HTTP/1.1", "request_user_agent": "curl/8", "response_status": 200, "response_body_size": 5,
        }),
        {"agent": "curl/8", "site": "www.example.org"},
        {"envelope": {"priority": 134, "time": "2026-11-27T10:01:00Z", "host": "cache", "program": "logname", "pid": 42}},
    ),
    "Fastly's Common": ('192.0.2.1 "-" "-" [27/Nov/2026:10:01:00 +0000] "GET /a?b=c HTTP/1.1" 200 5', {"user": "-"}, {}),
    "keys in other letters": (
        '{"Timestamp":"2026-11-27T10:01:00Z","ClientIp":"192.0.2.1","REQUEST":"GET /a?b=c HTTP/1.1","Status-Code":200,"Bytes_Sent":5,"X":1}', {}, {"X": 1},
    ),
    "Elasticsearch": (
        json.dumps({"_index": "i", "_source": {"message": '192.0.2.1 - - [27/Nov/2026:10:01:00 +0000] "GET /a?b=c HTTP/1.1" 200 5', "x": 1}}),
        {"user": "-"}, {"envelope": {"_index": "i", "_source": {"x": 1}}},
    ),
    "journald, not all printable": (
        json.dumps({"MESSAGE": list('192.0.2.1 - - [27/Nov/2026:10:01:00 +0000] "GET /a?b=c HTTP/1.1" 200 5 "-" "é"'.encode() + b"\n"), "_PID": "1"}),
        {"user": "-", "referer": "-", "agent": "é"}, {"envelope": {"_PID": "1"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_line_is_read_as_its_documentation_says(name: str) -> None:
    line, columns, kept = LINES[name]
    (found,) = parse(pl.Series([line])).rows.to_dicts()
    assert found | {"rescued": json.loads(found["rescued"] or "{}")} == ROW | columns | {"rescued": kept}
