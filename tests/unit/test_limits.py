"""Cores and memory that the kernel allows, by files as it writes them."""

import os
from pathlib import Path

import pytest

from producer.limits import MAX_THREADS, MEGABYTE, memory_limit, parsing_threads, usable_cores

# Of version 2, of version 1, and of a machine that has both.
V2 = "0::/system.slice/lake.service\n"
V1 = "4:cpu,cpuacct:/docker/0123\n3:memory:/docker/0123\n1:name=systemd:/docker/0123\n"


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A root folder with what the kernel says there."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)))


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("", {}, 8),
        ("no colons\n", {}, 8),
        (V2, {}, 8),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "odd"}, 8),
        ("0::/\n", {"cpu.max": "100000 0"}, 8),
        (V2, {"system.slice/lake.service/cpu.max": "max 100000", "system.slice/cpu.max": "300000 100000"}, 3),
        (V2, {"system.slice/lake.service/cpu.max": "200000 100000", "system.slice/cpu.max": "300000 100000"}, 2),
        ("0::/../elsewhere\n", {"cpu.max": "300000 100000"}, 3),
        (V1, {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        (V1, {"cpu/docker/0123/cpu.cfs_quota_us": "-1", "cpu/docker/0123/cpu.cfs_period_us": "100000"}, 8),
        (V1, {"cpu/docker/0123/cpu.cfs_quota_us": "50000", "cpu/docker/0123/cpu.cfs_period_us": "100000"}, 1),
    ],
)
def test_the_cores_are_those_of_the_tightest_limit_rounded_up(
    tmp_path: Path, groups: str, files: dict[str, str], cores: int
) -> None:
    assert usable_cores(machine(tmp_path, groups, {f"sys/fs/cgroup/{n}": text for n, text in files.items()})) == cores


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("", {}, None),
        ("0::/\n", {"memory.max": "268435456\n"}, 268435456),
        ("0::/\n", {"memory.max": "max\n"}, None),
        (V2, {"system.slice/memory.max": "1000", "system.slice/lake.service/memory.max": "2000"}, 1000),
        (V1, {"memory/memory.limit_in_bytes": "268435456"}, 268435456),
        (V1, {"memory/docker/0123/memory.limit_in_bytes": "9223372036854771712"}, 9223372036854771712),
    ],
)
def test_the_memory_is_that_of_the_tightest_limit(
    tmp_path: Path, groups: str, files: dict[str, str], limit: int | None
) -> None:
    assert memory_limit(machine(tmp_path, groups, {f"sys/fs/cgroup/{n}": text for n, text in files.items()})) == limit


def test_this_machine_has_limits_that_can_be_read() -> None:
    assert usable_cores() >= 1
    assert memory_limit() is None or memory_limit() > 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("cores", "memory", "threads"),
    [
        (1, None, 1),
        (2, None, 2),
        (2, 100 * MEGABYTE, 2),
        (4, None, 4),
        (64, None, MAX_THREADS),
        (64, 256 * 2**20, 3),  # docker-compose.yml's
        (64, 100 * MEGABYTE, 2),
        (64, 286 * MEGABYTE, 4),
        (3, 10**18, 3),
    ],
)
def test_there_is_a_thread_for_each_core_as_far_as_the_memory_goes(
    cores: int, memory: int | None, threads: int
) -> None:
    assert parsing_threads(cores, memory) == threads
