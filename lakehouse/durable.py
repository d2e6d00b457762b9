"""Small files that are there whole or not at all, also after a kill or a power cut. I/O."""

import os
from functools import partial
from pathlib import Path


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
