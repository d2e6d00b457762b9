"""The log of Spark's file sink, ``logs/_spark_metadata/``: which files of ``logs/`` count, in the order they came. I/O.

It has one file for each batch, ``7``, with a line of JSON for each file written; now and then ``9.compact`` has the lines
of all batches up to its own that are still kept.
"""

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse


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


def _batches(logs: Path) -> list[Path]:
    """The last compaction and the batches since, by number."""
    batches = {int(p.name.removesuffix(".compact")): p for p in (logs / "_spark_metadata").glob("[0-9]*")}
    start = max((number for number, path in batches.items() if path.suffix == ".compact"), default=0)
    return [batches[number] for number in sorted(batches) if number >= start]


def _end_of_line_with(path: Path, name: str) -> int:
    """Where the line of the file ``name`` ends; 0 if it is not in ``path``. Looks from the end, where it most likely is."""
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.rfind(f'/{name}"'.encode())
        end = content.find(b"\n", found)
        return 0 if found < 0 else len(content) if end < 0 else end + 1


def _name(uri: str) -> str:
    return Path(unquote(urlparse(uri).path)).name
