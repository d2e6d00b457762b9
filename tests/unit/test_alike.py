"""Logs that begin with the same lines: one while one may be a copy of the other, two once they differ."""

from collections import Counter

import pytest

from producer.alike import SHARED_BYTES, shared_beginning
from tests.followed_logs import Logs, ids_of, lines, numbered

SHARED = lines(1, 3)


class Bytes:
    """Content in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read_at(self, offset: int, size: int) -> bytes:
        return self.content[offset : offset + size]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (b"", b"", 0),
        (b"a\nb\n", b"a\nb\n", 0),
        (b"a\nb\n", b"a\nb\nc\n", 0),
        (b"a\nb\nx", b"a\nb\ny", 4),
        (b"a\nb1\n", b"a\nb2\n", 2),
        (b"a\n", b"b\n", 0),
        (b"a" * SHARED_BYTES + b"\nx", b"a" * SHARED_BYTES + b"\ny", 0),
    ],
)
def test_what_two_logs_have_in_common_is_whole_lines(one: bytes, other: bytes, expected: int) -> None:
    assert shared_beginning(Bytes(one), Bytes(other), 2 * SHARED_BYTES) == expected
    assert shared_beginning(Bytes(other), Bytes(one), 2 * SHARED_BYTES) == expected


def requests(logs: Logs) -> Counter[str]:
    """How often each path was requested, by the merge: each id counts once."""
    return Counter(dict(zip(logs.ids(), logs.landed(), strict=True)).values())


@pytest.mark.parametrize("is_later", [False, True])
@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("names", [("a.log", "b.log"), ("b.log", "a.log")])
def test_two_logs_that_begin_alike_and_both_grow_are_two(
    logs: Logs, names: tuple[str, str], *, is_later: bool, is_restarted: bool
) -> None:
    first, second = names
    logs.write(first, SHARED)
    if not is_later:
        logs.write(second, SHARED)
    logs.start(logs.folder)
    logs.settle()
    logs.write(first, lines(11, 12))
    logs.write(second, SHARED if is_later else b"")
    logs.settle()
    if is_restarted:
        logs.restart(logs.folder)
        logs.settle()
    logs.write(second, lines(21, 22))
    logs.settle()
    assert requests(logs) == Counter([*numbered(1, 3) * 2, *numbered(11, 12), *numbered(21, 22)])
    landed = len(logs.ids())
    logs.write(first, lines(13, 13))
    logs.write(second, lines(23, 23))
    logs.restart(logs.folder)
    logs.settle()
    assert len(logs.ids()) == landed + 2  # their common lines have landed once more, not each time
    assert set(logs.ids()) >= {*ids_of(SHARED + lines(11, 13)), *ids_of(SHARED + lines(21, 23))}


def test_three_logs_that_begin_alike_are_three(logs: Logs) -> None:
    for number in (10, 20, 30):
        logs.write(f"{number}.log", SHARED + lines(number, number))
    logs.start(logs.folder)
    logs.settle()
    assert requests(logs) == Counter([*numbered(1, 3) * 3, "/10", "/20", "/30"])


@pytest.mark.parametrize("copy", ["copy.log", "access.log.1"])
def test_a_copy_is_the_same_log_also_when_it_is_brought_up_to_date(logs: Logs, copy: str) -> None:
    logs.write("access.log", SHARED)
    logs.start(logs.folder)
    logs.settle()
    for number in (4, 5):
        logs.write(copy, logs.log.read_bytes(), "wb")
        logs.write("access.log", lines(number, number))
        logs.settle()
    assert requests(logs) == Counter(numbered(1, 5))
