"""A follower and what goes wrong around it: signals, links, folders that cannot be read, files that grow oddly."""

import errno
import gzip
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.cli import Stop
from producer.blocks import BlockReader, CompressedFile, PlainFile
from producer.follow import ASLEEP_SECONDS, RETRY_SECONDS, ROTATED_SECONDS
from producer.landing import Lander
from tests.followed_logs import Logs, ids_of, line, lines, numbered, open_logs

# A signal while a log is being read ----------------------------------------------------------------------------------

OVER_A_BLOCK = lines(1, 30_000)  # more than 2 MiB: three blocks


@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize("age_seconds", [0, ASLEEP_SECONDS * 2])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_log_whose_reading_was_broken_off_is_read_on_later_and_no_line_is_cut(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, blocks: int, age_seconds: float, *, is_compressed: bool
) -> None:
    content = gzip.compress(OVER_A_BLOCK, 1) if is_compressed else OVER_A_BLOCK
    logs.write("access.log.gz" if is_compressed else "access.log", content)
    logs.seconds += age_seconds
    logs.start(logs.folder)
    whole, read = BlockReader.next, [0]

    def next_block(self: BlockReader) -> object:
        if read[0] == blocks:
            logs.stop_event.set()
        read[0] += 1
        return whole(self)

    with monkeypatch.context() as patched:
        patched.setattr(BlockReader, "next", next_block)
        logs.poll()
    logs.restart(logs.folder)
    logs.settle()
    assert set(logs.ids()) == set(ids_of(OVER_A_BLOCK))


def test_a_rotated_log_whose_reading_was_broken_off_is_not_let_go(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.write("access.log", OVER_A_BLOCK[len(lines(1, 2)) :])
    logs.log.rename(logs.folder / "access.log.1")
    logs.write("access.log", line(0))
    whole = BlockReader.next

    def next_block(self: BlockReader) -> object:
        logs.stop_event.set()
        return whole(self)

    with monkeypatch.context() as patched:
        patched.setattr(BlockReader, "next", next_block)
        logs.poll(after_seconds=ROTATED_SECONDS * 2)
    logs.restart()
    logs.settle()
    assert set(logs.ids()) == {*ids_of(OVER_A_BLOCK), *ids_of(line(0))}


def test_an_event_may_be_set_by_a_handler_of_the_thread_that_waits_for_it() -> None:
    stop = Stop()
    with stop._cond:  # type: ignore[attr-defined]  # what ``Event.wait`` would hold
        assert not stop.wait(0.0)
    stop.set()
    assert stop.wait()


# Links ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_symbolic", [False, True])
def test_a_link_to_a_followed_log_is_no_second_log(logs: Logs, *, is_symbolic: bool) -> None:
    target = logs.write("access.2026-11-24.log", lines(1, 2))
    link = logs.folder / "a-link.log"
    if is_symbolic:
        link.symlink_to(target.name)
    else:
        link.hardlink_to(target)
    logs.start(logs.folder)
    logs.settle()
    logs.write(target.name, lines(3, 4))
    logs.settle()
    assert logs.landed() == numbered(1, 4)
    assert len(open_logs(logs)) == 1
    logs.restart(logs.folder)
    logs.settle()
    logs.poll(after_seconds=ASLEEP_SECONDS * 2)
    logs.settle()
    assert logs.landed() == numbered(1, 4)


def test_a_link_that_is_set_to_the_next_log_loses_nothing(logs: Logs) -> None:
    first, link = logs.write("access.log.20261124", lines(1, 2)), logs.folder / "access.log"
    link.symlink_to(first.name)
    logs.start(logs.folder)
    logs.settle()
    logs.write(first.name, lines(3, 3))
    second = logs.write("access.log.20261125", lines(11, 12))
    link.unlink()
    link.symlink_to(second.name)
    logs.settle()
    logs.write(second.name, lines(13, 13))
    logs.settle()
    assert logs.ids() == [*ids_of(lines(1, 3)), *ids_of(lines(11, 13))]


# What cannot be looked at --------------------------------------------------------------------------------------------


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Path]]:
    """Folders that cannot be read, and what is in them, as long as they are in this set; also for root."""
    found: set[Path] = set()
    stat, scandir = Path.stat, os.scandir

    def denied_stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if found & {self, self.parent}:
            raise OSError(errno.ESTALE, "Stale file handle")
        return stat(self, follow_symlinks=follow_symlinks)

    def denied_scandir(path: Path) -> object:
        if path in found:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(Path, "stat", denied_stat)
    monkeypatch.setattr(os, "scandir", denied_scandir)
    yield found
    found.clear()


def test_a_folder_that_cannot_be_looked_at_stops_no_other_log(
    logs: Logs, forbidden: set[Path], caplog: pytest.LogCaptureFixture
) -> None:
    other = logs.folder.parent / "other"
    other.mkdir()
    logs.write("access.log", lines(1, 2))
    logs.write("../other/b.log", lines(11, 12))
    logs.start(logs.folder, other)
    logs.settle()
    forbidden.add(other)
    logs.write("access.log", lines(3, 3))
    with (other / "b.log").open("ab") as log:
        log.write(line(13))
    logs.settle()
    assert logs.follower.unreadable == 1
    assert logs.landed() == [*numbered(1, 2), *numbered(11, 12), "/3", "/13"]  # it is open: it is read on
    assert caplog.text.count("other: cannot be looked at: Stale file handle") == 1
    assert "rotated away" not in caplog.text
    forbidden.clear()
    logs.settle()
    assert logs.follower.unreadable == 0
    assert len(logs.landed()) == 6


def test_a_folder_that_cannot_be_looked_at_from_the_start_is_waited_for(logs: Logs, forbidden: set[Path]) -> None:
    other = logs.folder.parent / "other"
    other.mkdir()
    (other / "b.log").write_bytes(lines(11, 12))
    logs.write("access.log", lines(1, 2))
    forbidden.add(other)
    logs.start(logs.log, other / "b.log")
    logs.settle()
    assert logs.landed() == numbered(1, 2)
    forbidden.clear()
    logs.settle()
    assert logs.landed() == [*numbered(1, 2), *numbered(11, 12)]


def test_an_open_log_whose_file_has_become_stale_stops_no_other_log(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logs.write("a.log", lines(1, 2))
    logs.write("b.log", lines(11, 12))
    logs.start(logs.folder)
    logs.settle()
    status, stale = PlainFile.status, (logs.folder / "a.log").stat().st_ino

    def status_or_error(self: PlainFile) -> os.stat_result:
        found = status(self)
        if found.st_ino == stale:
            raise OSError(errno.ESTALE, "Stale file handle")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(PlainFile, "status", status_or_error)
        logs.write("a.log", lines(3, 3))
        logs.write("b.log", lines(13, 13))
        logs.settle()
        assert logs.landed() == [*numbered(1, 2), *numbered(11, 13)]
        assert "a.log: cannot be read: Stale file handle; it is tried again" in caplog.text
    logs.poll(after_seconds=RETRY_SECONDS)
    logs.settle()
    assert logs.landed() == [*numbered(1, 2), *numbered(11, 13), "/3"]


def test_a_link_into_a_folder_that_cannot_be_read_does_not_hide_the_others(logs: Logs, forbidden: set[Path]) -> None:
    logs.write("a.log", lines(1, 2))
    logs.write("b.log", lines(11, 12))
    forbidden.add(logs.folder / "b.log")
    logs.start(logs.folder)
    logs.settle()
    assert logs.landed() == numbered(1, 2)


# Copies and compressed logs ------------------------------------------------------------------------------------------


def test_after_a_log_was_cut_old_compressed_logs_are_not_decompressed(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2, 5):
        old = b"".join(line(1000 * number + n) for n in range(2000))
        logs.write(f"access.log.{number}.gz", gzip.compress(old))
    logs.seconds += 3600
    logs.write("access.log", lines(1, 1000))
    logs.start()
    logs.settle()
    ends = list[int]()
    whole = CompressedFile.read_at

    def read_at(self: CompressedFile, offset: int, size: int) -> bytes:
        ends.append(offset + size)
        return whole(self, offset, size)

    monkeypatch.setattr(CompressedFile, "read_at", read_at)
    logs.write("access.log.1", logs.log.read_bytes())
    logs.write("access.log", lines(2001, 2002), "wb")
    logs.settle()
    assert sorted(logs.landed()) == sorted([*numbered(1, 1000), *numbered(2001, 2002)])
    assert len(ends) == 3
    assert max(ends) <= 4096


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_rotated_log_that_a_copy_is_written_over_is_not_said_to_be_missing(
    logs: Logs, caplog: pytest.LogCaptureFixture, *, is_folder: bool
) -> None:
    logs.write("access.log", lines(1, 9))
    logs.start(*([logs.folder] if is_folder else []))
    logs.settle()
    logs.log.rename(logs.folder / "access.log.1")
    logs.write("access.log", lines(11, 19))
    logs.settle()
    logs.write("access.log", lines(20, 29))
    logs.write("access.log.1", logs.log.read_bytes(), "wb")  # over the one that is still open
    logs.write("access.log", lines(31, 32), "wb")
    logs.settle()
    assert Counter(logs.landed()) == Counter([*numbered(1, 9), *numbered(11, 29), *numbered(31, 32)])
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_compressed_log_that_grows_by_members_is_read_on_where_it_was_left(logs: Logs, *, is_restarted: bool) -> None:
    logs.write("a.log.gz", gzip.compress(lines(1, 200)))
    logs.start(logs.folder)
    for first in (201, 401):
        logs.settle()
        if is_restarted:
            logs.restart(logs.folder)
        logs.write("a.log.gz", gzip.compress(lines(first, first + 199)))
    logs.settle()
    logs.settle()
    assert logs.ids() == ids_of(lines(1, 600))


def test_a_compressed_log_that_is_written_as_one_stream_is_read_on_where_it_was_left(logs: Logs) -> None:
    content = b"".join(line(n * 7919 % 10_007) for n in range(5000))
    whole = gzip.compress(content)
    logs.start(logs.folder)
    for begin in range(0, len(whole), 10_000):
        logs.write("a.log.gz", whole[begin : begin + 10_000])
        logs.settle()
    assert logs.ids() == ids_of(content)


# Starting ------------------------------------------------------------------------------------------------------------


def test_a_temporary_file_that_another_producer_publishes_meanwhile_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / ".20261124T061711.123456Z-3fa9c1d2-000001.parquet.tmp"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([hidden]))
    assert Lander(tmp_path, "parquet", batch_rows=1, batch_seconds=1).files == 0


def test_old_logs_that_are_published_while_the_others_are_opened_are_not_said_to_be_missing(
    logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        logs.write(f"{number}.log", lines(100 * number, 100 * number + 4))
    logs.seconds += ASLEEP_SECONDS * 2
    logs.start(logs.folder, batch_rows=5)
    logs.settle()
    assert len(logs.landed()) == 20
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
