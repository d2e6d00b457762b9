"""Loaded by each Python process that finds this folder on its path: kills the whole program at one named point.

``KILL_AT`` is ``module:function:before:n`` or ``module:function:after:n``: just before, or after, the n-th call of that
function in one process. The function may be a method (``Class.method``). A program is all processes of one session:
Spark's JVM and its Python workers die with it, as when the power fails. With ``KILL_BY`` (``SIGTERM``, ``SIGINT``) this
process alone is sent that signal, and goes on.
"""

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


def strike() -> None:
    """Send this process the signal that was asked for, or end it and all others of its session by SIGKILL."""
    if "KILL_BY" in os.environ:
        os.kill(os.getpid(), signal.Signals[os.environ["KILL_BY"]])
    else:
        kill_session()


def kill_session() -> None:
    """End this process and all others of its session by SIGKILL."""
    processes = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    for pid in (pid for pid in processes if pid != os.getpid()):
        try:
            if os.getsid(pid) == os.getsid(0):
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(function: Callable[..., Any], *, is_before: bool, call: int) -> Callable[..., Any]:
    """``function``, which kills its program at its ``call``-th call."""
    counting, calls = threading.Lock(), 0

    @functools.wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        nonlocal calls
        with counting:
            calls += 1
            is_due = calls == call
        if is_due and is_before:
            strike()
        result = function(*args, **named)
        if is_due and not is_before:
            strike()
        return result

    return called


class Armer(importlib.abc.MetaPathFinder):
    """Makes one function of one module deadly when that is imported."""

    def __init__(self, point: str) -> None:
        self.module, self.function, when, call = point.split(":")
        self.is_before, self.call = {"before": True, "after": False}[when], int(call)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own spec, armed; nothing for other modules."""
        if fullname != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None, f"there is no module {fullname}"
        assert spec.loader is not None, f"{fullname} has no code"
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.arm(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def arm(self, module: ModuleType) -> None:
        """Put the deadly function into the place of the other."""
        *owners, name = self.function.split(".")
        owner = functools.reduce(getattr, owners, module)
        setattr(owner, name, deadly(getattr(owner, name), is_before=self.is_before, call=self.call))


if "KILL_AT" in os.environ:
    sys.meta_path.insert(0, Armer(os.environ["KILL_AT"]))
