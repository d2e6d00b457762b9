"""Waiting in a program that a signal may tell to stop (I/O)."""

import time
from threading import Event

STEP_SECONDS = 0.1


def wait(stop: Event, seconds: float) -> None:
    """Return after so long, or soon after ``stop`` is set.

    Not ``stop.wait()``: a signal handler that sets an event while its thread is waiting on it may block for ever.
    """
    end = time.monotonic() + seconds
    while not stop.is_set() and (left_seconds := end - time.monotonic()) > 0:
        time.sleep(min(left_seconds, STEP_SECONDS))
