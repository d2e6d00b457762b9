"""A replay later than the watermark is counted again by the stream, and only there; the report shows it for its day."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from cleaner.merge import merge
from consumer.batch import refresh
from consumer.report import report
from consumer.streaming import stream_once
from lakehouse.settings import unpack_settings
from tests.builders import T0, land_json, landed

pytestmark = pytest.mark.streaming


def test_only_the_stream_counts_a_replay_that_comes_after_the_watermark(tmp_path: Path, spark: SparkSession) -> None:
    settings = unpack_settings(
        {
            "paths": {"data_lake": str(tmp_path / "lake"), "log": str(tmp_path / "log")},
            "stream": {"watermark_seconds": 0.001},
        },
        "test",
    )
    arrivals = [
        ("a", [landed("e1"), landed("e2", timestamp=T0 + timedelta(days=1))]),
        ("b", [landed("e3")]),  # moves the stream's clock on
        ("c", [landed("e4")]),  # by which this batch forgets
        ("d", [landed("e1"), landed("e1")]),
    ]
    for name, rows in arrivals:
        land_json(settings.lake.landing / f"{name}.json", rows)
        stream_once(spark, settings)
    merge(settings, lambda: spark)
    refresh(settings)

    found = report(settings)
    counted = {
        day.day: (day.batch.requests, day.streaming.requests) for day in found.days if day.batch and day.streaming
    }
    assert counted == {
        date(2024, 5, 17): (3, 4),
        date(2024, 5, 18): (1, 1),
    }
    assert [day.difference.requests for day in found.days if day.difference] == [1, 0]
    assert found.identity.holds
