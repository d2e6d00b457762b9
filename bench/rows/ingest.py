"""Row 1: ``producer ingest`` beside GoAccess and ClickHouse on the same log; and its memory on longer ones."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from bench.lakes import new_lake
from bench.logged import due_sums, sums
from bench.logs import write_log
from bench.measure import Bench, Subject, run_of, wrong
from bench.peers.chdb_ingest import OUTPUT
from bench.process import run
from bench.programs import peer, pipeline
from bench.results import OURS, Case, Run

MILLION = 1_000_000
NO_GOACCESS = "not installed; type: apt-get install goaccess"
CHDB, NO_CHDB = (
    "ClickHouse in-process (chdb)",
    "not installed; type: .venv/bin/pip install -c constraints.txt -e '.[bench]'",
)


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """Lines per second of all; memory of ours by length."""
    lines = bench.pick(MILLION // 5, 2 * MILLION)
    subjects, skipped = [_ours(bench, lines)], {}
    if shutil.which("goaccess"):
        subjects.append(_goaccess(bench, lines))
    else:
        skipped["GoAccess"] = NO_GOACCESS
    if find_spec("chdb"):
        subjects.append(_chdb(bench, lines))
    else:
        skipped[CHDB] = NO_CHDB
    cases = bench.take_turns(subjects)
    lengths = [MILLION // 5, 2 * MILLION, *([20 * MILLION] if bench.is_full else [])]
    cases += bench.take_turns([_ours(bench, length) for length in lengths if length != lines])
    return cases, skipped


def _ours(bench: Bench, lines: int) -> Subject:
    log = write_log(bench.made / f"{lines}.log", lines)

    def measured(folder: Path) -> Run:
        lake = new_lake(folder / "lake")
        used = pipeline(lake, "producer", "ingest", str(log))
        landing = lake.settings.lake.landing
        landed = pl.scan_parquet(landing / "*.parquet")
        unparsed, ids = landed.select(pl.col("raw").count(), pl.col("source_offset").n_unique()).collect().row(0)
        rows, hashes = sums(pl.read_parquet(file) for file in sorted(landing.glob("*.parquet")))
        void = wrong(unparsed=(unparsed, 0), distinct=(ids, lines), **_requests(rows, hashes, lines))
        return run_of(used, void, **{"lines/s": lines / used.wall_seconds})

    return Subject(OURS, f"{lines:,} lines", measured)


def _requests(rows: int, hashes: int, lines: int) -> dict[str, tuple[object, object]]:
    """Checks: as many rows as lines, and each the line's request."""
    due_rows, due_hashes = due_sums(lines)
    return {"rows": (rows, due_rows), "sum of the rows' hashes": (hashes, due_hashes)}


def _chdb(bench: Bench, lines: int) -> Subject:
    log = bench.made / f"{lines}.log"

    def measured(folder: Path) -> Run:
        lake = new_lake(folder / "lake")
        used = peer("chdb_ingest", lake, log)
        file = pl.scan_parquet(lake.data / OUTPUT)
        rows, hashes = sums(file.collect_batches())
        return run_of(used, wrong(**_requests(rows, hashes, lines)), **{"lines/s": lines / used.wall_seconds})

    return Subject(CHDB, f"{lines:,} lines", measured)


def _goaccess(bench: Bench, lines: int) -> Subject:
    log = bench.made / f"{lines}.log"

    def measured(folder: Path) -> Run:
        report = folder / "report.json"
        words: list[str | Path] = [
            "goaccess",
            log,
            "--no-global-config",
            "--log-format=COMBINED",
            "--no-progress",
            "-o",
            report,
        ]
        used = run(words, folder / "output.txt")
        general = json.loads(report.read_text(encoding="utf-8"))["general"]
        void = wrong(requests=(general["total_requests"], lines), failed=(general["failed_requests"], 0))
        return run_of(used, void, **{"lines/s": lines / used.wall_seconds})

    return Subject("GoAccess", f"{lines:,} lines", measured)
