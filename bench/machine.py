"""What the measurements were taken on, and of which commit. I/O."""

import platform
import re
import shutil
import subprocess
import timeit
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from bench.process import ROOT

LOOPS = 5_000_000
PACKAGES = ("pyspark", "delta-spark", "deltalake", "polars", "duckdb", "pysail", "chdb")


def machine() -> dict[str, str]:
    """The commit, processor, cores, memory, kernel, and the versions of what was measured."""
    found = {
        "commit": _commit(),
        "processor": _processor(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "Java": _said("java", "-version"),
        "GoAccess": _said("goaccess", "--version"),
    }
    return found | {package: _version(package) for package in PACKAGES}


def loop_seconds() -> float:
    """How long a fixed piece of work takes now, on one core: a shared machine is not always as fast."""
    return min(timeit.repeat("sum(i * i for i in range(LOOPS))", globals={"LOOPS": LOOPS}, number=1, repeat=3))


def _commit() -> str:
    """The commit of the code, with a plus if something of it was changed: other than what the bench itself writes."""
    if shutil.which("git") is None:
        return "unknown"
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results.json", ":!docs")
    return f"{commit}{'+' if changed else ''}" if commit else "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    models = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return models[0] if models else platform.machine()


@cache
def _said(*words: str) -> str:
    """The number that a program says of its version."""
    if shutil.which(words[0]) is None:
        return "not installed"
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip().splitlines()
    number = re.search(r"\d[\d.]*\d", said[0]) if said else None
    return number[0] if number else "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
