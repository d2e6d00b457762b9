from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from bench.logs import text, write_log
from bench.traffic import BLOCK_ROWS, blocks
from producer.formats.detection import detect, parse

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)


def made(rows: int, seed: int = 1) -> pl.DataFrame:
    return pl.concat(blocks(rows, BEGIN, END, seed=seed))


def test_the_same_seed_makes_the_same_requests_and_another_one_others() -> None:
    assert made(1000).equals(made(1000))
    assert not made(1000).equals(made(1000, seed=2))


def test_requests_are_as_many_as_asked_for_in_time_order_and_within_the_span() -> None:
    requests = made(BLOCK_ROWS + 10)
    times = requests["timestamp"]
    assert requests.height == BLOCK_ROWS + 10
    assert times.is_sorted()
    assert (times.min(), times.max() < END) == (BEGIN, True)  # type: ignore[operator]


def test_a_log_is_read_back_by_the_producer_as_it_was_made(tmp_path: Path) -> None:
    log = write_log(tmp_path / "access.log", 2000)
    lines = pl.Series("line", log.read_text(encoding="utf-8").splitlines())
    assert detect(lines) == "combined"
    read = parse(lines, "combined").rows
    assert read["raw"].null_count() == read.height == 2000


def test_every_field_of_a_line_is_that_of_its_request() -> None:
    requests = made(500)
    lines = pl.Series("line", text(requests).decode().splitlines())
    logged = [pl.col(name).fill_null("-") for name in ("user", "referer", "agent")]
    read = parse(lines, "combined").rows.select(requests.columns)
    assert read.equals(requests.with_columns(*logged, pl.col("bytes")))


def test_lines_are_as_long_as_those_of_a_real_log(tmp_path: Path) -> None:
    log = write_log(tmp_path / "access.log", 5000)
    assert 225 < log.stat().st_size / 5000 < 250
