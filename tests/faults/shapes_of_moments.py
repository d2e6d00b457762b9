"""Shapes of files that vanish, change or become unreadable between the check and the reading."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.faults.shape import (
    LEFT_ALONE,
    NOT_PARQUET,
    NOT_UTF8,
    NOTHING,
    Shape,
    line,
    merged,
    ndjson,
    parquet,
    refused,
    row,
)


def rewritten(data: bytes) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(data))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 20)


def appended(path: Path) -> None:
    with path.open("a") as handle:
        handle.write(line(2).replace("@", f"{path.stem}-") + "\n")


def replaced(path: Path) -> None:
    """By another file, as a producer publishes."""
    path.rename(path.with_name(f".{path.name}.old"))
    parquet(row(2), row(3))(path.parent, path.stem)


def shut(path: Path) -> None:
    path.chmod(0)


def void(_: object) -> None:
    """Nothing."""


MOMENTS = [
    Shape("moment-vanishes-parquet", "Parquet that somebody removes before it is read.", parquet(row(1)), NOTHING, Path.unlink),
    Shape("moment-vanishes-json", "NDJSON that somebody removes before it is read.", ndjson(line(1)), NOTHING, Path.unlink),
    Shape("moment-grows", "NDJSON to which somebody still appends.", ndjson(line(1)), merged(1, 2), appended),
    Shape("moment-replaced", "Another file under its name.", parquet(row(1)), merged(2, 3), replaced),
    Shape("moment-cut", "Parquet that is cut off.", parquet(row(1)), refused(NOT_PARQUET), cut),
    Shape("moment-garbage-parquet", "Parquet that is overwritten with garbage.", parquet(row(1)), refused(NOT_PARQUET), rewritten(b"\xff" * 99)),
    Shape("moment-garbage-json", "NDJSON that is overwritten with garbage.", ndjson(line(1)), refused(NOT_UTF8), rewritten(b"\xff" * 99)),
    Shape("moment-emptied", "NDJSON that is emptied.", ndjson(line(1)), NOTHING, rewritten(b"")),
    Shape("unreadable", "A file that the pipeline's user may not read, until it may.", ndjson(line(1)), LEFT_ALONE, apart="another user"),
    Shape("moment-unreadable", "A file that becomes unreadable once it has been numbered.", ndjson(line(1)), LEFT_ALONE, shut, apart="another user"),
]  # fmt: skip
