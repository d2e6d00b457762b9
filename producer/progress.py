"""How far an ingest is: a bar on a terminal, else a line in the log every few seconds."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

log = logging.getLogger("producer.ingest")

LINE_SECONDS = 5
MEGABYTE = 1_000_000


class Progress:
    """Shown while it is entered.

    :param total_bytes: of all logs, as they are on the disk; ``None`` when that is not known.
    """

    def __init__(self, total_bytes: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.read_bytes = 0
        self.lines = 0
        self._total_bytes, self._clock = total_bytes, clock
        self._begun = self._last_shown = clock()
        self._bar: tuple[Bar, TaskID] | None = None
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            bar = self._closing.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
            self._bar = bar, bar.add_task("ingest", total=self._total_bytes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    def advance(self, read_bytes: int, lines: int) -> None:
        """So much more was read from the disk, and so many lines were landed."""
        self.read_bytes += read_bytes
        self.lines += lines
        now = self._clock()
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=self.read_bytes)
        elif now - self._last_shown >= LINE_SECONDS:
            self._last_shown = now
            log.info("%s", self._line(now - self._begun))

    def _line(self, seconds: float) -> str:
        of_all = ""
        if self._total_bytes:
            percent = min(100, 100 * self.read_bytes // self._total_bytes)
            of_all = f" of {self._total_bytes / MEGABYTE:,.0f} MB ({percent} %)"
        speed = self.lines / max(seconds, 0.001)
        return f"read {self.read_bytes / MEGABYTE:,.0f}{of_all or ' MB'}, {self.lines:,} lines, {speed:,.0f} lines/s"
