import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lakehouse.errors import InputError
from lakehouse.settings import Ingest
from producer.formats.tally import Tally
from producer.ingest import reading_of
from producer.inspection import PIECE_BYTES, PIECES, inspected, inspection_lines, reason
from producer.reports import LogReport, as_record, proxy_hint, recorded_lines, report_line
from producer.sites import site_of

LINE = '192.0.2.1 - - [27/Nov/2026:10:01:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8"\n'
ROOT = Path(__file__).parents[2]


def said(path: Path, settings: Ingest | None = None) -> list[str]:
    reading = reading_of(path.name, settings or Ingest())
    return inspection_lines(inspected(path, reading), reading)


def test_a_log_is_shown_as_it_would_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(LINE + "2026/11/27 10:01:00 [error] 1#1: \x1b[31mx\n" + LINE.replace("10:01", "11:02"))
    example = (
        '  read as: {"timestamp": "2026-11-27T%s:00+00:00", "ip": "192.0.2.1", "user": "-", "method": "GET", "path": "/a", '
        '"protocol": "HTTP/1.1", "status": 200, "bytes": 5, "referer": "-", "agent": "curl/8"}'
    )
    assert said(path) == [
        "a.log",
        "  lines: 3; 66.7% of them parsed",
        "  format: combined: 2 lines",
        "  times: 2026-11-27 10:01:00 to 2026-11-27 11:02:00 UTC",
        example % "10:01",
        example % "11:02",
        r"  not read (nginx's error log, no request): 2026/11/27 10:01:00 [error] 1#1: \x1b[31mx",
    ]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("a b c", "--log-format with the format string from your server's configuration, if these are requests"),
        (LINE.replace(" +0000", ""), "ingest.time_zone, if the times are not UTC: they have no offset"),
        (LINE.replace('"-" "curl/8"', '0.1 "-" "curl/8"'), ("--log-format with the format string from your server's configuration: "
         "there are fields without a name")),
        (
            LINE.replace("192.0.2.1", "10.0.0.1").strip() + ' "198.51.100.1"\n',
            ("most requests come from private addresses and have a chain of forwarded ones: their visitors are a proxy's; "
            "set ingest.trusted_proxies to the proxy's network, such as [10.0.0.0/8]"),
        ),
    ],
)  # fmt: skip
def test_what_to_set_is_said(tmp_path: Path, line: str, advice: str) -> None:
    (tmp_path / "a.log").write_text(line)
    assert said(tmp_path / "a.log")[-1] == f"  to set: {advice}"


def test_of_a_large_log_parts_are_looked_at(tmp_path: Path) -> None:
    first, last = LINE, LINE.replace("10:01", "23:59")
    content = (first + LINE.replace("10:01", "12:00") * (10 * PIECE_BYTES // len(LINE)) + last).encode()
    (tmp_path / "a.log").write_bytes(content)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content, 1))
    plain, packed = (inspected(tmp_path / name, reading_of(name, Ingest())) for name in ("a.log", "a.gz"))
    assert (f"{plain.first:%T}", f"{plain.last:%T}", plain.is_whole) == ("10:01:00", "23:59:00", False)
    assert (f"{packed.first:%T}", f"{packed.last:%T}", packed.is_whole) == ("10:01:00", "12:00:00", False)
    for seen in (plain, packed):
        assert seen.tally.parsed == seen.tally.lines <= PIECES * PIECE_BYTES // len(LINE)


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(LINE.encode() * 9)[:-9])
    with pytest.raises(InputError, match=r"a\.gz: the gzip file ends before its end"):
        inspected(tmp_path / "a.gz", reading_of("a.gz", Ingest()))


def test_the_reason_why_a_line_is_not_read() -> None:
    assert reason("") == "empty"
    assert reason("[Fri Nov 27 10:01:00.1 2026] [error] x") == "Apache's error log, no request"
    assert reason("\0\0") == "NULs: the log was cut while it was written"
    assert reason('{"a": 1}').startswith("JSON without a time or a request")
    assert reason("x [27/Nov/2026:10:01:00 +0000] y").startswith("a time as in Combined, but other fields")
    assert reason("x\x01") == "binary"
    assert reason("x") == "no known format"


def test_programs_exit_with_1_where_nothing_is_a_request_and_status_tells_of_the_last_ingest(tmp_path: Path) -> None:
    (tmp_path / "good.log").write_text(LINE)
    (tmp_path / "bad.log").write_text("x\n")
    conf = tmp_path / "pipeline.yaml"
    conf.write_text(yaml.safe_dump({"paths": {"data_lake": str(tmp_path / "lake"), "log": str(tmp_path / "log")}}))

    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "producer", *words, "--conf", str(conf)]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, env=os.environ)
        return done.returncode, done.stdout + done.stderr

    good, bad = str(tmp_path / "good.log"), str(tmp_path / "bad.log")
    assert run("inspect", good)[0] == 0
    assert run("inspect", bad)[0] == 1
    assert run("ingest", bad)[0] == 1
    assert not (tmp_path / "lake" / "merged").exists()
    code, text = run("ingest", good, bad)
    assert (code, f"{good}: 1 line: 1 combined" in text) == (0, True)
    assert f"  {bad}: 1 line: 1 in no known format or no requests" in run("status")[1].splitlines()
    assert "no time" in run("ingest", "--log-format", "$remote_addr", good)[1]


# Reports -------------------------------------------------------------------------------------------------------------


def tally(lines: int, **formats: int) -> Tally:
    found = Tally(lines)
    found.formats.update({name: count for name, count in formats.items() if count})
    return found


def test_a_report_names_formats_and_what_did_not_parse() -> None:
    assert report_line(LogReport("a", tally(1200, combined=1000, json=199))) == (
        "a: 1,200 lines: 1,000 combined, 199 json, 1 in no known format or no requests"
    )
    assert report_line(LogReport("a\x1b", Tally())) == r"a\x1b: 0 lines"


def test_status_shows_the_worst_of_many_logs() -> None:
    reports = [LogReport(f"log{n}", tally(100, combined=n)) for n in range(30)]
    lines = recorded_lines(as_record(reports, "a hint"), "1 s ago")
    assert lines[:2] == ["ingest: read 30 files 1 s ago", "  log0: 100 lines: 100 in no known format or no requests"]
    assert lines[-2:] == ["  and 10 more, of which a smaller part did not parse", "  a hint"]


def test_a_proxy_is_told_of_unless_one_is_trusted() -> None:
    seen = tally(10, combined=10)
    seen.forwarded = seen.private = 6
    assert proxy_hint(seen, is_trusting=True) is None
    assert proxy_hint(seen, is_trusting=False) is not None
    seen.private = 4
    assert proxy_hint(seen, is_trusting=False) is None


# Sites ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "site"),
    [
        ("SITE.access.log", "/var/log/a.example.org.access.log", "a.example.org"),
        ("SITE.access.log", "a.example.org.access.log.1", "a.example.org"),
        ("SITE.access.log", "a.example.org.access.log-20261127.gz", "a.example.org"),
        ("SITE.access.log", "a.example.org.access.log.12.zst", "a.example.org"),
        ("SITE.access.log", "a.example.org.error.log", ""),
        ("access_SITE.log", "access_shop.log.2.xz", "shop"),
        ("*-SITE.log", "nginx-a.log", "a"),
        ("SITE.access.log", ".access.log", ""),
    ],
)
def test_the_site_is_in_the_logs_name(pattern: str, path: str, site: str) -> None:
    assert site_of(pattern)(path) == site


@pytest.mark.parametrize("pattern", ["access.log", "SITE/SITE.log", "SITE_SITE", ""])
def test_a_pattern_without_a_place_for_the_site_is_an_error(pattern: str) -> None:
    with pytest.raises(InputError, match="must be a file's name with SITE in it once"):
        site_of(pattern)
