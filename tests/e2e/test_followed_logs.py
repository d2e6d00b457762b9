"""The containers on a folder of one's own access logs instead of simulated ones: as they are, as they grow and rotate."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

REAL = Path(os.environ.get("REAL_LOGS", "/nonexistent")) / "elastic_apache" / "apache_logs"
ADM = 4  # the group that may read a web server's logs


def log_lines() -> tuple[list[bytes], dict[int, int]]:
    """Lines and how many requests have which status: of a real log where REAL_LOGS has it, else of a made-up one."""
    if REAL.exists():
        oracle = json.loads((REAL.parent / "oracle.json").read_text())
        return REAL.read_bytes().splitlines(keepends=True), {int(s): n for s, n in oracle["status"].items()}
    lines = [
        f'203.0.113.{n % 250} - - [24/Nov/2025:{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02} +0000] '
        f'"GET /page/{n % 40} HTTP/1.1" {404 if n % 10 == 0 else 200} {n} "-" "Mozilla/5.0 (X11; Linux x86_64)"\n'.encode()
        for n in range(10_000)
    ]  # fmt: skip
    return lines, {200: 9000, 404: 1000}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A web server's folder: one rotated and compressed log, one that is being written, and one that is none of ours."""
    folder = tmp_path_factory.mktemp("logs")
    lines, _ = log_lines()
    (folder / "access.log.2.gz").write_bytes(gzip.compress(b"".join(lines[:3000])))
    (folder / "access.log").write_bytes(b"".join(lines[3000:6000]))
    (folder / "error.log").write_bytes(b"[error] upstream timed out\n" * 100)
    for path in [folder, *folder.iterdir()]:
        if os.getuid() == 0:
            os.chown(path, 0, ADM)
        path.chmod(0o750 if path.is_dir() else 0o640)
    return folder


@pytest.fixture(scope="module")
def stack(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    environment = {"ACCESS_LOGS": str(logs), "PIPELINE_INGEST__SITE": "example.org", "PIPELINE_LANDING__FORMAT": "json"}
    with running(tmp_path_factory.mktemp("followed"), "lakehouse-e2e-followed", environment) as stack:
        yield stack


def test_logs_are_counted_as_they_are_as_they_grow_and_as_they_rotate(stack: Stack, logs: Path) -> None:
    lines, statuses = log_lines()
    current = logs / "access.log"

    def is_all_in(count: int) -> bool:
        return stack.table("merged").height + stack.table("quarantine").height == count

    stack.wait_for("the lines that were there", lambda: is_all_in(6000), 400)
    with current.open("ab") as log:
        log.write(b"".join(lines[6000:7000]))
    stack.wait_for("the lines that were added", lambda: is_all_in(7000), 300)

    stack.crash("producer")
    rotated = current.rename(logs / "access.log.1")
    current.write_bytes(b"".join(lines[7000:]))
    current.chmod(0o640)
    os.chown(current, rotated.stat().st_uid, rotated.stat().st_gid)
    stack.wait_for("the lines after the rotation", lambda: is_all_in(len(lines)), 300)
    stack.wait_until_healthy()
    stack.drain()

    merged = stack.table("merged")
    assert merged["site"].unique().to_list() == ["example.org"]
    assert dict(merged.group_by("status").len().rows()) == statuses
    assert merged.height + stack.table("quarantine").height == len(lines)
    assert stack.counted("batch") == merged.height
