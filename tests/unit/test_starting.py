"""A program that is told to stop while Python still loads it says one line, and its exit code says which signal it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.machine import ROOT

# In the place of the first large library that each program imports.
STALLED = "import time\nprint('loading', flush=True)\nwhile True: time.sleep(60)\n"


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("program", ["producer", "consumer", "cleaner"])
def test_a_program_that_is_being_loaded_stops_at_once_and_quietly(
    tmp_path: Path, program: str, by: signal.Signals, code: int
) -> None:
    (tmp_path / "typer.py").write_text(STALLED)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    words = [sys.executable, "-m", program, "status"]
    with subprocess.Popen(
        words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(by)
        _, said = process.communicate(timeout=60)
    expected = f"stopped by {by.name}: nothing is lost, the next run goes on where this one was\n"
    assert (process.returncode, said) == (code, expected)
