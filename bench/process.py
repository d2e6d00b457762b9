"""A command measured as a whole process: time, processor time and memory of it and all its descendants. I/O."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.errors import BenchError

ROOT = Path(__file__).parents[1]
MEGABYTE = 1_000_000
STOP_SECONDS = 150.0
RUN_SECONDS = 3600.0
TAIL_CHARACTERS = 2_000
# Of what the watcher writes down.
NOT_AS_IT_IS = ("samples", "largest_process_bytes", "was_left_running")


@dataclass(frozen=True)
class Sample:
    """A moment of a tree of processes: seconds since the epoch, memory of all together, processor seconds so far."""

    at: float
    megabytes: float
    processor_seconds: float


@dataclass(frozen=True)
class Usage:
    """What a command used.

    :param wall_seconds: from its start until it had ended itself.
    :param processor_seconds: of all its processes, user and system.
    :param peak_megabytes: the most that all its processes had together (PSS, sampled), or one of them by itself (RSS).
    """

    started_at: float
    wall_seconds: float
    processor_seconds: float
    peak_megabytes: float
    exit_code: int
    samples: Sequence[Sample] = field(repr=False)

    def between(self, begin: float, end: float) -> Sequence[Sample]:
        """The samples of a span of time."""
        return [sample for sample in self.samples if begin <= sample.at < end]

    def processor_used(self, begin: float, end: float) -> float:
        """Processor seconds in a span of time, as far as it was running."""
        found = self.between(begin, end)
        return found[-1].processor_seconds - found[0].processor_seconds if found else 0.0

    def processor_share(self, begin: float, end: float) -> float:
        """Cores that were busy on average in a span of time."""
        found = self.between(begin, end)
        if len(found) < 2:
            return 0.0
        return self.processor_used(begin, end) / (found[-1].at - found[0].at)


class Program:
    """A command that is running, watched. Used as a context, it is ended when the block is left.

    :param log: gets what it prints.
    """

    def __init__(
        self, command: Sequence[str | Path], log: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        self._seen: dict[int, float] = {}
        self._result = log.with_suffix(".usage.json")
        self._result.unlink(missing_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        # The settings are those of the lake, whatever the caller's are.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
        with log.open("ab") as output:
            # A session of its own: Ctrl-C is for the bench alone, which then ends its programs in order.
            self._watcher = subprocess.Popen(
                [sys.executable, "-m", "bench.watcher", str(self._result), *self.command],
                cwd=ROOT, env=inherited | dict(environment or {}), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_error: object) -> None:
        if self.is_running:
            self._watcher.send_signal(signal.SIGTERM)
            try:
                self._watcher.wait(STOP_SECONDS)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                with suppress(psutil.NoSuchProcess):
                    for process in psutil.Process(self._watcher.pid).children(recursive=True):
                        process.kill()  # the watcher then ends by itself

    @property
    def is_running(self) -> bool:
        """Whether it, or anything it started, goes on."""
        return self._watcher.poll() is None

    def wait(self, seconds: float) -> Usage:
        """Wait for its end and say what it used.

        :raises BenchError: it was not measured, has not ended in so many seconds, or left processes behind.
        """
        try:
            self._watcher.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self._shown} has not ended in {seconds:.0f} s: {self.told()}") from None
        try:
            content = json.loads(self._result.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BenchError(f"{self._shown} could not be measured: {self.told()}") from None
        self._result.unlink()
        used = usage(content)
        if content["was_left_running"]:
            raise BenchError(f"{self._shown} left processes behind that had to be killed: {self.told()}")
        return used

    def stop(self, seconds: float = STOP_SECONDS) -> Usage:
        """End it by SIGTERM and say what it used."""
        if self.is_running:
            self._watcher.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def processor_seconds(self) -> float:
        """What all its processes have used so far, those too that were seen here before and have ended."""
        for process in psutil.Process(self._watcher.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                self._seen[process.pid] = sum(process.cpu_times()[:2])
        return sum(self._seen.values())

    def require_running(self) -> None:
        """See that it goes on.

        :raises BenchError: it has ended; has the end of what it printed.
        """
        if not self.is_running:
            raise BenchError(f"{self._shown} has ended too early: {self.told()}")

    def told(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-TAIL_CHARACTERS:].strip()

    @property
    def _shown(self) -> str:
        return " ".join(self.command)


def run(command: Sequence[str | Path], log: Path, *, environment: Mapping[str, str] | None = None) -> Usage:
    """Run a command to its end.

    :raises BenchError: it failed; has the end of what it printed.
    """
    with Program(command, log, environment=environment) as program:
        used = program.wait(RUN_SECONDS)
    if used.exit_code:
        raise BenchError(f"{' '.join(program.command)} ended with code {used.exit_code}: {program.told()}")
    return used


def usage(content: Mapping[str, Any]) -> Usage:
    """What the watcher wrote down."""
    samples = [Sample(at, used / MEGABYTE, seconds) for at, used, seconds in content["samples"]]
    # What comes and goes between two looks, the kernel knows of each process by itself.
    largest = content["largest_process_bytes"] / MEGABYTE
    plain = {name: value for name, value in content.items() if name not in NOT_AS_IT_IS}
    peak = max([largest, *(sample.megabytes for sample in samples)])
    return Usage(**plain, peak_megabytes=peak, samples=samples)
