"""The real programs on a lake of a test, run to their end or killed: at a named point, or after some time. I/O."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml

from lakehouse.session import FIRST_COMPILER_ONLY
from lakehouse.settings import Settings, load_settings
from tests.engine import QUICK_CONF
from tests.faults.machine import ROOT

KILL_POINTS = Path(__file__).parent / "kill_points"
END_SECONDS = 300

# A JVM that starts quickly and does little.
SPARK = {
    "master": "local[2]",
    "driver_memory": "700m",
    "shuffle_partitions": 1,
    "conf": QUICK_CONF | {"spark.databricks.delta.snapshotPartitions": "1"},
}


Killed = Literal["at the point", "by time"]


class Programs:
    """Programs of one lake.

    :param folder: gets ``data_lake/``, ``log/`` and the settings file.
    :param groups: groups of settings that differ from the defaults.
    """

    def __init__(self, folder: Path, **groups: dict[str, object]) -> None:
        self.folder = folder
        self.output = folder / "output.txt"
        self.conf = folder / "pipeline.yaml"
        paths = {"data_lake": str(folder / "data_lake"), "log": str(folder / "log")}
        folder.mkdir(parents=True, exist_ok=True)
        self.conf.write_text(yaml.safe_dump({"paths": paths, "spark": SPARK} | groups))
        self.settings: Settings = load_settings(self.conf)
        self.lake = self.settings.lake

    def start(
        self, *words: str, kill_at: str | None = None, kill_by: signal.Signals | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start ``python -m WORDS``, in a session of its own.

        :param kill_by: the signal that it sends itself at the point, in the place of ending its session by SIGKILL.
        """
        environment = os.environ | {"PYTHONPATH": str(KILL_POINTS), "JAVA_TOOL_OPTIONS": " ".join(FIRST_COMPILER_ONLY)}
        if kill_at is not None:
            environment["KILL_AT"] = kill_at
        if kill_by is not None:
            environment["KILL_BY"] = kill_by.name
        with self.output.open("ab") as output:
            output.write(f"\n$ {' '.join(words)}{f'  # killed {kill_at}' if kill_at else ''}\n".encode())
            output.flush()
            return subprocess.Popen(
                [sys.executable, "-m", *words, "--conf", str(self.conf)],
                cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def run(
        self,
        *words: str,
        kill_at: str | None = None,
        kill_after_seconds: float | None = None,
        tolerated: str | None = None,
    ) -> Killed | None:
        """Run a program to its end, or until it is killed, by the point or by the time, whichever comes first.

        :param tolerated: it may fail if it says this.
        :return: what killed it; ``None`` if it ended before that.
        """
        begin = self.output.stat().st_size if self.output.exists() else 0
        program = self.start(*words, kill_at=kill_at)
        try:
            code = program.wait(END_SECONDS if kill_after_seconds is None else kill_after_seconds)
        except subprocess.TimeoutExpired:
            assert kill_after_seconds is not None, f"{words} still runs after {END_SECONDS} s: {self.told()}"
            kill(program)
            return "by time"
        kill(program)  # what a program that killed itself may have left in its session
        if code == 1 and tolerated and tolerated in self.output.read_bytes()[begin:].decode(errors="replace"):
            return None
        assert code in (0, -signal.SIGKILL), f"{words} ended with {code}: {self.told()}"
        return "at the point" if code else None

    def starts_java(self, *words: str) -> bool:
        """Run a program to its end; whether it had a JVM of its own."""
        program = self.start(*words)
        has_java = False
        while program.poll() is None:
            has_java |= any(is_java(pid) for pid in in_session(program.pid))
            time.sleep(0.05)
        assert program.returncode == 0, f"{words} ended with {program.returncode}: {self.told()}"
        return has_java

    def told(self) -> str:
        """The end of what the programs printed."""
        return self.output.read_text(errors="replace")[-4000:]


def kill(program: "subprocess.Popen[bytes]") -> None:
    """End all processes of the program's session by SIGKILL, and wait until they are gone."""
    while processes := in_session(program.pid):
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)
        program.poll()


def is_java(pid: int) -> bool:
    """Whether that is a JVM."""
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "java\n"
    except (FileNotFoundError, ProcessLookupError):
        return False


def in_session(session: int) -> Sequence[int]:
    """The processes of a session that have not ended."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = status.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_session) == session and state not in "ZX":
            found.append(int(status.parent.name))
    return found
