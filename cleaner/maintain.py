"""Housekeeping: small files compacted in time order, files that nothing uses any more removed, retention. I/O."""

import json
import logging
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from cleaner.retire import retire_old_files
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.locks import lock
from lakehouse.settings import Maintain, Settings
from lakehouse.sql import table
from lakehouse.tables import is_table, partition_files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOB = "maintain"
# Spark's OPTIMIZE aims at 1 GB; a file below this is small, however many there are of the others.
SMALL_BYTES = 64 * 1024 * 1024

log = logging.getLogger("cleaner.maintain")


def maintain(settings: Settings, session: "Callable[[], SparkSession]", now: datetime) -> None:
    """Compact, vacuum and apply retention, where the thresholds of ``settings.maintain`` say so.

    Shares its lock with the merge: the two wait for each other.

    :param session: makes the Spark session; not called when no day has too many small files.
    """
    lake, ledger, limits = settings.lake, Ledger(settings.lake.ledger), settings.maintain
    with (
        lock(lake.locks, "merge", wait_seconds=settings.merge.lock_seconds),
        lock(lake.locks, JOB),
        ledger.run(JOB) as run,
    ):
        run.figures |= {
            "compacted": compact(lake, session, limits.small_files),
            "vacuumed": vacuum(lake, limits),
            "archive_files": prune_archive(lake, now, limits.logs_days),
            "landed_files": retire_old_files(lake, ledger, days=limits.landed_days, now=now),
        }
        log.info(
            "%(compacted)d partitions compacted, %(vacuumed)d unused table files, %(archive_files)d files of logs/ and"
            " %(landed_files)d landed files removed",
            run.figures,
        )


def compact(lake: Lake, session: "Callable[[], SparkSession]", small_files: int) -> int:
    """Compact the partitions that have ``small_files`` small files or more, each in time order.

    :return: how many partitions were compacted.
    """
    compacted = 0
    for path in lake.tables.values():
        is_table(path)  # all must be whole: what a damaged log does not name, a vacuum would remove for good
    for path in (lake.merged, lake.delta, lake.quarantine):
        for day in crowded_partitions(path, small_files):
            where = f"WHERE event_date = '{day.isoformat()}'" if day else ""
            session().sql(f"OPTIMIZE {table(path)} {where} ZORDER BY (`timestamp`)")
            compacted += 1
    return compacted


def crowded_partitions(path: Path, small_files: int) -> list[date | None]:
    """The ``event_date`` partitions (``None``: the whole of a table without) with too many small files."""
    small = Counter(day for day, size in partition_files(path) if size < SMALL_BYTES)
    return sorted((day for day, files in small.items() if files >= small_files), key=str)


def vacuum(lake: Lake, limits: Maintain) -> int:
    """Remove files that no version of the tables within ``vacuum_hours`` uses, those of killed writers too.

    :return: how many files were removed.
    """
    from deltalake import DeltaTable

    removed = 0
    for path in lake.tables.values():
        if not is_table(path):
            continue
        delta = DeltaTable(str(path))
        remove = partial(delta.vacuum, int(limits.vacuum_hours), enforce_retention_duration=False, full=True)
        # A vacuum commits even when it finds nothing: look first.
        if remove(dry_run=True):
            removed += len(remove(dry_run=False))
    return removed


def prune_archive(lake: Lake, now: datetime, days: int) -> int:
    """Remove archive files that ``_spark_metadata`` does not name and that are older than ``days``.

    The sink drops the entries of old files itself, by the same number of days; a file goes after its entry, never before.

    :return: how many files were removed.
    """
    if not (lake.logs / "_spark_metadata").is_dir():
        return 0
    named = archived_files(lake.logs)
    oldest = now.timestamp() - days * 86_400
    unused = [p for p in lake.logs.glob("part-*") if p.name not in named and p.stat().st_mtime < oldest]
    for path in unused:
        path.unlink()
    return len(unused)


def archived_files(logs: Path) -> set[str]:
    """Names of the files that the file sink has committed: those of its last compaction and of the batches since."""
    batches = {int(p.name.removesuffix(".compact")): p for p in (logs / "_spark_metadata").glob("[0-9]*")}
    compactions = [number for number, path in batches.items() if path.suffix == ".compact"]
    start = max(compactions, default=0)
    names: set[str] = set()
    for number, path in batches.items():
        if number >= start:
            entries = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:])
            names |= {Path(unquote(urlparse(entry["path"]).path)).name for entry in entries}
    return names
