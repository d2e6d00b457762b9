"""Exact metrics from ``delta/``: what changed, under which lock, and what is written down of it. I/O; no JVM if nothing did."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lakehouse.lake import GRAINS, Lake
from lakehouse.ledger import Ledger
from lakehouse.locks import lock
from lakehouse.metric_columns import METRIC_COLUMNS
from lakehouse.settings import Settings
from lakehouse.tables import (
    changed_days,
    column_names,
    is_table,
    latest_version,
    partition_files,
    ready_for_writing,
    table_id,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOB = "batch"
# Of a file's bytes those of the counted columns: an event_id alone takes nearly half.
READ_SHARE = 0.3

log = logging.getLogger("consumer.batch")


@dataclass(frozen=True)
class Change:
    """What ``delta/`` has that the batch metrics lack: days up to ``version``; ``days`` is ``None`` for all of them."""

    table_id: str
    version: int
    days: set[date] | None


def refresh(settings: Settings, session: "Callable[[], SparkSession]") -> set[date] | None:
    """Bring ``metrics/batch/`` up to ``delta/``.

    :param session: makes the Spark session; not called when nothing changed.
    :return: the days that were replaced; ``None`` for all.
    :raises TableError: a table is damaged; nothing is done.
    """
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    with lock(lake.locks, JOB, wait_seconds=settings.merge.lock_seconds), ledger.run(JOB) as run:
        change = find_change(lake, ledger)
        if change is None:
            log.info("nothing to do: delta/ has not changed since the last run")
            # Said again by each run: the ledger forgets old ones.
            known = {name: ledger.last_figure(JOB, name) for name in ("delta_id", "delta_version")}
            run.figures |= {name: value for name, value in known.items() if value is not None}
            return set()
        if change.days != set():
            spark = session()  # another job may have its turn first, and change more
            change = find_change(lake, ledger) or change
            ready_for_writing(*(lake.metrics("batch", grain) for grain in GRAINS))
            from consumer.components.exact_tables import create_tables, replace_days

            create_tables(lake)
            replace_days(spark, lake, change.version, change.days)
            os.sync()  # the ledger must not outlast a power cut without the tables
        days = change.days
        # Last: only now do all three tables hold this version.
        run.figures |= {
            "delta_id": change.table_id, "delta_version": change.version,
            "days": "all" if days is None else len(days),
        }  # fmt: skip
        log.info("%s days brought up to version %d of delta/", run.figures["days"], change.version)
        return days


def find_change(lake: Lake, ledger: Ledger) -> Change | None:
    """What changed in ``delta/`` since all three tables were last written; ``None`` for nothing. No JVM.

    All days where a table lacks a column: a figure that is new has to be counted for all of them.
    """
    if not is_table(lake.delta):
        return None
    version, identifier = latest_version(lake.delta), table_id(lake.delta)
    known = ledger.last_figure(JOB, "delta_version")
    are_ours = ledger.last_figure(JOB, "delta_id") == identifier
    are_whole = all(column_names(lake.metrics("batch", grain)) >= set(METRIC_COLUMNS[grain]) for grain in GRAINS)
    if known is None or known > version or not are_ours or not are_whole:
        return Change(identifier, version, None)
    if known == version:
        return None
    return Change(identifier, version, changed_days(lake.delta, known))


def pending_bytes(lake: Lake) -> int:
    """How much a refresh would read: of those days of ``delta/`` that changed the columns that are counted. No JVM."""
    change = find_change(lake, Ledger(lake.ledger))
    if change is None:
        return 0
    sizes = (size for day, size in partition_files(lake.delta) if change.days is None or day in change.days)
    return int(READ_SHARE * sum(sizes))
