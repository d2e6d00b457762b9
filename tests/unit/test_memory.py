import ctypes
from collections.abc import Callable

import pytest

from producer.memory import keep_freed_memory


class Library:
    """A C library that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def mallopt(self, option: int, value: int) -> int:
        self.told.append((option, value))
        return 1


def loading(library: object) -> Callable[[None], object]:
    return lambda _name: library


def test_freed_memory_is_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", loading(library))
    keep_freed_memory()
    assert library.told == [(-3, 1 << 28), (-1, 1 << 28), (-2, 1 << 26)]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", loading(object()))
    keep_freed_memory()
