"""What goes wrong around the programs: a small disk, another user, a program in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of ``size`` (as ``mount`` takes it) at ``folder``; the test is skipped where none may be mounted."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here, it takes root: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, option: str) -> None:
    """Change a small disk: its ``size=``, ``ro`` or ``rw``."""
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return filler


def settings_file(folder: Path, lake: Path, more: str = "") -> Path:
    """A settings file for a lake; its log stands beside the file."""
    folder.mkdir(exist_ok=True)
    path = folder / "pipeline.yaml"
    path.write_text(f"paths: {{data_lake: {lake}, log: {folder / 'log'}}}\n{more}", encoding="utf-8")
    return path


def run(program: str, *words: str | Path, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit code and all output of a program in a process of its own.

    :param prefix: the words of a command that runs it.
    """
    done = subprocess.run(
        [*prefix, sys.executable, "-m", program, *map(str, words)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout


def make_foreign(*folders: Path) -> None:
    """Let folders be somebody else's, or at least not ours to write."""
    for folder in folders:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        folder.chmod(0o555)


def run_without_privilege(program: str, *words: str | Path) -> tuple[int, str]:
    """As ``run``; if we are root, without what lets root write everywhere."""
    capabilities = "-dac_override,-dac_read_search,-fowner"
    is_root = os.geteuid() == 0
    return run(program, *words, prefix=("setpriv", f"--bounding-set={capabilities}") if is_root else ())


def last_line(output: str) -> str:
    """The last line that a program said, without time and logger."""
    return output.strip().splitlines()[-1].split(" lakehouse: ", 1)[-1]
