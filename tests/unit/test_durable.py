"""What is synced: the lake's file systems, and no others."""

import errno
import os
from pathlib import Path

import pytest

from lakehouse import durable
from lakehouse.durable import sync_lake
from lakehouse.lake import Lake


class Calls:
    """What the system was asked to sync; each call gives ``result``."""

    def __init__(self, result: int = 0) -> None:
        self.result = result
        self.paths: list[Path] = []

    def __call__(self, descriptor: int) -> int:
        self.paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        return self.result


def test_the_lakes_file_system_is_synced_once_and_missing_folders_are_left_out(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.landing.mkdir(parents=True)
    lake.merged.mkdir()
    calls = Calls()
    monkeypatch.setattr(durable, "_syncfs", lambda: calls)
    monkeypatch.setattr(os, "sync", None)
    sync_lake(lake)
    assert [path.stat().st_dev for path in calls.paths] == [lake.root.stat().st_dev]


def test_what_could_not_reach_the_disk_is_an_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.root.mkdir(parents=True)
    monkeypatch.setattr(durable, "_syncfs", lambda: Calls(-1))
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        sync_lake(lake)


def test_a_system_without_the_call_syncs_all(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(durable, "_syncfs", lambda: None)
    monkeypatch.setattr(os, "sync", lambda: asked.append("all"))
    sync_lake(lake)
    assert asked == ["all"]


def test_the_systems_own_call_is_found_and_works(lake: Lake) -> None:
    lake.root.mkdir(parents=True)
    assert durable._syncfs() is not None
    sync_lake(lake)
