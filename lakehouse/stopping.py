"""Ending a program that a signal stops: at once, with one line, and exit code 130 (SIGINT) or 143 (SIGTERM).

All that our programs write is whole or not there, and the next run goes on from it. So there is nothing to wait for; what
other threads and a JVM would say as their work is taken from them is of no use to anyone.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lakehouse.starting import SIGNALS, last_words, stopped_by

# What is left to do after the last line must not take longer.
END_SECONDS = 10.0

LAST = {"is_last": True}  # marks the record of a program's last words

log = logging.getLogger("lakehouse")


class Stopped(SystemExit):
    """A signal ended the program."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(128 + number)

    def __str__(self) -> str:
        """For the ledger, and for people."""
        return stopped_by(self.number)


class _Ending:
    """The signal that ends this program, and what was its standard error until then."""

    def __init__(self) -> None:
        self.by: int | None = None
        self.terminal: int | None = None


_ending = _Ending()


def run(program: Callable[[], object]) -> None:
    """Run a program to its end, or until a signal ends it. A second signal ends it in the middle of that."""
    for number in SIGNALS:
        signal.signal(number, _end)
    try:
        program()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _ending.by is None:  # the session has just taken Ctrl-C for itself
            _silence(signal.SIGINT)
        if _ending.by is None:
            raise
        _say_and_end(_ending.by)


def is_stopped() -> bool:
    """Whether a signal ends this program: what fails from now on does so for that."""
    return _ending.by is not None


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    _silence(number)
    raise Stopped(number)


def _silence(number: int) -> None:
    """Note the signal, and let nobody else say anything: log no more, close standard error, and end our JVM."""
    _ending.by = number
    _ending.terminal = os.dup(2)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_last)
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for child in _children():
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)


def _say_and_end(number: int) -> NoReturn:
    assert _ending.terminal is not None
    line, handlers = last_words(number), logging.getLogger().handlers
    # Standard error itself stays closed: other threads may still write to it.
    with open(_ending.terminal, "w", encoding="utf-8", closefd=False) as terminal:
        if log.isEnabledFor(logging.INFO) and handlers:
            for handler in handlers:
                if type(handler) is logging.StreamHandler:
                    handler.setStream(terminal)
            log.info("%s", line, extra=LAST)
        else:
            terminal.write(f"{line}\n")
    guard = threading.Timer(END_SECONDS, os._exit, (128 + number,))
    guard.daemon = True
    guard.start()
    raise Stopped(number)


def _is_last(record: logging.LogRecord) -> bool:
    return LAST.keys() <= vars(record).keys()


def _children() -> list[int]:
    """The processes that this one has started; none where the system does not say."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == os.getpid():
            found.append(int(status.parent.name))
    return found
