from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.errors import PipelineError
from producer.positions import HEAD_BYTES, KEPT_PLACES, KEPT_SECONDS, TAIL_BYTES, Place, Places, hashes_around

TEXT = b"".join(b"%06d " % number for number in range(10_000))


class Bytes:
    """Content in memory, which counts how often it is looked at."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.looks = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.looks += 1
        return self.content[offset : offset + size]


def place(content: bytes, offset: int, *, path: str = "a.log", seen_at: float = 0, site: str = "") -> Place:
    head, tail = hashes_around(Bytes(content), offset)
    assert head is not None
    assert tail is not None
    return Place(site, "f" * 16, "combined", offset, head, tail, path, seen_at)


def changed(content: bytes, at: int) -> bytes:
    return content[:at] + b"!" + content[at + 1 :]


@pytest.mark.parametrize("offset", [1, HEAD_BYTES - 1, HEAD_BYTES, TAIL_BYTES, TAIL_BYTES + HEAD_BYTES + 1, len(TEXT)])
def test_a_place_is_in_its_log_while_it_grows_and_in_no_other(offset: int) -> None:
    found = place(TEXT, offset)
    assert found.is_in(Bytes(TEXT))
    assert found.is_in(Bytes(TEXT[:offset]))
    assert found.is_in(Bytes(TEXT[:offset] + b"another end"))
    assert not found.is_in(Bytes(TEXT[: offset - 1]))
    assert not found.is_in(Bytes(b""))
    assert not found.is_in(Bytes(changed(TEXT, 0)))
    assert not found.is_in(Bytes(changed(TEXT, offset - 1)))
    assert not found.is_in(Bytes(changed(TEXT, max(0, offset - TAIL_BYTES))))


def test_the_place_furthest_into_a_log_is_found(tmp_path: Path) -> None:
    places = Places(tmp_path / "positions.json")
    near, far, other = place(TEXT, 100), place(TEXT, 5000), place(changed(TEXT, 10), 6000)
    for known in (near, far, other, replace(place(TEXT, 7000), is_gzip=True), place(TEXT, 8000, site="another")):
        places.add(known)
    assert places.find(Bytes(TEXT), "") == far
    assert places.find(Bytes(TEXT[:4999]), "", size=4999) == near
    assert places.find(Bytes(TEXT[:4999]), "") == near
    assert places.find(Bytes(TEXT), "", current=[place(TEXT, 9000)]) == place(TEXT, 9000)
    assert places.find(Bytes(b"x" * 10_000), "") is None
    places.remove(far)
    assert places.find(Bytes(TEXT), "") == near


def test_a_log_that_is_like_no_other_is_looked_at_once(tmp_path: Path) -> None:
    places = Places(tmp_path / "positions.json")
    for number in range(50):
        places.add(place(changed(TEXT, number), 5000 + number))
    content = Bytes(TEXT)
    assert places.find(content, "") is None
    assert content.looks == 1


def test_places_come_back_from_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "state" / "positions.json"
    odd_name = b"caf\xe9.log".decode("utf-8", "surrogateescape")
    kept, current = place(TEXT, 100, path=odd_name), replace(place(TEXT, 200), parser=None)
    places = Places(file)
    places.add(kept)
    places.save([current, current], now_seconds=10)
    assert Places(file).known == [kept, current]
    assert [path.name for path in file.parent.iterdir()] == ["positions.json"]


def test_old_places_and_too_many_are_forgotten_but_never_current_ones(tmp_path: Path) -> None:
    file = tmp_path / "positions.json"
    places = Places(file)
    template = place(TEXT, 100)
    for number in range(KEPT_PLACES + 5):
        places.add(replace(template, path=str(number), seen_at=float(number)))
    current = replace(template, path="current", seen_at=-1.0)
    places.save([current], now_seconds=KEPT_SECONDS + 2)
    paths = [known.path for known in Places(file).known]
    assert paths == [*(str(number) for number in range(5, KEPT_PLACES + 5)), "current"]
    places.save([current], now_seconds=KEPT_SECONDS * 3, existing={"7"})
    assert [known.path for known in Places(file).known] == ["7", "current"]


def test_places_that_cannot_be_written_are_an_error_that_says_what_follows(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match=r"cannot be written: .*landed again"):
        Places(tmp_path / "file" / "positions.json").save([], now_seconds=0)
