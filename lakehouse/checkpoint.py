"""The checkpoint of a streaming query, seen from the outside (I/O): what Spark wrote down of its batches, and if it is whole.

Spark writes each file under another name first, so that a kill leaves none cut off; a power cut or a bad disk does. Then
Spark itself would fail at every start.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.errors import CheckpointError

VERSION = "v1"


@dataclass(frozen=True)
class Checkpoint:
    """One query's checkpoint.

    :param path: its folder.
    """

    path: Path

    def begun(self) -> list[int]:
        """The numbers of the batches that were begun, as far back as is remembered."""
        return batch_numbers(self.path / "offsets")

    def committed(self) -> list[int]:
        """The numbers of the batches that were finished."""
        return batch_numbers(self.path / "commits")

    def offset(self, batch: int) -> dict[str, Any]:
        """Up to where ``batch`` reads its source.

        :raises CheckpointError: that cannot be understood.
        """
        return self._read(f"offsets/{batch}", parts=3)

    def require_whole(self) -> None:
        """See that Spark can go on from here: the last two batches can be read, and follow each other.

        :raises CheckpointError: it cannot; names the file.
        """
        begun, committed = self.begun(), self.committed()
        if not begun and not committed:
            return
        self._read("metadata", parts=1)
        for batch in begun[-2:]:
            self.offset(batch)
        for batch in committed[-1:]:
            self._read(f"commits/{batch}", parts=2)
        last_begun, last_committed = begun[-1] if begun else -1, committed[-1] if committed else -1
        if last_committed not in (last_begun - 1, last_begun):
            raise CheckpointError(
                f"{self.path}: batch {last_begun} was the last to be begun, but {last_committed} the last to be finished"
            )

    def _read(self, name: str, *, parts: int) -> dict[str, Any]:
        """The last line of a file that has so many: JSON, after its version."""
        file = self.path / name
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
            content = json.loads(lines[-1])
            is_whole = len(lines) == parts and (parts == 1 or lines[0] == VERSION) and isinstance(content, dict)
        except (FileNotFoundError, IndexError, ValueError):
            is_whole = False
        if not is_whole:
            raise CheckpointError(f"{file}: missing, empty or cut off")
        found: dict[str, Any] = content
        return found


def is_head(line: bytes) -> bool:
    """Whether a log of Spark's begins as it should, with this line; one that a power cut left empty does not."""
    return line == f"{VERSION}\n".encode()


def batch_numbers(folder: Path) -> list[int]:
    """The batches that a folder of Spark's has a file for, in order; a compacted one counts as the last that is in it."""
    names: Sequence[str] = [path.name.removesuffix(".compact") for path in folder.glob("*")]
    return sorted(int(name) for name in names if name.isdigit())
