import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.errors import LockedError
from lakehouse.locks import hold, is_locked, lock, release

HOLDER = """
import sys; from pathlib import Path; from lakehouse.locks import lock
with lock(Path(sys.argv[1]), "merge"):
    print("held", flush=True); sys.stdin.read()
"""


def test_a_lock_is_held_by_one_process_and_freed_when_that_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_locked(tmp_path, "merge")
        with (
            pytest.raises(LockedError, match="merge is locked by another process"),
            lock(tmp_path, "merge", wait_seconds=0.2),
        ):
            pass
        with lock(tmp_path, "other"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert not is_locked(tmp_path, "merge")
    with lock(tmp_path, "merge"):
        pass


def test_a_lock_is_given_back_when_its_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), lock(tmp_path, "a"):
        raise ValueError("x")
    assert not is_locked(tmp_path, "a")
    assert not is_locked(tmp_path, "never taken")


def test_who_only_looks_is_not_taken_for_a_holder_and_does_not_make_another_give_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "a.lock").open("a") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_locked(tmp_path, "a")
        monkeypatch.setattr("time.sleep", lambda seconds: fcntl.flock(looking, fcntl.LOCK_UN))
        with lock(tmp_path, "a"):
            assert is_locked(tmp_path, "a")


def test_a_lock_can_be_held_until_the_process_ends_and_be_asked_for_again(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lakehouse.locks import hold\n"
        "hold(Path(sys.argv[1]), 'merge'); hold(Path(sys.argv[1]), 'merge')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match="merge is locked by another process"):
            hold(tmp_path, "merge")
    finally:
        holder.kill()
        holder.communicate()
    assert not is_locked(tmp_path, "merge")


def test_a_lock_that_is_held_can_be_given_back_before_the_process_ends(tmp_path: Path) -> None:
    release(tmp_path, "merge")
    hold(tmp_path, "merge")
    assert is_locked(tmp_path, "merge")
    release(tmp_path, "merge")
    assert not is_locked(tmp_path, "merge")
    hold(tmp_path, "merge")
    release(tmp_path, "merge")
