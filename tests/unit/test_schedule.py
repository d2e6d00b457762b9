"""The schedule in the foreground: a clock of the test's own, real processes."""

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from cleaner import first_runs
from cleaner import schedule as module
from cleaner.first_runs import SETTLE_SECONDS, FirstRuns
from cleaner.jobs import log_file
from cleaner.schedule import due, local_now, run_first, schedule, upcoming
from lakehouse.errors import SettingsError
from lakehouse.locks import lock
from lakehouse.settings import Job, Settings, unpack_settings

NOON = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
JOBS = {
    "merge": {"cron": "* * * * *", "program": "cleaner", "command": "merge"},
    "batch": {"cron": "*/5 * * * *", "program": "consumer", "command": "batch"},
}


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(first_runs, "SETTLE_SECONDS", 0)
    caplog.set_level(logging.INFO, logger="cleaner")


def settings_with(tmp_path: Path, jobs: object = JOBS) -> Settings:
    paths = {"data_lake": str(tmp_path / "lake"), "log": str(tmp_path / "log")}
    return unpack_settings({"paths": paths, "jobs": jobs}, "test")


class Clock:
    """Tells the given times one after the other, each once ``may_go_on``; after the last it stops the schedule."""

    def __init__(self, times: Iterable[datetime], may_go_on: Callable[[], bool] = lambda: True) -> None:
        first, *self.times = times
        self.told = first
        self.may_go_on = may_go_on
        self.stop = threading.Event()
        self.asked = 0

    def __call__(self) -> datetime:
        self.asked += 1
        assert self.asked < 2_000, "the schedule does not get on"
        if self.asked > 1 and self.may_go_on():
            if self.times:
                self.told = self.times.pop(0)
            else:
                self.stop.set()
        return self.told


def run(settings: Settings, clock: Clock, script: str, *, grace_seconds: float = 30) -> None:
    """Each job runs ``script``, with the job's command as its argument."""
    schedule(
        settings, conf=Path("conf"), root=ROOT, stop=clock.stop, now=clock, grace_seconds=grace_seconds,
        command=lambda job, *_: [sys.executable, "-c", script, job.command],
    )  # fmt: skip


def count_starts(settings: Settings, name: str) -> int:
    path = log_file(settings, name)
    return path.read_text().count(f"{name}: started") if path.exists() else 0


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [re.sub(r"after [\d.]+ s", "after S s", record.getMessage()) for record in caplog.records]


def minutes(*numbers: int) -> list[datetime]:
    return [NOON + timedelta(minutes=number) for number in numbers]


class OneAtATime:
    """Lets the clock go on when no job of ``settings`` is running."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(self) -> bool:
        text = "".join(path.read_text() for path in self.settings.paths.log.glob("cron/*.log"))
        return text.count(": started") == text.count(": ended") + text.count(": could not")


def test_where_nothing_lands_each_job_runs_at_its_times_and_not_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_with(tmp_path)
    run(settings, Clock(minutes(0, 0, 1, 2, 3, 4, 5, 6), OneAtATime(settings)), "")
    assert (count_starts(settings, "merge"), count_starts(settings, "batch")) == (6, 1)
    assert said(caplog) == ["merge at 2024-05-17 12:01 UTC; batch at 2024-05-17 12:05 UTC", "stopped"]


def test_the_same_minute_starts_a_job_once(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    times = [NOON + timedelta(seconds=seconds) for seconds in (30, 59, 60, 60.5, 90, 119)]
    run(settings, Clock(times, OneAtATime(settings)), "")
    assert count_starts(settings, "merge") == 1


def test_a_job_that_still_runs_is_skipped_and_said_once_then_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_with(tmp_path, {"merge": JOBS["merge"]})
    script = f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.01)"

    def may_go_on() -> bool:
        if not clock.times:
            (tmp_path / "go").touch()
        return True

    clock = Clock(minutes(0, 1, 2, 3, 4), may_go_on)
    run(settings, clock, script)
    assert count_starts(settings, "merge") == 1
    assert said(caplog)[1:] == [
        "merge: skipped: still running after S s",
        "stopping: waiting up to 30 s for merge",
        "merge: ended after S s; 3 runs were skipped meanwhile",
        "stopped",
    ]


def test_different_jobs_run_side_by_side(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, JOBS | {"batch": JOBS["batch"] | {"cron": "* * * * *"}})
    # Each of the two waits for the other's mark: one after the other, neither would end.
    script = (
        "import pathlib, sys, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "(folder / sys.argv[1]).touch()\n"
        "while not all((folder / name).exists() for name in ('merge', 'batch')): time.sleep(0.01)\n"
    )
    run(settings, Clock(minutes(0, 1), OneAtATime(settings)), script)
    assert (count_starts(settings, "merge"), count_starts(settings, "batch")) == (1, 1)


def test_a_failing_job_is_one_line_and_its_output_stays_in_its_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = settings_with(tmp_path, {"merge": JOBS["merge"]})
    run(settings, Clock(minutes(0, 1, 2), OneAtATime(settings)), "import sys; print('why'); sys.exit(7)")
    path = log_file(settings, "merge")
    failure = f"merge: failed with exit code 7 after S s, see {path}"
    assert said(caplog)[1:] == [failure, failure, "stopped"]
    assert path.read_text().count("why\n") == 2
    assert "why" not in capfd.readouterr().out


def test_a_job_that_cannot_be_started_does_not_end_the_schedule(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_with(tmp_path)
    clock = Clock(minutes(4, 5), OneAtATime(settings))
    schedule(
        settings, conf=Path("conf"), root=ROOT, stop=clock.stop, now=clock,
        command=lambda job, *_: ["/nowhere"] if job.command == "merge" else [sys.executable, "-c", ""],
    )  # fmt: skip
    assert [line.split(":")[0] for line in said(caplog)[1:]] == ["job merge could not be started", "stopped"]
    assert count_starts(settings, "batch") == 1


def test_a_job_that_cron_runs_already_is_skipped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_with(tmp_path, {"merge": JOBS["merge"]})
    with lock(settings.lake.locks, "job-merge"):
        run(settings, Clock(minutes(0, 1)), "")
    assert said(caplog)[1:] == ["merge: skipped: another process runs it", "stopped"]


def test_a_stop_lets_a_job_end_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_with(tmp_path, {"merge": JOBS["merge"]})
    run(settings, Clock(minutes(0, 1)), "import time; time.sleep(0.3); print('whole')")
    assert "whole" in log_file(settings, "merge").read_text()
    assert said(caplog)[1:] == ["stopping: waiting up to 30 s for merge", "stopped"]


def test_a_job_that_does_not_end_in_time_is_stopped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_with(tmp_path, {"merge": JOBS["merge"]})
    run(settings, Clock(minutes(0, 1)), "import time; time.sleep(60)", grace_seconds=0.1)
    assert said(caplog)[1:] == [
        "stopping: waiting up to 0.1 s for merge",
        f"merge: failed with exit code 143 after S s, see {log_file(settings, 'merge')}",
        "stopped",
    ]


def test_no_jobs_wait_for_the_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(settings_with(tmp_path, {}), Clock(minutes(0, 1)), "")
    assert said(caplog) == ["the settings have no jobs: nothing to do", "stopped"]


def test_a_job_that_never_comes_round_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, JOBS | {"never": JOBS["merge"] | {"cron": "0 0 31 2 *"}})
    with pytest.raises(SettingsError, match=r"jobs\.never\.cron: "):
        run(settings, Clock(minutes(0, 1)), "")


@pytest.mark.parametrize(
    ("after", "until", "expected"),
    [
        (0, 0, []),
        (0, 1, ["merge"]),
        (4, 5, ["merge", "batch"]),
        (5, 6, ["merge"]),
        (1, 21, ["merge", "batch"]),  # a machine that slept: each once
        (10, 3, []),  # a clock that was set back
    ],
)
def test_a_job_is_due_once_if_its_time_came_since_the_last_look(after: int, until: int, expected: list[str]) -> None:
    jobs = {name: Job.model_validate(job) for name, job in JOBS.items()}
    assert due(jobs, *minutes(after, until)) == expected


def test_expressions_mean_the_local_time_also_when_the_clocks_change() -> None:
    jobs = {"maintain": Job(cron="17 3 * * *", program="cleaner", command="maintain")}
    winter, summer = timezone(timedelta(hours=1)), timezone(timedelta(hours=2))
    before, after = datetime(2024, 3, 31, 1, 59, tzinfo=winter), datetime(2024, 3, 31, 3, 0, tzinfo=summer)
    assert due(jobs, before, after) == []
    assert due(jobs, after, datetime(2024, 3, 31, 3, 17, tzinfo=summer)) == ["maintain"]
    assert upcoming(jobs, before) == ["maintain at 2024-03-31 03:17 UTC+01:00"]


def test_the_clock_has_a_time_zone() -> None:
    assert local_now().utcoffset() is not None


# The first runs ------------------------------------------------------------------------------------------------------

FREQUENT = JOBS | {"maintain": {"cron": "17 3 * * *", "program": "cleaner", "command": "maintain"}}
FAILS_FIRST = "import sys; print(sys.argv[1]); sys.exit(sys.argv[1] == 'merge')"


def land(settings: Settings) -> None:
    settings.lake.landing.mkdir(parents=True)
    (settings.lake.landing / "a.parquet").touch()


def starts(settings: Settings) -> list[str]:
    """The jobs in the order in which they were started, each after the one before had ended."""
    lines = [line.split(" ", 2) for p in settings.paths.log.glob("cron/*.log") for line in p.read_text().splitlines()]
    marks = sorted((at, name, what.split()[0]) for at, name, what in (x for x in lines if len(x) == 3))
    assert [what for _, _, what in marks] == ["started:", "ended"] * (len(marks) // 2)
    return [name.rstrip(":") for _, name, what in marks if what == "started:"]


def test_frequent_jobs_run_once_at_the_start_in_order_when_something_has_landed(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, FREQUENT)
    land(settings)
    ended = log_file(settings, "batch")
    clock = Clock(minutes(0, 0), lambda: ended.exists() and ": ended" in ended.read_text())
    run(settings, clock, FAILS_FIRST)
    assert starts(settings) == ["merge", "batch"]


def test_a_first_run_is_not_doubled_by_the_minute_in_which_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_with(tmp_path, {"merge": JOBS["merge"]})
    land(settings)
    run(settings, Clock(minutes(0, 1), OneAtATime(settings)), "")
    assert (count_starts(settings, "merge"), said(caplog)[1:]) == (1, ["stopped"])


def test_first_runs_beside_a_cron_daemon_end_when_all_have_been(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, FREQUENT)
    land(settings)
    ran_first(settings)
    assert starts(settings) == ["merge", "batch"]


def test_first_runs_beside_a_cron_daemon_are_given_up_where_nothing_lands(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    ran_first(settings, wait_seconds=0.05)
    assert starts(settings) == []


def test_a_stop_lets_a_first_run_end_and_starts_no_other(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    land(settings)
    stop = threading.Event()

    class Stopping:
        """Sets the stop once the first job has said something."""

        def __call__(self, job: Job, *_: object) -> list[str]:
            stop.set()
            return [sys.executable, "-c", "print('whole')"]

    run_first(settings, conf=Path("conf"), root=ROOT, stop=stop, now=lambda: NOON, command=Stopping())
    assert "whole" in log_file(settings, "merge").read_text()
    assert starts(settings) == ["merge"]


def ran_first(settings: Settings, *, wait_seconds: float = 30) -> None:
    run_first(
        settings, conf=Path("conf"), root=ROOT, stop=threading.Event(), now=lambda: NOON, wait_seconds=wait_seconds,
        command=lambda job, *_: [sys.executable, "-c", FAILS_FIRST, job.command],
    )  # fmt: skip


def test_a_first_run_waits_for_landed_rows_for_the_programs_to_settle_and_for_the_jobs_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_runs, "SETTLE_SECONDS", SETTLE_SECONDS)
    settings = settings_with(tmp_path, FREQUENT)
    seconds = [100.0]
    first = FirstRuns(settings, NOON, clock=lambda: seconds[0])
    seconds.append(100 + SETTLE_SECONDS)
    assert (first.take(), first.waiting, first.has_begun) == ([], ["merge", "batch"], False)
    land(settings)
    assert first.take() == []
    seconds.pop(0)
    with lock(settings.lake.locks, "job-batch"):  # cron has started it
        assert first.take() == []
    assert first.take() == ["merge"]
    (settings.lake.landing / "a.parquet").unlink()
    with lock(settings.lake.locks, "job-merge"):
        assert first.take() == []
    assert (first.take(), first.take(), first.waiting) == (["batch"], [], [])
