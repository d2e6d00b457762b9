"""The archive's journal: arrivals are numbered once, remembered while they matter, and known to be archived or not."""

import json
import os
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


# The stream's clock --------------------------------------------------------------------------------------------------

YEARS = 10 * 365 * 86_400.0


@pytest.mark.parametrize(
    ("clocks", "times"),
    [
        ((100.0, 110.0), (100.0, 110.0)),
        ((100.0, 90.0, 95.0, 120.0), (100.0, 100.0, 100.0, 120.0)),  # set right
        # Far ahead once: from there on as fast as the system's clock.
        ((YEARS, 10.0, 70.0, 100.0), (YEARS, YEARS, YEARS + 60, YEARS + 90)),
        ((YEARS, 10.0, 5.0, 35.0), (YEARS, YEARS, YEARS, YEARS + 30)),
        ((YEARS, 10.0, 70.0, YEARS + 3600), (YEARS, YEARS, YEARS + 60, YEARS + 3600)),
    ],
)
def test_the_streams_clock_never_goes_back_and_never_stands_still(
    tmp_path: Path, landing: Path, caplog: pytest.LogCaptureFixture, clocks: tuple[float, ...], times: tuple[float, ...]
) -> None:
    found = []
    for number, clock in enumerate(clocks):
        land_json(landing / f"{number}.json", [landed(f"e{number}")])
        archive = Arrivals(tmp_path / "checkpoint", clock=lambda now=clock: now)  # type: ignore[misc]
        found += [a.arrived_at for a in archive.admit(landing, max_files=9)]
    assert tuple(found) == times
    assert ("it was ahead then" in caplog.text) == (YEARS in clocks)


def test_a_journal_of_an_older_release_does_not_stand_still_either(landing: Path, arrivals: Arrivals) -> None:
    arrivals.write([])
    arrivals.path.write_text(json.dumps({"seq": 1, "name": "", "stamp": "", "rows": 0, "arrived_at": 4e9}) + "\n")
    for number, clock in enumerate((1e9, 1e9 + 60)):
        land_json(landing / f"{number}.json", [landed(f"e{number}")])
        arrivals.clock = lambda now=clock: now  # type: ignore[misc]
        assert [a.arrived_at for a in arrivals.admit(landing, max_files=9)] == [4e9 + 60 * number]


# What a look costs ---------------------------------------------------------------------------------------------------


def test_a_look_at_an_unchanged_folder_reads_neither_its_files_nor_the_journal(
    landing: Path, arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        land_json(landing / f"{number}.json", [landed(f"e{number}")])
    assert len(arrivals.admit(landing, max_files=9)) == 3
    os.utime(landing, (1e9, 1e9))
    assert arrivals.admit(landing, max_files=9) == []
    with monkeypatch.context() as patched:
        patched.setattr("lakehouse.arrivals.waiting_files", None)
        patched.setattr(Path, "read_text", None)
        assert arrivals.admit(landing, max_files=9) == []
        assert [a.seq for a in arrivals.read()] == [1, 2, 3]
    land_json(landing / "3.json", [landed("e3")])
    assert [a.seq for a in arrivals.admit(landing, max_files=9)] == [4]


def test_a_file_written_over_in_place_is_noticed_after_a_while(
    landing: Path, arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_json(landing / "a.json", [landed()])
    arrivals.admit(landing, max_files=9)
    os.utime(landing, (1e9, 1e9))
    assert arrivals.admit(landing, max_files=9) == []
    land_json(landing / "a.json", [landed("e2"), landed("e3")])
    os.utime(landing, (1e9, 1e9))
    assert arrivals.admit(landing, max_files=9) == []
    monkeypatch.setattr("lakehouse.arrivals.LOOK_SECONDS", 0.0)
    assert [(a.seq, a.rows) for a in arrivals.admit(landing, max_files=9)] == [(2, 2)]
