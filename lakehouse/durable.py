"""What is there whole or not at all, also after a kill or a power cut. I/O."""

import ctypes
import os
from functools import cache, partial
from pathlib import Path
from typing import Any

from lakehouse.lake import Lake


def write_durably(path: Path, text: str, *, has_rivals: bool = False, mode: int = 0o666) -> None:
    """Replace the content of ``path``; its folder is made if it is missing.

    The rename itself lasts through a power cut only once the folder has been synced, which is left to who needs it.

    :param has_rivals: other processes may write the same file at the same moment: each writes under a name of its own.
    :param mode: its permissions, less the process's umask.
    :raises OSError: it cannot be written; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp" if has_rivals else f".{path.name}.tmp")
    with open(hidden, "w", encoding="utf-8", opener=partial(os.open, mode=mode)) as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    hidden.replace(path)


def sync_lake(lake: Lake) -> None:
    """Make all that was written to the lake last through a power cut.

    Other file systems of the machine are not waited for, unless the system has no call for that.

    :raises OSError: something that was written could not reach the disk.
    """
    folders = (lake.root, lake.landing, lake.logs, *lake.tables.values(), lake.ledger.parent)
    devices = {path.stat().st_dev: path for path in folders if path.exists()}
    syncfs = _syncfs()
    if syncfs is None:
        os.sync()
        return
    for path in devices.values():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if syncfs(descriptor):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(path))
        finally:
            os.close(descriptor)


@cache
def _syncfs() -> Any:
    """The system's call of that name; ``None`` where there is none."""
    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
