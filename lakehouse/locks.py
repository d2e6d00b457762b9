"""One lock for each table or job, held by ``flock`` on a file in the lake: the kernel frees it when the holder dies."""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from lakehouse.errors import LockedError
from lakehouse.logs import printable

POLL_SECONDS = 0.1
# Who only looks (``is_locked``) is in the way for a moment, which is no reason to give up.
LOOK_SECONDS = 0.2
SIGNATURE_CHARACTERS = 200

_held: dict[Path, TextIO] = {}


@contextmanager
def lock(folder: Path, name: str, *, wait_seconds: float = 0) -> Iterator[None]:
    """Hold the lock ``name``.

    :param folder: where lock files stand, ``Lake.locks``.
    :param wait_seconds: how long to wait for another holder.
    :raises LockedError: it is still held after that.
    """
    with _locked(folder, name, wait_seconds):
        yield


def hold(folder: Path, name: str, *, wait_seconds: float = 0) -> None:
    """Hold the lock ``name`` until this process ends; parameters and errors as ``lock``. Again, it changes nothing."""
    if folder / name not in _held:
        _held[folder / name] = _locked(folder, name, wait_seconds)


def release(folder: Path, name: str) -> None:
    """Give back what ``hold`` took; without it, nothing."""
    if handle := _held.pop(folder / name, None):
        handle.close()


def _locked(folder: Path, name: str, wait_seconds: float) -> TextIO:
    """The lock's file, which holds it until it is closed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    deadline = time.monotonic() + max(wait_seconds, LOOK_SECONDS)
    with ExitStack() as stack:
        handle = stack.enter_context(path.open("a"))
        while not _try_lock(handle.fileno()):
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"{name} is locked by another process ({_holder(path)}), waited {wait_seconds:g} s: "
                    f"wait for it to end, or end it; the lock is {path}"
                )
            time.sleep(POLL_SECONDS)
        _sign(handle)
        stack.pop_all()
    return handle


def _sign(handle: TextIO) -> None:
    """Write down who we are, for whoever finds the lock held. A full disk is no reason to go without the lock."""
    program = Path(sys.argv[0])
    words = [program.parent.name if program.name == "__main__.py" else program.name, *sys.argv[1:]]
    signature = printable(f"process {os.getpid()} on {socket.gethostname()}: {' '.join(words)}")
    with suppress(OSError):
        os.ftruncate(handle.fileno(), 0)
        os.write(handle.fileno(), signature[:SIGNATURE_CHARACTERS].encode())


def _holder(path: Path) -> str:
    signature = printable(path.read_text(encoding="utf-8", errors="replace")[:SIGNATURE_CHARACTERS])
    return signature or "who has not signed"


def is_locked(folder: Path, name: str) -> bool:
    """Whether some process holds the lock ``name`` right now."""
    path = folder / f"{name}.lock"
    if not path.exists():
        return False
    with path.open() as handle:
        # Shared, so that two who look do not take each other for the holder.
        return not _try_lock(handle.fileno(), fcntl.LOCK_SH)


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
