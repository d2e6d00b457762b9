"""The folder in which lakes and logs are made, and which goes again. I/O."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError


@contextmanager
def own_folder(parent: Path, needed_bytes: int) -> Iterator[Path]:
    """A new folder in ``parent`` that is removed, whatever happens.

    :raises BenchError: there is not so much space.
    """
    parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(parent).free
    if free < needed_bytes:
        raise BenchError(
            f"{parent}: {free / 1e9:.0f} GB are free, {needed_bytes / 1e9:.0f} are needed; name a larger disk with --folder"
        )
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent.absolute()))
    (folder / "made").mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
