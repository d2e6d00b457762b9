import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lakehouse.errors import PipelineError
from lakehouse.lake import waiting_files
from lakehouse.settings import LandingFormat
from producer.landing import LANDED, Lander

NOW = datetime(2026, 11, 24, 6, 17, 11, 123456, UTC)


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def rows(first: int, count: int) -> pl.DataFrame:
    """``count`` rows, numbered from ``first`` on in their ids."""
    ids = [f"e{number}" for number in range(first, first + count)]
    return pl.DataFrame({"event_id": ids, "timestamp": NOW, "status": 200}, schema_overrides=LANDED).select(
        pl.col(name) if name in ("event_id", "timestamp", "status") else pl.lit(None, kind).alias(name)
        for name, kind in LANDED.items()
    )


def lander(
    folder: Path, *, batch_rows: int = 10, clock: Clock | None = None, kind: LandingFormat = "parquet"
) -> Lander:
    return Lander(folder, kind, batch_rows=batch_rows, batch_seconds=5, clock=clock or Clock(), now=lambda: NOW)


def published(folder: Path) -> list[pl.DataFrame]:
    return [pl.read_parquet(path) for path in waiting_files(folder)]


def test_batches_are_cut_at_the_limit_and_keep_the_order(tmp_path: Path) -> None:
    landing = lander(tmp_path)
    landing.add(rows(0, 4))
    assert published(tmp_path) == []
    landing.add(rows(4, 25))
    assert [batch.height for batch in published(tmp_path)] == [10, 10]
    assert (landing.files, landing.rows, landing.waiting_rows) == (2, 20, 9)
    landing.flush()
    assert (landing.files, landing.rows, landing.waiting_rows) == (3, 29, 0)
    assert_frame_equal(pl.concat(published(tmp_path)), rows(0, 29))


def test_each_published_batch_is_told_of_with_what_was_published_so_far(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    landing = Lander(
        tmp_path, "parquet", batch_rows=10, batch_seconds=5, on_published=lambda *so_far: told.append(so_far)
    )
    landing.add(rows(0, 25))
    landing.flush()
    landing.flush()
    assert told == [(1, 10), (2, 20), (3, 25)]


def test_a_full_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    landing = lander(tmp_path)
    landing.add(rows(0, 10))
    landing.flush()
    assert (landing.files, landing.rows, landing.waiting_rows) == (1, 10, 0)


def test_rows_are_published_when_the_oldest_of_them_is_old_enough(tmp_path: Path) -> None:
    clock = Clock()
    landing = lander(tmp_path, clock=clock)
    landing.tick()
    landing.add(rows(0, 1))
    clock.seconds += 4.9
    landing.add(rows(1, 1))
    landing.tick()
    assert landing.files == 0
    clock.seconds += 0.1
    landing.tick()
    assert landing.rows == 2
    landing.add(rows(2, 1))
    clock.seconds += 5
    landing.add(rows(3, 1))
    assert [batch["event_id"].to_list() for batch in published(tmp_path)] == [["e0", "e1"], ["e2", "e3"]]


def test_nothing_is_no_batch(tmp_path: Path) -> None:
    landing = lander(tmp_path / "made" / "here")
    landing.add(rows(0, 0))
    landing.flush()
    assert list((tmp_path / "made" / "here").iterdir()) == []


def test_names_tell_the_time_and_sort_by_it_even_when_the_clock_is_set_back(tmp_path: Path) -> None:
    times = iter([NOW, NOW, NOW - timedelta(hours=1), NOW + timedelta(microseconds=1)])
    landing = Lander(tmp_path, "json", batch_rows=1, batch_seconds=5, now=lambda: next(times))
    landing.add(rows(0, 3))
    names = [path.name for path in waiting_files(tmp_path)]
    assert all(re.fullmatch(r"20261124T061711\.12345[67]Z-[0-9a-f]{8}-00000[1-3]\.json", name) for name in names)
    assert [json.loads((tmp_path / name).read_text())["event_id"] for name in names] == ["e0", "e1", "e2"]


def test_two_landers_do_not_take_each_others_names(tmp_path: Path) -> None:
    for _ in range(2):
        landing = lander(tmp_path)
        landing.add(rows(0, 1))
        landing.flush()
    assert len(waiting_files(tmp_path)) == 2


def test_ndjson_has_one_object_a_line_with_nulls_and_times_in_iso_8601(tmp_path: Path) -> None:
    landing = lander(tmp_path, kind="json")
    landing.add(rows(0, 2).with_columns(pl.lit('a"\n\x00é').alias("agent"), pl.lit(2**62).alias("bytes")))
    landing.flush()
    (path,) = waiting_files(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = dict.fromkeys(LANDED) | {
        "timestamp": "2026-11-24T06:17:11.123456Z", "status": 200, "agent": 'a"\n\x00é', "bytes": 2**62,
    }  # fmt: skip
    assert [json.loads(line) for line in lines] == [expected | {"event_id": "e0"}, expected | {"event_id": "e1"}]


def test_only_whole_files_have_a_visible_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    rename = Path.rename

    def watched(path: Path, target: Path) -> Path:
        seen.append([entry.name for entry in tmp_path.iterdir()])
        assert pl.read_parquet(path).height == 1
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", watched)
    landing = lander(tmp_path)
    landing.add(rows(0, 1))
    landing.flush()
    ((hidden,),) = seen
    assert hidden.startswith(".")
    assert hidden.endswith(".parquet.tmp")
    assert len(waiting_files(tmp_path)) == 1


def test_what_dead_programs_left_behind_goes_after_a_day(tmp_path: Path) -> None:
    for name, age in (
        (".old.parquet.tmp", 90_000),
        (".new.parquet.tmp", 80_000),
        ("old.parquet", 90_000),
        (".x", 90_000),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (NOW.timestamp() - age,) * 2)
    lander(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.parquet.tmp", ".x", "old.parquet"]


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match="file/landing: cannot write there: Not a directory"):
        lander(tmp_path / "file" / "landing")


def test_a_batch_that_cannot_be_written_is_an_error_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    landing = lander(tmp_path)
    landing.add(rows(0, 1))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PipelineError, match="No space left on device"):
        landing.flush()
    assert list(tmp_path.iterdir()) == []
