"""How many lines of each followed log were in which format: counted once, whatever happens to the follower."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from producer.formats.tally import Tally
from producer.reports import LogReport, followed_lines, report_json
from producer.tallies import KEPT_FORMATS, KEPT_LOGS, Tallies, kept_tallies
from tests.followed_logs import Logs, lines

PROXY_HINT = (
    "most requests come from private addresses and have a chain of forwarded ones: their visitors are a proxy's; "
    "set ingest.trusted_proxies to the proxy's network, such as [10.0.0.0/8]"
)
GARBAGE = b"no request\n"
VHOST = b'a.example.org 192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "a"\n'


def tally(number: int, **formats: int) -> Tally:
    return Tally(number, Counter(formats), forwarded=1, private=1)


def counted(logs: Logs) -> dict[str, tuple[int, dict[str, int]]]:
    """Lines and formats by the log's name, as they are kept on disk."""
    found = kept_tallies(logs.positions).reports()
    return {Path(report.source).name: (report.tally.lines, dict(report.tally.formats)) for report in found}


# What is kept --------------------------------------------------------------------------------------------------------


def test_lines_of_a_log_add_up_and_come_back() -> None:
    tallies = Tallies()
    tallies.add("a", tally(3, combined=2))
    tallies.add("b", tally(1, json=1))
    tallies.add("a", tally(2, combined=1, json=1))
    tallies.add("c", Tally())
    expected = [
        LogReport("b", Tally(1, Counter(json=1), 1, 1)), LogReport("a", Tally(5, Counter(combined=3, json=1), 2, 2)),
    ]  # fmt: skip
    assert tallies.reports() == expected
    assert Tallies(json.loads(json.dumps(tallies.as_record()))).reports() == expected


def test_of_too_many_logs_the_one_counted_longest_ago_is_forgotten() -> None:
    tallies = Tallies()
    for number in range(KEPT_LOGS):
        tallies.add(str(number), tally(1, combined=1))
    tallies.add("0", tally(1, combined=1))
    tallies.add("new", tally(1, combined=1))
    assert [report.source for report in tallies.reports()] == [*map(str, range(2, KEPT_LOGS)), "0", "new"]


def test_of_too_many_formats_the_rarest_share_a_name() -> None:
    tallies = Tallies()
    for number in range(100):
        tallies.add("a", tally(100 - number, **{f"f{number}": 100 - number}))
    (report,) = tallies.reports()
    formats = {f"f{number}": 100 - number for number in range(KEPT_FORMATS - 1)}
    assert dict(report.tally.formats) == formats | {"others": 5050 - sum(formats.values())}
    assert report.unparsed == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"tallies": 1}', '{"tallies": {"a": {}}}', '{"tallies": {"a": {"lines": "x"}}}', "\ud800"]
)
def test_what_cannot_be_understood_says_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "positions.json"
    assert kept_tallies(file).reports() == []
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert kept_tallies(file).reports() == []


# What is counted -----------------------------------------------------------------------------------------------------


def test_each_log_has_its_lines_by_format(logs: Logs) -> None:
    logs.write("a.log", lines(1, 3) + GARBAGE)
    logs.write("b.log", lines(1, 1) + VHOST)
    logs.start(logs.folder)
    logs.settle()
    assert counted(logs) == {"a.log": (4, {"combined": 3}), "b.log": (2, {"combined": 1, "vhost": 1})}


def test_a_log_that_grows_and_is_rotated_is_one_log(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start()
    logs.settle()
    logs.write("access.log", lines(4, 5))
    logs.settle()
    logs.log.rename(logs.folder / "access.log.1")
    logs.write("access.log.1", lines(6, 6))
    logs.write("access.log", lines(7, 9) + GARBAGE)
    logs.settle()
    assert counted(logs) == {"access.log": (10, {"combined": 9})}
    logs.restart()
    logs.settle()
    assert counted(logs) == {"access.log": (10, {"combined": 9})}


def test_a_compressed_log_is_counted_once_it_is_landed(logs: Logs) -> None:
    logs.write("old.log.gz", gzip.compress(lines(1, 4)))
    logs.start(logs.folder)
    logs.settle()
    assert counted(logs) == {"old.log.gz": (4, {"combined": 4})}
    logs.restart(logs.folder)
    logs.write("old.log.gz", gzip.compress(lines(5, 6)))
    logs.settle()
    assert counted(logs) == {"old.log.gz": (6, {"combined": 6})}


def test_a_last_line_is_counted_when_its_newline_has_come(logs: Logs) -> None:
    logs.write("access.log", lines(1, 2) + lines(3, 3)[:-1])
    logs.start()
    logs.settle()
    for _ in range(100):
        logs.poll()
    assert logs.landed() == ["/1", "/2", "/3"]
    assert counted(logs) == {"access.log": (2, {"combined": 2})}
    logs.write("access.log", b"\n" + lines(4, 4))
    logs.settle()
    assert counted(logs) == {"access.log": (4, {"combined": 4})}


# With batches of five rows the places of one log are saved while lines of the other are not published yet.
@pytest.mark.parametrize("batch_rows", [1, 5, 10_000])
@pytest.mark.parametrize("polls", range(4))
def test_a_follower_that_is_killed_counts_no_line_twice(logs: Logs, polls: int, batch_rows: int) -> None:
    for part in range(3):
        logs.start(logs.folder, batch_rows=batch_rows)
        logs.settle()
        logs.write("a.log", lines(10 * part, 10 * part + 1))
        logs.write("b.log", lines(100 * part + 50, 100 * part + 59))
        for _ in range(polls):
            logs.poll()
    logs.start(logs.folder)
    logs.settle()
    assert counted(logs) == {"a.log": (6, {"combined": 6}), "b.log": (30, {"combined": 30})}


def test_places_of_an_earlier_release_are_gone_on_with(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start()
    logs.settle()
    logs.stop()
    document = json.loads(logs.positions.read_text())
    del document["tallies"]
    logs.positions.write_text(json.dumps(document))
    logs.start()
    logs.write("access.log", lines(4, 4))
    logs.settle()
    assert logs.landed() == ["/1", "/2", "/3", "/4"]
    assert counted(logs) == {"access.log": (1, {"combined": 1})}


# What status says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], []),
        (
            [LogReport("good\x1b", tally(1200, combined=1200)), LogReport("bad", tally(2, combined=1))],
            [
                "follow: landed so far of 2 logs",
                "  bad: 2 lines: 1 combined, 1 in no known format or no requests",
                r"  good\x1b: 1,200 lines: 1,200 combined",
            ],
        ),
        (
            [LogReport("a", Tally(2, Counter(combined=2), forwarded=2, private=2))],
            [
                "follow: landed so far of 1 log",
                "  a: 2 lines: 2 combined",
                f"  {PROXY_HINT}",
            ],
        ),
    ],
)
def test_status_shows_the_worst_log_first(reports: list[LogReport], expected: list[str]) -> None:
    assert followed_lines(reports, is_trusting=False) == expected


def test_a_log_in_plain_values() -> None:
    expected: dict[str, Any] = {"source": "a", "lines": 3, "unparsed": 1, "formats": {"combined": 2}}
    assert report_json(LogReport("a", tally(3, combined=2))) == expected
