"""Periodic jobs as processes: real ones, of a few lines of Python."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleaner import jobs
from cleaner.jobs import (
    JobLog,
    RunningJob,
    job_command,
    log_file,
    run_job,
    start_job,
    wait_for_any,
)
from lakehouse.errors import InputError
from lakehouse.locks import is_locked, lock
from lakehouse.settings import Job, Settings, unpack_settings

CONF = Path("conf/pipeline.yaml")
ROOT = Path(__file__).parents[2]
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"
PATIENCE_SECONDS = 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    paths = {"data_lake": str(tmp_path / "lake"), "log": str(tmp_path / "log")}
    return unpack_settings({"paths": paths}, "test")


def run(settings: Settings, script: str, *, is_echoed: bool = False, stop: threading.Event | None = None) -> int:
    return run_job(
        "merge", settings, conf=CONF, root=ROOT, stop=stop or threading.Event(), is_echoed=is_echoed,
        command=lambda *_: [sys.executable, "-c", script],
    )  # fmt: skip


def start(settings: Settings, script: str) -> RunningJob:
    job = start_job("merge", settings, conf=CONF, root=ROOT, command=lambda *_: [sys.executable, "-c", script])
    assert job is not None
    return job


def end_of(job: RunningJob) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (exit_code := job.advance()) is None:
        assert time.monotonic() < deadline, "the job does not end"
        wait_for_any([job], 0.05)
    job.close()
    return exit_code


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.02)
    return path.read_text()


def logged(settings: Settings) -> list[str]:
    """The log's lines; times and durations as T and S."""
    text = log_file(settings, "merge").read_text(encoding="utf-8")
    return [re.sub(r"after \d+\.\d s", "after S s", re.sub(f"^{TIME}", "T", line)) for line in text.splitlines()]


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def assert_ends(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.02)


def test_a_job_is_its_program_and_command_with_the_settings_file() -> None:
    job = Job(cron="* * * * *", program="consumer", command="batch")
    expected = ["/venv/python", "-m", "consumer", "batch", "--conf", "my conf.yaml"]
    assert job_command(job, Path("my conf.yaml"), "/venv/python") == expected


def test_the_log_has_start_output_and_end(settings: Settings) -> None:
    script = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"
    assert run(settings, script) == 3
    assert logged(settings) == [
        f"T merge: started: {sys.executable} -c {script}",
        "out",
        "err",
        "T merge: ended after S s with exit code 3",
    ]


def test_runs_follow_each_other_in_the_log_and_an_open_line_is_ended(settings: Settings) -> None:
    assert [run(settings, "print('no newline', end='')"), run(settings, "")] == [0, 0]
    assert logged(settings) == [
        f"T merge: started: {sys.executable} -c print('no newline', end='')",
        "no newline",
        "T merge: ended after S s with exit code 0",
        f"T merge: started: {sys.executable} -c ",
        "T merge: ended after S s with exit code 0",
    ]


def test_output_passes_byte_by_byte_even_if_it_is_no_text(settings: Settings) -> None:
    assert run(settings, r"import sys; sys.stdout.buffer.write(b'\xff\x00%s {} \x1b[1m\n')") == 0
    assert log_file(settings, "merge").read_bytes().splitlines()[1] == b"\xff\x00%s {} \x1b[1m"


def test_the_words_of_a_job_cannot_forge_a_line(settings: Settings) -> None:
    assert run(settings, "pass\n# T merge: ended\x1b[2J") == 0
    assert logged(settings)[0].endswith(r"-c pass\n# T merge: ended\x1b[2J")
    assert len(logged(settings)) == 2


def test_output_is_copied_to_the_terminal_only_if_asked(
    settings: Settings, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(settings, "print('quiet')") == 0
    assert capfdbinary.readouterr().out == b""
    assert run(settings, "print('loud')", is_echoed=True) == 0
    assert capfdbinary.readouterr().out.splitlines()[1:-1] == [b"loud"]


def test_a_large_output_arrives_whole_while_the_job_runs(settings: Settings) -> None:
    assert run(settings, "for n in range(200_000): print(n)") == 0
    assert logged(settings)[1:-1] == [str(n) for n in range(200_000)]


def test_output_arrives_before_the_job_ends(settings: Settings) -> None:
    job = start(settings, "import time; print('first', flush=True); time.sleep(60)")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "first" not in logged(settings):
        assert time.monotonic() < deadline
        assert job.advance() is None
        wait_for_any([job], 0.05)
    job.close()
    assert logged(settings)[1:] == ["first", "T merge: ended after S s with exit code 137"]


def test_a_job_that_still_runs_is_skipped_with_one_line_and_exit_code_0(settings: Settings) -> None:
    with lock(settings.lake.locks, "job-merge"):
        assert run(settings, "print('never')") == 0
    assert logged(settings) == ["T merge: skipped: still running"]
    assert run(settings, "print('now')") == 0


def test_a_job_never_overlaps_itself(settings: Settings) -> None:
    first = start(settings, "import time; time.sleep(60)")
    assert is_locked(settings.lake.locks, "job-merge")
    second = start_job("merge", settings, conf=CONF, root=ROOT, command=lambda *_: ["false"])
    assert second is None
    first.close()
    assert not is_locked(settings.lake.locks, "job-merge")


def test_a_job_that_is_not_in_the_settings_is_an_error_that_names_those_that_are(settings: Settings) -> None:
    with pytest.raises(InputError, match=r"no such job: \\x1b\[1mmerg; the settings have: batch, maintain, merge"):
        run_job("\x1b[1mmerg", settings, conf=CONF, root=ROOT, stop=threading.Event())


def test_a_process_that_cannot_be_started_is_an_error_and_stands_in_the_log(settings: Settings) -> None:
    with pytest.raises(InputError, match=r"merge could not be started: .*No such file.*: /nowhere/python -m cleaner"):
        run_job("merge", settings, conf=CONF, root=ROOT, stop=threading.Event(), python="/nowhere/python")
    assert logged(settings)[1].startswith("T merge: could not be started: ")
    assert not is_locked(settings.lake.locks, "job-merge")


def test_a_log_that_cannot_be_opened_is_an_error_that_names_it(settings: Settings) -> None:
    settings.paths.log.parent.mkdir(parents=True, exist_ok=True)
    settings.paths.log.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"merge\.log: a job's log cannot be written there: Not a directory"):
        run(settings, "")


def test_the_job_runs_in_the_root_and_in_a_session_of_its_own(settings: Settings) -> None:
    assert run(settings, "import os; print(os.getcwd(), os.getsid(0) == os.getpid() == os.getpgid(0))") == 0
    assert logged(settings)[1] == f"{ROOT} True"


def test_sigterm_reaches_the_job_which_may_end_in_its_own_way(settings: Settings, tmp_path: Path) -> None:
    script = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): print('ending well'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).write_text('yes')\n"
        "time.sleep(60)\n"
    )
    job = start(settings, script)
    wait_for(tmp_path / "ready")
    job.stop()
    job.stop()
    assert end_of(job) == 0
    assert logged(settings)[1:] == ["ending well", "T merge: ended after S s with exit code 0"]


def test_a_set_event_stops_the_job_and_its_exit_code_tells_the_signal(settings: Settings) -> None:
    stop = threading.Event()
    stop.set()
    assert run(settings, "import time; time.sleep(60)", stop=stop) == 128 + signal.SIGTERM


def test_a_job_that_ignores_sigterm_is_killed_with_all_it_started(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "STOP_SECONDS", 0.1)
    script = (
        "import pathlib, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    job = start(settings, script)
    child = int(wait_for(tmp_path / "pid"))
    job.stop()
    assert end_of(job) == 128 + signal.SIGKILL
    assert_ends(child)


def test_what_a_job_leaves_behind_is_killed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LEFTOVER_SECONDS", 0.1)
    sleep = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid"
    assert run(settings, f"import subprocess, sys; print({sleep})") == 0
    assert_ends(int(logged(settings)[1]))


def test_a_job_that_closes_its_output_is_waited_for(settings: Settings) -> None:
    assert run(settings, "import os, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(4)") == 4


def test_a_job_is_waited_for_also_where_the_system_does_not_tell_of_its_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_process: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refused)
    assert run(settings, "import os, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(4)") == 4


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_a_job_does_not_survive_a_wrapper_that_is_killed(settings: Settings, tmp_path: Path) -> None:
    pid_file = str(tmp_path / "pid")
    job = f"import os, pathlib, time; pathlib.Path({pid_file!r}).write_text(str(os.getpid())); time.sleep(60)"
    paths = {"data_lake": str(tmp_path), "log": str(tmp_path)}
    wrapper = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from cleaner.jobs import run_job\n"
        "from lakehouse.settings import unpack_settings\n"
        f"settings = unpack_settings({{'paths': {paths!r}}}, 'test')\n"
        "run_job('merge', settings, conf=Path('x'), root=Path(), stop=threading.Event(),\n"
        f"        command=lambda *_: [sys.executable, '-c', {job!r}])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", wrapper], cwd=ROOT)
    child = int(wait_for(tmp_path / "pid"))
    process.kill()
    process.wait()
    assert_ends(child)


@pytest.fixture
def small_log(tmp_path: Path) -> Iterator[JobLog]:
    log = JobLog(tmp_path / "cron" / "merge.log", max_bytes=10)
    yield log
    log.close()


def test_a_full_log_is_rotated_and_the_oldest_goes(small_log: JobLog) -> None:
    for n in range(8):
        small_log.write(f"{n:09}\n".encode())
    files = sorted(small_log.path.parent.iterdir())
    assert [file.name for file in files] == ["merge.log", *(f"merge.log.{n}" for n in range(1, 6))]
    assert [int(file.read_text()) for file in files] == [7, 6, 5, 4, 3, 2]


def test_a_log_that_was_full_before_is_rotated_too(small_log: JobLog) -> None:
    small_log.write(b"full at once\n")
    again = JobLog(small_log.path, max_bytes=10)
    again.write(b"new\n")
    again.close()
    assert small_log.path.read_text() == "new\n"


def test_a_full_disk_is_said_once_and_ends_nothing(
    small_log: JobLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(io.RawIOBase):
        def tell(self) -> int:
            return 0

        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    small_log.file.close()
    monkeypatch.setattr(small_log, "file", FullDisk())
    small_log.write(b"a\n")
    small_log.write(b"b\n")
    said = [f"{small_log.path} cannot be written: No space left on device; what does not fit is lost"]
    assert [record.getMessage() for record in caplog.records] == said


def test_a_terminal_that_is_gone_does_not_end_the_job(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb", buffering=0) as echo:
        log = JobLog(tmp_path / "x.log", echo)
        log.write(b"a\n")
        log.write(b"b\n")
        log.close()
    assert (tmp_path / "x.log").read_bytes() == b"a\nb\n"
