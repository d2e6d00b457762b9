"""What a measurement of a process takes into account. No figure is compared with a time limit: only with what was burnt."""

import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.process import MEGABYTE, Program, run

BURN = "import time; end = time.process_time() + {seconds}\nwhile time.process_time() < end: pass"


def test_the_processor_time_of_a_grandchild_that_outlives_its_parent_counts(tmp_path: Path) -> None:
    burn = BURN.format(seconds=0.5)
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}], start_new_session=True)"
    used = run([sys.executable, "-c", parent], tmp_path / "output.txt")
    assert used.processor_seconds >= 0.5


def test_the_processor_time_of_processes_that_nobody_waits_for_counts(tmp_path: Path) -> None:
    burn = BURN.format(seconds=0.5)
    parent = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
        f"subprocess.Popen([sys.executable, '-c', {burn!r}]); time.sleep(1.5)"
    )
    assert 0.4 <= run([sys.executable, "-c", parent], tmp_path / "output.txt").processor_seconds <= 1


def test_the_memory_of_all_processes_together_counts(tmp_path: Path) -> None:
    hold = "import time; held = bytearray(b'x') * 40_000_000; time.sleep(1)"
    both = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {hold!r}]); {hold}; child.wait()"
    used = run([sys.executable, "-c", both], tmp_path / "output.txt")
    assert used.peak_megabytes >= 80_000_000 / MEGABYTE


def test_a_command_that_fails_is_told_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="ended with code 3: out of ideas"):
        run([sys.executable, "-c", "print('out of ideas'); raise SystemExit(3)"], tmp_path / "output.txt")


def test_a_program_is_ended_by_sigterm_and_measured(tmp_path: Path) -> None:
    wait = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); print('ready', flush=True); time.sleep(600)"
    with Program([sys.executable, "-c", wait], tmp_path / "output.txt") as program:
        while "ready" not in program.told():
            program.require_running()
        used = program.stop()
    assert used.exit_code == 0
    assert used.samples


def test_a_program_that_is_left_ends(tmp_path: Path) -> None:
    with Program([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / "output.txt") as program:
        assert program.is_running
    assert not program.is_running


def test_what_a_command_leaves_running_is_ended_and_said(tmp_path: Path) -> None:
    wait = "while os.getppid() == int(sys.argv[1]): time.sleep(0.01)"
    stay = f"import os, sys, time\n{wait}\nprint('left', flush=True); time.sleep(600)"
    leave = f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {stay!r}, str(os.getpid())])"
    with Program([sys.executable, "-c", leave], tmp_path / "output.txt") as program:
        while "left" not in program.told():
            program.require_running()
        with pytest.raises(BenchError, match="left processes behind that had to be killed"):
            program.stop()
