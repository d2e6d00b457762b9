"""One run of the exact metrics: what to do, under which lock, and what is written down of it. I/O; no JVM.

What each table has counted stands in the table itself, as Delta's transaction id of the very commit. So a run that is killed
anywhere is simply run again, and adds nothing twice.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from consumer.components.batch_record import BatchRecord, read_record, write_record
from consumer.components.definition import Definition, definition
from lakehouse.commits import DataFile, changes, data_files
from lakehouse.durable import sync_lake
from lakehouse.errors import InputError
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger, Run
from lakehouse.locks import lock
from lakehouse.readable import counted_text
from lakehouse.settings import Settings
from lakehouse.tables import is_table, latest_version, table_state

if TYPE_CHECKING:
    from consumer.components.exact_plan import Plan
    from consumer.components.exact_tables import ExactTables

JOB = "batch"
# So much of delta/ is counted once more by one run, for the days that have closed.
RECOUNTED_BYTES = 256 * 1024 * 1024

log = logging.getLogger("consumer.batch")

Changed = set[date] | None
Files = Mapping[date, Sequence[DataFile]]


def refresh(settings: Settings, now: datetime | None = None) -> Changed:
    """Bring ``metrics/batch/`` up to ``delta/``, and count days in full that have closed since.

    :param now: the time, in UTC.
    :return: the days that changed in ``delta/``; ``None`` for all.
    :raises TableError: a table is damaged; nothing is done.
    :raises PipelineError: requests cannot be counted.
    """
    now = now or datetime.now(UTC)
    ledger = Ledger(settings.lake.ledger)
    with _running(settings, ledger) as run:
        if not is_table(settings.lake.delta):
            log.info("nothing to do: nothing has been merged yet")
            return set()
        source, record = _source(settings), read_record(ledger)
        due = record.due(now, settings.batch.recount_after_seconds) if record else []
        if record is not None and not due and record.state == source.state(settings.lake):
            run.figures |= source.figures  # said again by each run: the ledger forgets old ones
            log.info("nothing to do: delta/ has not changed since the last run")
            return set()
        changed, _ = _refreshed(settings, ledger, run, now, source, lambda files: _affordable(due, files))
        return changed


def recount(settings: Settings, days: Sequence[date] | None, now: datetime | None = None) -> int:
    """Refresh, then count ``days`` in full, compare that with what the tables hold, and correct these.

    :param days: ``None`` for all.
    :return: how many days differed.
    :raises InputError: there are no requests of one of ``days``.
    """
    ledger = Ledger(settings.lake.ledger)
    with _running(settings, ledger) as run:
        if not is_table(settings.lake.delta):
            raise InputError(f"{settings.lake.delta}: nothing has been merged yet, so there is nothing to count")
        source = _source(settings)
        _, differing = _refreshed(
            settings, ledger, run, now or datetime.now(UTC), source, lambda files: _asked(days, files)
        )
        return differing


@contextmanager
def _running(settings: Settings, ledger: Ledger) -> Iterator[Run]:
    with lock(settings.lake.locks, JOB, wait_seconds=settings.merge.lock_seconds), ledger.run(JOB) as run:
        yield run


@dataclass(frozen=True)
class Source:
    """What is counted, and how: a version of ``delta/``, and a definition."""

    delta_id: str
    version: int
    counted_as: Definition

    @property
    def application_id(self) -> str:
        """Of the tables' transactions: another one means that all is to be counted anew."""
        return f"{self.delta_id}/{self.counted_as.fingerprint}"

    @property
    def figures(self) -> dict[str, object]:
        """What a run says of it, for ``report``."""
        return {"delta_id": self.delta_id, "delta_version": self.version}

    def state(self, lake: Lake) -> str:
        """This, and the last commit of each table: by the names in their logs alone."""
        commits = [latest_version(lake.metrics("batch", name)) for name in self.counted_as.tables]
        return f"{self.application_id} {self.version} {commits}"


def _source(settings: Settings) -> Source:
    delta = table_state(settings.lake.delta)
    return Source(delta.id, delta.version, definition(settings, delta.columns))


def _refreshed(
    settings: Settings, ledger: Ledger, run: Run, now: datetime, source: Source, choose: Callable[[Files], list[date]]
) -> tuple[Changed, int]:
    """Refresh, and count once more the days that ``choose`` takes of those of ``delta/``.

    :return: the days that changed, and how many of those that were counted once more differed.
    """
    from consumer.components.counter import counter
    from consumer.components.exact_refresh import ExactRefresh
    from consumer.components.exact_tables import ExactTables

    lake = settings.lake
    tables = ExactTables(lake, source.counted_as.tables, source.application_id)
    tables.make_ready()
    plan = _plan(lake, tables, source.version)
    known = read_record(ledger)
    record = known or BatchRecord()
    if known is None and plan.recounted is not None:  # the ledger was lost, and with it which days were counted in full
        record.add(tables.days(), now)
    with counter(source.counted_as, settings.batch.memory) as counting:
        refreshing = ExactRefresh(lake, ledger, tables, counting, source.version, record)
        refreshing.carry_out(plan, now)
        chosen = choose(data_files(lake.delta, source.version))
        differing = refreshing.recount(chosen, now)
    sync_lake(lake)  # the ledger must not outlast a power cut without the tables
    record.state = source.state(lake)
    write_record(ledger, record)
    changed = plan.days
    run.figures |= source.figures | {"days": "all" if changed is None else len(changed)}
    if chosen:
        run.figures |= {"recounted": len(chosen), "differing": differing}
    _log(source.version, changed, len(chosen), differing)
    return changed, differing


def _log(version: int, changed: Changed, recounted: int, differing: int) -> None:
    """One line for each run."""
    days = "all days" if changed is None else counted_text(len(changed), "day")
    again = f"; {counted_text(recounted, 'day')} counted once more in full, {differing} differed" if recounted else ""
    log.info("%s brought up to version %d of delta/%s", days, version, again)


def _plan(lake: Lake, tables: "ExactTables", version: int) -> "Plan":
    from consumer.components.exact_plan import planned

    counted = tables.counted_version()
    since = tables.least_version() if counted is None else counted
    found = changes(lake.delta, since, version) if 0 <= since <= version else None
    return planned(found, is_clean=counted is not None)


def _affordable(due: Sequence[date], files: Files) -> list[date]:
    """So many of the days that are due as one run can count; one at least."""
    chosen: list[date] = []
    left = RECOUNTED_BYTES
    for day in due:
        left -= sum(file.bytes for file in files.get(day, ()))
        if chosen and left < 0:
            break
        chosen.append(day)
    return chosen


def _asked(days: Sequence[date] | None, files: Files) -> list[date]:
    """The days that were asked for.

    :raises InputError: there is nothing of one.
    """
    if missing := [day.isoformat() for day in days or () if day not in files]:
        raise InputError(f"no requests of {', '.join(missing)} have been merged")
    return sorted(files if days is None else set(days))
