"""The first runs of the frequent jobs: once something has landed, instead of when their times come. I/O.

A lake that has just been started shows nothing before its first merge, and exact figures not before the batch after it. So
each job that comes round twice within the hour is run once at the start, in the order of the table, one after the other.
"""

import time
from collections.abc import Callable
from datetime import datetime

from cleaner.crontab import is_frequent
from lakehouse.lake import waiting_files
from lakehouse.locks import is_locked
from lakehouse.settings import Settings

# The programs often start together: by then a consumer says that its Spark is coming, and jobs wait for that one.
SETTLE_SECONDS = 5.0


class FirstRuns:
    """Which job is to have its first run now. A run that its time brings meanwhile does not count as the first.

    :param now: says by the expressions which jobs are frequent.
    :param clock: a monotonic clock in seconds.
    """

    def __init__(self, settings: Settings, now: datetime, clock: Callable[[], float] = time.monotonic) -> None:
        self.waiting = [name for name, job in settings.jobs.items() if is_frequent(job.cron, now)]
        self.has_begun = False
        self._names = tuple(self.waiting)
        self._lake, self._clock = settings.lake, clock
        self._begin = clock() + SETTLE_SECONDS

    def take(self) -> list[str]:
        """The next job, if its turn has come; it is not told again."""
        if not self.waiting or not self._is_open() or self._is_any_running():
            return []
        return [self.waiting.pop(0)]

    def _is_open(self) -> bool:
        self.has_begun = self.has_begun or (self._clock() >= self._begin and bool(waiting_files(self._lake.landing)))
        return self.has_begun

    def _is_any_running(self) -> bool:
        """Whoever has started it: ``cleaner job`` and the schedule hold the same lock."""
        return any(is_locked(self._lake.locks, f"job-{name}") for name in self._names)
