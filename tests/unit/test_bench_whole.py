"""The check of a whole lake: right as it is made here, and wrong in every way in which one of its tables can be."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bench.errors import BenchError
from bench.figures import exact, exact_visitors
from bench.history import DAY, with_history
from bench.lakes import BenchLake, copy
from bench.latencies import Moment
from bench.rows import first_figures
from bench.rows.first_figures import by_layer, first_rows
from bench.streams import landed_at, merged_by_file
from bench.whole import REQUIRED, filled, tables_due, wrong_lake
from lakehouse.lake import EXACT_GRAINS, GRAINS
from lakehouse.schema import LANDED, QUARANTINE

ROWS = 500


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BenchLake:
    """A lake as the whole pipeline leaves it; one line did not parse and one, delivered twice, has no IP."""
    lake = with_history(tmp_path_factory.mktemp("lakes") / "lake", ROWS, span=2 * DAY)
    folders = lake.settings.lake
    merged, delta = pl.read_delta(str(folders.merged)), pl.scan_delta(str(folders.delta))
    rejected = pl.DataFrame({"event_id": ["u", "x", "x"], "raw": ["?", None, None], "status": [None, 200, 200]})
    lines = [merged.select(REQUIRED), merged.select(REQUIRED).head(3), rejected.cast({"status": pl.Int32})]
    folders.logs.mkdir()
    pl.concat(lines, how="diagonal").write_parquet(folders.logs / "part-0.parquet")
    put(folders.quarantine, pl.DataFrame({"event_id": ["u", "x"]}), mode="append")
    due = exact(delta)
    for grain in GRAINS:
        put(folders.metrics("streaming", grain), due[grain])
        put(folders.metrics("batch", grain), due[grain])
    put(folders.metrics("batch", "daily"), due["daily"].join(exact_visitors(delta), on="event_date"))
    sums = delta.select(requests=pl.len().cast(pl.Int64), bytes=pl.col("bytes").sum()).collect()
    for grain in set(EXACT_GRAINS) - {*GRAINS, "site", "country"}:
        put(folders.metrics("batch", grain), sums)
    of_all = sums.with_columns(is_all_sites=True, is_bot=pl.lit(None, pl.Boolean))
    of_one = [sums.with_columns(is_all_sites=False, is_bot=False), sums.with_columns(is_all_sites=True, is_bot=False)]
    put(folders.metrics("batch", "site"), pl.concat([of_all, *of_one]))
    return lake


def put(table: Path, rows: pl.DataFrame, *, mode: str = "overwrite") -> None:
    options = {"schema_mode": "overwrite" if mode == "overwrite" else "merge"}
    rows.write_delta(str(table), mode=mode, delta_write_options=options)  # type: ignore[call-overload]


def test_a_lake_as_it_must_be_is_right(made: BenchLake) -> None:
    assert wrong_lake(made) is None
    assert filled(made) == set(tables_due(made))
    assert "metrics/batch/country" not in tables_due(made)


def changed(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[BenchLake], None]:
    def act(lake: BenchLake) -> None:
        table = lake.settings.lake.tables[name]
        put(table, change(pl.read_delta(str(table))))

    return act


def one_more_request(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(requests=pl.col("requests") + 1)


def without_a_row(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.slice(1)


def with_one_twice(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows, rows.head(1)])


def forget_a_line(lake: BenchLake) -> None:
    [file] = lake.settings.lake.logs.glob("*.parquet")
    lines = pl.read_parquet(file)
    file.unlink()  # the lake shares it with the one that it is a copy of
    lines.filter(pl.col("event_id") != "u").write_parquet(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed("metrics/batch/hourly", lambda rows: rows.clear()), "no rows in metrics/batch/hourly"),
        (changed("merged", without_a_row), "rows of merged/ is 499, not 500; rows missing in merged/ is 1, not 0"),
        (changed("merged", with_one_twice), "rows of merged/ is 501, not 500"),
        (changed("delta", without_a_row), "rows of delta/ is 499, not 500"),
        (changed("quarantine", without_a_row), "rejected rows is 1, not 2"),
        (forget_a_line, "rejected rows is 2, not 1"),
        (changed("metrics/streaming/ip", one_more_request), "metrics/streaming: ip: "),
        (changed("metrics/streaming/daily", without_a_row), "metrics/streaming: daily: 1 rows of 3 missing, 0 wrong"),
        (changed("metrics/batch/agent", with_one_twice), "metrics/batch: agent: 0 rows of "),
        (changed("metrics/batch/daily", lambda rows: rows.with_columns(visitors=7)), "metrics/batch: daily: "),
        (changed("metrics/batch/path", one_more_request), "sums of metrics/batch/path is (501, "),
        (changed("metrics/batch/site", one_more_request), "sums of metrics/batch/site is (501, "),
    ],
)
def test_a_lake_with_one_table_wrong_is_wrong(
    made: BenchLake, tmp_path: Path, change: Callable[[BenchLake], None], said: str
) -> None:
    lake = copy(made, tmp_path / "lake")
    change(lake)
    assert said in (wrong_lake(lake) or "")


def test_files_that_are_gone_are_known_by_their_names_and_what_was_merged_of_them(tmp_path: Path) -> None:
    lake = with_history(tmp_path / "lake", 10, span=DAY / 2)
    names = ["20261124T061711.123456Z-3fa9c1d2-000001.parquet", "20261124T061716.5Z-3fa9c1d2-000002.parquet"]
    merged = lake.settings.lake.merged
    rows = pl.read_delta(str(merged)).with_columns(landed_file=pl.Series(names[1:] * 3 + names[:1] * 7))
    put(merged, rows)
    assert merged_by_file(lake) == [Moment(1795501031.123456, 7), Moment(1795501036.5, 3)]
    assert landed_at(f"{names[0]}/2") == landed_at(names[0])


def test_each_table_has_the_time_at_which_it_was_first_seen_with_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100, 200))
    monkeypatch.setattr("time.time", lambda: next(clock))
    monkeypatch.setattr(first_figures, "LOOK_SECONDS", 0)
    looks = iter([set(), {"merged"}, {"merged"}, {"delta", "metrics/batch/ip", "merged"}])
    at = first_rows({"merged", "delta", "metrics/batch/ip"}, lambda: next(looks), 150)
    assert at == {"merged": 101, "delta": 103, "metrics/batch/ip": 103}
    assert by_layer(at | {"metrics/batch/path": 90}) == {"merged": 101, "delta": 103, "metrics/batch": 103}


def test_tables_without_rows_at_the_end_are_named() -> None:
    with pytest.raises(BenchError, match="no rows in delta after 300 s"):
        first_rows({"merged", "delta"}, lambda: {"merged"}, 0)


def test_the_columns_that_are_looked_at_are_those_of_the_tables() -> None:
    assert {*REQUIRED, "raw"} <= set(LANDED.names) <= set(QUARANTINE.names)
