"""Housekeeping: small files compacted in time order, files that nothing uses any more removed, retention. I/O."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cleaner.beside_merge import beside_merge
from cleaner.retire import retire_old_files
from lakehouse.lake import EXACT_GRAINS, Lake
from lakehouse.ledger import Ledger
from lakehouse.settings import Maintain, Settings
from lakehouse.sink_log import archived_files, require_whole
from lakehouse.sql import table
from lakehouse.tables import (
    FIGURES_HOURS,
    SMALL_BYTES,
    is_table,
    join_small_files,
    partition_files,
    ready_for_writing,
    remove_strays,
    tidy,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOB = "maintain"

log = logging.getLogger("cleaner.maintain")


def maintain(settings: Settings, session: "Callable[[], SparkSession]", now: datetime) -> None:
    """Compact, vacuum and apply retention, where the thresholds of ``settings.maintain`` say so.

    Shares its lock with the merge: the two wait for each other.

    :param session: makes the Spark session; not called when no day has too many small files.
    """
    lake, ledger, limits = settings.lake, Ledger(settings.lake.ledger), settings.maintain
    with beside_merge(settings, ledger, JOB) as run:
        # All must be whole: what a damaged log does not name, a vacuum would remove for good.
        ready_for_writing(lake.merged, lake.quarantine, lake.delta)
        for path in lake.tables.values():
            is_table(path)
        run.figures |= {
            "compacted": compact(lake, session, limits.small_files),
            "vacuumed": vacuum(lake, limits),
            "landed_files": retire_old_files(lake, ledger, days=limits.landed_days, now=now),
            "folded": ledger.fold(now - timedelta(days=limits.ledger_days)),
            "archive_files": prune_archive(lake, now, limits.logs_days),
        }
        log.info(
            "%(compacted)d partitions compacted, %(vacuumed)d unused table files, %(archive_files)d files of logs/ and"
            " %(landed_files)d landed files removed, %(folded)d deliveries folded",
            run.figures,
        )


def compact(lake: Lake, session: "Callable[[], SparkSession]", small_files: int) -> int:
    """Compact the partitions that have ``small_files`` small files or more: all of a partition, in time order.

    :return: how many partitions were compacted.
    """
    crowded = _crowded(lake, small_files)
    for path, day in crowded:
        where = f"WHERE event_date = '{day.isoformat()}'" if day else ""
        session().sql(f"OPTIMIZE {table(path)} {where} ZORDER BY (`timestamp`)")
    return len(crowded)


def join(lake: Lake, small_files: int) -> None:
    """Join the small files of the partitions that have ``small_files`` or more, as they are. Quick, and without Spark."""
    for path, day in _crowded(lake, small_files):
        join_small_files(path, day)


def _crowded(lake: Lake, small_files: int) -> list[tuple[Path, date | None]]:
    """The ``event_date`` partitions (``None``: the whole of a table without) with too many small files, by table."""
    found = []
    for path in (lake.merged, lake.delta, lake.quarantine):
        small = Counter(day for day, size in partition_files(path) if size < SMALL_BYTES)
        found += [(path, day) for day in sorted(small, key=str) if small[day] >= small_files]
    return found


def vacuum(lake: Lake, limits: Maintain) -> int:
    """Remove what no version of the tables within ``vacuum_hours`` uses. The stream sees to its own tables.

    :return: how many data files were removed.
    """
    records = sum(tidy(path, limits.vacuum_hours) for path in (lake.merged, lake.delta, lake.quarantine))
    return records + sum(tidy(lake.metrics("batch", grain), FIGURES_HOURS) for grain in EXACT_GRAINS)


def prune_archive(lake: Lake, now: datetime, days: int) -> int:
    """Remove archive files that ``_spark_metadata`` does not name and that are older than ``days``.

    The sink drops the entries of old files itself, by the same number of days; a file goes after its entry, never before.

    :return: how many files were removed.
    :raises CheckpointError: the sink's log is damaged.
    """
    if not (lake.logs / "_spark_metadata").is_dir():
        return 0
    require_whole(lake.logs)  # what a damaged log does not name would be taken for unused
    named = archived_files(lake.logs)
    oldest = now.timestamp() - days * 86_400
    unused = [p for p in lake.logs.glob("part-*") if p.name not in named and p.stat().st_mtime < oldest]
    for path in unused:
        path.unlink()
    remove_strays(lake.logs)
    return len(unused)
