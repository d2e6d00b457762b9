"""The archive's journal: arrivals are numbered once, remembered while they matter, and known to be archived or not."""

import json
from pathlib import Path

import pytest

from lakehouse.arrivals import Arrivals
from tests.builders import land_json, landed


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    return tmp_path / "landing"


@pytest.fixture
def arrivals(tmp_path: Path) -> Arrivals:
    return Arrivals(tmp_path / "checkpoint")


def commit(arrivals: Arrivals, batch: int, seq: int) -> None:
    for folder, content in (("offsets", f"v1\n{{}}\n{json.dumps({'seq': seq})}"), ("commits", "v1\n{}")):
        (arrivals.checkpoint / folder).mkdir(parents=True, exist_ok=True)
        (arrivals.checkpoint / folder / str(batch)).write_text(content)


def test_landed_files_are_numbered_once_in_the_order_of_their_names(landing: Path, arrivals: Arrivals) -> None:
    for name in ("b.json", "a.json", ".hidden.tmp", "_other"):
        land_json(landing / name, [landed()])
    (landing / "folder.json").mkdir()
    assert [(a.seq, a.name, a.rows) for a in arrivals.admit(landing, max_files=9)] == [
        (1, "a.json", 1),
        (2, "b.json", 1),
    ]
    assert arrivals.admit(landing, max_files=9) == []
    land_json(landing / "0.json", [])
    assert [(a.seq, a.name) for a in arrivals.admit(landing, max_files=9)] == [(3, "0.json")]
    assert [a.seq for a in arrivals.read()] == [1, 2, 3]


def test_a_batch_takes_so_many_files_and_the_next_the_rest(landing: Path, arrivals: Arrivals) -> None:
    for number in range(5):
        land_json(landing / f"{number}.json", [landed()])
    taken = [[a.name for a in arrivals.admit(landing, max_files=2)] for _ in range(4)]
    assert taken == [["0.json", "1.json"], ["2.json", "3.json"], ["4.json"], []]


def test_a_refused_file_is_numbered_with_its_reason_and_never_archived(landing: Path, arrivals: Arrivals) -> None:
    (landing / "a.parquet").write_bytes(b"x")
    assert str(arrivals.admit(landing, max_files=9)[0].refused).startswith("not readable as Parquet")
    commit(arrivals, 0, 1)
    assert arrivals.archived_names(landing) == set()


def test_a_file_is_archived_once_sparks_commit_log_is_past_it(landing: Path, arrivals: Arrivals) -> None:
    for name in ("a.json", "b.json"):
        land_json(landing / name, [landed()])
    arrivals.admit(landing, max_files=1)
    arrivals.admit(landing, max_files=1)
    assert (arrivals.committed_seq(), arrivals.archived_names(landing)) == (0, set())
    commit(arrivals, 9, 1)
    assert arrivals.archived_names(landing) == {"a.json"}
    commit(arrivals, 10, 2)  # the greatest number, not the greatest name
    assert arrivals.archived_names(landing) == {"a.json", "b.json"}


def test_another_file_under_the_same_name_is_another_arrival(landing: Path, arrivals: Arrivals) -> None:
    land_json(landing / "a.json", [landed()])
    arrivals.admit(landing, max_files=9)
    commit(arrivals, 0, 1)
    (landing / "a.json").unlink()
    land_json(landing / "a.json", [landed("e2"), landed("e3")])
    assert arrivals.archived_names(landing) == set()
    assert [(a.seq, a.rows) for a in arrivals.admit(landing, max_files=9)] == [(2, 2)]


def test_archived_files_that_are_gone_are_forgotten_and_numbers_are_not_given_again(
    landing: Path, arrivals: Arrivals
) -> None:
    land_json(landing / "a.json", [landed()])
    arrivals.admit(landing, max_files=9)
    commit(arrivals, 0, 1)
    (landing / "a.json").unlink()
    land_json(landing / "b.json", [landed()])
    arrivals.admit(landing, max_files=9)
    assert [(a.seq, a.name) for a in arrivals.read()] == [(2, "b.json")]
