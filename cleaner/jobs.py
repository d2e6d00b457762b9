"""One run of a periodic job: a process of its own, never beside itself, with its output in ``log/cron/<job>.log``. I/O.

A job is started, then advanced by whoever waits for it (``run_job`` for one, the schedule for several) until it has
ended. One thread does all of that: the kernel ends a job with the thread that started it.
"""

import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

from lakehouse.cli import TRACED
from lakehouse.errors import InputError, LockedError
from lakehouse.ledger import now_text
from lakehouse.locks import lock
from lakehouse.logs import BACKUPS, MAX_BYTES, printable
from lakehouse.settings import Job, Settings

POLL_SECONDS = 0.2
STOP_SECONDS = 60  # from SIGTERM to SIGKILL
LEFTOVER_SECONDS = 10  # how long what a job started, such as its JVM, may outlive it
CHUNK_BYTES = 1 << 16
CHUNKS_AT_ONCE = 64
PR_SET_PDEATHSIG = 1  # prctl(2)
LIBC = ctypes.CDLL(None)  # loaded here: between fork and exec is no time for it

Command = Callable[[Job, Path, str], list[str]]

log = logging.getLogger("cleaner.jobs")


def job_command(job: Job, conf: Path, python: str) -> list[str]:
    """The words of the job's process."""
    return [python, "-m", job.program, job.command, "--conf", str(conf)]


def run_job(
    name: str,
    settings: Settings,
    *,
    conf: Path,
    root: Path,
    stop: threading.Event,
    python: str = sys.executable,
    is_echoed: bool = False,
    command: Command = job_command,
) -> int:
    """Run the job ``name`` of ``settings.jobs`` once, and wait for it.

    :param root: its working directory.
    :param stop: once set, the job gets SIGTERM, and after ``STOP_SECONDS`` SIGKILL with all that it started.
    :param is_echoed: copy its output to standard output too.
    :return: its exit code, 128 and the signal's number if one ended it; 0 if it was skipped because it still runs.
    :raises InputError: there is no such job, or its process cannot be started.
    """
    job = start_job(name, settings, conf=conf, root=root, python=python, is_echoed=is_echoed, command=command)
    if job is None:
        return 0
    try:
        while (exit_code := job.advance()) is None:
            wait_for_any([job], POLL_SECONDS)
            if stop.is_set():
                job.stop()
    finally:
        job.close()
    return exit_code


def start_job(
    name: str,
    settings: Settings,
    *,
    conf: Path,
    root: Path,
    python: str = sys.executable,
    is_echoed: bool = False,
    command: Command = job_command,
) -> "RunningJob | None":
    """Start the job ``name``; parameters and errors as ``run_job``.

    :return: the run, to be advanced until it ends, and closed; ``None`` if the last one still goes on.
    """
    if name not in settings.jobs:
        raise InputError(f"no such job: {printable(name)}; the settings have: {', '.join(sorted(settings.jobs))}")
    output = JobLog(log_file(settings, name), sys.stdout.buffer if is_echoed else None)
    resources = ExitStack()
    resources.callback(output.close)
    with resources:
        try:
            resources.enter_context(lock(settings.lake.locks, f"job-{name}"))
        except LockedError:
            output.write_line(f"{name}: skipped: still running")
            return None
        return RunningJob(name, command(settings.jobs[name], conf, python), root, output, resources.pop_all())


def log_file(settings: Settings, name: str) -> Path:
    """Where the output of job ``name`` goes."""
    return settings.paths.log / "cron" / f"{name}.log"


class RunningJob:
    """One run of a job. Its process leads a session of its own, so that Ctrl-C reaches it through us alone.

    :param words: the process's words.
    :param output: where its output goes; its start and end are noted there too.
    :param resources: what is given back when the run is closed: the job's lock and log.
    :raises InputError: the process cannot be started.
    """

    def __init__(self, name: str, words: list[str], root: Path, output: "JobLog", resources: ExitStack) -> None:
        self.name = name
        self.output = output
        self.resources = resources
        self.started = time.monotonic()
        self.stopped: float | None = None
        self.exited: float | None = None
        self.exit_code: int | None = None
        output.write_line(f"{name}: started: {printable(' '.join(words))}")
        try:
            self.process = subprocess.Popen(
                words, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
                start_new_session=True, preexec_fn=_end_with_parent, env=os.environ | {TRACED: "1"},
            )  # fmt: skip
        except OSError as error:
            output.write_line(f"{name}: could not be started: {error}")
            resources.close()
            raise InputError(f"job {name} could not be started: {error}; it is: {printable(' '.join(words))}") from None
        self.pipe = cast(BinaryIO, self.process.stdout)
        os.set_blocking(self.pipe.fileno(), False)
        self.end = _end_of(self.process.pid)

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started

    @property
    def awaited(self) -> list[int]:
        """File descriptors: one of them is readable when there is something to copy, or the process has ended."""
        output = [] if self.pipe.closed else [self.pipe.fileno()]
        return output if self.exited or self.end is None else [*output, self.end]

    def advance(self) -> int | None:
        """Copy what output there is, and end what is overdue. Never waits.

        :return: the exit code, once the job and its output have ended.
        """
        if self.exit_code is not None:
            return self.exit_code
        self._copy_output()
        code = self.process.poll()
        now = time.monotonic()
        if code is None:
            if self.stopped is not None and now > self.stopped + STOP_SECONDS:
                self._kill_group()
            return None
        self.exited = self.exited or now
        if not self.pipe.closed and now < self.exited + LEFTOVER_SECONDS:
            return None
        self._end(code)
        return self.exit_code

    def stop(self) -> None:
        """Ask the job to end: SIGTERM, once."""
        if self.stopped is None and self.exit_code is None:
            self.stopped = time.monotonic()
            self.process.terminate()

    def close(self) -> None:
        """Give the lock and the log back; a job that has not ended is killed."""
        if self.exit_code is None:
            self._kill_group()
            self._end(self.process.wait())
        self.resources.close()

    def _copy_output(self) -> None:
        for _ in range(0 if self.pipe.closed else CHUNKS_AT_ONCE):
            try:
                chunk = os.read(self.pipe.fileno(), CHUNK_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                self.pipe.close()
                return
            self.output.write(chunk)

    def _end(self, code: int) -> None:
        self._kill_group()
        self.pipe.close()
        if self.end is not None:
            os.close(self.end)
        self.exit_code = code if code >= 0 else 128 - code
        self.output.write_line(f"{self.name}: ended after {self.seconds:.1f} s with exit code {self.exit_code}")

    def _kill_group(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # nothing of it is left that we could end


def _end_of(process: int) -> int | None:
    """A file descriptor that is readable once ``process`` has ended; ``None`` where the system gives none."""
    try:
        return os.pidfd_open(process)
    except OSError:  # no file descriptor left, or a container's filter of system calls that is older than this one
        return None


def wait_for_any(jobs: Iterable[RunningJob], seconds: float) -> None:
    """Return when one of ``jobs`` has something to say or has ended, or after ``seconds``."""
    select.select([end for job in jobs for end in job.awaited], [], [], seconds)


class JobLog:
    """A job's log: bytes as they come, and lines of our own. Rotated by size.

    When it cannot be written to (a full disk), that is said once, and the job goes on.

    :param echo: a second place for everything.
    :raises InputError: it cannot be opened.
    """

    def __init__(self, path: Path, echo: BinaryIO | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.echo = echo
        self.max_bytes = max_bytes
        self.is_at_line_start = True
        self.has_failed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.open("ab", buffering=0)
        except OSError as error:
            raise InputError(f"{path}: a job's log cannot be written there: {error.strerror}") from None

    def write_line(self, text: str) -> None:
        """Write ``text`` on a line of its own, with the time in UTC."""
        break_before = "" if self.is_at_line_start else "\n"
        self.write(f"{break_before}{now_text()} {text}\n".encode(errors="backslashreplace"))

    def write(self, data: bytes) -> None:
        """Write ``data`` as it is."""
        self.is_at_line_start = data.endswith(b"\n")
        try:
            self._rotate()
            self.file.write(data)
        except OSError as error:
            if not self.has_failed:
                log.error("%s cannot be written: %s; what does not fit is lost", self.path, error.strerror)
            self.has_failed = True
        if self.echo is not None:
            self._copy(self.echo, data)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _rotate(self) -> None:
        """Begin a new file if this one is full; the oldest goes."""
        if self.file.tell() < self.max_bytes:
            return
        files = [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, BACKUPS + 1))]
        for newer, older in reversed(list(pairwise(files))):
            if newer.exists():
                newer.replace(older)
        full, self.file = self.file, self.path.open("ab", buffering=0)
        full.close()

    def _copy(self, echo: BinaryIO, data: bytes) -> None:
        try:
            echo.write(data)
            echo.flush()
        except OSError:
            self.echo = None  # nobody reads it any more


def _end_with_parent() -> None:
    """In the new process: SIGTERM for it when its parent dies, however that happens. Linux alone can do so."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
