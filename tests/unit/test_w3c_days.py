from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import polars as pl

from lakehouse.settings import Ingest
from producer.blocks import Block
from producer.formats.detection import parse
from producer.formats.tally import Tally
from producer.formats.w3c_days import Above
from producer.ingest import Ingestion
from producer.landing import Lander
from producer.rows import LineParser, Reading

HEADER = "#Fields: time c-ip cs-method cs-uri-stem sc-status"
HEAD = ["#Version: 1.0", "#Date: 2026-11-27 10:00:00", HEADER]
ROW: dict[str, Any] = dict.fromkeys(
    ("user", "query", "protocol", "bytes", "referer", "agent", "site", "raw", "rescued")
) | {"ip": "192.0.2.1", "method": "GET", "path": "/a", "status": 200}  # fmt: skip


def line(clock: str) -> str:
    return f"{clock} 192.0.2.1 GET /a 200"


def at(day: int, hour: int, minute: int, second: int) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


def test_the_day_is_that_of_the_line_above_and_the_next_after_midnight() -> None:
    lines = [
        *HEAD, line("10:01:00"), line("23:59:59"), line("00:00:01"), line("23:59:58"), line("00:00:02"), line("00:05:00"), "x",
        "#Date: 2026-11-30 10:00:00", line("09:59:58"), line("10:01:00"), HEADER.replace(" c-ip", " date c-ip"), "10:01:00 2026-12-01 192.0.2.1 GET /a 200",
    ]  # fmt: skip
    times = [
        at(27, 10, 1, 0), at(27, 23, 59, 59), at(28, 0, 0, 1), at(27, 23, 59, 58), at(28, 0, 0, 2), at(28, 0, 5, 0), None,
        at(30, 9, 59, 58), at(30, 10, 1, 0), datetime(2026, 12, 1, 10, 1, tzinfo=UTC),
    ]  # fmt: skip
    found = parse(pl.Series(lines))
    assert found.is_row is not None
    expected = [
        ROW | {"timestamp": time} if time else dict.fromkeys(["timestamp", *ROW]) | {"raw": "x"} for time in times
    ]
    assert found.rows.filter(found.is_row).to_dicts() == expected
    assert found.tally == Tally(10, found.tally.formats)


def test_a_log_without_any_day_does_not_parse() -> None:
    found = parse(pl.Series([HEADER, line("10:01:00")]))
    assert found.is_row is not None
    assert found.rows.filter(found.is_row).to_dicts() == [
        dict.fromkeys(["timestamp", *ROW]) | {"raw": line("10:01:00")}
    ]


def test_tabs_stay_tabs() -> None:
    tabbed = [text.replace(" 192", "\t192").replace(" GET", "\tGET").replace(" /a", "\t/a").replace(" 200", "\t200") for text in (*HEAD, line("10:01:00"))]  # fmt: skip
    assert parse(pl.Series(tabbed)).rows.tail(1).to_dicts() == [ROW | {"timestamp": at(27, 10, 1, 0)}]


def test_what_holds_below_a_block_is_known_for_the_next_one() -> None:
    reading = Reading("x.log", "", "auto", 1000, truncate_ips=False)
    parser = LineParser(reading)
    blocks = ["\n".join([*HEAD, line("23:00:00")]), line("01:00:00"), line("00:55:00"), line("00:10:00")]
    known, times, offset = [], [], 0
    for text in blocks:
        block = Block(offset, text.encode() + b"\n")
        times += parser.task(block, at(30, 0, 0, 0))()["timestamp"].to_list()
        known.append(parser.parser)
        offset += len(block.data)
    assert times == [at(27, 23, 0, 0), at(28, 1, 0, 0), at(28, 0, 55, 0), at(29, 0, 10, 0)]
    assert known[1] == f"{HEADER}\n#Date: 2026-11-28 01:00:00"
    again = LineParser(reading, parser.fingerprint, known[1])
    assert again.task(Block(0, blocks[2].encode()), at(30, 0, 0, 0))()["timestamp"].to_list() == [at(28, 0, 55, 0)]


def test_it_is_read_alike_in_blocks_of_a_megabyte(tmp_path: Path) -> None:
    clocks = [f"{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}" for n in range(36_000, 400_000, 7)]
    log = tmp_path / "ex.log"
    log.write_text("\n".join([*HEAD, *map(line, clocks)]) + "\n", encoding="utf-8")
    lander = Lander(tmp_path / "landed", "parquet", batch_rows=1_000_000, batch_seconds=1000)
    Ingestion(Ingest(), lander, Event()).run([str(log)])
    times = pl.concat([pl.read_parquet(path) for path in sorted((tmp_path / "landed").iterdir())])["timestamp"]
    start = int(at(27, 0, 0, 0).timestamp())
    assert (times.dt.epoch("s") - start).to_list() == list(range(36_000, 400_000, 7))


def test_above_comes_back_from_its_text() -> None:
    for above in (Above(), Above(HEADER), Above(HEADER, datetime(2026, 11, 27, 10, 0))):
        assert Above.from_text(above.text) == above
