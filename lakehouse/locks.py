"""One lock for each table or job, held by ``flock`` on a file in the lake: the kernel frees it when the holder dies."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse.errors import LockedError

POLL_SECONDS = 0.1


@contextmanager
def lock(folder: Path, name: str, *, wait_seconds: float = 0) -> Iterator[None]:
    """Hold the lock ``name``.

    :param folder: where lock files stand, ``Lake.locks``.
    :param wait_seconds: how long to wait for another holder.
    :raises LockedError: it is still held after that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.lock"
    deadline = time.monotonic() + wait_seconds
    with path.open("a") as handle:
        while not _try_lock(handle.fileno()):
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"{name} is locked by another process ({path}), waited {wait_seconds:g} s: "
                    f"wait for it to end, or see who holds it with: fuser {path}"
                )
            time.sleep(POLL_SECONDS)
        yield


def is_locked(folder: Path, name: str) -> bool:
    """Whether some process holds the lock ``name`` right now."""
    path = folder / f"{name}.lock"
    if not path.exists():
        return False
    with path.open() as handle:
        return not _try_lock(handle.fileno())


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
