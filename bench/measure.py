"""How a row is measured: its subjects take turns, so that what else the machine does falls on all of them alike. I/O."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.process import Usage
from bench.results import Case, Run
from lakehouse.errors import PipelineError

Say = Callable[[str], None]
SHOWN_CHARACTERS = 400
POLL_SECONDS = 1.0  # to look takes time from what is looked at


@dataclass(frozen=True)
class Subject:
    """Something to measure at one size.

    :param measured: does the work once, in a new folder that is removed afterwards, checks what came of it, and says what
        it took.
    """

    name: str
    size: str
    measured: Callable[[Path], Run]


@dataclass(frozen=True)
class Bench:
    """How this row is to be measured.

    :param folder: for everything that is made; what should serve other rows too has a name of its own in ``made``.
    :param is_full: the sizes of the issue; otherwise small ones.
    :param runs: of each subject.
    """

    folder: Path
    is_full: bool
    runs: int
    say: Say

    @property
    def made(self) -> Path:
        """What is made once."""
        return self.folder / "made"

    def pick(self, quick: int, full: int) -> int:
        """A size by the form."""
        return full if self.is_full else quick

    def take_turns(self, subjects: Sequence[Subject]) -> list[Case]:
        """Measure the subjects one after the other, as many times as there are runs."""
        taken: dict[int, list[Run]] = {number: [] for number in range(len(subjects))}
        for turn in range(1, self.runs + 1):
            for number, subject in enumerate(subjects):
                taken[number].append(self._one(subject, f"{subject.name}, {subject.size}, run {turn} of {self.runs}"))
        return [Case(s.name, s.size, taken[number]) for number, s in enumerate(subjects)]

    def _one(self, subject: Subject, shown: str) -> Run:
        folder = self.folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            run = subject.measured(folder)
        except PipelineError as error:  # said, and the other subjects go on
            run = void(error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        figures = "".join(f", {value:,.4g} {name}" for name, value in run.figures.items())
        self.say(
            f"{shown}: {run.wall_seconds:.2f} s, {run.processor_seconds:.2f} core-seconds, {run.peak_megabytes:.0f} MB{figures}"
            + (f" - VOID: {run.void}" if run.void else "")
        )
        return run


def run_of(used: Usage, void: str | None = None, **figures: float) -> Run:
    """A run as the process used it."""
    return Run(used.wall_seconds, used.processor_seconds, used.peak_megabytes, figures, void)


def void(error: PipelineError) -> Run:
    """A run that failed, and why."""
    return Run(0.0, 0.0, 0.0, void=" ".join(str(error).split())[-SHOWN_CHARACTERS:])


def wrong(**checks: tuple[object, object]) -> str | None:
    """Why a result does not count: what is not as it must be, by name; ``None`` if all is right.

    :param checks: what there is, and what there must be.
    """
    found = [f"{name} is {there}, not {due}" for name, (there, due) in checks.items() if there != due]
    return "; ".join(found) or None


def wait_until(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something.

    :raises BenchError: it has not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
