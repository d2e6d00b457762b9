"""Promoted columns: fields of ``rescued`` that the settings make columns of ``delta/``."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession

from cleaner.merge import merge
from cleaner.promoted import promoted_columns
from cleaner.rebuild import rebuild
from consumer.batch import refresh
from lakehouse.errors import PipelineError
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import column_names, latest_version, table_id
from tests.builders import T0, land_parquet, landed
from tests.tables import rows, utc

VALUES = [
    # value, as string, long, double, boolean, timestamp
    (12, "12", 12, 12.0, None, None),
    ("12", "12", 12, 12.0, None, None),
    (1.5, "1.5", None, 1.5, None, None),
    (-0.25, "-0.25", None, -0.25, None, None),
    (10**20, "1" + 20 * "0", None, 1e20, None, None),
    ("1e999", "1e999", None, None, None, None),
    ("NaN", "NaN", None, None, None, None),
    (True, "true", None, None, True, None),
    ("no", "no", None, None, False, None),
    ("", "", None, None, None, None),
    (None, None, None, None, None, None),
    ("2024-05-17T12:05:03+02:00", "2024-05-17T12:05:03+02:00", None, None, None, T0),
    ("2024-05-17", "2024-05-17", None, None, None, datetime(2024, 5, 17, tzinfo=UTC)),
    ("2024-02-30", "2024-02-30", None, None, None, None),
    ("10:05:03", "10:05:03", None, None, None, None),  # not of today
    ("2024", "2024", 2024, 2024.0, None, None),
    ({"a": [1]}, '{"a":[1]}', None, None, None, None),
    ("'; DROP TABLE x --", "'; DROP TABLE x --", None, None, None, None),
]  # fmt: skip
TYPES = ("string", "long", "double", "boolean", "timestamp")


def with_promoted(settings: Settings, **promoted: dict[str, str]) -> Settings:
    return unpack_settings(settings.model_dump(mode="json") | {"promoted": promoted}, "test")


def test_a_field_is_null_where_it_is_of_another_type(settings: Settings, spark: SparkSession) -> None:
    promoted = with_promoted(settings, **{f"as_{name}": {"field": "x", "type": name} for name in TYPES}).promoted
    rescued = [(json.dumps({"x": value}),) for value, *_ in VALUES]
    found = spark.createDataFrame(rescued, "rescued string").select(*promoted_columns(promoted)).collect()
    assert [tuple(map(utc, row)) for row in found] == [tuple(expected) for _, *expected in VALUES]


def test_a_field_is_found_by_its_name_or_path_and_null_where_there_is_none(
    settings: Settings, spark: SparkSession
) -> None:
    fields = {"a": "a.b c", "b": "$.o.a[1].x", "c": "$.o['k.l']", "d": "$['a.b c']", "e": "a"}
    promoted = with_promoted(settings, **{name: {"field": field} for name, field in fields.items()}).promoted
    texts = ['{"a.b c":"1","o":{"a":[0,{"x":"2"}],"k.l":"3"}}', None, "", "no JSON", "[]", '"x"']
    found = spark.createDataFrame([(t,) for t in texts], "rescued string").select(*promoted_columns(promoted)).collect()
    assert [tuple(row) for row in found] == [("1", "2", "3", "1", None)] + 5 * [(None,) * 5]


def test_promoting_adds_a_column_for_rows_to_come_and_a_rebuild_gives_it_to_all(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    session: Callable[[], SparkSession] = lambda: spark  # noqa: E731

    def land(name: str) -> None:
        land_parquet(lake.landing / f"{name}.parquet", [landed(name, rescued='{"t":0.5}')])

    rebuild(settings, lambda: pytest.fail("a JVM was started"))  # nothing merged yet
    land("e1")
    merge(settings, session)
    refresh(settings)
    identifier = table_id(lake.delta)
    promoting = with_promoted(settings, seconds={"field": "t", "type": "double"})
    land("e2")
    merge(promoting, session)
    columns = ("event_id", "rescued", "browser", "status_class")
    assert rows(lake.delta, *columns, "seconds") == [
        ("e1", '{"t":0.5}', "curl", "2xx", None), ("e2", '{"t":0.5}', "curl", "2xx", 0.5),
    ]  # fmt: skip

    rebuild(promoting, session)
    both = [("e1", '{"t":0.5}', "curl", "2xx", 0.5), ("e2", '{"t":0.5}', "curl", "2xx", 0.5)]
    assert rows(lake.delta, *columns, "seconds") == both
    assert (table_id(lake.delta), Ledger(lake.ledger).last_figure("rebuild", "rows")) == (identifier, 2)
    assert refresh(settings) == {T0.date()}

    land("e3")
    merge(settings, session)  # no longer promoted: null from now on
    assert rows(lake.delta, "event_id", "seconds") == [("e1", 0.5), ("e2", 0.5), ("e3", None)]

    as_text = with_promoted(settings, seconds={"field": "t"})
    land("e4")
    with pytest.raises(PipelineError, match="delta: column 'seconds' is double there, not string"):
        merge(as_text, lambda: pytest.fail("a JVM was started"))
    rebuild(as_text, session)
    merge(as_text, session)
    assert rows(lake.delta, "event_id", "seconds") == [(f"e{n}", "0.5") for n in (1, 2, 3, 4)]
    rebuild(settings, session)
    assert "seconds" not in column_names(lake.delta)
    assert rows(lake.delta, *columns) == [(f"e{n}", '{"t":0.5}', "curl", "2xx") for n in (1, 2, 3, 4)]
    assert latest_version(lake.merged) == 4  # the record is not touched
