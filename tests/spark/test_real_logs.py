"""Real logs against an independent oracle's counts. Runs where REAL_LOGS names the folder of logs."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyspark.sql import SparkSession

from cleaner.merge import merge
from consumer.batch import refresh
from consumer.streaming import stream_once
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.settings import Settings

LOGS = Path(os.environ.get("REAL_LOGS", "/nonexistent"))
SETS = ("elastic_apache", "meatlabel_nginx", "farm_apache_combined", "farm_apache_common")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not LOGS.is_dir(), reason="REAL_LOGS does not name a folder of real logs")


def logs_of(name: str) -> list[Path]:
    return sorted(p for p in (LOGS / name).iterdir() if p.name != "oracle.json")


def oracle_of(name: str) -> dict[str, Any]:
    oracle: dict[str, Any] = json.loads((LOGS / name / "oracle.json").read_text())
    return oracle


def ingest(settings: Settings, *paths: Path) -> None:
    environment = os.environ | {
        "PIPELINE_PATHS__DATA_LAKE": str(settings.paths.data_lake), "PIPELINE_PATHS__LOG": str(settings.paths.log),
    }  # fmt: skip
    words = [sys.executable, "-m", "producer", "ingest", *map(str, paths)]
    subprocess.run(words, check=True, env=environment, cwd=ROOT, capture_output=True)


def rename_and_zip(paths: list[Path], folder: Path) -> list[Path]:
    """The same logs under other names, every second one gzipped, as rotation leaves them."""
    folder.mkdir()
    renamed = []
    for number, path in enumerate(paths):
        target = folder / f"rotated.{number}{'.gz' if number % 2 == 0 else ''}"
        content = path.read_bytes()
        target.write_bytes(gzip.compress(content) if target.suffix == ".gz" else content)
        renamed.append(target)
    return renamed


def hits(path: Path, key: str) -> dict[Any, int]:
    return dict(pl.read_delta(str(path)).group_by(key).agg(pl.sum("requests")).iter_rows())


def by_day(path: Path) -> list[dict[str, Any]]:
    return list(pl.read_delta(str(path)).sort("event_date").iter_rows(named=True))


def test_figures_equal_the_oracles_also_after_the_logs_come_again(
    settings: Settings, lake: Lake, spark: SparkSession, tmp_path: Path
) -> None:
    """All sets in one lake: no day is in two of them."""
    oracles, paths = [oracle_of(name) for name in SETS], [path for name in SETS for path in logs_of(name)]
    total = {name: sum(o[name] for o in oracles) for name in ("lines", "parsed", "rejected", "bytes_total")}
    ingest(settings, *paths)
    stream_once(spark, settings)
    merge(settings, lambda: spark)
    refresh(settings)
    ips: Counter[str] = Counter()
    agents: Counter[str | None] = Counter()
    for oracle in oracles:
        ips.update(oracle["per_ip"])
        for agent, count in oracle["per_agent"].items():
            agents[None if agent in ("-", "(none)", "") else agent] += count
    per_day = [(day, seen) for oracle in oracles for day, seen in oracle["per_day_utc"].items()]
    days = {day: (seen["hits"], seen["distinct_ips"], seen["bytes"]) for day, seen in per_day}
    assert len(days) == len(per_day)

    def check() -> None:
        daily = by_day(lake.metrics("batch", "daily"))
        assert {str(day["event_date"]): (day["requests"], day["ips"], day["bytes"]) for day in daily} == days
        assert hits(lake.metrics("batch", "ip"), "ip") == dict(ips)
        assert hits(lake.metrics("batch", "agent"), "agent") == dict(agents)
        merged = pl.read_delta(str(lake.merged))
        assert (merged.height, merged["bytes"].sum()) == (total["parsed"], total["bytes_total"])
        assert pl.read_delta(str(lake.quarantine)).height == total["rejected"]

    check()
    exact = by_day(lake.metrics("batch", "daily"))
    assert sum(day["visitors"] for day in exact) >= sum(o["visitors_ip_day_ua_all"] for o in oracles) - len(days)

    def check_stream() -> None:
        running = by_day(lake.metrics("streaming", "daily"))
        for column in (
            "event_date",
            "requests",
            "bytes",
            "client_errors",
            "server_errors",
            "bot_requests",
            "first_seen",
            "last_seen",
        ):
            assert [r[column] for r in running] == [r[column] for r in exact], column
        # Four standard errors of the sketch; small counts are all but exact.
        error = 4 * 1.04 / 2 ** (settings.stream.sketch_lg_k / 2)
        for estimate, truth in zip(running, exact, strict=True):
            for column in ("visitors", "ips"):
                assert estimate[column] == pytest.approx(truth[column], rel=error, abs=1)

    check_stream()
    ingest(settings, *rename_and_zip(paths, tmp_path / "again"))
    stream_once(spark, settings)
    merge(settings, lambda: spark)
    refresh(settings)
    check()
    check_stream()
    assert Ledger(lake.ledger).totals() | {"files": 0} == {
        "files": 0, "refused": 0, "rows": 2 * total["lines"], "merged": total["parsed"], "duplicates": total["lines"],
        "quarantined": total["rejected"], "unbalanced": 0,
    }  # fmt: skip
    assert list(lake.landing.iterdir()) == []


def test_rows_and_quarantined_rows_of_odd_logs_add_up_to_their_lines(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    name = "odd_crowdsec"
    ingest(settings, *logs_of(name))
    merge(settings, lambda: spark)
    totals = Ledger(lake.ledger).totals()
    assert totals["rows"] == oracle_of(name)["lines"]
    assert totals["merged"] + totals["quarantined"] + totals["duplicates"] == totals["rows"]
    assert totals["merged"] >= oracle_of(name)["parsed"] - totals["duplicates"]
    assert totals["unbalanced"] == 0
