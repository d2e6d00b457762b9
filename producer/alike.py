"""Logs that begin with the same lines, and are two: those of two sites that a monitor asks in the same second.

A line's id is made of its file's first line, its place and its text. So the common lines of two such logs have the same
ids, and the merge takes those of the second for a replay. They are two logs once both have grown and differ; until then one
may be a copy. Then the second one's common lines land with ids that depend on its path, too. Lines that the same logs land
in another way have the usual ids, which are known: nothing is counted twice.
"""

import os
from pathlib import Path

import numpy as np

from producer.identity import fingerprint
from producer.positions import Content

# Logs that are the same for longer are one, whatever comes later.
SHARED_BYTES = 1 << 16


def shared_beginning(one: Content, other: Content, size: int) -> int:
    """How many bytes of whole lines both logs begin with, if they differ within the first ``size`` bytes; else 0."""
    beginnings = [content.read_at(0, min(size, SHARED_BYTES)) for content in (one, other)]
    shorter = min(map(len, beginnings))
    first, second = (np.frombuffer(beginning, dtype=np.uint8, count=shorter) for beginning in beginnings)
    different = np.flatnonzero(first != second)
    return beginnings[0].rfind(b"\n", 0, int(different[0])) + 1 if len(different) else 0


def own_fingerprint(site: str, path: Path, beginning: bytes) -> str:
    """The first part of the ids of a log's lines that depend on its path, too.

    :param beginning: the log's first bytes, at least one line.
    """
    first_line = beginning[: beginning.index(b"\n")].removesuffix(b"\r")
    return fingerprint(f"{site}\0{os.fsdecode(path)}", first_line)
