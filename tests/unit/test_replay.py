"""The replay where nothing is in quarantine: what it leaves, without a JVM."""

from typing import TYPE_CHECKING

import pytest

from cleaner.replay import replay
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.schema import QUARANTINE
from lakehouse.settings import Settings
from lakehouse.tables import create_table, latest_version

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def no_session() -> "SparkSession":
    raise AssertionError("a JVM was started")


@pytest.mark.parametrize("has_table", [False, True])
def test_with_nothing_in_quarantine_it_leaves_its_trace_in_the_ledger_and_no_commit(
    settings: Settings, lake: Lake, has_table: bool
) -> None:
    if has_table:
        create_table(lake.quarantine, QUARANTINE, description="one row per rejected row or refused file")
    replay(settings, no_session)
    last = Ledger(lake.ledger).last_runs()["replay"]
    nothing = {"rows": 0, "passed": 0, "merged": 0, "duplicates": 0, "reasons": {}}
    assert (last["exit_code"], last["figures"]) == (0, nothing | {"seconds": last["figures"]["seconds"]})
    assert latest_version(lake.quarantine) == (0 if has_table else -1)


def test_a_dry_run_leaves_no_trace(settings: Settings, lake: Lake) -> None:
    replay(settings, no_session, is_dry_run=True)
    assert not lake.ledger.exists()
