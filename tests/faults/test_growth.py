"""A lake that has been running for long is no larger than one that has not, but for the record it keeps."""

from datetime import date

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from consumer.report import report
from lakehouse.settings import Settings
from tests.faults.growth import Day, grow, kept_for

pytestmark = [pytest.mark.spark, pytest.mark.streaming]

KEPT_DAYS = 2


def most(week: list[Day], folder: str) -> int:
    return max(day.spare(folder) for day in week)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_after_weeks_of_running_only_the_record_has_grown_and_every_row_is_accounted_for(
    settings: Settings, spark: SparkSession
) -> None:
    settings = kept_for(KEPT_DAYS, settings)
    *_, seen = grow(spark, settings, days=14, ticks=2, rows=100)
    early, last = seen.days[5:9], seen.days[10:]
    grown = {
        folder: (most(early, folder), most(last, folder))
        for folder in last[-1].files
        if most(last, folder) > 1.1 * most(early, folder) + 3
    }
    assert grown == {}
    assert max(day.ledger_rows for day in last) <= max(day.ledger_rows for day in early)
    assert max(max(day.crowded.values()) for day in last) <= settings.merge.small_files

    found = report(settings).identity
    assert (found.holds, found.landed, found.merged) == (True, seen.made.rows, sum(seen.made.requests.values()))
    daily = DeltaTable(str(settings.lake.metrics("batch", "daily"))).to_pyarrow_table().to_pylist()
    counted: dict[date, int] = {row["event_date"]: row["requests"] for row in daily}
    assert counted == dict(seen.made.requests)
