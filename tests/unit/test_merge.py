"""What a merge knows and leaves without a JVM."""

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from cleaner.delta_lake import create_record
from cleaner.merge import _passes, merge, pending_bytes, work_bytes
from consumer.batch import refresh
from lakehouse.lake import Lake, file_stamp
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.schema import DELTA
from lakehouse.settings import Settings
from lakehouse.tables import create_table
from tests.requests import append, request

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def no_session() -> "SparkSession":
    raise AssertionError("a JVM was started")


def test_an_idle_merge_of_a_new_lake_leaves_its_trace_in_the_ledger_and_no_table(
    settings: Settings, lake: Lake
) -> None:
    assert merge(settings, no_session) == 0
    last = Ledger(lake.ledger).last_runs()["merge"]
    nothing = {"files": 0, "rows": 0, "merged": 0, "duplicates": 0, "quarantined": 0, "reasons": {}, "retired": 0}
    nothing |= {"merged_version": -1, "quarantine_version": -1}
    assert (last["exit_code"], last["figures"]) == (0, nothing | {"seconds": last["figures"]["seconds"]})
    assert [path.name for path in lake.root.iterdir()] == ["_ledger"]


def test_the_size_of_the_work_is_that_of_the_files_that_are_not_merged_yet(lake: Lake) -> None:
    lake.landing.mkdir(parents=True)
    merged, new = lake.landing / "a.parquet", lake.landing / "b.parquet"
    merged.write_bytes(b"x" * 1000)
    new.write_bytes(b"y" * 30)
    ledger = Ledger(lake.ledger)
    with ledger.run("merge") as run:
        ledger.record_files(run, [FileFigures(merged.name, merged.name, 1, 1, 0, 0, stamp=file_stamp(merged) or "")])
    assert pending_bytes(lake) == 30
    merged.write_bytes(b"x" * 1001)  # another file under its name
    assert pending_bytes(lake) == 1031


def test_an_idle_minute_loads_none_of_the_large_libraries(settings: Settings, lake: Lake) -> None:
    append(lake, [request()])
    refresh(settings)
    script = (
        "import sys\n"
        "from cleaner.merge import merge\n"
        "from consumer.batch import refresh\n"
        "from lakehouse.settings import unpack_settings\n"
        f"settings = unpack_settings({{'paths': {{'data_lake': {str(lake.root)!r}}}}}, 'test')\n"
        "print(merge(settings, None), refresh(settings))\n"
        "print([name for name in ('pyspark', 'polars', 'pandas', 'pyarrow', 'numpy', 'rich') if name in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout == "0 set()\n[]\n"


def test_where_a_table_is_to_be_filled_anew_there_is_no_telling_how_much_there_is_to_do(
    settings: Settings, lake: Lake
) -> None:
    assert work_bytes(lake) == 0
    create_record(lake)
    create_table(lake.delta, DELTA, description="test")
    assert work_bytes(lake) == 0
    add_row(lake.delta)
    assert work_bytes(lake) is None  # merged/ lacks it
    add_row(lake.merged)
    assert work_bytes(lake) == 0
    add_row(lake.merged)
    assert work_bytes(lake) is None  # delta/ lacks it
    shutil.rmtree(lake.delta)
    assert work_bytes(lake) is None


def add_row(table: Path) -> None:
    row = pl.DataFrame({"event_id": ["e1"], "event_date": [date(2026, 11, 26)]})
    row.write_delta(table, mode="append", delta_write_options={"schema_mode": "merge"})


def test_a_pass_is_bounded_in_rows_and_in_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cleaner.merge.PASS_FILES", 3)
    lake.landing.mkdir(parents=True)
    for number, rows in enumerate((1, 1, 1, 1, 5, 1, 0)):
        (lake.landing / f"{number}.json").write_text("{}\n" * rows)
    pending = {path.name: path.name for path in sorted(lake.landing.iterdir())}
    passes = [[d.file.path.name[0] for d in deliveries] for deliveries in _passes(lake, pending, 5)]
    assert passes == [["0", "1", "2"], ["3", "4"], ["5", "6"]]
