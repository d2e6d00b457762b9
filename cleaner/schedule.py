"""The table of jobs run in the foreground, by the same cron expressions that a cron daemon would be given. I/O."""

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cleaner.crontab import next_run, require_recurring
from cleaner.first_runs import FirstRuns
from cleaner.jobs import POLL_SECONDS, Command, RunningJob, job_command, log_file, start_job, wait_for_any
from lakehouse.errors import PipelineError
from lakehouse.settings import Job, Settings

IDLE_SECONDS = 0.5
GRACE_SECONDS = 120  # a merge on a busy machine takes its minute
# Of the first runs beside a cron daemon: what lands later, its minutes find; and docker/run-cron ends us after a minute.
FIRST_SECONDS, FIRST_GRACE_SECONDS = 300, 45

log = logging.getLogger("cleaner.schedule")


def local_now() -> datetime:
    """The time with the machine's time zone: cron expressions mean local time."""
    return datetime.now(UTC).astimezone()


def schedule(
    settings: Settings,
    *,
    conf: Path,
    root: Path,
    stop: threading.Event,
    now: Callable[[], datetime] = local_now,
    python: str = sys.executable,
    is_echoed: bool = False,
    command: Command = job_command,
    grace_seconds: float = GRACE_SECONDS,
) -> None:
    """Run the jobs of ``settings.jobs`` at their times until ``stop`` is set. Different jobs run side by side.

    The frequent ones also run once at the start, as soon as something has landed (``FirstRuns``).

    A job that still runs when its time comes is not started a second time: that run is skipped, and said. After
    ``stop`` nothing is started; what runs may end by itself for ``grace_seconds``, and is then stopped.

    :param root: the jobs' working directory.
    :param now: the clock, with a time zone.
    :param is_echoed: copy the jobs' output to standard output too.
    :raises SettingsError: a job never comes round.
    """
    for name, job in settings.jobs.items():
        require_recurring(name, job.cron)
    handled = _minute(now())
    log.info("%s", "; ".join(upcoming(settings.jobs, handled)) or "the settings have no jobs: nothing to do")
    runs = Runs(settings, partial(
        start_job, settings=settings, conf=conf, root=root, python=python, is_echoed=is_echoed, command=command
    ))  # fmt: skip
    first = FirstRuns(settings, handled)
    try:
        while not stop.is_set():
            minute = _minute(now())
            for name in dict.fromkeys([*first.take(), *due(settings.jobs, handled, minute)]):
                runs.start(name)
            handled = minute
            runs.advance()
            runs.wait()
        runs.finish(grace_seconds)
    finally:
        runs.close()
    log.info("stopped")


def run_first(
    settings: Settings,
    *,
    conf: Path,
    root: Path,
    stop: threading.Event,
    now: Callable[[], datetime] = local_now,
    python: str = sys.executable,
    is_echoed: bool = False,
    command: Command = job_command,
    wait_seconds: float = FIRST_SECONDS,
    grace_seconds: float = FIRST_GRACE_SECONDS,
) -> None:
    """Run the frequent jobs once, as soon as something has landed, for a cron daemon, which only knows their times.

    Returns when the last has ended, after ``stop``, or when nothing has landed for ``wait_seconds``. Parameters as ``schedule``.
    """
    runs = Runs(settings, partial(
        start_job, settings=settings, conf=conf, root=root, python=python, is_echoed=is_echoed, command=command
    ))  # fmt: skip
    first = FirstRuns(settings, now())
    deadline = time.monotonic() + wait_seconds
    try:
        while not stop.is_set() and (
            runs.running or (first.waiting and (first.has_begun or time.monotonic() < deadline))
        ):
            for name in first.take():
                runs.start(name)
            runs.advance()
            runs.wait()
        runs.finish(grace_seconds)
    finally:
        runs.close()


class Runs:
    """The jobs that run now: different ones side by side, each at most once.

    :param start: starts a job by its name, as ``start_job``.
    """

    def __init__(self, settings: Settings, start: Callable[[str], RunningJob | None]) -> None:
        self.settings = settings
        self._start = start
        self.running: dict[str, RunningJob] = {}
        self.skipped: Counter[str] = Counter()

    def start(self, name: str) -> None:
        """Start a job, or say why not; that does not end the schedule."""
        if name in self.running:
            self.skipped[name] += 1
            if self.skipped[name] == 1:  # the others are counted until it ends
                log.warning("%s: skipped: still running after %.0f s", name, self.running[name].seconds)
            return
        try:
            started = self._start(name)
        except PipelineError as error:
            log.error("%s", error)
            return
        if started is None:
            log.warning("%s: skipped: another process runs it", name)
        else:
            self.running[name] = started

    def advance(self) -> None:
        """Let every job go on; forget those that have ended, and say which failed."""
        for name, job_run in list(self.running.items()):
            exit_code = job_run.advance()
            if exit_code is None:
                continue
            del self.running[name]
            job_run.close()
            seconds, times = job_run.seconds, self.skipped.pop(name, 0)
            if exit_code != 0:
                path = log_file(self.settings, name)
                log.error("%s: failed with exit code %d after %.1f s, see %s", name, exit_code, seconds, path)
            if times > 1:
                log.warning("%s: ended after %.0f s; %d runs were skipped meanwhile", name, seconds, times)

    def wait(self) -> None:
        """Return after a moment, or when a job has something to say or has ended."""
        # No Event.wait(): a signal handler that sets an event while this thread is waiting on it may block for ever.
        if self.running:
            wait_for_any(self.running.values(), POLL_SECONDS)
        else:
            time.sleep(IDLE_SECONDS)

    def finish(self, grace_seconds: float) -> None:
        """Wait for the jobs that run; after ``grace_seconds`` stop them."""
        if self.running:
            log.info("stopping: waiting up to %g s for %s", grace_seconds, ", ".join(self.running))
        deadline = time.monotonic() + grace_seconds
        while self.running:
            if time.monotonic() >= deadline:
                for job_run in self.running.values():
                    job_run.stop()
            self.advance()
            if self.running:
                self.wait()

    def close(self) -> None:
        """Kill what still runs."""
        for job_run in self.running.values():
            job_run.close()


def due(jobs: Mapping[str, Job], after: datetime, until: datetime) -> list[str]:
    """The jobs whose time came after ``after`` and not later than ``until``: once each, however often it came."""
    start = after.astimezone(until.tzinfo)
    return [name for name, job in jobs.items() if start < until and next_run(job.cron, start) <= until]


def upcoming(jobs: Mapping[str, Job], now: datetime) -> list[str]:
    """Each job with its next run, for a person."""
    return [f"{name} at {next_run(job.cron, now):%Y-%m-%d %H:%M %Z}" for name, job in jobs.items()]


def _minute(time_of_day: datetime) -> datetime:
    return time_of_day.replace(second=0, microsecond=0)
