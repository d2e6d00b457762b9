"""The periodic jobs on both engines: the same landed files must leave the same rows and figures."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from cleaner.merge import merge
from cleaner.plain_lines import plain_row
from consumer.batch import refresh
from lakehouse.errors import EngineError
from lakehouse.lake import GRAINS, Lake
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.ndjson import landed_rows
from lakehouse.settings import Settings, unpack_settings
from tests.builders import LANDED_DEFAULTS, ODD_NAMES, T0, land_json, land_parquet, landed, unparsed
from tests.spark.test_ndjson import as_json

pytest.importorskip("pysail", reason="pysail is not installed: make setup")

ROOT = Path(__file__).parents[2]
# What a run is, and when: no two are alike in these.
OF_THE_RUN = {"quarantined_at"}


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """A lake for each engine."""
    homes = {engine: tmp_path_factory.mktemp(engine) for engine in ("spark", "sail")}
    paths = {e: {"data_lake": str(home / "lake"), "log": str(home / "log")} for e, home in homes.items()}
    return {e: unpack_settings({"paths": paths[e], "spark": {"engine": e}}, "test") for e in homes}


def command(settings: Settings, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A job as one types it, on the settings' engine."""
    environment = os.environ | {
        "PIPELINE_PATHS__DATA_LAKE": str(settings.paths.data_lake), "PIPELINE_PATHS__LOG": str(settings.paths.log),
        "PIPELINE_SPARK__ENGINE": settings.spark.engine,
    } | variables  # fmt: skip
    environment.pop("JAVA_HOME", None)
    return subprocess.run(
        [sys.executable, "-m", *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


def run_both(lakes: dict[str, Settings], spark: SparkSession) -> None:
    """Merge and batch on both lakes: Sail as commands without any Java on their PATH, Spark in this process."""
    for words in (("cleaner", "merge"), ("consumer", "batch")):
        done = command(lakes["sail"], *words, PATH="/nowhere")
        assert done.returncode == 0, done.stderr
    merge(lakes["spark"], lambda: spark)
    refresh(lakes["spark"])


def whole_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a table, times as microseconds: Python has not all of them."""
    from deltalake import DeltaTable

    table = DeltaTable(str(path)).to_pyarrow_table()
    kept = [name for name in table.column_names if name not in OF_THE_RUN]
    columns = {name: table[name] for name in kept}
    columns |= {n: c.cast("timestamp[us]").cast("int64") for n, c in columns.items() if pa.types.is_timestamp(c.type)}
    found: list[dict[str, Any]] = pa.table(columns).to_pylist()
    return sorted(found, key=lambda row: repr(sorted(row.items())))


def types(path: Path) -> dict[str, str]:
    from deltalake import DeltaTable

    return {field.name: str(field.type) for field in DeltaTable(str(path)).schema().fields}


def figures(lake: Lake) -> list[FileFigures]:
    files = (replace(f, stamp="") for f in Ledger(lake.ledger).waiting_to_retire())
    return sorted(files, key=lambda f: f.landed_file)


def tables(lake: Lake) -> dict[str, Path]:
    return {
        "merged": lake.merged, "delta": lake.delta, "quarantine": lake.quarantine,
    } | {grain: lake.metrics("batch", grain) for grain in GRAINS}  # fmt: skip


def assert_same(lakes: dict[str, Settings]) -> None:
    by_spark, by_sail = lakes["spark"].lake, lakes["sail"].lake
    for name, path in tables(by_spark).items():
        assert whole_rows(tables(by_sail)[name]) == whole_rows(path), name
        assert types(tables(by_sail)[name]) == types(path), name
    assert figures(by_sail) == figures(by_spark)
    assert all(f.is_balanced for f in figures(by_sail))


def many(seed: int, count: int) -> list[dict[str, Any]]:
    """Rows of some days, IPs and agents, with duplicates among them."""
    chosen = random.Random(seed)
    agents = [
        None,
        "-",
        "curl/8.0",
        "Googlebot/2.1",
        "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Firefox/120.0",
        "é" * 99,
    ]
    rows = [
        landed(
            f"m{seed}-{n}", timestamp=T0 + timedelta(seconds=chosen.randrange(4 * 86_400), microseconds=chosen.randrange(10**6)),
            ip=f"192.0.2.{chosen.randrange(20)}", agent=chosen.choice(agents), status=chosen.choice([200, 304, 404, 503]),
            bytes=chosen.choice([None, 0, chosen.randrange(10**6)]), source_offset=n,
        )
        for n in range(count)
    ]  # fmt: skip
    return rows + chosen.sample(rows, count // 20)


def odd_rows() -> list[dict[str, Any]]:
    """What is cleaned, rejected or without an id."""
    controls = "".join(map(chr, range(0x20))) + "\x7f\\u001b\\\\u001b\\\x1b\"'\u2028é\U0001f600"
    return [
        landed("o1", path=controls, agent=" \t- ", user="  x  ", referer="\u00a0"),
        landed("o2", status=999, bytes=-1), landed("o3", timestamp=None), landed("o4", timestamp=T0 + timedelta(days=900)),
        landed("o5", timestamp=T0.replace(year=1969), status=None), landed("  "), landed("o6", bytes=2**50 + 1),
        landed("o7", timestamp=datetime(2020, 2, 29, 23, 59, 59, 999999, UTC), ingested_at=None),
        landed(None), landed(None), landed(None, path=controls, raw=None, rescued='{"a": "\\u001b"}'),
        landed(None, timestamp=datetime(1, 1, 1, tzinfo=UTC), ingested_at=T0.replace(microsecond=999999)),
        landed("o1"), landed("o1", timestamp=T0 + timedelta(hours=1)),
        unparsed("u1", "x\x1b"), unparsed("u2", " "), unparsed("u3", "x", timestamp=T0),
    ]  # fmt: skip


def land_all(landing: Path) -> None:
    """Files of odd names, both formats, columns that are missing, times that no calendar has."""
    land_parquet(landing / "many.parquet", many(1, 2000))
    for number, name in enumerate([*ODD_NAMES, "é'\"`.parquet"]):
        land_parquet(landing / name, [landed(f"n{number}"), landed(f"n{number}"), landed("x")])
    land_parquet(landing / "odd.parquet", odd_rows())
    land_json(landing / "#2 + 3.json", [landed("j1", agent=None), landed("j1"), landed(None), landed("j2", status=42)])
    times = pa.array([2**62, -(2**62), 2**63 - 1, -(2**63), 0], "int64").cast(pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"event_id": [f"t{n}" for n in range(5)], "timestamp": times}), landing / "times.parquet")
    (landing / "broken.parquet").write_bytes(b"not Parquet")


def test_each_step_leaves_the_same_rows_and_figures_on_both_engines(
    lakes: dict[str, Settings], spark: SparkSession
) -> None:
    for settings in lakes.values():
        land_all(settings.lake.landing)
    run_both(lakes, spark)
    assert_same(lakes)

    for settings in lakes.values():  # a replay under another name, the same name again, and what is new for some days
        land_parquet(settings.lake.landing / "many again.parquet", many(1, 2000))
        land_parquet(settings.lake.landing / "x.parquet", [landed("x"), landed("y"), landed(None)])
        land_parquet(settings.lake.landing / "more.parquet", many(2, 100))
    run_both(lakes, spark)
    assert_same(lakes)

    for settings in lakes.values():  # as if killed before the ledger was written: every delivery is merged again
        settings.lake.ledger.unlink()
    run_both(lakes, spark)
    assert_same(lakes)


def test_what_one_engine_began_the_other_goes_on_with(settings: Settings, lake: Lake, spark: SparkSession) -> None:
    """A row without an id gets the same one from each, and each finds what the other wrote."""
    land_parquet(lake.landing / "odd.parquet", odd_rows())
    land_parquet(lake.landing / "many.parquet", many(3, 200))
    sail = settings.model_copy(update={"spark": settings.spark.model_copy(update={"engine": "sail"})})
    done = command(sail, "cleaner", "merge")
    assert done.returncode == 0, done.stderr
    expected = {name: whole_rows(path) for name, path in tables(lake).items() if path.exists()}, figures(lake)
    for again in (lambda: merge(settings, lambda: spark), lambda: command(sail, "cleaner", "merge")):
        lake.ledger.unlink()
        again()
        assert (
            {name: whole_rows(path) for name, path in tables(lake).items() if path.exists()},
            figures(lake),
        ) == expected


@pytest.fixture(scope="module")
def of_sail(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake that Sail has merged into twice."""
    home = tmp_path_factory.mktemp("of_sail")
    paths = {"data_lake": str(home / "lake"), "log": str(home / "log")}
    settings = unpack_settings({"paths": paths, "spark": {"engine": "sail"}}, "test")
    for seed in (1, 2):
        land_parquet(settings.lake.landing / f"{seed}.parquet", [*many(seed, 100), landed(f"r{seed}", status=42)])
        done = command(settings, "cleaner", "merge")
        assert done.returncode == 0, done.stderr
    return settings


def test_what_sail_writes_can_be_skipped_by_hours_and_has_delta_s_oldest_protocol(of_sail: Settings) -> None:
    from deltalake import DeltaTable

    table = DeltaTable(str(of_sail.lake.merged))
    assert (table.protocol().min_reader_version, table.protocol().min_writer_version) == (1, 2)
    commits = sorted((of_sail.lake.merged / "_delta_log").glob("*.json"))
    actions = [json.loads(line) for commit in commits for line in commit.read_bytes().splitlines()]
    added = [json.loads(action["add"]["stats"]) for action in actions if "add" in action]
    assert added
    for stats in added:
        assert stats["minValues"]["timestamp"] <= stats["maxValues"]["timestamp"]
        assert stats["minValues"]["timestamp"].endswith("Z")
        assert stats["numRecords"] > 0


@pytest.mark.long
@pytest.mark.parametrize("words", [("cleaner", "maintain"), ("cleaner", "replay"), ("cleaner", "rebuild")])
def test_what_sail_cannot_do_is_left_to_spark(of_sail: Settings, words: tuple[str, ...]) -> None:
    done = command(of_sail, *words, PATH="/nowhere", PIPELINE_MAINTAIN__SMALL_FILES="2")
    assert done.returncode == 1
    assert "no Java runtime" in done.stderr


@pytest.fixture
def sail_lake(settings: Settings) -> Settings:
    return settings.model_copy(update={"spark": settings.spark.model_copy(update={"engine": "sail"})})


def test_a_line_that_only_spark_can_read_stops_the_merge_with_its_place_before_a_row_is_merged(
    sail_lake: Settings,
) -> None:
    lake = sail_lake.lake
    land_json(lake.landing / "a.json", [landed("e1"), '{"event_id": "e2", "colour": "red"}'])
    done = command(sail_lake, "cleaner", "merge")
    assert done.returncode == 1
    assert "a.json: line 2 is not as the producer lands lines (a field that is not known)" in done.stderr
    assert "spark.engine" in done.stderr
    assert not whole_rows(lake.merged)
    assert figures(lake) == []


def test_the_merge_reads_only_the_files_of_the_hours_that_it_brings(sail_lake: Settings) -> None:
    lake = sail_lake.lake
    hours = {"a": T0, "b": T0 + timedelta(hours=5), "c": T0 - timedelta(days=3)}
    for name, time in hours.items():
        land_parquet(lake.landing / f"{name}.parquet", [landed(name, timestamp=time)])
        assert command(sail_lake, "cleaner", "merge").returncode == 0
    for table in (lake.merged, lake.delta):
        for path in table.rglob("*.parquet"):
            if pq.ParquetFile(path).read(["event_id"])["event_id"].to_pylist() != ["b"]:
                path.write_bytes(bytes(path.stat().st_size))  # read, this would be an error
    land_parquet(lake.landing / "d.parquet", [landed("b", timestamp=hours["b"]), landed("d", timestamp=hours["b"])])
    done = command(sail_lake, "cleaner", "merge")
    assert done.returncode == 0, done.stderr
    assert [(f.landed_file, f.merged, f.duplicates) for f in figures(lake)][-1] == ("d.parquet", 1, 1)


def test_a_server_of_sail_elsewhere_does_the_same(sail_lake: Settings) -> None:
    from lakehouse.sail import start_server

    land_parquet(sail_lake.lake.landing / "[a].parquet", [landed("e1"), landed("e1"), landed(None)])
    remote = start_server(1)
    for words in (("cleaner", "merge"), ("consumer", "batch")):
        done = command(
            sail_lake, *words, PATH="/nowhere", PIPELINE_SPARK__ENGINE="spark", PIPELINE_SPARK__REMOTE=remote
        )
        assert done.returncode == 0, done.stderr
    assert [(f.merged, f.duplicates, f.quarantined) for f in figures(sail_lake.lake)] == [(1, 1, 1)]
    assert [row["requests"] for row in whole_rows(sail_lake.lake.metrics("batch", "daily"))] == [1]


def test_columns_that_are_promoted_no_more_are_null_in_new_rows(sail_lake: Settings, spark: SparkSession) -> None:
    lake = sail_lake.lake
    promoted = {"promoted": {"colour": {"field": "colour"}}, "paths": {"data_lake": str(lake.root), "log": "log"}}
    land_parquet(lake.landing / "a.parquet", [landed("e1", rescued='{"colour": "red"}')])
    merge(unpack_settings(promoted, "test"), lambda: spark)
    land_parquet(lake.landing / "b.parquet", [landed("e2", rescued='{"colour": "blue"}')])
    done = command(sail_lake, "cleaner", "merge")
    assert done.returncode == 0, done.stderr
    assert [(row["event_id"], row["colour"]) for row in whole_rows(lake.delta)] == [("e1", "red"), ("e2", None)]


def test_promoted_columns_are_refused(sail_lake: Settings) -> None:
    land_parquet(sail_lake.lake.landing / "a.parquet", [landed("e1")])
    done = command(sail_lake, "cleaner", "merge", PIPELINE_PROMOTED='{"a": {"field": "a"}}')
    assert done.returncode == 1
    assert "only Spark fills promoted columns (a)" in done.stderr
    assert not whole_rows(sail_lake.lake.merged)


def test_times_of_rows_without_an_id_that_engines_write_differently_are_refused(sail_lake: Settings) -> None:
    landing = sail_lake.lake.landing
    landing.mkdir(parents=True)
    times = pa.array([2**60], "int64").cast(pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"event_id": pa.nulls(1, "string"), "timestamp": times}), landing / "a.parquet")
    done = command(sail_lake, "cleaner", "merge")
    assert done.returncode == 1
    assert "a.parquet has rows without an id and with times before the year 1 or after 9999" in done.stderr


def test_without_pysail_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from lakehouse.sail import start_server

    monkeypatch.setitem(sys.modules, "pysail.spark", None)
    with pytest.raises(
        EngineError, match=r'pysail is not installed .*\[spark,sail\].* EXTRAS="spark sail" docker compose up --build'
    ):
        start_server(1)


PLAIN: list[str] = [
    as_json(landed("e", path='a "q" \\ \u2028 \x00 \x1b \x7f /', timestamp=T0.replace(microsecond=120000))),
    '{"event_id": "e"}', "{}", ' {"event_id" :"e"}\t\r', '{"event_id": "\\u00e9\\/\\ud83d\\ude00"}', '{"event_id": ""}',
    '{"status": 2147483647, "bytes": -9223372036854775808}', '{"status": -0}', '{"source_offset": 12}',
    '{"timestamp": "0001-01-01T00:00:00Z"}', '{"timestamp": "9999-12-31T23:59:59.999999Z"}', '{"timestamp": null}',
    '{"timestamp": "1582-10-10T00:00:00Z"}', '{"timestamp": "1900-02-28T23:59:59.1Z"}', '{"raw": "x", "rescued": "{}"}',
    '{"timestamp": "2024-05-17T10:05:03.123+00:00"}', '{"rescued": "{\\"a\\" : 1.50}"}', '{"ingested_at": "2024-02-29T00:00:00Z"}',
]  # fmt: skip
NOT_PLAIN: list[str] = [
    "", "  ", "{nonsense", "null", "1", '"t"', "[1]", '[{"event_id": "e"}]', '{"status": "x"}', '{"status": 1e2}',
    '{"status": 2147483648}', '{"status": true}', '{"status": 1.0}', '{"event_id": 1}', '{"event_id": "e", "event_id": "f"}',
    '{"event_id": "e"} x', "{'event_id': 'e'}", '{"event_id": "\\ud83d"}', '{"event_id": "e", "a": 1}', '{"bytes": NaN}',
    '{"rescued": {"b": 1}}', '\ufeff{"event_id": "e"}', '{"timestamp": "2024-05-17"}', '{"timestamp": "2024-05-17T24:00:00Z"}',
    '{"timestamp": "2024-02-30T00:00:00Z"}', '{"timestamp": "2024-05-17T10:05:03"}', '{"timestamp": "2024-05-17T10:05:60Z"}',
    '{"timestamp": "2024-05-17T10:05:03.1234567Z"}', '{"timestamp": "0000-01-01T00:00:00Z"}', '{"event_id": "a\tb"}',
    '{"bytes": ' + "9" * 5000 + "}", '{"a":' * 2000 + "1" + "}" * 2000, '{"EVENT_ID": "e"}', '{"event_id": "e",}',
]  # fmt: skip


def test_a_plain_line_is_the_row_that_spark_makes_of_it(spark: SparkSession) -> None:
    lines = spark.createDataFrame(list(enumerate(PLAIN)), "n int, json string")
    times = {name: F.unix_micros(name) for name in ("timestamp", "ingested_at")}
    by_spark = {row.n: row.asDict() for row in landed_rows(lines, "n").withColumns(times).collect()}
    for number, line in enumerate(PLAIN):
        found = dict.fromkeys(LANDED_DEFAULTS) | plain_row(line)
        assert {n: _micros(value) for n, value in found.items()} | {"n": number} == by_spark[number], line


def _micros(value: Any) -> Any:
    return (
        (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        if isinstance(value, datetime)
        else value
    )


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_any_other_line_is_not_read_at_all(line: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        plain_row(line)


OWN_TESTS = [f"tests/spark/test_{name}.py" for name in ("merge", "batch", "rules", "enrichment")]


@pytest.mark.long
def test_the_jobs_own_tests_pass_on_sail() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not apache_spark", *OWN_TESTS],
        env=os.environ | {"TEST_ENGINE": "sail"}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
