"""The replay: quarantined rows that pass new rules are merged once, whatever interrupts it or comes in between."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from cleaner import landing, replay_rows
from cleaner.merge import merge
from cleaner.replay import Asked, replay
from consumer.components.identity import identity
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.ndjson import landed_rows
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import latest_version, table_facts
from tests.builders import T0, land_json, land_parquet, landed, unparsed
from tests.tables import rows

HOUR = timedelta(hours=1)
STATUS, NO_IP, UNPARSED = "status outside 100-599", "no ip", "line does not parse"
AGENT = "curl/7.68.0"
A, B, D = "a.parquet", "b.json", "d.parquet"
NAMES = (A, B, D, "e.parquet", "f.parquet")


def json_line(event_id: str, **fields: Any) -> str:
    return json.dumps(landed(event_id, timestamp=T0.isoformat(), ingested_at=T0.isoformat()) | fields)


LINE = json_line("line", path=" /line")
FORGED = json_line("forged")
FIRST = [
    landed("good"),
    landed("status", status=700, agent=f" {AGENT} ", path="/s"),
    landed("status", status=700, agent=f" {AGENT} ", path="/s"),
    landed("late", status=701, ip=None, timestamp=T0 + 30 * HOUR, ingested_at=T0 + 31 * HOUR),
    landed("merged since", status=700),
    landed("future", ip=None, timestamp=T0 + 1000 * HOUR),
    landed(None, ip=None),
    unparsed("parsed since", "a line that a newer producer parses"),
    unparsed("garbage", FORGED),
]


def with_rules(settings: Settings, **rules: Any) -> Settings:
    return unpack_settings(settings.model_dump(mode="json") | {"rules": rules}, "test")


def loose(settings: Settings) -> Settings:
    """Any status will do, and a request needs no IP."""
    return with_rules(settings, required=["event_id", "timestamp", "status"], status_max=999)


def versions(lake: Lake) -> dict[str, int]:
    return {name: latest_version(path) for name, path in lake.tables.items()}


def figures(lake: Lake) -> dict[str, tuple[int, int, int, int, dict[str, int]]]:
    files = Ledger(lake.ledger).files(NAMES)
    return {f.landed_file: (f.rows, f.merged, f.duplicates, f.quarantined, f.reasons) for f in files}


def problems(lake: Lake) -> tuple[str, ...]:
    """What the report would say of the identity: the ledger against itself and the tables."""
    ledger, facts = Ledger(lake.ledger), {n: table_facts(lake.tables[n]) for n in ("merged", "quarantine", "delta")}
    return identity(ledger.totals(), ledger.unbalanced_files(), {n: f.rows for n, f in facts.items() if f}).problems


def last_run(lake: Lake) -> dict[str, Any]:
    run = Ledger(lake.ledger).last_runs()["replay"]
    return {name: value for name, value in run["figures"].items() if name != "seconds"}


def as_read_before(lines: DataFrame, *keep: str) -> DataFrame:
    """NDJSON as an older release might have read it, which did not know a field of the line."""
    is_line = F.col("event_id") == "line"
    return landed_rows(lines, *keep).withColumn("raw", F.when(is_line, LINE).otherwise(F.col("raw")))


@pytest.fixture(scope="module")
def quarantined(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """A lake with rows in quarantine, two of which have been merged since from another delivery."""
    settings = unpack_settings({"paths": {"data_lake": str(tmp_path_factory.mktemp("quarantined"))}}, "test")
    landing_folder = settings.lake.landing
    land_parquet(landing_folder / A, FIRST)
    land_json(landing_folder / B, [landed("json", ip="-"), LINE, unparsed("raw", FORGED), "{nonsense"])
    (landing_folder / "c.csv").write_text("x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing, "landed_rows", as_read_before)
        merge(settings, lambda: spark)
    land_parquet(landing_folder / D, [landed("merged since", status=700), landed("parsed since", status=404)])
    merge(loose(settings), lambda: spark)
    return settings.lake.root


@pytest.fixture(scope="module")
def replayed(quarantined: Path, tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """That lake after a replay under looser rules."""
    settings = unpack_settings({"paths": {"data_lake": str(tmp_path_factory.mktemp("replayed") / "lake")}}, "test")
    copy(quarantined, settings.lake)
    replay(loose(settings), lambda: spark)
    return settings.lake.root


def copy(root: Path, lake: Lake) -> Lake:
    """Copy a lake but for its landing folder: copied, a landed file would be another one."""
    shutil.copytree(root, lake.root, ignore=shutil.ignore_patterns("logs_to_merge"))
    return lake


COLUMNS = ("event_id", "timestamp", "event_date", "ip", "path", "status", "agent", "landed_file")
MAY_17, MAY_18 = date(2024, 5, 17), date(2024, 5, 18)
MERGED = [
    ("good", T0, MAY_17, "192.0.2.1", "/", 200, AGENT, A),
    ("json", T0, MAY_17, None, "/", 200, AGENT, B),
    ("late", T0 + 30 * HOUR, MAY_18, None, "/", 701, AGENT, A),
    ("line", T0, MAY_17, "192.0.2.1", "/line", 200, AGENT, B),
    ("merged since", T0, MAY_17, "192.0.2.1", "/", 700, AGENT, D),
    ("parsed since", T0, MAY_17, "192.0.2.1", "/", 404, AGENT, D),
    ("status", T0, MAY_17, "192.0.2.1", "/s", 700, AGENT, A),
]
LEFT_BEHIND = [
    (A, None, ["no event_id", NO_IP], None),
    (A, None, [NO_IP, "timestamp in the future"], None),
    (A, None, [UNPARSED], FORGED),
    (B, None, [UNPARSED], "{nonsense"),
    (B, None, [UNPARSED], FORGED),
    ("c.csv", None, ["file refused: unknown kind of file '.csv', expected .json, .jsonl, .ndjson, .parquet"], None),
]
QUARANTINED = [
    *LEFT_BEHIND,
    (A, "192.0.2.1", [STATUS], None),
    (A, "192.0.2.1", [STATUS], None),
    (A, None, [NO_IP, STATUS], None),
    (A, None, [UNPARSED], "a line that a newer producer parses"),
    (B, "192.0.2.1", [UNPARSED], LINE),
    (B, None, [NO_IP], None),
]
REASONS_LEFT = {"no ip": 2, "timestamp in the future": 1, "no event_id": 1, UNPARSED: 1}
FIGURES = {A: (9, 3, 3, 3, REASONS_LEFT), B: (4, 2, 0, 2, {UNPARSED: 2}), D: (2, 2, 0, 0, {})}
DONE = {
    "rows": 11, "passed": 5, "merged": 4, "duplicates": 2,
    "reasons": {STATUS: 3, NO_IP: 2, UNPARSED: 2},
}  # fmt: skip


def content(lake: Lake) -> dict[str, Any]:
    """All rows of the three tables."""
    return {name: rows(lake.tables[name]) for name in ("merged", "quarantine", "delta")}


def test_what_passes_now_is_merged_and_enriched_and_leaves_quarantine_as_does_what_was_merged_since(
    quarantined: Path, replayed: Path, spark: SparkSession
) -> None:
    assert rows(Lake(quarantined).quarantine, "landed_file", "ip", "reasons", "raw") == sorted(QUARANTINED, key=repr)
    lake = Lake(replayed)
    assert rows(lake.merged, *COLUMNS) == MERGED
    assert rows(lake.delta, *COLUMNS) == MERGED
    assert rows(lake.delta, "event_id", "is_bot", "status_class")[2] == ("late", True, "7xx")
    assert rows(lake.quarantine, "landed_file", "ip", "reasons", "raw") == sorted(LEFT_BEHIND, key=repr)
    assert (figures(lake), problems(lake), last_run(lake)) == (FIGURES, (), DONE)


def test_the_commit_that_takes_rows_out_says_whose_it_is_and_the_version_before_has_them(
    replayed: Path, spark: SparkSession
) -> None:
    lake, run_id = Lake(replayed), Ledger(Lake(replayed).ledger).last_runs()["replay"]["run_id"]
    last = spark.sql(f"DESCRIBE HISTORY delta.`{lake.quarantine}` LIMIT 1").collect()[0]
    assert json.loads(last.userMetadata) == {"job": "replay", "run_id": run_id, "merged": 4, "duplicates": 2}
    assert last.operationMetrics["numTargetRowsDeleted"] == "6"
    before = spark.read.format("delta").option("versionAsOf", last.version - 1).load(str(lake.quarantine))
    assert before.count() == len(QUARANTINED)
    merged = spark.sql(f"DESCRIBE HISTORY delta.`{lake.merged}` LIMIT 1").collect()[0]
    assert merged.userMetadata is None


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    quarantined: Path, settings: Settings, spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    lake = copy(quarantined, settings.lake)
    before = {path: path.stat().st_mtime_ns for path in lake.root.rglob("*") if path.is_file()}
    with caplog.at_level("INFO", "cleaner.replay"):
        replay(loose(settings), lambda: spark, is_dry_run=True)
        replay(loose(settings), lambda: spark, Asked(until=date(2020, 1, 1)), is_dry_run=True)
    said = [re.sub(r"[0-9.]+ s$", "S s", record.getMessage()) for record in caplog.records]
    # Two leave whatever is asked for: their requests are in merged/.
    assert said == [
        (
            "11 quarantined rows looked at, 5 pass: 4 would be merged, 2 would be duplicates (quarantined for:"
            " 3 status outside 100-599, 2 no ip, 2 line does not parse); S s"
        ),
        (
            "0 quarantined rows looked at, 0 pass: 0 would be merged, 2 would be duplicates (quarantined for:"
            " 1 status outside 100-599, 1 line does not parse); S s"
        ),
    ]
    after = {
        path: path.stat().st_mtime_ns for path in lake.root.rglob("*") if path.is_file() and path.suffix != ".lock"
    }
    assert after == {path: time for path, time in before.items() if path.suffix != ".lock"}


def test_only_rows_with_the_reason_and_of_the_days_that_were_asked_for_go_before_the_rules(
    quarantined: Path, settings: Settings, spark: SparkSession
) -> None:
    lake = copy(quarantined, settings.lake)
    today = datetime.now(UTC).date()
    asked = Asked((NO_IP, "no such reason"), since=today - timedelta(days=1), until=today + timedelta(days=1))
    replay(loose(settings), lambda: spark, asked)
    assert {row[0] for row in rows(lake.merged, "event_id")} == {row[0] for row in MERGED} - {"line", "status"}
    reasons = {NO_IP: 2, STATUS: 2, UNPARSED: 1}
    assert last_run(lake) == {"rows": 4, "passed": 2, "merged": 2, "duplicates": 2, "reasons": reasons}
    assert problems(lake) == ()


def test_delivered_again_replayed_rows_are_duplicates_under_whatever_rules(
    replayed: Path, settings: Settings, spark: SparkSession
) -> None:
    lake = copy(replayed, settings.lake)
    before = content(lake)
    land_parquet(lake.landing / "e.parquet", FIRST[:6])
    merge(loose(settings), lambda: spark)
    assert figures(lake)["e.parquet"] == (6, 0, 6, 0, {})
    assert content(lake) == before
    land_parquet(lake.landing / "f.parquet", FIRST[:6])
    merge(settings, lambda: spark)
    replay(settings, lambda: spark)
    assert figures(lake)["f.parquet"] == (6, 0, 6, 0, {})
    assert (content(lake), problems(lake)) == (before, ())
    seen = versions(lake)
    replay(settings, lambda: spark)
    assert versions(lake) == seen


def test_a_row_that_does_not_arrive_in_merged_stays_in_quarantine(
    quarantined: Path, settings: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = copy(quarantined, settings.lake)
    monkeypatch.setattr(replay_rows, "merge_passing", lambda *_: None)
    replay(loose(settings), lambda: spark)
    assert len(rows(lake.quarantine, "event_id")) == len(QUARANTINED) - 2
    assert (last_run(lake)["merged"], last_run(lake)["duplicates"], problems(lake)) == (0, 2, ())


def killed_before(step: str, lake: Lake, run: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run die there, with the ledger as a process that is killed would leave it."""
    copied = lake.root.parent / "ledger as it was"

    def die(*_args: Any) -> None:
        shutil.copy(lake.ledger, copied)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger if hasattr(Ledger, step) else replay_rows, step, die)
        with pytest.raises(KeyboardInterrupt):
            run()
    shutil.copy(copied, lake.ledger)


STEPS = ["merge_passing", "enrich_placed", "note", "remove", "recounted", "settle"]


@pytest.mark.long
def test_killed_at_each_step_one_after_the_other_it_ends_the_same(
    quarantined: Path, replayed: Path, settings: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = copy(quarantined, settings.lake)
    for step in STEPS:
        killed_before(step, lake, lambda: replay(loose(settings), lambda: spark), monkeypatch)
    assert figures(lake)[A][1:4] == (1, 1, 7)
    replay(loose(settings), lambda: spark)
    assert content(lake) == content(Lake(replayed))
    assert (figures(lake), problems(lake)) == (FIGURES, ())
    assert Ledger(lake.ledger).in_hand("replay") is None


def test_a_refused_file_stays_when_a_row_that_claims_its_id_leaves(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    land_parquet(lake.landing / A, [landed("refused-c.csv", status=700)])
    (lake.landing / "c.csv").write_text("x")
    merge(settings, lambda: spark)
    replay(loose(settings), lambda: spark)
    assert rows(lake.merged, "event_id", "status", "landed_file") == [("refused-c.csv", 700, A)]
    assert rows(lake.quarantine, "landed_file", "ip", "reasons", "raw") == LEFT_BEHIND[-1:]
    assert (figures(lake), problems(lake)) == ({A: (1, 1, 0, 0, {})}, ())


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_with_a_merge_under_the_old_rules_in_between_it_ends_the_same(
    quarantined: Path,
    replayed: Path,
    settings: Settings,
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    lake = copy(quarantined, settings.lake)
    killed_before(step, lake, lambda: replay(loose(settings), lambda: spark), monkeypatch)
    land_parquet(lake.landing / "e.parquet", FIRST)
    merge(settings, lambda: spark)
    replay(settings, lambda: spark)
    assert problems(lake) == ()
    replay(loose(settings), lambda: spark)
    expected = content(Lake(replayed))
    found = content(lake)
    assert (found["merged"], found["delta"]) == (expected["merged"], expected["delta"])
    # The row without an id is another one in another file.
    assert len(found["quarantine"]) == len(expected["quarantine"]) + 1
    again = {"e.parquet": (9, 0, 8, 1, {"no event_id": 1, NO_IP: 1})}
    assert (figures(lake), problems(lake)) == (FIGURES | again, ())


@pytest.mark.long
@pytest.mark.parametrize("is_looser_later", [True, False])
def test_rows_that_a_killed_merge_left_in_both_tables_under_two_rules_are_in_one_after_a_replay(
    settings: Settings, lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, is_looser_later: bool
) -> None:
    before, after = (settings, loose(settings)) if is_looser_later else (loose(settings), settings)
    land_parquet(lake.landing / A, [landed("e1"), landed("e2", status=700), landed("e2", status=700)])
    killed_before("record_files", lake, lambda: merge(before, lambda: spark), monkeypatch)
    merge(after, lambda: spark)
    assert len(problems(lake)) > 0
    replay(settings, lambda: spark)
    assert rows(lake.merged, "event_id", "status", "landed_file") == [("e1", 200, A), ("e2", 700, A)]
    assert rows(lake.quarantine, "event_id") == []
    assert (figures(lake), problems(lake)) == ({A: (3, 2, 1, 0, {})}, ())
