"""A landed file goes when it is merged and archived, and then only that very file."""

from datetime import UTC, datetime, timedelta

import pytest

from cleaner.retire import retire_files, retire_old_files
from lakehouse.lake import Lake, file_stamp
from lakehouse.ledger import FileFigures, Ledger

NAMES = ("a.parquet", "b.parquet")


@pytest.fixture
def ledger(lake: Lake) -> Ledger:
    """Two landed files, merged."""
    lake.landing.mkdir(parents=True)
    for name in NAMES:
        (lake.landing / name).write_text(name)
    found = Ledger(lake.ledger)
    with found.run("merge") as run:
        stamps = {name: file_stamp(lake.landing / name) or "" for name in NAMES}
        found.record_files(run, [FileFigures(name, name, 1, 1, 0, 0, stamp=stamps[name]) for name in NAMES])
    return found


def names(lake: Lake) -> list[str]:
    return sorted(path.name for path in lake.landing.iterdir())


def test_merged_files_stay_until_they_are_archived(lake: Lake, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    assert retire_files(lake, ledger) == 0
    assert names(lake) == ["a.parquet", "b.parquet"]
    monkeypatch.setattr("lakehouse.arrivals.Arrivals.archived_names", lambda self, landing: {"a.parquet"})
    assert retire_files(lake, ledger) == 1
    assert names(lake) == ["b.parquet"]
    assert [f.name for f in ledger.waiting_to_retire()] == ["b.parquet"]


def test_another_file_under_a_merged_name_is_never_removed(
    lake: Lake, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakehouse.arrivals.Arrivals.archived_names", lambda self, landing: {"a.parquet"})
    (lake.landing / "a.parquet").write_text("new rows under the old name")
    assert retire_files(lake, ledger) == 1
    assert names(lake) == ["a.parquet", "b.parquet"]
    assert ledger.deliveries([lake.landing / "a.parquet"]) == {"a.parquet": "a.parquet/2"}


def test_a_file_that_somebody_removed_is_done(lake: Lake, ledger: Ledger) -> None:
    (lake.landing / "a.parquet").unlink()
    assert retire_files(lake, ledger) == 1
    assert [f.name for f in ledger.waiting_to_retire()] == ["b.parquet"]


def test_old_files_go_even_if_no_stream_takes_them(lake: Lake, ledger: Ledger) -> None:
    now = datetime.now(UTC)
    assert retire_old_files(lake, ledger, days=7, now=now + timedelta(days=6)) == 0
    assert retire_old_files(lake, ledger, days=7, now=now + timedelta(days=8)) == 2
    assert names(lake) == []
