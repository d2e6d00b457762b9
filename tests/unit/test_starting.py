"""A program that is told to stop says one line, and its exit code says which signal it was."""

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


# Its other threads log, write to standard error and fail as their work is taken from them: before, during and after the last words.
BUSY = """
import logging, os, sys, threading, time
from pathlib import Path
from lakehouse import stopping
from lakehouse.logs import configure

def complain():
    while True:
        logging.getLogger("py4j").error("the JVM has gone")
        logging.getLogger("lakehouse").error("unexpected error")
        sys.stderr.write("Traceback of a thread\\n")
        time.sleep(0)

def work():
    configure("busy", Path(sys.argv[1]))
    print("working", flush=True)
    sys.stdin.readline()
    for _ in range(4):
        threading.Thread(target=complain, daemon=True).start()
    os.kill(os.getpid(), int(sys.argv[2]))
    time.sleep(60)

stopping.run(work)
"""


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_nothing_is_said_after_a_signal_but_the_last_words(tmp_path: Path, by: signal.Signals, code: int) -> None:
    log_file = tmp_path / "busy.log"
    words = [sys.executable, "-c", BUSY, str(log_file), str(int(by))]
    done = subprocess.run(words, cwd=ROOT, input="go\n", capture_output=True, text=True, timeout=60, check=False)
    last = f"stopped by {by.name}: nothing is lost, the next run goes on where this one was"
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].endswith(f"INFO lakehouse: {last}")
    assert log_file.read_text().splitlines()[-1].endswith(f"INFO lakehouse: {last}")
    assert last not in "".join(done.stderr.splitlines()[:-1])
