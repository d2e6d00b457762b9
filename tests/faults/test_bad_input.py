"""Bad input: all shapes land in one lake, among good files; each ends as its list says, and holds nothing up."""

import logging
import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from cleaner.merge import merge
from consumer import batch
from consumer.monitor import status
from consumer.report import report
from consumer.streaming import stream_once
from lakehouse import landed
from lakehouse.arrivals import Arrivals
from lakehouse.lake import Lake
from lakehouse.landed import LandedFile, check
from lakehouse.ledger import Ledger
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import latest_version
from tests.faults.shape import Shape, line, ndjson
from tests.faults.shapes import SHAPES

TOGETHER = [shape for shape in SHAPES if not shape.apart]
LONG = [shape for shape in SHAPES if shape.apart == "long"]
NOBODY = 65534


@dataclass(frozen=True)
class Seen:
    """A lake after everything in it went through merge and stream."""

    settings: Settings
    files: dict[str, list[str]]
    merged: dict[str, list[dict[str, Any]]]
    quarantined: dict[str, list[dict[str, Any]]]
    archived: Counter[str]
    ledger: dict[str, list[tuple[Any, ...]]]

    @property
    def lake(self) -> Lake:
        return self.settings.lake


def settings_of(root: Path) -> Settings:
    return unpack_settings({"paths": {"data_lake": str(root / "lake"), "log": str(root / "log")}}, "test")


def run_all(spark: SparkSession, settings: Settings, shapes: list[Shape], patch: pytest.MonkeyPatch) -> Seen:
    """Land the shapes, and let merge, stream and batch take what there is."""
    lake = settings.lake
    lake.landing.mkdir(parents=True)
    built = {shape.name: shape.build(lake.landing, shape.name) for shape in shapes}
    meddles = {path.name: s.meddle for s in shapes if s.meddle for path in built[s.name]}
    if meddles:
        # As if the stream had been killed between numbering what landed and reading it.
        Arrivals(lake.checkpoint("archive")).admit(lake.landing, max_files=10_000)

    def check_and_meddle(path: Path) -> LandedFile:
        found = check(path)
        if meddle := meddles.pop(path.name, None):
            meddle(path)
        return found

    patch.setattr(landed, "check", check_and_meddle)
    merge(settings, lambda: spark)
    patch.undo()
    stream_once(spark, settings)
    merge(settings, lambda: spark)  # takes what has changed, and retires
    stream_once(spark, settings)
    batch.refresh(settings)
    return seen(settings, {name: [path.name for path in paths] for name, paths in built.items()})


def seen(settings: Settings, files: dict[str, list[str]]) -> Seen:
    lake = settings.lake
    archived = pq.read_table(sorted(lake.logs.glob("*.parquet")), columns=["landed_file"])
    with sqlite3.connect(lake.ledger) as db:
        found = db.execute("SELECT name, refused, merged, duplicates, quarantined FROM files").fetchall()
    ledger: dict[str, list[tuple[Any, ...]]] = {}
    for name, *figures in found:
        ledger.setdefault(name, []).append(tuple(figures))
    return Seen(
        settings, files, by_file(lake.merged), by_file(lake.quarantine),
        Counter(archived["landed_file"].to_pylist()), ledger,
    )  # fmt: skip


def by_file(table: Path) -> dict[str, list[dict[str, Any]]]:
    """The table's rows by landed file, whichever delivery of it. Times that Python cannot hold are left out."""
    rows = DeltaTable(str(table)).to_pyarrow_table()
    found: dict[str, list[dict[str, Any]]] = {}
    kept = rows.drop_columns(["quarantined_at", "timestamp", "ingested_at"] if "reasons" in rows.column_names else [])
    for row in kept.to_pylist():
        found.setdefault(row["landed_file"].split("/")[0], []).append(row)
    return found


@pytest.fixture(scope="module")
def lake_of_all(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    with pytest.MonkeyPatch.context() as patch:
        return run_all(spark, settings_of(tmp_path_factory.mktemp("shapes")), TOGETHER, patch)


def outcome(found: Seen, shape: Shape) -> dict[str, Any]:
    """What became of a shape, in the terms of ``expected``."""
    files = found.files[shape.name]
    merged = [row for name in files for row in found.merged.get(name, [])]
    rows = [row for name in files for row in found.quarantined.get(name, [])]
    refusals = [row for row in rows if row["reasons"][0].startswith("file refused: ")]
    figures = [figures for name in files for figures in found.ledger.get(name, [])]
    sums = [sum(f[n] for f in figures) for n in (1, 2, 3)]
    return {
        "merged": {row["event_id"]: row["event_date"] for row in merged},
        "quarantined": Counter((own_id(row, shape), tuple(row["reasons"])) for row in rows if row not in refusals),
        "refused": [row["reasons"][0].removeprefix("file refused: ")[: len(shape.expected.refused or "")] for row in refusals],
        "ledger": sums,
        "archived": sum(found.archived[name] for name in files),
        "fields": {
            row["event_id"]: {name: row[name] for name in fields}
            for row in merged
            for number, fields in shape.expected.fields.items()
            if row["event_id"] == f"{shape.name}-{number}"
        },
        "waits": [name for name in files if os.path.lexists(found.lake.landing / name)],
        "kept": [name for name in files if (found.lake.refused_files / name).exists()],
    }  # fmt: skip


def own_id(row: dict[str, Any], shape: Shape) -> str | None:
    return row["event_id"] if row["event_id"].startswith(f"{shape.name}-") else None


def expected(found: Seen, shape: Shape) -> dict[str, Any]:
    files, will = found.files[shape.name], shape.expected
    is_refused = will.refused is not None
    return {
        "merged": {f"{shape.name}-{number}": day for number, day in will.merged.items()},
        "quarantined": Counter((n and f"{shape.name}-{n}", reasons) for n, reasons in will.quarantined),
        "refused": [will.refused] if is_refused else [],
        "ledger": [len(will.merged), will.duplicates, len(will.quarantined) + is_refused],
        "archived": will.rows,
        "fields": {f"{shape.name}-{number}": dict(fields) for number, fields in will.fields.items()},
        "waits": files if will.is_left_alone else [],
        "kept": files if is_refused else [],
    }


@pytest.mark.parametrize("shape", TOGETHER, ids=lambda shape: shape.name)
@pytest.mark.streaming
def test_a_shape_ends_as_its_list_says(shape: Shape, lake_of_all: Seen) -> None:
    assert outcome(lake_of_all, shape) == expected(lake_of_all, shape)


def requests(lake: Lake, mode: str) -> dict[date, int]:
    rows = DeltaTable(str(lake.metrics(mode, "daily"))).to_pyarrow_table(columns=["event_date", "requests"]).to_pylist()
    return {row["event_date"]: row["requests"] for row in rows}


@pytest.mark.streaming
def test_batch_and_stream_count_what_the_shapes_say(lake_of_all: Seen) -> None:
    days = Counter(day for shape in TOGETHER for day in shape.expected.merged.values())
    assert requests(lake_of_all.lake, "batch") == days
    assert requests(lake_of_all.lake, "streaming") == days


@pytest.mark.streaming
def test_every_row_is_accounted_for_and_status_counts_what_is_no_landed_file(lake_of_all: Seen) -> None:
    assert report(lake_of_all.settings).identity.problems == ()
    now = status(lake_of_all.settings, datetime.now(UTC))
    is_left = [s for s in TOGETHER if s.expected.is_left_alone and s.name not in ("name-hidden", "name-underscore")]
    assert (now.waiting.files, now.left_alone) == (0, len(is_left))


@pytest.mark.streaming
def test_a_further_merge_and_stream_find_nothing_to_do(lake_of_all: Seen, spark: SparkSession) -> None:
    lake = lake_of_all.lake
    before = {name: latest_version(path) for name, path in lake.tables.items()}, Counter(lake_of_all.archived)
    assert merge(lake_of_all.settings, no_session) == 0
    assert Arrivals(lake.checkpoint("archive")).admit(lake.landing, max_files=10_000) == []
    stream_once(spark, lake_of_all.settings)
    after = seen(lake_of_all.settings, {})
    assert ({name: latest_version(path) for name, path in lake.tables.items()}, after.archived) == before


def no_session() -> SparkSession:
    raise AssertionError("a JVM was started")


@pytest.mark.long
@pytest.mark.streaming
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shape", LONG, ids=lambda shape: shape.name)
def test_a_large_shape_ends_as_its_list_says(
    shape: Shape, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_all(spark, settings_of(tmp_path), [shape], monkeypatch)
    assert outcome(found, shape) == expected(found, shape)
    days = Counter(shape.expected.merged.values())
    assert (requests(found.lake, "batch"), requests(found.lake, "streaming")) == (days, days)


# A file that may not be read ----------------------------------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user whom permissions bind: they do not bind root."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def nobodys() -> Iterator[Settings]:
    """A lake of nobody's; in a folder that this user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield settings_of(Path(folder))


def test_a_file_that_may_not_be_read_waits_without_a_jvm_until_it_may(
    nobodys: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    import cleaner.landing  # noqa: F401  loaded before permissions are given up

    lake = nobodys.lake
    arrivals = Arrivals(lake.checkpoint("archive"))
    with as_nobody():
        lake.landing.mkdir(parents=True)
        (path,) = ndjson(line(1))(lake.landing, "a")
        path.chmod(0)
        assert merge(nobodys, no_session) == 0
        assert [arrivals.admit(lake.landing, max_files=9) for _ in range(2)] == [[], []]
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert [text.split(": ")[0] for text in said] == [
            "a.json cannot be read now and is left for the next run",
            "a.json cannot be read and waits until it can",
        ]
        now = status(nobodys, datetime.now(UTC))
        assert (now.unmerged.files, now.unarchived.files, Ledger(lake.ledger).totals()["files"]) == (1, 1, 0)
        path.chmod(0o600)
        assert [a.name for a in arrivals.admit(lake.landing, max_files=9)] == ["a.json"]


def test_a_file_that_becomes_unreadable_once_it_is_numbered_is_numbered_anew(nobodys: Settings) -> None:
    lake = nobodys.lake
    arrivals = Arrivals(lake.checkpoint("archive"))
    with as_nobody():
        lake.landing.mkdir(parents=True)
        (path,) = ndjson(line(1))(lake.landing, "a")
        first = arrivals.admit(lake.landing, max_files=9)
        path.chmod(0)
        arrivals.give_back(lake.landing, first)
        assert [a.is_file(path) for a in arrivals.read()] == [False]
        path.chmod(0o600)
        assert [(a.seq, a.name) for a in arrivals.admit(lake.landing, max_files=9)] == [(2, "a.json")]
