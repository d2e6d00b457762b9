"""``python -m bench.watcher OUTPUT COMMAND...``: runs a command and writes down what it and all its descendants used. I/O.

It is a process of its own, so that nothing else counts. As a *subreaper* it inherits the command's orphans: a JVM that
outlives the Python program which started it is waited for here, and its processor time comes with ``wait4``.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# To look costs a few milliseconds of another core.
QUICK_SECONDS, QUICK_INTERVAL, INTERVAL = 2.0, 0.05, 0.5
# What a command leaves running when it has ended is given so long to end by itself.
LINGER_SECONDS = 20.0
STOP_SECONDS = 120.0


class Watcher:
    """Runs one command and keeps count of its tree of processes."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.samples: list[tuple[float, int, float]] = []
        self.reaped_seconds = 0.0
        self.unreaped: dict[int, float] = {}
        """Processor seconds of those whose parent lets the kernel forget them (Spark's Python workers), as last seen."""
        self.largest_process = 0
        self.stop_by: float | None = None
        self.known: set[int] = set()

    def run(self) -> dict[str, Any]:
        """Run it to the end of all its processes. SIGTERM is passed on to the command."""
        started_at, started = time.time(), time.monotonic()
        self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        signal.signal(signal.SIGTERM, self._stop)
        end = os.pidfd_open(self.child.pid)
        exit_code: int | None = None
        wall_seconds = 0.0
        was_left = False
        while True:
            ended = self._reap()
            if exit_code is None and ended is not None:
                exit_code, wall_seconds = ended, time.monotonic() - started
                self.stop_by = time.monotonic() + LINGER_SECONDS
            if not self._has_children():
                break
            if self.stop_by is not None and time.monotonic() > self.stop_by:
                was_left = was_left or exit_code is not None
                self._kill_all()
            self._sample()
            pause = QUICK_INTERVAL if exit_code is not None or time.monotonic() - started < QUICK_SECONDS else INTERVAL
            if exit_code is None:
                select.select([end], [], [], pause)  # its end is seen at once
            else:
                time.sleep(pause)
        return {
            "started_at": started_at, "wall_seconds": wall_seconds,
            "processor_seconds": self.reaped_seconds + sum(self.unreaped.values()), "largest_process_bytes": self.largest_process,
            "exit_code": exit_code, "was_left_running": was_left, "samples": self.samples,
        }  # fmt: skip

    def _stop(self, _number: int, _frame: object) -> None:
        has_ended = self.child.returncode is not None
        self.stop_by = time.monotonic() + (0 if has_ended else STOP_SECONDS)
        self.child.send_signal(signal.SIGTERM)

    def _reap(self) -> int | None:
        """Collect all that have ended; the command's exit code if it is among them."""
        code = None
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return code
            if pid == 0:
                return code
            self.unreaped.pop(pid, None)
            self.reaped_seconds += usage.ru_utime + usage.ru_stime
            self.largest_process = max(self.largest_process, usage.ru_maxrss * 1024)
            if pid == self.child.pid:
                code = os.waitstatus_to_exitcode(status)
                self.child.returncode = code  # it is not Popen that waits

    def _has_children(self) -> bool:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def _kill_all(self) -> None:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _sample(self) -> None:
        """Memory of the whole tree together, and its processor time so far.

        A process counts from the second look on: between fork and exec it is seen with its parent's memory as its own.
        """
        used, seconds, pids = 0, self.reaped_seconds, set()
        for process in psutil.Process().children(recursive=True):
            try:
                with process.oneshot():
                    used_seconds = sum(process.cpu_times()[:4])  # its collected children's too
                    if ignores_children(process.ppid()):
                        self.unreaped[process.pid] = used_seconds
                    else:
                        self.unreaped.pop(process.pid, None)  # an orphan: it comes to us
                        seconds += used_seconds
                    used += proportional_bytes(process) if process.pid in self.known else 0
            except psutil.Error:  # it has just ended
                continue
            pids.add(process.pid)
        self.known = pids
        self.samples.append((time.time(), used, round(seconds + sum(self.unreaped.values()), 2)))


def ignores_children(pid: int) -> bool:
    """Whether a process lets the kernel reap its children: then their processor time comes to nobody."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
    ignored = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored, 16) >> (signal.SIGCHLD - 1) & 1)


def proportional_bytes(process: psutil.Process) -> int:
    """Its share of memory (PSS): pages that processes have in common count once. RSS where that cannot be read."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)


def main() -> None:
    """Watch the command of the command line."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    output, *command = sys.argv[1:]
    found = Watcher(command).run()
    Path(output).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
