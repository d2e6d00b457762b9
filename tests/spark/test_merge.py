"""The merge: every landed row in exactly one place, whatever is landed, replayed or interrupted."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame, SparkSession

from cleaner import insert, large_pass, small_pass
from cleaner.delta_lake import create_tables, merge_deliveries
from cleaner.landing import Delivery
from cleaner.merge import merge
from lakehouse.errors import IdentityError
from lakehouse.lake import Lake
from lakehouse.landed import LandedFile, check
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import latest_version, partition_files
from tests.builders import ODD_NAMES, T0, land_json, land_parquet, landed, unparsed
from tests.tables import rows

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How large a pass is taken for; by default small."""
    found = str(getattr(request, "param", "small"))
    monkeypatch.setattr(small_pass, "MAX_ROWS", 0 if found == "large" else 100_000)
    return found


# What a small pass does in this process must come to the same as what Spark does in a large one.
in_both_sizes = pytest.mark.parametrize("size", ["small", "large"], indirect=True)


@pytest.fixture
def run(settings: Settings, spark: SparkSession) -> Callable[[], int]:
    """Run the merge on the test's lake."""
    return lambda: merge(settings, lambda: spark)


def figures(lake: Lake) -> list[FileFigures]:
    return Ledger(lake.ledger).waiting_to_retire()


def no_session() -> SparkSession:
    raise AssertionError("a JVM was started")


@in_both_sizes
def test_a_request_is_cleaned_merged_and_enriched(run: Callable[[], int], lake: Lake, spark: SparkSession) -> None:
    agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    land_parquet(
        lake.landing / "a.parquet",
        [landed("e1", agent=f" {agent}", path=" /a ", query="x=1", site="example.org", status=404, rescued='{"a":1}')],
    )
    assert run() == 1
    merged = ("e1", T0, date(2024, 5, 17), "192.0.2.1", None, "GET", "/a", "x=1", "HTTP/1.1", 404, 100, None, agent,
              "example.org", "access.log", 0, T0, "a.parquet", '{"a":1}')  # fmt: skip
    assert rows(lake.merged) == [merged]
    assert rows(lake.delta) == [(*merged, "Googlebot", None, "Spider", True, "Googlebot", "search-engine", "4xx")]
    assert figures(lake) == [FileFigures("a.parquet", "a.parquet", 1, 1, 0, 0)]


@in_both_sizes
@pytest.mark.apache_spark
def test_rows_of_parquet_and_json_end_in_exactly_one_place(
    run: Callable[[], int], lake: Lake, spark: SparkSession
) -> None:
    land_parquet(
        lake.landing / "a.parquet",
        [
            landed("e1"),
            landed("e1"),
            landed("e2", status=999),
            unparsed("u1", "garbage"),
            landed("e3", agent=None, bytes=None),
        ],
    )
    land_json(lake.landing / "b.json", [landed("e1"), landed("e4"), "{nonsense", "", landed("e5", ip="-")])
    assert run() == 2
    assert rows(lake.merged, "event_id", "landed_file") == [
        ("e1", "a.parquet"),
        ("e3", "a.parquet"),
        ("e4", "b.json"),
    ]
    assert rows(lake.delta, "event_id", "is_bot") == [("e1", True), ("e3", False), ("e4", True)]
    quarantine = rows(lake.quarantine, "landed_file", "raw", "reasons", "ip")
    assert quarantine == [
        ("a.parquet", "garbage", ["line does not parse"], None),
        ("a.parquet", None, ["status outside 100-599"], "192.0.2.1"),
        ("b.json", "", ["blank line"], None),
        ("b.json", "{nonsense", ["line does not parse"], None),
        ("b.json", None, ["no ip"], None),
    ]
    assert figures(lake) == [
        FileFigures("a.parquet", "a.parquet", 5, 2, 1, 2, {"line does not parse": 1, "status outside 100-599": 1}),
        FileFigures("b.json", "b.json", 5, 1, 1, 3, {"blank line": 1, "line does not parse": 1, "no ip": 1}),
    ]


@in_both_sizes
@pytest.mark.apache_spark
def test_of_a_log_spread_over_years_spark_compiles_all_code(
    run: Callable[[], int], lake: Lake, spark: SparkSession
) -> None:
    times = [T0 - timedelta(days=3 * n, hours=n) for n in range(300)]
    land_parquet(lake.landing / "a.parquet", [landed(f"e{n}", timestamp=time) for n, time in enumerate(times)])
    spark.conf.set("spark.sql.codegen.fallback", "false")  # code that is too large fails, instead of being interpreted
    try:
        run()
    finally:
        spark.conf.unset("spark.sql.codegen.fallback")
    assert sorted(rows(lake.delta, "timestamp")) == [(time,) for time in reversed(times)]


@in_both_sizes
def test_identical_rows_without_an_id_are_all_kept_once(
    run: Callable[[], int], lake: Lake, spark: SparkSession
) -> None:
    land_parquet(lake.landing / "a.parquet", [landed(None), landed(None), landed(None, ip="192.0.2.2")])
    run()
    Ledger(lake.ledger).path.unlink()  # as if killed before the ledger was written
    run()
    ids = rows(lake.quarantine, "event_id", "ip", "reasons")
    assert sorted(ip for _, ip, _ in ids) == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]
    assert {tuple(why) for _, _, why in ids} == {("no event_id",)}
    assert len({event_id for event_id, _, _ in ids}) == 3
    assert figures(lake) == [FileFigures("a.parquet", "a.parquet", 3, 0, 0, 3, {"no event_id": 3})]


@in_both_sizes
def test_a_replay_adds_nothing(run: Callable[[], int], lake: Lake, spark: SparkSession) -> None:
    batch = [landed("e1"), landed("e2", timestamp=T0 + 5 * HOUR), unparsed("u1", "garbage")]
    land_parquet(lake.landing / "a.parquet", batch)
    run()
    before = {path: rows(path) for path in (lake.merged, lake.delta, lake.quarantine)}
    land_json(lake.landing / "0.json", batch)
    run()
    assert {path: rows(path) for path in before} == before
    assert figures(lake)[0] == FileFigures("0.json", "0.json", 3, 0, 3, 0)


@in_both_sizes
def test_the_same_id_at_another_time_is_another_request(
    run: Callable[[], int], lake: Lake, spark: SparkSession
) -> None:
    land_parquet(lake.landing / "a.parquet", [landed("e1"), landed("e1", timestamp=T0 + HOUR)])
    run()
    assert rows(lake.merged, "event_id", "timestamp") == [("e1", T0), ("e1", T0 + HOUR)]


@in_both_sizes
@pytest.mark.parametrize("table", ["merged", "quarantine", "delta"])
def test_a_pass_killed_before_any_table_is_run_again_without_loss_or_double(
    run: Callable[[], int], lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    land_parquet(
        lake.landing / "a.parquet", [landed("e1"), landed("e1"), landed("e2", status=None), unparsed("u", "x")]
    )
    land_json(lake.landing / "b.json", [landed("e3", agent=None), landed(None)])

    def insert_or_die(new: Any, path: Path, *args: Any) -> None:
        if path == getattr(lake, table):
            raise KeyboardInterrupt
        insert.insert_new(new, path, *args)

    with monkeypatch.context() as patched:
        for module in (small_pass, large_pass):
            patched.setattr(module, "insert_new", insert_or_die)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert run() == 2
    assert rows(lake.merged, "event_id", "landed_file") == [("e1", "a.parquet"), ("e3", "b.json")]
    assert rows(lake.delta, "event_id", "landed_file") == [("e1", "a.parquet"), ("e3", "b.json")]
    assert rows(lake.quarantine, "landed_file", "reasons") == [
        ("a.parquet", ["line does not parse"]), ("a.parquet", ["no status"]), ("b.json", ["no event_id"]),
    ]  # fmt: skip
    assert [(f.rows, f.merged, f.duplicates, f.quarantined) for f in figures(lake)] == [(4, 1, 1, 2), (2, 1, 0, 1)]


@in_both_sizes
def test_after_a_crash_before_the_ledger_the_figures_are_found_again(
    run: Callable[[], int], lake: Lake, spark: SparkSession
) -> None:
    land_parquet(lake.landing / "a.parquet", [landed("e1"), landed("e1"), landed("e2", status=None)])
    run()
    expected = figures(lake)
    lake.ledger.unlink()
    run()
    assert figures(lake) == expected
    assert latest_version(lake.merged) == 1


@in_both_sizes
def test_rows_that_get_lost_on_the_way_are_noticed(
    run: Callable[[], int], lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_parquet(lake.landing / "a.parquet", [landed("e1"), landed("e2")])

    def insert_some(new: Any, path: Path, *args: Any) -> None:
        one = new.where("event_id = 'e1'") if isinstance(new, DataFrame) else new.filter(pc.field("event_id") == "e1")
        insert.insert_new(one, path, *args)

    for module in (small_pass, large_pass):
        monkeypatch.setattr(module, "insert_new", insert_some)
    with pytest.raises(IdentityError, match=r"a.parquet: 2 rows, but 1 merged \+ 0 duplicates \+ 0 quarantined"):
        run()
    assert figures(lake) == []
    assert (lake.landing / "a.parquet").exists()


def test_refused_files_go_to_quarantine_byte_for_byte_and_hold_nothing_up(
    run: Callable[[], int], lake: Lake, spark: SparkSession
) -> None:
    land_parquet(lake.landing / "b.parquet", [landed("e1")])
    (lake.landing / "a.parquet").write_bytes(b"not Parquet at all")
    (lake.landing / "c.csv").write_text("x")
    assert run() == 3
    assert rows(lake.merged, "event_id") == [("e1",)]
    kept = {p.name: p.read_bytes() for p in lake.refused_files.iterdir()}
    assert kept == {"a.parquet": b"not Parquet at all", "c.csv": b"x"}
    assert [p.name for p in lake.landing.iterdir()] == ["b.parquet"]
    reasons = dict(rows(lake.quarantine, "landed_file", "reasons"))
    assert reasons["a.parquet"][0].startswith("file refused: not readable as Parquet")
    assert reasons["c.csv"] == ["file refused: unknown kind of file '.csv', expected .json, .jsonl, .ndjson, .parquet"]
    assert Ledger(lake.ledger).totals() == {
        "files": 3, "refused": 2, "rows": 3, "merged": 1, "duplicates": 0, "quarantined": 2, "unbalanced": 0,
    }  # fmt: skip


@in_both_sizes
def test_a_refused_file_and_a_row_that_claims_its_id_are_both_quarantined_whichever_comes_first(
    settings: Settings, run: Callable[[], int], lake: Lake, spark: SparkSession
) -> None:
    land_parquet(lake.landing / "a.parquet", [landed("refused-b.csv", status=42), landed("refused-c.csv", status=42)])
    (lake.landing / "b.csv").write_text("x")
    assert run() == 2
    refused = lake.landing / "c.csv"
    refused.write_text("x")
    deliveries = [Delivery("c.csv", check(refused))]
    assert run() == 1
    merge_deliveries(spark, settings, deliveries)  # as after a kill before the ledger knew of it
    reason = "file refused: unknown kind of file '.csv', expected .json, .jsonl, .ndjson, .parquet"
    assert rows(lake.quarantine, "event_id", "landed_file", "reasons", "status") == [
        ("refused-b.csv", "a.parquet", ["status outside 100-599"], 42), ("refused-b.csv", "b.csv", [reason], None),
        ("refused-c.csv", "a.parquet", ["status outside 100-599"], 42), ("refused-c.csv", "c.csv", [reason], None),
    ]  # fmt: skip
    ledger = Ledger(lake.ledger)
    assert [(f.rows, f.merged, f.duplicates, f.quarantined) for f in ledger.files(["a.parquet", "b.csv", "c.csv"])] == [
        (2, 0, 0, 2), (1, 0, 0, 1), (1, 0, 0, 1),
    ]  # fmt: skip


def test_files_without_rows_are_done_at_once(run: Callable[[], int], lake: Lake) -> None:
    land_parquet(lake.landing / "a.parquet", [])
    land_json(lake.landing / "b.json", [])
    run()
    assert figures(lake) == [
        FileFigures("a.parquet", "a.parquet", 0, 0, 0, 0),
        FileFigures("b.json", "b.json", 0, 0, 0, 0),
    ]


def test_with_nothing_new_no_jvm_starts_and_no_table_is_committed(
    run: Callable[[], int], settings: Settings, lake: Lake
) -> None:
    land_parquet(lake.landing / "a.parquet", [landed("e1")])
    run()
    versions = {path: latest_version(path) for path in lake.tables.values()}
    assert merge(settings, no_session) == 0
    assert {path: latest_version(path) for path in lake.tables.values()} == versions
    assert list(Ledger(lake.ledger).last_good_ends()) == ["merge"]


@in_both_sizes
def test_a_batch_of_duplicates_alone_commits_nothing_to_merged(run: Callable[[], int], lake: Lake) -> None:
    land_parquet(lake.landing / "a.parquet", [landed("e1")])
    run()
    land_parquet(lake.landing / "b.parquet", [landed("e1")])
    run()
    assert (latest_version(lake.merged), latest_version(lake.delta)) == (1, 1)


def test_many_rows_are_merged_in_several_passes_of_one_run(settings: Settings, lake: Lake, spark: SparkSession) -> None:
    small = unpack_settings(settings.model_dump(mode="json") | {"merge": {"max_rows": 3}}, "test")
    for name in "abc":
        land_parquet(lake.landing / f"{name}.parquet", [landed(f"{name}{i}") for i in range(2)] + [landed("same")])
    assert merge(small, lambda: spark) == 3
    assert len(rows(lake.merged, "event_id")) == 7
    assert [(f.merged, f.duplicates) for f in figures(lake)] == [(3, 0), (2, 1), (2, 1)]


@in_both_sizes
def test_file_names_are_names_and_never_patterns(run: Callable[[], int], lake: Lake, spark: SparkSession) -> None:
    names = [*ODD_NAMES, "é'\"`.json", "#2 + 3.json"]
    for number, name in enumerate(names):
        write = land_json if name.endswith(".json") else land_parquet
        write(lake.landing / name, [landed(f"e{number}")])
    assert run() == len(names)
    assert dict(rows(lake.merged, "landed_file", "event_id")) == {name: f"e{i}" for i, name in enumerate(names)}


@in_both_sizes
def test_history_is_searched_only_in_the_hours_of_the_batch_and_always_there(
    run: Callable[[], int], lake: Lake, spark: SparkSession
) -> None:
    times = [T0 - timedelta(days=d, hours=h) for d in range(0, 400, 40) for h in (0, 7, 14)]
    land_parquet(lake.landing / "a.parquet", [landed(f"e{i}", timestamp=t) for i, t in enumerate(times)])
    run()
    land_parquet(
        lake.landing / "b.parquet", [landed(f"e{i}", timestamp=t) for i, t in enumerate(times)] + [landed("new")]
    )
    run()
    assert [(f.merged, f.duplicates) for f in figures(lake)] == [(30, 0), (1, 30)]


def test_a_landed_file_goes_when_the_archive_has_it_too(
    run: Callable[[], int], lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_parquet(lake.landing / "a.parquet", [landed("e1")])
    land_parquet(lake.landing / "b.parquet", [landed("e2")])
    run()
    assert sorted(p.name for p in lake.landing.iterdir()) == ["a.parquet", "b.parquet"]
    monkeypatch.setattr("lakehouse.arrivals.Arrivals.archived_names", lambda self, landing: {"a.parquet"})
    run()
    assert [p.name for p in lake.landing.iterdir()] == ["b.parquet"]


def test_a_file_delivered_again_under_its_name_is_counted_by_itself(
    run: Callable[[], int], lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakehouse.arrivals.Arrivals.archived_names", lambda self, landing: {"a.parquet"})
    for _ in range(3):
        land_parquet(lake.landing / "a.parquet", [landed("e1"), unparsed("u", "x")])
        assert run() == 1
        assert list(lake.landing.iterdir()) == []
    assert rows(lake.merged, "event_id", "landed_file") == [("e1", "a.parquet")]
    totals = Ledger(lake.ledger).totals()
    assert totals == {
        "files": 3,
        "refused": 0,
        "rows": 6,
        "merged": 1,
        "duplicates": 4,
        "quarantined": 1,
        "unbalanced": 0,
    }


def test_a_thousand_files_are_merged_in_one_run(run: Callable[[], int], lake: Lake, spark: SparkSession) -> None:
    for number in range(1000):
        land_json(
            lake.landing / f"{number:04}.json", [landed(f"e{number}", timestamp=T0 + number * timedelta(seconds=1))]
        )
    assert run() == 1000
    assert rows(lake.merged, "event_id", "landed_file") == sorted((f"e{n}", f"{n:04}.json") for n in range(1000))
    assert latest_version(lake.merged) == 1


def test_a_file_that_grows_under_the_merge_holds_nothing_up_and_is_taken_again(
    run: Callable[[], int], lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_and_grow(path: Path) -> LandedFile:
        found = check(path)
        if path.name == "a.json":
            land_json(path, [landed("e1"), landed("e3")])
        return found

    land_json(lake.landing / "a.json", [landed("e1")])
    land_json(lake.landing / "b.json", [landed("e2")])
    with monkeypatch.context() as patched:
        patched.setattr("lakehouse.landed.check", check_and_grow)
        run()
    as_read = Ledger(lake.ledger).totals()
    assert run() == 1
    assert rows(lake.merged, "event_id", "landed_file") == [("e1", "a.json"), ("e2", "b.json"), ("e3", "a.json")]
    sums = [(t["rows"], t["merged"], t["duplicates"], t["unbalanced"]) for t in (as_read, Ledger(lake.ledger).totals())]
    assert sums == [(3, 3, 0, 0), (5, 3, 2, 0)]


@in_both_sizes
def test_merging_the_same_deliveries_twice_gives_the_same_figures(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    create_tables(settings)
    path = land_parquet(lake.landing / "a.parquet", [landed("e1"), landed("e1"), landed("e2", bytes=-5)])
    deliveries = [Delivery("a.parquet", check(path))]
    once = merge_deliveries(spark, settings, deliveries)
    assert merge_deliveries(spark, settings, deliveries) == once
    assert [(f.rows, f.merged, f.duplicates, f.quarantined) for f in once] == [(3, 1, 1, 1)]


def test_small_files_of_a_day_are_joined_at_once_and_a_file_that_comes_back_long_after_is_a_replay(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    tidy = unpack_settings(settings.model_dump(mode="json") | {"merge": {"small_files": 3}}, "test")
    ledger, tables = Ledger(lake.ledger), (lake.merged, lake.delta, lake.quarantine)
    for number in range(3):
        land_parquet(lake.landing / f"{number}.parquet", [landed(f"e{number}", timestamp=T0 + number * HOUR)])
        land_json(lake.landing / f"{number}.json", [unparsed(f"u{number}", "garbage")])
        merge(tidy, lambda: spark)
        expected = number + 1 if number < 2 else 1
        assert [len(partition_files(path)) for path in tables] == [expected] * 3
    before = {path: rows(path) for path in tables}
    ledger.retire(["0.json", "0.parquet"])
    (lake.landing / "0.json").unlink()
    assert ledger.fold(datetime.now(UTC) + HOUR) == 1
    land_parquet(lake.landing / "0.parquet", [landed("e0")])
    assert merge(tidy, lambda: spark) == 1
    assert {path: rows(path) for path in before} == before
    assert figures(lake)[0] == FileFigures("0.parquet/2", "0.parquet", 1, 0, 1, 0)
    assert ledger.totals() == {
        "files": 7, "refused": 0, "rows": 7, "merged": 3, "duplicates": 1, "quarantined": 3, "unbalanced": 0,
    }  # fmt: skip
