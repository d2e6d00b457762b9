"""Delta tables from the outside: columns that they lack, and files that they no longer use."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import types as T

from lakehouse.errors import PipelineError
from lakehouse.schema import METRICS
from lakehouse.tables import (
    FIGURES_HOURS,
    column_names,
    create_table,
    latest_version,
    ready_for_writing,
    table_id,
    tidy,
)

OLD = T.StructType([T.StructField("event_id", T.StringType()), T.StructField("bytes", T.LongType())])
NEW = T.StructType([*OLD.fields, T.StructField("seen", T.TimestampType()), T.StructField("rescued", T.StringType())])


def make(path: Path, schema: T.StructType) -> None:
    create_table(path, schema, description="one row per test")


def test_columns_that_a_table_lacks_are_added_in_one_commit_and_null_in_its_rows(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    write_deltalake(str(tmp_path), pa.table({"event_id": ["e1"], "bytes": [1]}), mode="append")
    identifier = table_id(tmp_path)
    make(tmp_path, NEW)
    row = {"event_id": "e1", "bytes": 1, "seen": None, "rescued": None}
    assert DeltaTable(str(tmp_path)).to_pyarrow_table().to_pylist() == [row]
    assert (latest_version(tmp_path), table_id(tmp_path)) == (2, identifier)
    assert DeltaTable(str(tmp_path)).metadata().description == "one row per test"


def test_where_nothing_is_missing_nothing_is_committed(tmp_path: Path) -> None:
    make(tmp_path, NEW)
    make(tmp_path, NEW)
    make(tmp_path, OLD)
    assert (latest_version(tmp_path), column_names(tmp_path)) == (0, set(NEW.names))


def kept(path: Path) -> set[str]:
    return set(DeltaTable(str(path)).metadata().configuration.values())


def test_a_log_that_an_earlier_release_kept_for_a_week_is_kept_for_a_day_and_nobody_elses(tmp_path: Path) -> None:
    names = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")
    for there, then in (
        ("168 hours", "24 hours"),
        ("7 days", "24 hours"),
        ("48 hours", "48 hours"),
        ("1 weeks", "1 weeks"),
    ):
        path = tmp_path / there
        make(path, NEW)
        assert kept(path) == {"interval 24 hours"}
        DeltaTable(str(path)).alter.set_table_properties(dict.fromkeys(names, f"interval {there}"))
        make(path, NEW)
        make(path, NEW)
        assert kept(path) == {f"interval {then}"}
        assert latest_version(path) == 1 + (there != then)


@pytest.mark.parametrize("before", [ready_for_writing, lambda path: tidy(path, 1)])
def test_checksums_that_nobody_misses_go(tmp_path: Path, before: Callable[[Path], object]) -> None:
    make(tmp_path, NEW)
    row = pa.table({"event_id": ["e1"]})
    for _ in range(4):
        write_deltalake(str(tmp_path), row, mode="append", schema_mode="merge")
    DeltaTable(str(tmp_path), version=2).create_checkpoint()
    log = tmp_path / "_delta_log"
    of_version = {n: {f".{n:020}.json.crc", f"{n:020}.crc", f".{n:020}.crc.crc"} for n in range(6)}
    for name in set.union(*of_version.values()):
        (log / name).write_bytes(b"x")
    (log / f".{2:020}.checkpoint.parquet.crc").write_bytes(b"x")
    before(tmp_path)
    left = {path.name for path in log.glob("*.crc")} | {path.name for path in log.glob(".*.crc")}
    assert left == of_version[2] | of_version[3] | of_version[4] | {f".{2:020}.checkpoint.parquet.crc"}


def test_several_processes_may_add_the_same_columns_at_once(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: make(tmp_path, NEW), range(8)))
    assert (latest_version(tmp_path), column_names(tmp_path)) == (1, set(NEW.names))


def test_a_column_of_another_type_is_an_error_that_names_it(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    other = T.StructType([T.StructField("bytes", T.StringType())])
    with pytest.raises(PipelineError, match=r"column 'bytes' is long there, not string; .* python -m cleaner rebuild"):
        make(tmp_path, other)
    assert latest_version(tmp_path) == 0


def test_what_a_table_no_longer_uses_goes_by_its_age_and_the_checksums_with_it(tmp_path: Path) -> None:
    create_table(tmp_path, METRICS["daily"], description="test", kept_hours=FIGURES_HOURS)
    for number in range(3):
        write_deltalake(
            str(tmp_path), pa.table({"requests": pa.array([number], pa.int64())}), mode="overwrite", schema_mode="merge"
        )
        for path in [*tmp_path.glob("*.parquet"), *tmp_path.glob("_delta_log/*.json")]:
            path.with_name(f".{path.name}.crc").write_bytes(b"as Hadoop does")
    DeltaTable(str(tmp_path)).create_checkpoint()
    assert tidy(tmp_path, FIGURES_HOURS) == 0
    old_commits = [f"{version:020}.json" for version in range(3)]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    DeltaTable(str(tmp_path)).alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 0 seconds"})
    DeltaTable(str(tmp_path)).create_checkpoint()
    (live,) = DeltaTable(str(tmp_path)).file_uris()
    assert tidy(tmp_path, FIGURES_HOURS) == 2
    assert DeltaTable(str(tmp_path)).to_pyarrow_table(columns=["requests"]).to_pydict() == {"requests": [2]}
    data = {p.name for p in tmp_path.iterdir() if p.is_file()}
    assert data == {Path(live).name, f".{Path(live).name}.crc"}
    log = {p.name for p in (tmp_path / "_delta_log").iterdir()}
    assert not log & set(old_commits)
    assert not {name for name in log if name.endswith(".crc")}
    assert tidy(tmp_path, FIGURES_HOURS) == 0
    version = latest_version(tmp_path)
    assert tidy(tmp_path, FIGURES_HOURS) == 0
    assert latest_version(tmp_path) == version


def test_a_log_is_whole_with_characters_in_it_that_end_lines_elsewhere(tmp_path: Path) -> None:
    """The first and last path of a file stand in its commit, and whoever asks for a page chooses paths."""
    make(tmp_path, OLD)
    write_deltalake(
        str(tmp_path), pa.table({"event_id": ["\u2028a\u2029\x85", "\u2028b"], "bytes": [1, 2]}), mode="append"
    )
    assert "\u2028" in (tmp_path / "_delta_log" / f"{1:020}.json").read_text(encoding="utf-8")
    assert column_names(tmp_path) == {"event_id", "bytes"}
