"""A folder of logs, a lake and a follower: what the tests of ``--follow`` share."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from lakehouse.lake import waiting_files
from lakehouse.settings import Ingest
from producer.follow import Follower
from producer.identity import event_ids, fingerprint, line_hashes, line_spans
from producer.landing import Lander

NOW = datetime(2026, 11, 24, 6, 17, 11, tzinfo=UTC)


def line(number: int) -> bytes:
    return f'192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /{number} HTTP/1.1" 200 1 "-" "a"\n'.encode()


def lines(first: int, last: int) -> bytes:
    """The lines numbered from ``first`` to ``last``."""
    return b"".join(map(line, range(first, last + 1)))


def ids_of(content: bytes, site: str = "") -> list[str]:
    """The ids of the lines of a whole log."""
    spans = line_spans(content)
    first_line = content[: int(spans.ends[0])]
    return event_ids(fingerprint(site, first_line), spans.starts, line_hashes(content, spans)).to_list()


class Logs:
    """A folder of logs, a lake, and a follower that can be stopped, killed and started again. Time stands still."""

    def __init__(self, root: Path, pool: ThreadPoolExecutor) -> None:
        self.folder = root / "logs"
        self.folder.mkdir()
        self.landing = root / "landing"
        self.positions = root / "state" / "positions.json"
        self.log = self.folder / "access.log"
        self.seconds = 0.0
        self._pool = pool

    def wall_clock(self) -> float:
        return NOW.timestamp() + self.seconds

    def write(self, name: str, content: bytes, mode: str = "ab") -> Path:
        """Append to a log, or write it anew."""
        path = self.folder / name
        with path.open(mode) as file:
            file.write(content)
        os.utime(path, (self.wall_clock(),) * 2)
        return path

    def start(self, *paths: str | Path, site: str = "", batch_rows: int = 10_000) -> None:
        """Begin to follow, by default ``access.log``."""
        lander = Lander(
            self.landing, "parquet", batch_rows=batch_rows, batch_seconds=1, clock=lambda: self.seconds,
            now=lambda: datetime.fromtimestamp(self.wall_clock(), UTC),
        )  # fmt: skip
        self.stop_event = threading.Event()
        self.follower = Follower(
            [str(path) for path in paths or (self.log,)], Ingest(site=site, quiet_seconds=2), lander, self.positions,
            self.stop_event, clock=lambda: self.seconds, wall_clock=self.wall_clock,
        )  # fmt: skip

    def poll(self, *, after_seconds: float = 10) -> None:
        """Look, after some time has passed."""
        self.seconds += after_seconds
        self.follower.poll(self._pool)

    def settle(self) -> None:
        """Look until all is published and saved."""
        for _ in range(3):
            self.poll()

    def stop(self) -> None:
        """End as after a signal."""
        self.follower.close()

    def restart(self, *paths: str | Path) -> None:
        self.stop()
        self.start(*paths)

    def landed(self) -> list[str]:
        """The paths of all landed requests, in their order; text of lines that did not parse."""
        batches = [pl.read_parquet(path) for path in waiting_files(self.landing)]
        return pl.concat(batches)["path"].fill_null("?").to_list() if batches else []

    def ids(self) -> list[str]:
        return [i for path in waiting_files(self.landing) for i in pl.read_parquet(path)["event_id"].to_list()]

    def places(self) -> list[dict[str, object]]:
        places: list[dict[str, object]] = json.loads(self.positions.read_text())["places"]
        return places


def numbered(first: int, last: int) -> list[str]:
    return [f"/{number}" for number in range(first, last + 1)]


def open_logs(logs: Logs) -> list[str]:
    """The logs that this process holds open."""
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(str(logs.folder)):
            targets.append(target)
    return targets
