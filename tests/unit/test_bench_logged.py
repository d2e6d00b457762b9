from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bench.lakes import new_lake
from bench.logged import COLUMNS, due_sums, sums
from bench.logs import write_log
from bench.peers.chdb_ingest import OUTPUT, quoted
from bench.programs import peer
from producer.formats.detection import parse

LINES = 3000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("logs") / "access.log", LINES)


@pytest.fixture(scope="module")
def rows(log: Path) -> pl.DataFrame:
    return parse(pl.Series("line", log.read_text(encoding="utf-8").splitlines()), "combined").rows.select(COLUMNS)


def test_rows_of_a_log_have_its_sums_in_any_order_and_in_any_parts(rows: pl.DataFrame) -> None:
    assert sums([rows.tail(7), rows.head(LINES - 7).reverse()]) == due_sums(LINES)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.head(LINES - 1),
        lambda rows: pl.concat([rows.head(LINES - 1), rows.head(1)]),
        lambda rows: rows.with_columns(pl.col("bytes").fill_null(0)),
        lambda rows: rows.with_columns(path=pl.col("path").reverse()),
        lambda rows: rows.with_columns(pl.col("agent").replace("-", "")),
    ],
)
def test_rows_that_are_others_have_other_sums(
    rows: pl.DataFrame, change: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    assert sums([change(rows)]) != due_sums(LINES)


def test_clickhouse_reads_the_same_requests(log: Path, tmp_path: Path) -> None:
    pytest.importorskip("chdb")
    lake = new_lake(tmp_path / "lake")
    peer("chdb_ingest", lake, log)
    assert sums(pl.scan_parquet(lake.data / OUTPUT).collect_batches()) == due_sums(LINES)


def test_a_quoted_text_is_one_literal() -> None:
    assert quoted(r"it's \d") == r"'it\'s \\d'"
