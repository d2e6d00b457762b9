from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.__main__ import app
from bench.errors import BenchError
from bench.measure import Bench, Subject
from bench.results import Case, Run, read_results
from bench.table import ROWS
from bench.work import own_folder


def test_a_row_that_does_not_exist_is_refused_with_those_that_do() -> None:
    done = CliRunner().invoke(app, ["run", "speed"])
    assert done.exit_code == 2
    assert "no such row: speed" in done.output


def test_a_page_without_figures_says_how_to_get_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["page", "--results", str(tmp_path / "none.json")])
    assert done.exit_code == 1
    assert "make bench" in done.output


def test_the_folder_is_removed_whatever_happens(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "made" / "lake").mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), own_folder(tmp_path / "work", 1) as own:
        interrupted(own)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_disk_that_is_too_small_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="name a larger disk with --folder"), own_folder(tmp_path, 10**18):
        pass
    assert list(tmp_path.iterdir()) == []


def test_subjects_take_turns_in_folders_of_their_own(tmp_path: Path) -> None:
    seen: list[tuple[str, bool]] = []

    def subject(name: str) -> Subject:
        def measured(folder: Path) -> Run:
            seen.append((name, any(folder.iterdir())))
            (folder / name).touch()
            return Run(1.0, 1.0, 1.0)

        return Subject(name, "small", measured)

    cases = Bench(tmp_path, False, 2, lambda _line: None).take_turns([subject("a"), subject("b")])
    assert seen == [("a", False), ("b", False), ("a", False), ("b", False)]
    assert [(case.subject, len(case.runs)) for case in cases] == [("a", 2), ("b", 2)]
    assert not (tmp_path / "run").exists()


def test_a_subject_that_fails_is_void_and_the_others_go_on(tmp_path: Path) -> None:
    def fails(_folder: Path) -> Run:
        raise BenchError("out\nof order")

    subjects = [Subject("a", "small", fails), Subject("b", "small", lambda _folder: Run(1.0, 1.0, 1.0))]
    a, b = Bench(tmp_path, False, 1, lambda _line: None).take_turns(subjects)
    assert [run.void for run in (*a.runs, *b.runs)] == ["out of order", None]


def test_a_row_that_fails_is_said_and_the_others_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_bench: Bench) -> tuple[list[Case], dict[str, str]]:
        raise BenchError("no lake")

    def measures(bench: Bench) -> tuple[list[Case], dict[str, str]]:
        return bench.take_turns([Subject("a", "small", lambda _folder: Run(1.0, 2.0, 3.0))]), {}

    monkeypatch.setitem(ROWS, "ingest", replace(ROWS["ingest"], measure=fails))
    monkeypatch.setitem(ROWS, "idle", replace(ROWS["idle"], measure=measures))
    results = tmp_path / "results.json"
    words = ["run", "ingest", "idle", "--folder", str(tmp_path / "work"), "--results", str(results)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "ingest was not measured: no lake" in done.output
    assert {name: row.cases for name, row in read_results(results).items()} == {
        "idle": [Case("a", "small", [Run(1.0, 2.0, 3.0)])]
    }


@pytest.mark.parametrize(("form", "left_out"), [((), {"growth", "busy-day", "default-rate"}), (("--full",), set())])
def test_without_names_all_rows_of_the_form_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...], left_out: set[str]
) -> None:
    for name, row in ROWS.items():
        monkeypatch.setitem(ROWS, name, replace(row, measure=lambda _bench: ([], {})))
    monkeypatch.setattr("bench.__main__.FULL_BYTES", 0)
    monkeypatch.setattr("bench.machine.LOOPS", 1)
    results = tmp_path / "results.json"
    done = CliRunner().invoke(app, ["run", *form, "--folder", str(tmp_path / "work"), "--results", str(results)])
    assert done.exit_code == 0
    assert set(read_results(results)) == set(ROWS) - left_out


def test_the_rows_are_numbered_in_order() -> None:
    assert [row.number for row in ROWS.values()] == list(range(1, len(ROWS) + 1))
