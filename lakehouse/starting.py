"""Ending a program that a signal stops while Python still loads it: at once, as ``lakehouse.stopping`` does later on.

The entry points ask for it before they import anything else. So nothing is imported here that takes time to load.
"""

import os
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_on_signals() -> None:
    """Let a signal end the program with one line and its exit code. Nothing has been begun yet that could be left half done."""
    for number in SIGNALS:
        signal.signal(number, _end)


def stopped_by(number: int) -> str:
    """Which signal ended a program, in words."""
    return f"stopped by {signal.Signals(number).name}"


def last_words(number: int) -> str:
    """What a program says that a signal ends."""
    return f"{stopped_by(number)}: nothing is lost, the next run goes on where this one was"


def _end(number: int, _frame: object) -> None:
    try:
        os.write(2, f"{last_words(number)}\n".encode())
    finally:
        os._exit(128 + number)
