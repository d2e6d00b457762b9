"""Days of a running pipeline in minutes: what grows, and what does not. ``python -m tests.faults.growth --help``.

The programs' own code runs, one tick after the other: something lands, the merge, the stream, the batch metrics; at the
end of each day the maintenance. Then everything on disk is made a day older, so that what goes by age goes by these days.
"""

import argparse
import json
import os
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from cleaner.maintain import maintain
from cleaner.merge import merge
from consumer.batch import refresh
from consumer.streaming import stream_once
from lakehouse.lake import Lake
from lakehouse.session import spark_session
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import is_table
from tests.builders import land_json, land_parquet, landed, unparsed
from tests.engine import QUICK_CONF

JOBS = ("merge", "stream", "batch")
DAY = timedelta(days=1)
# What counts batches or real seconds, in proportion to few ticks a day. What goes by days or hours is not scaled.
SCALED_CONF = {
    "spark.sql.streaming.minBatchesToRetain": "4",  # 100
    "spark.sql.streaming.fileSink.log.compactInterval": "4",  # 100
    "spark.sql.streaming.stateStore.minDeltasForSnapshot": "2",  # 10
}
SCALED_RUNS_KEPT = 10  # 1000
SCALED_WATERMARK_SECONDS = 20  # 3600


@dataclass
class Tick:
    """One round of the jobs, in seconds."""

    day: int
    merge: float
    stream: float
    batch: float


@dataclass
class Day:
    """The lake at the end of a day, after the maintenance, which took so many seconds.

    ``files`` and ``bytes`` are by folder. ``live`` has the data files that the last versions of its tables use, ``record``
    those and the checksums beside them, ``crowded`` the most of them that one day of one table has.
    """

    day: int
    maintain: float
    files: dict[str, int]
    bytes: dict[str, int]
    live: dict[str, int]
    record: dict[str, int]
    crowded: dict[str, int]
    ledger_rows: int

    def spare(self, folder: str) -> int:
        """Files that are no part of the record."""
        return self.files.get(folder, 0) - self.record.get(folder, 0)


@dataclass
class Made:
    """What was landed: requests by day, and how many rows in all."""

    requests: Counter[date] = field(default_factory=Counter)
    rows: int = 0


@dataclass
class Growth:
    """All that was seen."""

    ticks: list[Tick] = field(default_factory=list)
    days: list[Day] = field(default_factory=list)
    made: Made = field(default_factory=Made)

    def mean_seconds(self, job: str) -> list[float]:
        """How long a job took a tick, by day."""
        by_day = [[getattr(tick, job) for tick in self.ticks if tick.day == day.day] for day in self.days]
        return [sum(times) / len(times) for times in by_day]


def kept_for(days: int, settings: Settings) -> Settings:
    """``settings`` with everything that goes by days kept for so many, and what goes by real seconds scaled."""
    kept = {"logs_days": days, "ledger_days": days, "landed_days": days, "vacuum_hours": 24 * days}
    changed = {"maintain": kept, "stream": {"watermark_seconds": SCALED_WATERMARK_SECONDS}}
    return unpack_settings(settings.model_dump(mode="json") | changed, "growth")


def grow(spark: SparkSession, settings: Settings, *, days: int, ticks: int, rows: int) -> Iterator[Growth]:
    """Run the pipeline for so many days; after each day, what was seen so far.

    :param settings: as ``kept_for`` makes them.
    :param ticks: rounds of the jobs a day.
    :param rows: new requests a tick.
    """
    lake, seen = settings.lake, Growth()
    first_day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - days * DAY
    with _scaled(spark):
        for day in range(days):
            for tick in range(ticks):
                time_of_day = first_day + day * DAY + tick * DAY / ticks
                land(lake, time_of_day, f"{day:03}-{tick:03}", rows, seen.made)
                if tick == 0:
                    land_bad(lake, f"{day:03}-bad", seen.made)
                long_ago = day - settings.maintain.ledger_days - 2
                if tick == 0 and long_ago >= 0:
                    land_again(lake, long_ago, seen.made)
                seen.ticks.append(Tick(
                    day,
                    merge=seconds(merge, settings, lambda: spark),
                    stream=seconds(stream_once, spark, settings),
                    batch=seconds(refresh, settings),
                ))  # fmt: skip
                merge(settings, lambda: spark)  # what is archived now is retired
            if day == 0:
                forget_removed_files(lake)
            maintained = seconds(maintain, settings, lambda: spark, datetime.now(UTC))
            seen.days.append(Day(day, maintained, *sizes(lake), *live_files(lake), ledger_rows(lake)))
            age(lake)
            yield seen


def seconds(job: Any, *arguments: Any) -> float:
    """How long it took."""
    started = time.monotonic()
    job(*arguments)
    return round(time.monotonic() - started, 3)


def land(lake: Lake, at: datetime, name: str, rows: int, made: Made) -> None:
    """A Parquet file of new requests, one in twenty some days late, and an NDJSON file that repeats some."""
    requests = [
        landed(f"{name}-{n}", timestamp=at + n * timedelta(seconds=1) - (n // 20 % 4) * DAY * (n % 20 == 0),
               ip=f"192.0.2.{n % 50}", agent=f"agent {n % 10}", bytes=n, ingested_at=datetime.now(UTC))
        for n in range(rows)
    ]  # fmt: skip
    repeated = requests[:: rows // 10]
    land_parquet(lake.landing / f"{name}.parquet", requests)
    land_json(lake.landing / f"{name}.json", repeated)
    made.requests.update(row["timestamp"].date() for row in requests)
    made.rows += len(requests) + len(repeated)


def land_bad(lake: Lake, name: str, made: Made) -> None:
    """A file of lines that do not parse."""
    rows = [unparsed(f"{name}-{n}", "garbage") for n in range(5)]
    land_json(lake.landing / f"{name}.json", rows)
    made.rows += len(rows)


def land_again(lake: Lake, day: int, made: Made) -> None:
    """The first file of an earlier day, which the ledger has folded by now."""
    name = f"{day:03}-000.parquet"
    rows = DeltaTable(str(lake.merged)).to_pyarrow_table(filters=[("landed_file", "=", name)]).to_pylist()
    assert rows, name
    land_parquet(
        lake.landing / name,
        [
            landed(**{k: row[k] for k in ("event_id", "timestamp", "ip", "agent", "bytes", "ingested_at")})
            for row in rows
        ],
    )
    made.rows += len(rows)


def age(lake: Lake) -> None:
    """Make everything on disk a day older: times of files, and those that Spark's file sink and the ledger wrote down."""
    day_ns = 86_400 * 10**9
    for entries in (lake.logs / "_spark_metadata").glob("[0-9]*"):
        content = entries.read_text(encoding="utf-8")
        entries.write_text(re.sub(r'(?<="modificationTime":)\d+', lambda m: str(int(m[0]) - day_ns // 10**6), content))
        entries.with_name(f".{entries.name}.crc").unlink(missing_ok=True)
    for path in lake.root.rglob("*"):
        if path.is_file():
            found = path.stat()
            os.utime(path, ns=(found.st_atime_ns - day_ns, found.st_mtime_ns - day_ns))
    with closing(sqlite3.connect(lake.ledger)) as db, db:
        db.execute("UPDATE files SET retired_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', retired_at, '-1 day')")


def forget_removed_files(lake: Lake) -> None:
    """Let no table's log keep a note of removed files, and have it checkpointed as often as days are short.

    Such a note has a time in it that ``age`` cannot reach; the files' own ages count instead.
    """
    kept = {"delta.deletedFileRetentionDuration": "interval 0 seconds", "delta.checkpointInterval": "2"}
    for path in lake.tables.values():
        DeltaTable(str(path)).alter.set_table_properties(kept)


def sizes(lake: Lake) -> tuple[dict[str, int], dict[str, int]]:
    """Files and bytes by folder; of a table apart from those of its log."""
    files: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for path in lake.root.rglob("*"):
        if path.is_file():
            folder = folder_of(path.relative_to(lake.root))
            files[folder] += 1
            total[folder] += path.stat().st_size
    return dict(files), dict(total)


def folder_of(path: Path) -> str:
    """``metrics/batch/ip/_delta_log/0.json`` is in ``metrics/batch/_delta_log``."""
    parts = path.parts
    top = "/".join(parts[: 2 if parts[0] in ("metrics", "_checkpoints") else 1])
    log = next((part for part in parts[1:-1] if part in ("_delta_log", "_spark_metadata")), None)
    return f"{top}/{log}" if log else top


def live_files(lake: Lake) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Data files in use by folder, these with their checksums, and the most of them that one day of one table has."""
    live: Counter[str] = Counter()
    record: Counter[str] = Counter()
    crowded: dict[str, int] = {}
    for path in filter(is_table, lake.tables.values()):
        used = [Path(uri.removeprefix("file://")) for uri in DeltaTable(str(path)).file_uris()]
        folder = folder_of(path.relative_to(lake.root) / "part")
        live[folder] += len(used)
        record[folder] += len(used) + sum(file.with_name(f".{file.name}.crc").exists() for file in used)
        crowded[folder] = max([crowded.get(folder, 0), *Counter(file.parent for file in used).values()])
    return dict(live), dict(record), crowded


def ledger_rows(lake: Lake) -> int:
    """Deliveries that the ledger has a row of, but for those with rows in quarantine."""
    with closing(sqlite3.connect(lake.ledger)) as db:
        return int(db.execute("SELECT count(*) FROM files WHERE quarantined = 0").fetchone()[0])


@contextmanager
def _scaled(spark: SparkSession) -> Iterator[None]:
    before = {name: spark.conf.get(name, None) for name in SCALED_CONF}
    try:
        for name, value in SCALED_CONF.items():
            spark.conf.set(name, value)
        with patch("lakehouse.ledger.RUNS_KEPT", SCALED_RUNS_KEPT):
            yield
    finally:
        for name, old in before.items():
            spark.conf.unset(name) if old is None else spark.conf.set(name, old)


def main() -> None:
    """Run it, tell of each day, and write what was seen as JSON and as a picture."""
    from tests.faults.growth_view import plot, weeks

    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.growth", description="Grow a lake and watch its files."
    )
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--ticks", type=int, default=8, help="rounds of the jobs a day")
    parser.add_argument("--kept", type=int, default=7, help="days that logs, unused files and deliveries are kept")
    parser.add_argument("--rows", type=int, default=200, help="new requests a tick")
    parser.add_argument("--folder", type=Path, required=True, help="a new folder for the lake")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--svg", type=Path, help="where the picture goes")
    options = parser.parse_args()
    paths = {"data_lake": str(options.folder), "log": str(options.folder / "log")}
    settings = kept_for(options.kept, unpack_settings({"paths": paths, "spark": {"conf": QUICK_CONF}}, "growth"))
    spark = spark_session(settings, "growth", is_short=True)
    for seen in grow(spark, settings, days=options.days, ticks=options.ticks, rows=options.rows):
        last = seen.days[-1]
        times = ", ".join(f"{job} {seen.mean_seconds(job)[-1]:.1f}" for job in JOBS)
        sys.stderr.write(
            f"day {last.day + 1}: {sum(last.files.values())} files; {times} s a tick; maintain {last.maintain:.1f} s\n"
        )
        options.json.write_text(
            json.dumps({"ticks": [asdict(t) for t in seen.ticks], "days": [asdict(d) for d in seen.days]}),
            encoding="utf-8",
        )
    if options.svg:
        options.svg.write_text(plot(seen), encoding="utf-8")
    first = 2 * options.kept + 2  # what is kept so long has been compacted, and what that left has been kept so long
    if options.days >= first + 7:
        sys.stdout.write(weeks(seen, first))


if __name__ == "__main__":
    main()
