from pathlib import Path

import polars as pl

from bench.history import DAY, with_history
from bench.lakes import copy, new_lake
from bench.landed import DAYS, NOON, minute
from bench.rows.history import wrong_tables
from consumer.components.identity import identity
from lakehouse.lake import waiting_files
from lakehouse.ledger import Ledger
from lakehouse.schema import DELTA, MERGED
from lakehouse.tables import partition_files, table_facts

ROWS = 3000


def test_a_lake_with_history_has_each_request_once_in_both_tables_and_in_the_ledger(tmp_path: Path) -> None:
    lake = with_history(tmp_path / "lake", ROWS, span=20 * DAY).settings.lake
    merged, delta = pl.read_delta(str(lake.merged)), pl.read_delta(str(lake.delta))
    assert (set(merged.columns), set(delta.columns)) == (set(MERGED.names), set(DELTA.names))
    assert merged["event_id"].n_unique() == merged.height == ROWS
    assert delta.select(merged.columns).sort("event_id").equals(merged.sort("event_id"))
    assert delta.select("is_bot", "status_class").null_count().row(0) == (0, 0)
    ledger = Ledger(lake.ledger)
    rows = {"merged": merged.height, "quarantine": 0, "delta": delta.height}
    assert identity(ledger.totals(), ledger.unbalanced_files(), rows).holds


def test_history_is_partitioned_by_day_a_file_each(tmp_path: Path) -> None:
    lake = with_history(tmp_path / "lake", ROWS, span=40 * DAY).settings.lake
    days = [day for day, _ in partition_files(lake.merged)]
    assert len(days) == len(set(days)) == 41


def test_a_minute_says_how_many_of_its_rows_are_new(tmp_path: Path) -> None:
    lake = with_history(tmp_path / "lake", ROWS, span=20 * DAY)
    known = set(pl.read_delta(str(lake.settings.lake.merged))["event_id"])
    landed = minute(lake, 200, duplicates=0.05, is_late=True)
    ids = landed.rows["event_id"]
    assert (landed.rows.height, landed.new, len(set(ids) - known)) == (201, 191, 191)
    assert landed.rows["timestamp"].min() == NOON.replace(year=NOON.year - 1, day=2)
    assert DAYS == 365


def test_a_copy_can_change_and_the_original_stays(tmp_path: Path) -> None:
    original = with_history(tmp_path / "original", ROWS, span=20 * DAY)
    copied = copy(original, tmp_path / "copied")
    pl.read_delta(str(original.settings.lake.merged)).write_delta(str(copied.settings.lake.merged), mode="append")
    copied.land(minute(copied, 100).rows)
    counts = [table_facts(lake.settings.lake.merged) for lake in (original, copied)]
    assert [facts.rows for facts in counts if facts] == [ROWS, 2 * ROWS]
    assert [len(waiting_files(lake.settings.lake.landing)) for lake in (original, copied)] == [0, 1]


def test_a_table_with_a_row_missing_or_twice_is_wrong(tmp_path: Path) -> None:
    lake = with_history(tmp_path / "lake", ROWS, span=20 * DAY)
    assert wrong_tables(lake, ROWS, "merged", "delta") is None
    assert wrong_tables(lake, ROWS + 1, "merged") == f"rows of merged/ is {ROWS}, not {ROWS + 1}"
    last = pl.read_delta(str(lake.settings.lake.delta)).filter(pl.col("event_date") == NOON.date()).head(1)
    last.write_delta(str(lake.settings.lake.delta), mode="append")
    assert wrong_tables(lake, ROWS + 1, "delta") == "doubled rows of delta/ is 1, not 0"


def test_a_table_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    assert wrong_tables(new_lake(tmp_path / "lake"), 5, "merged") is not None
