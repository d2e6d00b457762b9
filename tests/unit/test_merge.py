"""The merge where nothing has landed: what it leaves, without a JVM."""

from typing import TYPE_CHECKING

from cleaner.merge import merge
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.settings import Settings

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
    assert (last["exit_code"], last["figures"]) == (0, nothing | {"seconds": last["figures"]["seconds"]})
    assert [path.name for path in lake.root.iterdir()] == ["_ledger"]
