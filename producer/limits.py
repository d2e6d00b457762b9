"""What this process may use of its machine: cores and memory, and so how many threads parse (I/O: reads the kernel's files).

Affinity and control groups bound it, those of a container too, of version 1 or 2. A bound that cannot be read is none.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MEGABYTE = 1_000_000
# What two threads take at most, and each further one: measured with polars' own threads as many as ours.
TWO_THREADS_BYTES, THREAD_BYTES = 250 * MEGABYTE, 18 * MEGABYTE
# One more adds less and less: what holds Python's lock, reading and publishing are one thread's work.
MAX_THREADS = 8


def parsing_threads(cores: int, memory_bytes: int | None) -> int:
    """How many threads parse blocks side by side: one for each core, as far as there is memory for them.

    :param cores: as ``usable_cores``.
    :param memory_bytes: as ``memory_limit``; ``None`` for no limit.
    """
    wanted = max(1, min(cores, MAX_THREADS))
    if memory_bytes is None or wanted <= 2:
        return wanted
    spare = max(0, memory_bytes - TWO_THREADS_BYTES)
    return min(wanted, 2 + spare // THREAD_BYTES)


def usable_cores(root: Path = Path("/")) -> int:
    """The cores that this process may use at once; a limit between two numbers counts as the larger one.

    :param root: where ``proc/`` and ``sys/`` stand.
    """
    quotas = [*_core_quotas_2(root), *_core_quotas_1(root)]
    return min([len(os.sched_getaffinity(0)), *(max(1, math.ceil(quota)) for quota in quotas)])


def memory_limit(root: Path = Path("/")) -> int | None:
    """The bytes of memory that this process may have, with others of its control group; ``None`` for no limit.

    :param root: as ``usable_cores``.
    """
    limits = [*_values(root, "", "memory.max"), *_values(root, "memory", "memory.limit_in_bytes")]
    numbers = [int(limit) for limit in limits if limit.isdecimal()]
    return min(numbers, default=None)


def _core_quotas_2(root: Path) -> Iterator[float]:
    """Of version 2: ``150000 100000`` are one and a half cores, ``max 100000`` no limit."""
    for text in _values(root, "", "cpu.max"):
        quota, _, period = text.partition(" ")
        yield from _cores(quota, period)


def _core_quotas_1(root: Path) -> Iterator[float]:
    """Of version 1: a quota of -1 is no limit."""
    quotas, periods = (_values(root, "cpu", f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    for quota, period in zip(quotas, periods, strict=False):
        yield from _cores(quota, period)


def _cores(quota: str, period: str) -> Iterator[float]:
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        yield int(quota) / int(period)


def _values(root: Path, controller: str, name: str) -> Iterator[str]:
    """What the file of that name says in our control group and in all those around it.

    :param controller: of version 1; empty for version 2, which has one hierarchy for all.
    """
    for folder in _groups(root, controller):
        with suppress(OSError):
            yield (folder / name).read_text(encoding="ascii", errors="replace").strip()


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of our control group and of those around it. In a container the last one is often the container's own."""
    top = root / "sys/fs/cgroup" / controller
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            names = Path(path.lstrip("/"))
            if controller in controllers.split(",") and ".." not in names.parts:
                yield from (top / above for above in (names, *names.parents) if above != Path())
                yield top
                return
    yield top
