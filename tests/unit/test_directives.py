import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.formats.detection import check_format, parse
from producer.formats.directives import FormatError

T0 = datetime(2026, 11, 27, 10, 1, 0, tzinfo=UTC)
COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
)
APACHE = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'
LINE = '192.0.2.1 - alice [27/Nov/2026:10:01:00 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "curl/8"'
ROW: dict[str, Any] = {
    "timestamp": T0, "ip": "192.0.2.1", "user": "alice", "method": "GET", "path": "/a", "query": "b",
    "protocol": "HTTP/1.1", "status": 200, "bytes": 5, "referer": "-", "agent": "curl/8", "site": None, "raw": None, "rescued": None,
}  # fmt: skip


def read(log_format: str, *lines: str) -> list[dict[str, Any]]:
    return parse(pl.Series(lines, dtype=pl.String), log_format).rows.to_dicts()


@pytest.mark.parametrize(
    "log_format",
    [
        COMBINED,
        COMBINED.replace("$remote_addr", "${remote_addr}"),
        f"log_format main '{COMBINED}';",
        "log_format main escape=json '" + COMBINED.replace(' "$request"', " '\n    '\"$request\"") + "';",
        APACHE,
        'LogFormat "' + APACHE.replace('"', r"\"") + '" combined',
        APACHE.replace('"', r"\""),
        APACHE.replace("%>s", "%s").replace("%h", "%a"),
    ],
)
def test_a_format_is_taken_as_it_stands_in_the_servers_configuration(log_format: str) -> None:
    assert read(log_format, LINE, "x") == [ROW, dict.fromkeys(ROW) | {"raw": "x"}]


@pytest.mark.parametrize(
    ("log_format", "line", "expected"),
    [
        (f"{COMBINED} $request_time $pipe", f"{LINE} 0.250 .", {"rescued": '{"request_time":0.250,"pipe":"."}'}),
        (f"{COMBINED} ${{request_time}}s", f"{LINE} 0.250s", {"rescued": '{"request_time":0.250}'}),
        (f"{COMBINED} $upstream_response_time", f"{LINE} 0.1, 0.2", {"rescued": '{"upstream_response_time":"0.1, 0.2"}'}),
        (f"{COMBINED} $upstream_response_time", f"{LINE} 0.1 : 0.2", {"rescued": '{"upstream_response_time":"0.1 : 0.2"}'}),
        (f"{COMBINED} $host", f"{LINE} a.example.org", {"site": "a.example.org"}),
        (COMBINED, LINE.replace("alice", "test user"), {"user": "test user"}),
        (COMBINED, LINE.replace('"-"', '"a "b" c"'), {"referer": 'a "b" c'}),
        (COMBINED, LINE.replace("GET /a?b HTTP/1.1", r"\x16\x03"), {"method": None, "path": r"\x16\x03", "query": None, "protocol": None}),
        (COMBINED, LINE.replace("192.0.2.1", "192.0.2.1:80"), {"rescued": '{"remote_addr":"192.0.2.1:80"}'}),
        (APACHE + " %D %{X-Id}i", LINE + " 12 abc", {"rescued": '{"D":12,"X-Id":"abc"}'}),
        (APACHE + ' "%{X-Forwarded-For}i"', LINE + ' "192.0.2.9"', {"rescued": '{"X-Forwarded-For":"192.0.2.9"}'}),
        (APACHE.replace("%t", "%{%Y-%m-%dT%H:%M:%S}t"), LINE.replace("[27/Nov/2026:10:01:00 +0000]", "2026-11-27T10:01:00"), {}),
        (
            APACHE.replace("%t", "[%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t]"),
            LINE.replace(":00 +0000", ":00.250 +0100"),
            {"timestamp": datetime(2026, 11, 27, 9, 1, 0, 250_000, tzinfo=UTC)},
        ),
        (APACHE.replace("%r", "%m %U%q %H"), LINE, {}),
        (COMBINED.replace("$request\"", "$request_method $uri$is_args$args $server_protocol\""), LINE, {}),
        (COMBINED.replace("$request\"", "$request_method $scheme://$host$request_uri $server_protocol\""), LINE.replace("GET /", "GET https://a.example.org/"), {"site": "a.example.org", "rescued": '{"scheme":"https"}'}),
        (APACHE + " %^FB %I", LINE + " 1234 300", {"rescued": '{"^FB":1234,"I":300}'}),
        (COMBINED + " $upstream_addr", LINE + " unix:/run/a.sock", {"rescued": '{"upstream_addr":"unix:/run/a.sock"}'}),
        (APACHE + " %{SSL_PROTOCOL}x", LINE + " TLSv1.3", {"rescued": '{"SSL_PROTOCOL":"TLSv1.3"}'}),
        (APACHE + " %{X-Forwarded-For}i %p", LINE + " 192.0.2.9, 192.0.2.8 443", {"rescued": '{"X-Forwarded-For":"192.0.2.9, 192.0.2.8","p":443}'}),
        (COMBINED.replace("$remote_addr", "$remote_addr:$remote_port"), LINE.replace("192.0.2.1", "2001:db8::1:4433"), {"ip": "2001:db8::1", "rescued": '{"remote_port":4433}'}),
        (APACHE.replace("%t", "%{usec}t"), LINE.replace("[27/Nov/2026:10:01:00 +0000]", "1795773660000000"), {}),
    ],
)  # fmt: skip
def test_what_has_no_column_is_kept_by_its_name(log_format: str, line: str, expected: dict[str, Any]) -> None:
    assert read(log_format, line) == [ROW | expected]


@pytest.mark.parametrize(
    ("log_format", "message"),
    [
        ("$remote_addr $status", "it has no time: add time_local or time_iso8601 or msec"),
        ("[$time_local] $status", "it has no client: add remote_addr or proxy_protocol_addr or realip_remote_addr"),
        ("%t %s", "it has no client: add a or h or {c}a"),
        ("%h %t %y", "%y: no directive of Apache's LogFormat"),
        ("%h %t %{x}b", "%{x}b: no directive of Apache's LogFormat"),
        ("%h %t %", "'%': no directive of Apache's LogFormat"),
        ("%h %{%Q}t", "%{%Q}t: a time that cannot be read back"),
        (
            "$time_local $remote_addr$status",
            "nothing stands between remote_addr and status: where one ends cannot be told",
        ),
        ("$" * 9000, "it has more than 8,192 characters"),
        ("combind", "no such format; one of auto, common, combined, vhost, json"),
    ],
)
def test_a_format_that_cannot_be_used_says_why(log_format: str, message: str) -> None:
    with pytest.raises(FormatError) as error:
        check_format(log_format)
    assert str(error.value).startswith(message)


# What is written is read back ----------------------------------------------------------------------------------------

word = st.text(st.sampled_from("abcXYZ019._~/=é"), min_size=1, max_size=8).filter(lambda text: text != "-")
quoted = st.text(st.sampled_from("abcXYZ019._~/= ;()é'"), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text and not text.replace(".", "").replace("-", "").isdigit()
)
numbers = st.integers(0, 10**9).map(str)
# The variables beyond those that each format has, and how their values look.
NGINX_EXTRAS = {
    "request_time": numbers, "request_length": numbers, "upstream_addr": word, "upstream_cache_status": word,
    "ssl_protocol": word, "request_id": word, "scheme": word, "connection": numbers, "gzip_ratio": word,
    "http_x_request_id": quoted, "cookie_session": quoted, "geoip_country_code": word, "my_own": quoted,
}  # fmt: skip
APACHE_EXTRAS = {
    "%D": numbers, "%I": numbers, "%k": numbers, "%X": word, "%p": numbers, "%{X-Request-Id}i": quoted,
    "%{Content-Type}o": quoted, "%{session}C": quoted, "%{UNIQUE_ID}e": word, "%{remote}p": numbers, "%L": word,
}  # fmt: skip
APACHE_KEYS = {
    "%{X-Request-Id}i": "X-Request-Id", "%{Content-Type}o": "Content-Type", "%{session}C": "session",
    "%{UNIQUE_ID}e": "UNIQUE_ID", "%{remote}p": "p_remote",
}  # fmt: skip
REQUIRED = {
    "nginx": {"ip": "$remote_addr", "time": "[$time_local]", "request": '"$request"', "status": "$status",
              "bytes": "$body_bytes_sent", "agent": '"$http_user_agent"', "site": "$host", "user": "$remote_user"},
    "apache": {"ip": "%a", "time": "%t", "request": '"%r"', "status": "%>s", "bytes": "%B",
               "agent": '"%{User-Agent}i"', "site": "%v", "user": "%u"},
}  # fmt: skip


@st.composite
def formats(draw: st.DrawFn) -> tuple[str, str, dict[str, Any], dict[str, str]]:
    """A format string, a line written with it, the columns and what is kept that should come of it."""
    server = draw(st.sampled_from(["nginx", "apache"]))
    names = [
        "ip",
        "time",
        *draw(st.lists(st.sampled_from(["request", "status", "bytes", "agent", "site", "user"]), unique=True)),
    ]
    values = {
        "ip": draw(st.ip_addresses(v=4).map(str)), "time": "[27/Nov/2026:10:01:00 +0000]", "status": "404",
        "request": '"' + f"GET /{draw(word)} HTTP/1.1" + '"', "bytes": draw(numbers), "agent": f'"{draw(quoted)}"',
        "site": draw(st.from_regex(r"\A[a-z]{1,5}\.example\.org\Z")), "user": draw(word),
    }  # fmt: skip
    extras = NGINX_EXTRAS if server == "nginx" else APACHE_EXTRAS
    chosen = draw(st.lists(st.sampled_from(sorted(extras)), unique=True, max_size=6))
    pieces = [(REQUIRED[server][name], values[name]) for name in names]
    kept = {}
    for name in chosen:
        value = draw(extras[name])
        variable = f"${name}" if server == "nginx" else name
        is_quoted = " " in value or ";" in value or draw(st.booleans()) or extras[name] is quoted
        kept[name if server == "nginx" else APACHE_KEYS.get(name, name.removeprefix("%"))] = value
        label = draw(st.sampled_from(["", "x=", f"{len(pieces)}:"]))
        wrapped = '{}"{}"' if is_quoted else "{}{}"
        pieces.append((wrapped.format(label, variable), wrapped.format(label, value)))
    order = draw(st.permutations(range(len(pieces))))
    separator = draw(st.sampled_from([" ", "\t", " | ", "  "]))
    expected = {"ip": values["ip"], "timestamp": T0} | {
        name: values[name].strip('"') if name not in ("status", "bytes") else int(values[name])
        for name in names if name not in ("ip", "time", "request")
    }  # fmt: skip
    if "request" in names:
        expected |= {"method": "GET", "path": values["request"].split()[1], "protocol": "HTTP/1.1"}
    written, line = (separator.join(pieces[n][part] for n in order) for part in (0, 1))
    return written, line, expected, kept


@given(formats())
def test_what_is_written_with_a_format_is_read_back(case: tuple[str, str, dict[str, Any], dict[str, str]]) -> None:
    log_format, line, expected, kept = case
    (row,) = read(log_format, line)
    rescued = {
        key: str(value) for key, value in json.loads(row["rescued"] or "{}", parse_float=str, parse_int=str).items()
    }
    assert {name: row[name] for name in expected} == expected
    assert rescued == kept
    assert row["raw"] is None
