"""The exact metrics brought up to a version of ``delta/``, or counted once more and compared. I/O."""

import logging
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from consumer.components.batch_record import BatchRecord, write_record
from consumer.components.comparison import unequal_rows, wrong_rows
from consumer.components.count_sql import COUNTED
from consumer.components.counter import Counter
from consumer.components.exact_plan import Plan, Step, addition, full_counts
from consumer.components.exact_tables import ExactTables
from lakehouse.commits import data_files
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.readable import counted_text

log = logging.getLogger("consumer.batch")


class ExactRefresh:
    """One refresh.

    :param version: of ``delta/``, which it brings the tables up to.
    :param record: what the job remembers; written down before what it says comes true.
    """

    def __init__(
        self, lake: Lake, ledger: Ledger, tables: ExactTables, counter: Counter, version: int, record: BatchRecord
    ) -> None:
        self.lake, self.ledger, self.tables, self.counter = lake, ledger, tables, counter
        self.version, self.record = version, record

    def carry_out(self, plan: Plan, now: datetime) -> None:
        """Add what is new, and count in full what must be."""
        files = {} if plan.recounted == set() else data_files(self.lake.delta, self.version)
        days = {*files, *self.tables.days()} if plan.recounted is None else plan.recounted
        steps = [*full_counts({day: files.get(day, ()) for day in days})]
        if plan.added:
            steps.append(addition(plan.added))
        self.record.add(plan.added, now)
        write_record(self.ledger, self.record)
        done = 0
        for step in steps:
            self._count(step)
            self._replace(step.days, is_last=step is steps[-1])
            done += len(step.days)
            if len(steps) > 1:
                log.info("%d of %d days counted", done, len(days) + len(plan.added))
        self.record.counted(days)
        write_record(self.ledger, self.record)

    def recount(self, days: Iterable[date], now: datetime) -> int:
        """Count days in full, compare that with what the tables hold, and correct these.

        :return: how many days differed.
        """
        files = data_files(self.lake.delta, self.version)
        differing = 0
        for step in full_counts({day: files.get(day, ()) for day in days}):
            self._count(step)
            stored = {name: self.tables.stored(name, step.days) for name in self.tables.paths}
            wrong = self._wrong(stored)
            for day, rows in wrong.items():
                which = ", ".join(f"{counted_text(number, 'row')} of {name}" for name, number in rows.items())
                log.error("%s: what was added up differs from a full count, which takes its place: %s", day, which)
            self.record.compared(step.days, wrong, now)
            write_record(self.ledger, self.record)
            if any(self.counter.query(unequal_rows(name, rows)) != [(0,)] for name, rows in stored.items()):
                self._replace(step.days, is_last=True)
            differing += len(wrong)
        return differing

    def _count(self, step: Step) -> None:
        stored = {name: self.tables.stored(name, step.days) for name in COUNTED} if step.is_added else {}
        self.counter.count([file.path for file in step.files], stored)

    def _replace(self, days: Sequence[date], *, is_last: bool) -> None:
        rows = {name: self.counter.rows(name) for name in self.tables.paths}
        self.tables.replace(rows, days, self.version, is_last=is_last)

    def _wrong(self, stored: dict[str, str]) -> dict[str, dict[str, int]]:
        """By day and table, how many rows are wrong."""
        found: dict[str, dict[str, int]] = {}
        for name, rows in stored.items():
            for day, number in self.counter.query(wrong_rows(name, rows)):
                found.setdefault(day.isoformat(), {})[name] = int(number)
        return found
