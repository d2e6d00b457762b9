from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.page import BEGIN, END, write_page
from bench.results import OURS, Case, RowResult, Run, ratio, read_results, write_results

MACHINE = {"processor": "some", "cores": "2", "memory": "4.0 GiB", "kernel": "6.1", "Python": "3.11.2"}
GOOD = [
    Run(2.0, 1.5, 100.0, {"lines/s": 500.0}),
    Run(1.0, 1.0, 90.0, {"lines/s": 1000.0}),
    Run(3.0, 2.0, 95.0, {"lines/s": 333.0}),
]
PEER = [Run(8.0, 8.0, 50.0, {"lines/s": 125.0}), Run(0.1, 0.1, 1.0, {"lines/s": 9e9}, void="rows is 0, not 1000")]


def row(name: str = "ingest", **changed: object) -> RowResult:
    cases = [Case(OURS, "1,000 lines", GOOD), Case("GoAccess", "1,000 lines", PEER)]
    given = {
        "form": "quick", "taken_at": "2026-11-24T10:00:00+00:00", "load": 0.5, "machine": MACHINE, "cases": cases,
        "loop_seconds": [0.31, 0.452],
    }  # fmt: skip
    return RowResult(name, **(given | changed))  # type: ignore[arg-type]


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", [row(skipped={"pysail": "not installed"})])
    assert read_results(tmp_path / "results.json") == {"ingest": row(skipped={"pysail": "not installed"})}


def test_a_row_that_is_measured_again_replaces_itself_alone(tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", [row(), row("idle")])
    write_results(tmp_path / "results.json", [row(form="full")])
    assert {name: r.form for name, r in read_results(tmp_path / "results.json").items()} == {
        "ingest": "full",
        "idle": "quick",
    }


def test_there_are_no_results_before_the_first() -> None:
    assert read_results(Path("nowhere.json")) == {}


def test_medians_and_ratios_leave_out_what_does_not_count() -> None:
    ours, peer = row().cases
    assert (ours.median("wall_seconds"), ours.median("lines/s"), ours.spread("wall_seconds")) == (
        2.0,
        500.0,
        (1.0, 3.0),
    )
    assert (peer.median("wall_seconds"), peer.median("of something else")) == (8.0, None)
    assert ratio(peer, ours, "wall_seconds") == 4.0
    assert row().voids == ["GoAccess, 1,000 lines: rows is 0, not 1000"]


def test_the_page_has_the_figures_between_its_markers_and_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# By hand\n\n{BEGIN}\nold\n{END}\n\nby hand too\n", encoding="utf-8")
    write_page(page, {"ingest": row(skipped={"pysail": "not installed"})})
    written = page.read_text(encoding="utf-8")
    assert written.startswith(f"# By hand\n\n{BEGIN}\n")
    assert written.endswith(f"{END}\n\nby hand too\n")
    assert "load 0.5 before it began; the loop took 0.31 and 0.45 s before and after.\n" in written
    assert "Goal of the full form: 5 times GoAccess's lines/s; at most 250 MB, flat.\n" in written
    assert "old" not in written
    assert (
        "| this pipeline | 1,000 lines | 2.00 (1.00 to 3.00) | 1.50 (1.00 to 2.00) | 95 | 500 lines/s |  |" in written
    )
    assert "| GoAccess | 1,000 lines | 8.00 | 8.00 | 50 | 125 lines/s | 0.25 |" in written
    assert "Not measured: pysail: not installed." in written
    assert "Does not count: GoAccess, 1,000 lines: rows is 0, not 1000." in written
    write_page(page, {"ingest": row(skipped={"pysail": "not installed"})})
    assert page.read_text(encoding="utf-8") == written


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("all by hand", encoding="utf-8")
    with pytest.raises(BenchError, match="must have a line"):
        write_page(page, {"ingest": row()})
    assert page.read_text(encoding="utf-8") == "all by hand"


def test_the_picture_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from bench.picture import write_picture

    write_picture(tmp_path / "one.svg", {"ingest": row(), "idle": row("idle")})
    write_picture(tmp_path / "two.svg", {"ingest": row(), "idle": row("idle")})
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "GoAccess, 1,000 lines" in (tmp_path / "one.svg").read_text(encoding="utf-8")
