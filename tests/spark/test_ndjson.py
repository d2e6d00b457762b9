"""NDJSON: every line is a row, whatever is in it."""

import json
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.ndjson import landed_rows
from lakehouse.schema import LANDED
from tests.builders import LANDED_DEFAULTS, T0, landed
from tests.tables import utc

NOTHING = dict.fromkeys(LANDED_DEFAULTS)


def read(spark: SparkSession, *lines: str) -> list[dict[str, Any]]:
    """The rows of the lines, in their order."""
    found = landed_rows(spark.createDataFrame([(line,) for line in lines], "json string").coalesce(1)).collect()
    return [{name: utc(value) for name, value in row.asDict().items()} for row in found]


def as_json(row: dict[str, Any]) -> str:
    return json.dumps(row, default=lambda t: t.isoformat())


def test_a_written_row_is_read_back_whole(spark: SparkSession) -> None:
    row = landed(
        agent='a "quoted" \\ back \u2028 \x00 slash', query="x=1", user=None, timestamp=T0.replace(microsecond=123456)
    )
    assert read(spark, as_json(row)) == [row]


def test_fields_may_be_left_out(spark: SparkSession) -> None:
    assert read(spark, '{"event_id": "e"}') == [NOTHING | {"event_id": "e"}]


NO_LANDED_ROWS = [
    ("", {}),
    ("   ", {}),
    ("{nonsense", {}),
    ("null", {}),
    ("1", {}),
    ('"text"', {}),
    ("[1]", {}),
    ('[{"event_id": "e"}]', {"event_id": "e"}),
    ('{"event_id": "e", "status": "x"}', {"event_id": "e"}),
    ('{"event_id": "e", "status": 1e99}', {"event_id": "e"}),
    ('{"event_id": "e", "bytes": 99999999999999999999}', {"event_id": "e"}),
    ('{"event_id": "e", "status": "x", "colour": "red"}', {"event_id": "e"}),
    (r'{"event_id": "e", "colour": "\ud83d"}', {"event_id": "e"}),
    ('{"event_id": "e", "colour": {"a": 1, "a": 2}}', {"event_id": "e"}),
    ('{"event_id": "e", "colour": "red", "rescued": "no object"}', {"event_id": "e"}),
    ('{"event_id": "e", "colour": "red", "rescued": "{} x"}', {"event_id": "e"}),
    ('{"event_id": "e", "colour": ' + 1100 * '{"a":' + "1" + 1101 * "}", {}),
    ('{"event_id": "e"} trailing', {"event_id": "e"}),
    ('{"event_id": "e"} {"event_id": "f"}', {"event_id": "e"}),
    ('{"event_id": "e"}, {"event_id": "f"}', {"event_id": "e"}),
    ('{"event_id": "e"}] trailing', {"event_id": "e"}),
    ('{"event_id": "e"}} trailing', {"event_id": "e"}),
    ('{"event_id": "e"}]} trailing', {"event_id": "e"}),
    ('\ufeff{"event_id": "e"}', {"event_id": "e"}),
    ('{"event_id": "e", "a": 1, "a": 2}', {"event_id": "e"}),
    (r'{"event_id": "e", "rescued": "{\"a\": 1}", "a": 2}', {"event_id": "e"}),
    (r'{"event_id": "e", "rescued": "{\"b\": 1, \"b\": 2}", "a": 2}', {"event_id": "e"}),
]  # fmt: skip


def test_a_line_that_is_no_landed_row_has_itself_as_raw(spark: SparkSession) -> None:
    found = read(spark, *(line for line, _ in NO_LANDED_ROWS))
    assert [row["raw"] for row in found] == [line for line, _ in NO_LANDED_ROWS]
    for row, (line, parsed) in zip(found, NO_LANDED_ROWS, strict=True):
        assert {k: v for k, v in row.items() if v is not None and k != "raw"}.items() <= parsed.items(), line


RESCUED = [
    ('"colour": "red"', '{"colour":"red"}'),
    ('"a": 1, "b": 1.50, "c": true, "d": null, "e": "1", "f": "é\\n"',
     '{"a":1,"b":1.5,"c":true,"d":null,"e":"1","f":"é\\n"}'),
    ('"o": {"b": [1, {"x": null}], "a": {}}, "": 0, "a.b": []', '{"o":{"a":{},"b":[1,{"x":null}]},"":0,"a.b":[]}'),
    ('"IP": "x", "event_date": "y"', '{"IP":"x","event_date":"y"}'),
    (r'"rescued": "{\"b\" : 1.50}"', '{"b" : 1.50}'),
    ('"rescued": "no object"', "no object"),
    ('"rescued": {"b": 1}', '{"b":1}'),
    (r'"rescued": "{\"b\": \"1\", \"a\": 1}", "c": 3', '{"b":"1","a":1,"c":3}'),
    ('"rescued": null, "a": 2', '{"a":2}'),
]  # fmt: skip


def test_fields_that_are_not_known_are_rescued_with_their_values(spark: SparkSession) -> None:
    lines = (f'{{"event_id": "e", {fields}}}' for fields, _ in RESCUED)
    assert read(spark, *lines) == [NOTHING | {"event_id": "e", "rescued": rescued} for _, rescued in RESCUED]


TIMES = [
    ("2024-05-17T10:05:03Z", T0),
    ("2024-05-17T12:05:03+02:00", T0),
    ("2024-05-17 10:05:03", T0),
    ("17/May/2024:10:05:03 +0000", None),
    ("soon", None),
    ("", None),
]


def test_a_time_that_is_none_becomes_null_and_its_line_is_kept(spark: SparkSession) -> None:
    lines = [json.dumps({"event_id": "e", "timestamp": time}) for time, _ in TIMES]
    found = [(row["event_id"], row["timestamp"], row["raw"]) for row in read(spark, *lines)]
    assert found == [("e", time, None if time else line) for line, (_, time) in zip(lines, TIMES, strict=True)]


def test_rows_that_are_not_json_pass_unchanged(spark: SparkSession) -> None:
    schema = f"{', '.join(f'`{f.name}` {f.dataType.simpleString()}' for f in LANDED)}, json string, landed_file string"
    row = landed("p", raw=" x ")
    rows = spark.createDataFrame(
        [(*(row[n] for n in LANDED.names), None, "a.parquet"), (*[None] * 18, '{"event_id": "j"}', "b.json")], schema
    )
    found = {r.landed_file: r.asDict() for r in landed_rows(rows, "landed_file").collect()}
    assert {n: found["a.parquet"][n] for n in ("event_id", "raw", "status")} == {
        "event_id": "p",
        "raw": " x ",
        "status": 200,
    }
    assert found["b.json"] == NOTHING | {"event_id": "j", "landed_file": "b.json"}
