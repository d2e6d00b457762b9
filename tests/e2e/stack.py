"""The containers of one copy of the project, as a user has them: started, watched, crashed and looked into. I/O."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from deltalake import DeltaTable

from lakehouse.lake import GRAINS, Lake
from lakehouse.sink_log import archived_files

ROOT = Path(__file__).parents[2]
SERVICES = ("producer", "consumer", "cleaner", "page")
POLL_SECONDS = 2.0
# What compose sees of this environment: what finds the engine, and nothing that goes before the copy's .env.
OUTSIDE = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("DOCKER_")}
# Who starts the containers. Root starts them for somebody else, so that its powers cannot hide a fault.
OWNER = (os.getuid() or 12345, os.getgid() or 23456)


class Stack:
    """One compose project.

    :param folder: where the copy of the project goes.
    :param name: the compose project's name.
    :param environment: what ``.env`` has.
    """

    def __init__(self, folder: Path, name: str, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.name = name
        self.lake = Lake(folder / "data_lake")
        self.log = folder / "log"
        copy_project(folder)
        self.page_port = free_port()
        environment = {"PAGE_PORT": str(self.page_port)} | dict(environment)
        (folder / ".env").write_text("".join(f"{key}={value}\n" for key, value in environment.items()))
        give_to_owner(folder)

    def compose(self, *words: str, timeout_seconds: float = 600) -> str:
        """Run ``docker compose WORDS`` in the project and return what it printed."""
        ran = subprocess.run(
            ["docker", "compose", "-p", self.name, *words],
            cwd=self.folder, env=OUTSIDE, capture_output=True, text=True, timeout=timeout_seconds, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"docker compose {' '.join(words)}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def asked(self, address: str) -> str:
        """What the page answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}{address}", timeout=30) as response:
            return str(response.read().decode())

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of the service's container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        ran = subprocess.run(["docker", "inspect", container], capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(ran.stdout)[0]
        return found

    def health(self) -> dict[str, str]:
        """Each service's health: healthy, starting, unhealthy."""
        return {service: self.inspect(service)["State"]["Health"]["Status"] for service in SERVICES}

    def wait_until_healthy(self, timeout_seconds: float = 300) -> None:
        """Wait until all are healthy."""
        self.wait_for("healthy services", lambda: set(self.health().values()) == {"healthy"}, timeout_seconds)

    def wait_for(self, what: str, is_so: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until ``is_so``; fail with ``what`` and the end of the logs if it does not become so."""
        deadline = time.monotonic() + timeout_seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not within {timeout_seconds:g} s: {what}\n{self.compose('logs', '--tail', '40')}"
                )
            time.sleep(POLL_SECONDS)

    def crash(self, service: str) -> None:
        """End the container's process as a crash does. (``docker kill`` counts as a stop by hand.)"""
        as_root = ["sudo", "-n"] if os.getuid() else []
        subprocess.run([*as_root, "kill", "-KILL", str(self.inspect(service)["State"]["Pid"])], check=True)

    def processes(self, service: str) -> list[tuple[int, str]]:
        """The container's processes: user id and command line."""
        container = self.inspect(service)["Id"]
        words = ["docker", "top", container, "-eo", "pid,uid,args"]  # docker itself looks for the pid
        ran = subprocess.run(words, capture_output=True, text=True, check=True)
        lines = [line.split(None, 2) for line in ran.stdout.splitlines()[1:]]
        return [(int(uid), args) for _, uid, args in lines]

    def table(self, name: str) -> pl.DataFrame:
        """A Delta table of the lake, by its folder; without a row where there is none yet."""
        path = self.lake.root / name
        return pl.read_delta(str(path)) if DeltaTable.is_deltatable(str(path)) else pl.DataFrame()

    def archive(self) -> pl.DataFrame:
        """``event_id`` and ``landed_file`` of each row in ``logs/``, by the files that ``_spark_metadata`` names."""
        names = archived_files(self.lake.logs)
        tables = [pq.read_table(self.lake.logs / name, columns=["event_id", "landed_file"]) for name in names]
        return pl.concat([pl.DataFrame(pl.from_arrow(table)) for table in tables])

    def drain(self) -> None:
        """Stop the producer, and wait until what it landed is merged, archived, retired and counted."""
        self.compose("stop", "producer")
        self.wait_for("an empty landing folder", lambda: not any(self.lake.landing.iterdir()), 400)
        merged = self.table("merged").height
        self.wait_for(f"{merged} requests in the streaming metrics", lambda: self.counted("streaming") == merged, 200)
        self.wait_for(f"{merged} requests in the batch metrics", lambda: self.counted("batch") == merged, 400)

    def counted(self, mode: str) -> int:
        """The requests of all days by the metrics; of the grain that is behind, where they differ."""
        tables = [self.table(f"metrics/{mode}/{grain}") for grain in GRAINS]
        return min(0 if table.is_empty() else int(table["requests"].sum()) for table in tables)


@contextmanager
def running(folder: Path, name: str, environment: Mapping[str, str]) -> Iterator[Stack]:
    """A ``Stack`` of these, built and started; at the end all of it is removed but the folders."""
    folder.chmod(0o755)
    stack = Stack(folder, name, environment)
    stack.compose("build")
    try:
        stack.compose("up", "--detach")
        yield stack
    finally:
        stack.compose("down", "--volumes", "--rmi", "local")


def free_port() -> int:
    """A port of the loopback that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def copy_project(folder: Path) -> None:
    """What is or may be committed, without the lake and the logs: their folders come with the first start."""
    ran = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in ran.stdout.decode().split("\0"):
        if name and not name.startswith(("data_lake/", "log/")) and (ROOT / name).exists():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)


def give_to_owner(folder: Path) -> None:
    """Make all in ``folder`` belong to OWNER."""
    if os.getuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, *OWNER)
