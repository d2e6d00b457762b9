import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadMaxFiles

from consumer.components.archive_source import ArchivedFile, ArchiveStreamReader
from lakehouse.sink_log import archived_files, files_after


def commit(logs: Path, batch: str, *numbers: int) -> None:
    """What Spark's file sink writes of a batch that made these files."""
    lines = [json.dumps({"path": f"file://{logs}/part-{n}.parquet", "size": 1, "action": "add"}) for n in numbers]
    (logs / "_spark_metadata").mkdir(parents=True, exist_ok=True)
    (logs / "_spark_metadata" / batch).write_text("\n".join(["v1", *lines]))


@pytest.fixture
def footers(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Rows by file, 1 where nothing else is said: the files themselves are not there."""
    rows: dict[str, int] = {}

    def footer(path: Path) -> SimpleNamespace:
        return SimpleNamespace(num_rows=rows.get(path.name, 1))

    monkeypatch.setattr("pyarrow.parquet.read_metadata", footer)
    return rows


def names(*numbers: int) -> list[str]:
    return [f"part-{n}.parquet" for n in numbers]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Batches 0 to 21: the last compaction has dropped the first files, the one before is still there."""
    commit(tmp_path, "9.compact", *range(10))
    for batch in (17, 18, 20, 21):
        commit(tmp_path, str(batch), batch)
    commit(tmp_path, "19.compact", *range(5, 20))
    (tmp_path / "_spark_metadata" / ".22.tmp").write_text("v1\nhalf a li")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("part-21.parquet", []),
        ("part-20.parquet", names(21)),
        ("part-19.parquet", names(20, 21)),
        ("part-17.parquet", names(18, 19, 20, 21)),
        ("part-2.parquet", names(*range(5, 22))),  # dropped by the sink's retention: all that is left is newer
        ("1.parquet", names(*range(5, 22))),  # the end of a name is no name
        ("", names(*range(5, 22))),
    ],
)
def test_files_after_one_are_those_committed_since_in_their_order(logs: Path, name: str, expected: list[str]) -> None:
    assert list(files_after(logs, name)) == expected


def test_an_archive_that_has_not_begun_has_no_files(tmp_path: Path) -> None:
    assert archived_files(tmp_path) == set()
    assert list(files_after(tmp_path, "part-1.parquet")) == []


@pytest.mark.usefixtures("footers")
def test_the_stream_takes_so_many_files_a_batch_each_once_and_the_same_when_it_is_asked_again(logs: Path) -> None:
    reader = ArchiveStreamReader({"path": str(logs), "max_files": "7", "columns": "event_id,archived_at"})
    start, taken = reader.initialOffset(), list[list[str]]()
    while (end := reader.latestOffset(start, reader.getDefaultReadLimit())) != start:
        batch = [part.name for part in reader.partitions(start, end)]
        assert [part.name for part in reader.partitions(start, end)] == batch
        taken.append(batch)
        start = end
    assert taken == [names(*range(5, 12)), names(*range(12, 19)), names(19, 20, 21)]
    assert reader.latestOffset(reader.initialOffset(), ReadAllAvailable()) == {"file": "part-21.parquet"}
    commit(logs, "22", 22)
    assert reader.latestOffset(start, ReadMaxFiles(7)) == {"file": "part-22.parquet"}
    assert reader.partitions(start, {"file": "part-22.parquet"}) == [ArchivedFile("part-22.parquet")]


def test_a_batch_of_large_files_has_fewer_and_one_at_least(logs: Path, footers: dict[str, int]) -> None:
    footers |= {"part-5.parquet": 1_500_000, "part-7.parquet": 500_000, "part-8.parquet": 3_000_000}
    reader = ArchiveStreamReader({"path": str(logs), "max_files": "7", "columns": "event_id,archived_at"})
    start, ends = reader.initialOffset(), list[str]()
    while (end := reader.latestOffset(start, ReadMaxFiles(7))) != start:
        ends.append(end["file"])
        start = end
    assert ends == names(6, 7, 8, 15, 21)


def test_a_batch_that_was_planned_before_its_files_were_dropped_is_empty(logs: Path) -> None:
    reader = ArchiveStreamReader({"path": str(logs), "max_files": "7", "columns": "event_id,archived_at"})
    assert reader.partitions({"file": "part-0.parquet"}, {"file": "part-3.parquet"}) == []
