"""The log of Spark's file sink, ``logs/_spark_metadata/``: which files of ``logs/`` count, in the order they came. I/O.

It has one file for each batch, ``7``, with a line of JSON for each file written; now and then ``9.compact`` has the lines
of all batches up to its own that are still kept.
"""

import json
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

from lakehouse.checkpoint import is_head
from lakehouse.errors import CheckpointError


@dataclass(frozen=True)
class SinkFile:
    """A file that the sink has committed, and when it was written."""

    name: str
    size: int
    written_at: datetime


def require_whole(logs: Path, last_batch: int = -1) -> None:
    """See that the log can be read and lacks no batch, and that the files of its last batches are there as it says.

    :param last_batch: the last one that it must have.
    :raises CheckpointError: not so, as after a power cut or on a bad disk: nothing else says which files of ``logs/`` count.
    """
    batches = {_number(path): path for path in _batches(logs)}
    start = next((number for number, path in batches.items() if path.suffix == ".compact"), 0)
    missing = set(range(start, max([last_batch, *batches]) + 1)) - set(batches)
    if missing:
        raise _damaged(logs, logs / "_spark_metadata" / str(min(missing)), "missing")
    for path in batches.values():
        try:
            entries = list(_entries(path))
        except (ValueError, TypeError, KeyError):
            raise _damaged(logs, path, "empty or cut off") from None
        if path.suffix != ".compact":
            _require_files(logs, entries)


def _require_files(logs: Path, entries: Iterable[tuple[str, int]]) -> None:
    for name, size in entries:
        file = logs / name
        found = file.stat().st_size if file.exists() else 0
        if found != size:
            raise _damaged(logs, file, f"{found} bytes of {size}")


def _damaged(logs: Path, path: Path, what: str) -> CheckpointError:
    checkpoints = logs.parent / "_checkpoints"
    return CheckpointError(
        f"{path}: {what}; restore it from a backup; without one, move away {logs}, {checkpoints / 'archive'} and"
        f" {checkpoints / 'metrics'}: what is still landed is archived anew, and metrics/streaming/ begins anew with that;"
        " merged/, delta/ and metrics/batch/ keep everything"
    )


def archived_files(logs: Path) -> set[str]:
    """Names of the files that the sink has committed."""
    return set(files_after(logs, ""))


def files_after(logs: Path, name: str) -> Iterator[str]:
    """Names of the committed files that came after the file ``name``; of all, where the log does not know it (any more).

    Takes as long as there are new ones, however many the log has.
    """
    batches: list[Path] = []
    position = 0
    for path in reversed(_batches(logs)):
        batches.insert(0, path)
        if name and (position := _end_of_line_with(path, name)):
            break
    for path in batches:
        with path.open("rb") as lines:
            lines.seek(position)
            position = 0
            yield from (_name(json.loads(line)["path"]) for line in lines if line.startswith(b"{"))


def newest_files(logs: Path, since: datetime) -> list[SinkFile]:
    """The committed files that were written at ``since`` or later, the newest first.

    Takes as long as there are such, however many the log has.

    :raises OSError, ValueError, KeyError: the log cannot be read, or is damaged.
    """
    found: list[SinkFile] = []
    for path in reversed(_batches(logs)):
        for line in _lines_from_the_end(path):
            entry = json.loads(line)
            written_at = datetime.fromtimestamp(entry["modificationTime"] / 1000, UTC)
            if written_at < since:
                return found
            found.append(SinkFile(_name(entry["path"]), entry["size"], written_at))
    return found


def _lines_from_the_end(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = len(content)
        while end > 0:
            start = content.rfind(b"\n", 0, end) + 1
            if content[start : start + 1] == b"{":
                yield content[start:end]
            end = start - 1


def _batches(logs: Path) -> list[Path]:
    """The last compaction and the batches since, by number."""
    batches = {_number(path): path for path in (logs / "_spark_metadata").glob("[0-9]*")}
    start = max((number for number, path in batches.items() if path.suffix == ".compact"), default=0)
    return [batches[number] for number in sorted(batches) if number >= start]


def _number(path: Path) -> int:
    return int(path.name.removesuffix(".compact"))


def _entries(path: Path) -> Iterator[tuple[str, int]]:
    """Name and size of each file that a batch wrote.

    :raises ValueError, TypeError, KeyError: the head is not as it should be, or one of the lines after it.
    """
    with path.open("rb") as lines:
        if not is_head(lines.readline()):
            raise ValueError(path)
        for entry in map(json.loads, lines):
            yield _name(entry["path"]), entry["size"]


def _end_of_line_with(path: Path, name: str) -> int:
    """Where the line of the file ``name`` ends; 0 if it is not in ``path``. Looks from the end, where it most likely is."""
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.rfind(f'/{name}"'.encode())
        end = content.find(b"\n", found)
        return 0 if found < 0 else len(content) if end < 0 else end + 1


def _name(uri: str) -> str:
    return Path(unquote(urlparse(uri).path)).name
