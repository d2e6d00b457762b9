"""Row 1: ``producer ingest`` beside GoAccess on the same log; and its memory on longer ones."""

import json
import shutil
from pathlib import Path

import polars as pl

from bench.lakes import new_lake
from bench.logs import write_log
from bench.measure import Bench, Subject, run_of, wrong
from bench.process import run
from bench.programs import pipeline
from bench.results import OURS, Case, Run

MILLION = 1_000_000
NO_GOACCESS = "not installed; type: apt-get install goaccess"


def measure(bench: Bench) -> tuple[list[Case], dict[str, str]]:
    """Lines per second of both; memory of ours by length."""
    lines = bench.pick(MILLION // 5, 2 * MILLION)
    subjects, skipped = [_ours(bench, lines)], {}
    if shutil.which("goaccess"):
        subjects.append(_goaccess(bench, lines))
    else:
        skipped["GoAccess"] = NO_GOACCESS
    cases = bench.take_turns(subjects)
    lengths = [MILLION // 5, 2 * MILLION, *([20 * MILLION] if bench.is_full else [])]
    cases += bench.take_turns([_ours(bench, length) for length in lengths if length != lines])
    return cases, skipped


def _ours(bench: Bench, lines: int) -> Subject:
    log = write_log(bench.made / f"{lines}.log", lines)

    def measured(folder: Path) -> Run:
        lake = new_lake(folder / "lake")
        used = pipeline(lake, "producer", "ingest", str(log))
        landed = pl.scan_parquet(lake.settings.lake.landing / "*.parquet")
        rows, unparsed, ids = (
            landed.select(pl.len(), pl.col("raw").count(), pl.col("source_offset").n_unique()).collect().row(0)
        )
        void = wrong(rows=(rows, lines), unparsed=(unparsed, 0), distinct=(ids, lines))
        return run_of(used, void, **{"lines/s": lines / used.wall_seconds})

    return Subject(OURS, f"{lines:,} lines", measured)


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
