"""The one check of landed files: whole, or refused whole with the reason."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.landed import check
from tests.builders import land_json, land_parquet, landed


def test_good_files_are_taken_with_their_rows(tmp_path: Path) -> None:
    assert check(land_parquet(tmp_path / "a.parquet", [landed("e1"), landed(None)])).rows == 2
    assert check(land_parquet(tmp_path / "0.parquet", [])).rows == 0
    assert check(land_json(tmp_path / "b.json", [landed("e1"), "", "{x"])).rows == 3
    (tmp_path / "c.ndjson").write_text('{"event_id": "e"}')
    assert (check(tmp_path / "c.ndjson").rows, check(tmp_path / "c.ndjson").refused) == (1, None)
    (tmp_path / "d.json").write_bytes(b"")
    assert (check(tmp_path / "d.json").rows, check(tmp_path / "d.json").refused) == (0, None)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"event_id": ["a"], "colour": ["red"]}, "unknown column 'colour', which belongs into 'rescued', as JSON"),
        ({"ip": ["a"]}, "column 'event_id' is missing"),
        ({"event_id": ["a"], "status": [200]}, "column 'status' is int64, expected int32"),
        ({"event_id": ["a"], "status": ["200"]}, "column 'status' is string, expected int32"),
        ({"event_id": [1]}, "column 'event_id' is int64, expected large_string or string or string_view"),
        ({"event_id": ["a"], "bytes": pa.array([1], pa.int32())}, "column 'bytes' is int32, expected int64"),
        (
            {"event_id": ["a"], "timestamp": pa.array([0], pa.timestamp("us"))},
            "column 'timestamp' is timestamp[us], expected",
        ),
        (
            {"event_id": ["a"], "timestamp": pa.array([0], pa.timestamp("ns", "UTC"))},
            "column 'timestamp' is timestamp[ns, tz=UTC]",
        ),
        ({"event_id": ["a"], "agent": [{"a": 1}]}, "column 'agent' is struct<a: int64>"),
        ({"event_id": ["a"], "ip": [None]}, "column 'ip' is null"),
    ],
)
def test_other_columns_are_refused_by_name(tmp_path: Path, columns: dict[str, Any], reason: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    refused = check(tmp_path / "a.parquet").refused
    assert refused is not None
    assert refused.startswith(reason)


def test_columns_may_be_missing_but_the_id_may_not(tmp_path: Path) -> None:
    pq.write_table(pa.table({"event_id": ["a"]}), tmp_path / "a.parquet")
    assert (check(tmp_path / "a.parquet").rows, check(tmp_path / "a.parquet").refused) == (1, None)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"x" * 1000, b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_not_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    assert str(check(tmp_path / "a.parquet").refused).startswith("not readable as Parquet: ")


def test_parquet_that_is_good_in_its_first_half_only_is_refused_whole(tmp_path: Path) -> None:
    import random

    randomness = random.Random(1)
    path = land_parquet(
        tmp_path / "a.parquet",
        [landed(f"{randomness.random()}", agent=f"{randomness.random()}") for _ in range(20_000)],
    )
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = b"\xff" * 2000
    path.write_bytes(content)
    assert check(path).refused is not None
    path.write_bytes(content[: len(content) // 3])
    assert check(path).refused is not None


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{}", b'{"event_id": "\xe9"}\n', b'{"event_id": "a"}\n\xe2\x82', b"a" * (1 << 20) + b"\xff"]
)
def test_json_that_is_not_utf8_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert str(check(tmp_path / "a.json").refused).startswith("not UTF-8 text")


def test_a_character_across_two_blocks_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"a" * ((1 << 20) - 1) + "é".encode() + b"\n")
    assert (check(tmp_path / "a.json").rows, check(tmp_path / "a.json").refused) == (1, None)


@pytest.mark.parametrize("name", ["a.csv", "a", "a.parquet.gz", "a:b.json", "a\\b.json"])
def test_other_kinds_and_names_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    assert check(tmp_path / name).refused is not None


def test_a_file_that_cannot_be_opened_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        check(tmp_path / "gone.parquet")
    with pytest.raises(OSError, match="No such file"):
        check(tmp_path / "gone.json")
