import gzip
import logging
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lakehouse.errors import InputError
from lakehouse.lake import waiting_files
from lakehouse.settings import Ingest
from producer.blocks import CompressedFile, PlainFile, open_file
from producer.follow import (
    ASLEEP_SECONDS,
    LONGEST_RETRY_SECONDS,
    OPEN_LINE_SECONDS,
    RETRY_SECONDS,
    ROTATED_SECONDS,
    Follower,
)
from producer.landing import Lander
from producer.tail import rotated_names
from tests.followed_logs import Logs, ids_of, line, lines, numbered, open_logs


def test_each_look_at_the_logs_is_told_of_also_when_nothing_is_new(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    lander = Lander(logs.landing, "parquet", batch_rows=2, batch_seconds=1e9)
    stop, told = threading.Event(), list[tuple[int, int]]()

    def tell(*so_far: int) -> None:
        told.append((so_far[0], so_far[1]))
        if len(told) == 2:
            stop.set()

    reading = Ingest(poll_seconds=0.01)
    Follower([str(logs.log)], reading, lander, logs.positions, stop, on_polled=tell).run()
    assert told == [(1, 2), (1, 2)]
    assert logs.landed() == numbered(1, 3)


# Growing -------------------------------------------------------------------------------------------------------------


def test_a_log_is_read_from_its_beginning_and_then_as_it_grows(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start()
    logs.settle()
    assert logs.landed() == numbered(1, 3)
    logs.write("access.log", lines(4, 4))
    logs.settle()
    logs.settle()
    assert logs.landed() == numbered(1, 4)
    assert logs.ids() == ids_of(lines(1, 4))


def test_a_line_that_is_being_written_is_not_read_in_half(logs: Logs) -> None:
    logs.write("access.log", lines(1, 1)[:20])
    logs.start()
    logs.settle()
    logs.write("access.log", lines(1, 1)[20:] + lines(2, 2)[:50])
    logs.settle()
    assert logs.landed() == numbered(1, 1)
    logs.write("access.log", lines(2, 2)[50:])
    logs.settle()
    assert logs.ids() == ids_of(lines(1, 2))


def test_a_line_that_was_cut_is_read_when_its_last_piece_is_there(logs: Logs) -> None:
    def piece(tag: str, text: bytes) -> bytes:
        return f"2015-05-17T10:05:03.1Z stdout {tag} ".encode() + text

    logs.start()
    logs.write("access.log", piece("F", line(1)) + piece("P", line(2)[:30] + b"\n"))
    logs.poll(after_seconds=0.5)
    logs.write("access.log", piece("P", line(2)[30:40] + b"\n"))
    logs.poll(after_seconds=0.5)
    logs.restart()
    logs.poll(after_seconds=0.5)
    logs.write("access.log", piece("F", line(2)[40:]) + piece("F", line(3)))
    logs.settle()
    assert logs.landed() == numbered(1, 3)


def test_the_day_above_the_lines_of_a_w3c_log_is_known_after_a_restart(logs: Logs) -> None:
    logs.start()
    logs.write("access.log", b"#Date: 2015-05-17 10:00:00\n#Fields: time c-ip cs-uri-stem\n23:59:59 192.0.2.1 /1\n")
    logs.settle()
    logs.write("access.log", b"00:00:01 192.0.2.1 /2\n")
    logs.settle()
    logs.restart()
    logs.write("access.log", b"00:00:02 192.0.2.1 /3\n")
    logs.settle()
    rows = pl.concat([pl.read_parquet(path) for path in waiting_files(logs.landing)])
    assert rows.select("path", pl.col("timestamp").dt.to_string("%d %T")).rows() == [
        ("/1", "17 23:59:59"), ("/2", "18 00:00:01"), ("/3", "18 00:00:02"),
    ]  # fmt: skip


def test_an_open_last_line_is_landed_when_its_log_has_long_been_quiet_and_again_if_it_grows(logs: Logs) -> None:
    content = lines(1, 2)
    logs.write("access.log", content[:-1])
    logs.start()
    logs.poll(after_seconds=1)
    logs.poll(after_seconds=OPEN_LINE_SECONDS - 2)
    assert logs.landed() == numbered(1, 1)
    logs.poll(after_seconds=2)
    logs.settle()
    assert logs.landed() == numbered(1, 2)
    logs.write("access.log", b"\n" + lines(3, 3))
    logs.settle()
    assert Counter(logs.ids()) == Counter([*ids_of(lines(1, 3)), ids_of(content)[1]])


def test_a_log_that_is_not_there_yet_is_waited_for(logs: Logs) -> None:
    logs.start()
    logs.settle()
    logs.write("access.log", lines(1, 2))
    logs.settle()
    assert logs.landed() == numbered(1, 2)


def test_a_glob_without_a_file_is_said_once_and_waited_for(logs: Logs, caplog: pytest.LogCaptureFixture) -> None:
    logs.start(logs.folder / "*access*")
    logs.settle()
    assert [r.message for r in caplog.records] == [f"{logs.folder}/*access*: no file there; waiting for one"]
    logs.write("example.access.log", lines(1, 2))
    logs.settle()
    assert logs.landed() == numbered(1, 2)


@pytest.mark.parametrize("path", ["-", "/no/such/folder/access.log"])
def test_what_cannot_be_followed_is_an_error_at_once(logs: Logs, path: str) -> None:
    with pytest.raises(InputError):
        logs.start(path)


# Restarts ------------------------------------------------------------------------------------------------------------


def test_after_a_restart_only_new_lines_are_read(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start()
    logs.settle()
    logs.stop()
    logs.write("access.log", lines(4, 5))
    logs.start()
    logs.settle()
    assert logs.landed() == numbered(1, 5)
    assert logs.ids() == ids_of(lines(1, 5))


def test_stopping_publishes_what_was_read_and_saves_its_place(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start()
    logs.poll(after_seconds=0)
    assert logs.landed() == []
    logs.stop()
    assert logs.landed() == numbered(1, 3)
    logs.start()
    logs.settle()
    assert logs.landed() == numbered(1, 3)


def test_a_place_is_saved_only_after_its_rows_are_published(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start()
    logs.settle()
    logs.write("access.log", lines(4, 5))
    logs.poll(after_seconds=0)  # read, and not published: then the program is killed
    assert [place["offset"] for place in logs.places()] == [len(lines(1, 3))]
    logs.start()
    logs.settle()
    assert logs.landed() == numbered(1, 5)


def test_a_kill_between_publishing_and_saving_lands_rows_again_with_the_same_ids(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start()
    logs.settle()
    saved = logs.positions.read_bytes()
    logs.write("access.log", lines(4, 5))
    logs.settle()
    logs.positions.write_bytes(saved)
    logs.start()
    logs.settle()
    assert logs.ids() == [*ids_of(lines(1, 5)), *ids_of(lines(1, 5))[3:]]


def test_a_batch_that_is_published_in_part_saves_no_place_beyond_it(logs: Logs) -> None:
    logs.write("access.log", lines(1, 5))
    logs.start(batch_rows=3)
    logs.poll(after_seconds=0)
    assert logs.landed() == numbered(1, 3)
    assert logs.places() == []
    logs.start()
    logs.settle()
    assert set(logs.ids()) == set(ids_of(lines(1, 5)))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 99, "places": []}', b'{"version": 1, "places": [{}]}', b"\xff"]
)
def test_places_that_cannot_be_understood_mean_reading_from_the_beginning(logs: Logs, content: bytes) -> None:
    logs.write("access.log", lines(1, 3))
    logs.positions.parent.mkdir()
    logs.positions.write_bytes(content)
    logs.start()
    logs.settle()
    assert logs.landed() == numbered(1, 3)


def test_another_site_reads_the_same_log_again(logs: Logs) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start(site="a")
    logs.settle()
    logs.stop()
    logs.start(site="b")
    logs.settle()
    assert logs.ids() == ids_of(lines(1, 2), "a") + ids_of(lines(1, 2), "b")


# Rotation by rename --------------------------------------------------------------------------------------------------


def test_a_rotated_log_is_read_to_its_end_also_what_is_written_after_the_rename(logs: Logs) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.write("access.log", lines(3, 3))
    logs.log.rename(logs.folder / "access.log.1")
    logs.poll()
    logs.write("access.log.1", lines(4, 4))
    logs.write("access.log", lines(11, 12))
    logs.settle()
    logs.write("access.log.1", lines(5, 5))
    logs.settle()
    assert sorted(logs.landed()) == sorted(numbered(1, 5) + numbered(11, 12))
    assert set(logs.ids()) == {*ids_of(lines(1, 5)), *ids_of(lines(11, 12))}


def test_the_open_last_line_of_a_rotated_log_is_landed_when_it_is_quiet(logs: Logs) -> None:
    logs.write("access.log", lines(1, 2)[:-1])
    logs.start()
    logs.settle()
    assert logs.landed() == numbered(1, 1)
    logs.log.rename(logs.folder / "access.log.1")
    logs.settle()
    assert logs.ids() == ids_of(lines(1, 2))


def test_a_rotated_log_is_let_go_when_it_was_quiet_for_long_and_another_has_taken_its_place(logs: Logs) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.log.rename(logs.folder / "access.log.1")
    logs.poll(after_seconds=ROTATED_SECONDS * 2)
    logs.write("access.log.1", lines(3, 3))  # its writer never reopened
    logs.settle()
    logs.write("access.log", lines(11, 11))
    logs.settle()
    logs.poll(after_seconds=ROTATED_SECONDS)
    logs.poll(after_seconds=ROTATED_SECONDS)
    logs.restart()
    logs.settle()
    assert logs.landed() == [*numbered(1, 3), "/11"]
    assert sorted((str(p["path"]), p["offset"]) for p in logs.places()) == [
        ("", len(lines(1, 3))),
        (str(logs.log), len(lines(11, 11))),
    ]


def test_a_deleted_log_is_let_go(logs: Logs) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.log.unlink()
    logs.settle()
    logs.write("access.log", lines(11, 11))
    logs.settle()
    assert logs.landed() == [*numbered(1, 2), "/11"]
    assert open_logs(logs) == [str(logs.log)]


@pytest.mark.parametrize(
    "name", ["access.log.1", "access.log-20261124", "access-20261124.log", "access.log.2026-11-24T06"]
)
def test_a_log_that_was_rotated_while_nobody_looked_is_read_to_its_end(logs: Logs, name: str) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.stop()
    logs.write("access.log", lines(3, 4))
    logs.log.rename(logs.folder / name)
    logs.write("access.log", lines(11, 12))
    logs.start()
    logs.settle()
    assert sorted(logs.landed()) == sorted(numbered(1, 4) + numbered(11, 12))


def test_a_log_that_was_rotated_and_compressed_while_nobody_looked_is_read_to_its_end(logs: Logs) -> None:
    logs.write("access.log", lines(1, 200))
    logs.start()
    logs.settle()
    logs.stop()
    logs.log.unlink()
    logs.write("access.log.1.gz", gzip.compress(lines(1, 203)))
    logs.write("access.log", lines(311, 312))
    logs.start()
    logs.settle()
    assert sorted(logs.landed()) == sorted(numbered(1, 203) + numbered(311, 312))
    logs.restart()
    logs.settle()
    assert len(logs.landed()) == 205


def test_a_kill_before_the_rest_of_a_compressed_log_is_published_loses_nothing(logs: Logs) -> None:
    logs.write("access.log", lines(1, 200))
    logs.start()
    logs.settle()
    logs.stop()
    logs.log.unlink()
    logs.write("access.log.1.gz", gzip.compress(lines(1, 203)))
    logs.start()
    logs.poll(after_seconds=10)
    logs.follower._save()  # and then it is killed
    assert logs.landed() == numbered(1, 200)
    logs.start()
    logs.settle()
    assert sorted(logs.landed()) == sorted(numbered(1, 203))


def test_logs_that_came_and_went_while_nobody_looked_are_read_too(logs: Logs) -> None:
    logs.write("access.log.4", lines(901, 902))  # older than what is followed: nobody asked for it
    logs.seconds += 60
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.stop()
    logs.seconds += 60
    logs.write("access.log", lines(3, 3))
    logs.log.rename(logs.folder / "access.log.3")
    logs.seconds += 60
    logs.write("access.log.2", gzip.compress(lines(11, 12)))
    logs.write("access.log.1", lines(21, 22))
    logs.write("access.log", lines(31, 32))
    logs.write("access.log.bak", lines(801, 802))  # no name that rotation gives
    logs.start()
    logs.settle()
    assert sorted(logs.landed()) == sorted(numbered(1, 3) + numbered(11, 12) + numbered(21, 22) + numbered(31, 32))


def test_a_kill_before_a_log_is_known_that_came_and_went_since_the_first_look_loses_nothing(logs: Logs) -> None:
    logs.start(batch_rows=3)
    logs.poll()  # no log is there yet
    logs.write("access.log.1", lines(1, 8))
    logs.poll(after_seconds=0.1)
    assert set(logs.landed()) < {f"/{n}" for n in range(1, 9)}  # some are published, no place is saved
    logs.seconds += 60
    logs.start()  # the killed one never closed
    logs.settle()
    assert set(logs.landed()) == {f"/{n}" for n in range(1, 9)}


def test_logs_that_came_and_went_after_the_clock_was_set_back_are_read_too(logs: Logs) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.stop()
    logs.seconds -= 3600
    logs.write("access.log", lines(3, 3))
    logs.log.rename(logs.folder / "access.log.2")
    logs.seconds += 60
    logs.write("access.log.1", lines(21, 22))
    logs.write("access.log", lines(31, 32))
    logs.start()
    logs.settle()
    assert sorted(logs.landed()) == sorted(numbered(1, 3) + numbered(21, 22) + numbered(31, 32))


def test_a_log_that_was_rotated_away_and_removed_is_said_to_be_missing(
    logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.stop()
    logs.log.unlink()
    logs.write("access.log", lines(11, 11))
    logs.start()
    logs.settle()
    assert f"up to byte {len(lines(1, 2))}, was cut off or rotated away" in caplog.text
    caplog.clear()
    logs.restart()
    logs.settle()
    assert "rotated away" not in caplog.text
    assert logs.landed() == [*numbered(1, 2), "/11"]


# Rotation by copying and cutting -------------------------------------------------------------------------------------


def copytruncate(logs: Logs, new_content: bytes) -> None:
    logs.write("access.log.1", logs.log.read_bytes(), "wb")
    logs.write("access.log", new_content, "wb")


@pytest.mark.parametrize("new_last", [21, 40], ids=["shorter", "longer"])
def test_a_log_that_was_copied_and_cut_is_read_to_its_end_and_then_anew(logs: Logs, new_last: int) -> None:
    logs.write("access.log", lines(1, 9))
    logs.start()
    logs.settle()
    logs.write("access.log", lines(10, 10))
    copytruncate(logs, lines(21, new_last))
    logs.settle()
    assert sorted(logs.landed()) == sorted(numbered(1, 10) + numbered(21, new_last))


def test_a_log_that_was_copied_and_cut_while_nobody_looked_is_read_to_its_end(logs: Logs) -> None:
    logs.write("access.log", lines(1, 9))
    logs.start()
    logs.settle()
    logs.stop()
    logs.write("access.log", lines(10, 10))
    copytruncate(logs, lines(21, 40))
    logs.start()
    logs.settle()
    assert sorted(logs.landed()) == sorted(numbered(1, 10) + numbered(21, 40))


def test_a_log_that_was_cut_to_nothing_begins_again(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start()
    logs.settle()
    copytruncate(logs, b"")
    logs.settle()
    logs.write("access.log", lines(4, 5))
    logs.settle()
    assert sorted(logs.landed()) == numbered(1, 5)


def test_an_open_first_line_that_is_written_anew_is_read_as_it_is_then(logs: Logs) -> None:
    logs.write("access.log", b"a beginning")
    logs.start()
    logs.settle()
    logs.write("access.log", lines(1, 1), "wb")
    logs.settle()
    assert logs.ids() == ids_of(lines(1, 1))


# Many logs -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_followed_with_the_logs_that_come_into_it(logs: Logs) -> None:
    logs.write("a.log", lines(1, 2))
    logs.write(".hidden", lines(901, 901))
    (logs.folder / "below").mkdir()
    logs.start(logs.folder)
    logs.settle()
    logs.write("b.log", lines(11, 12))
    logs.write("a.log", lines(3, 3))
    logs.settle()
    logs.restart(logs.folder)
    logs.write("c.log", lines(21, 21))
    logs.settle()
    assert sorted(logs.landed()) == sorted([*numbered(1, 3), *numbered(11, 12), "/21"])


def test_a_glob_is_followed_with_the_logs_that_come_to_match(logs: Logs) -> None:
    logs.start(logs.folder / "*.log")
    logs.settle()
    logs.write("a.log", lines(1, 2))
    logs.write("a.txt", lines(901, 902))
    logs.settle()
    assert logs.landed() == numbered(1, 2)


def test_rotation_inside_a_folder_reads_nothing_twice(logs: Logs) -> None:
    logs.write("access.log", lines(1, 300))
    logs.start(logs.folder)
    logs.settle()
    logs.log.rename(logs.folder / "access.log.1")
    logs.write("access.log", lines(311, 312))
    logs.settle()
    logs.write("access.log.1", lines(301, 301))
    logs.settle()
    (logs.folder / "access.log.1").unlink()
    logs.write("access.log.2.gz", gzip.compress(lines(1, 301)))
    logs.log.rename(logs.folder / "access.log.1")
    logs.settle()
    logs.restart(logs.folder)
    (logs.folder / "access.log.2.gz").rename(logs.folder / "access.log.3.gz")
    logs.settle()
    logs.settle()
    assert logs.landed() == numbered(1, 300) + numbered(311, 312) + numbered(301, 301)


def test_compressed_logs_are_read_once_and_only_when_whole(logs: Logs, caplog: pytest.LogCaptureFixture) -> None:
    whole = gzip.compress(lines(1, 500))
    logs.write("a.gz", whole[:100])
    logs.start(logs.folder)
    logs.poll(after_seconds=1)
    logs.poll(after_seconds=0.5)
    assert logs.landed() == []
    logs.write("a.gz", whole[100:])
    logs.settle()
    logs.settle()
    assert logs.landed() == numbered(1, 500)
    logs.restart(logs.folder)
    logs.settle()
    assert logs.landed() == numbered(1, 500)
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_a_broken_compressed_log_is_reported_once_and_again_when_it_has_changed(
    logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    whole = gzip.compress(b"".join(os.urandom(40).hex().encode() + b"\n" for _ in range(1000)))
    logs.write("a.gz", whole[:-5000])
    logs.start(logs.folder)
    logs.settle()
    logs.settle()
    assert caplog.text.count("ends before its end") == 1
    logs.write("a.gz", whole, "wb")
    logs.settle()
    assert len(set(logs.ids())) == 1000
    assert len(logs.ids()) == 1000  # what had been read of it is not landed again


def test_different_logs_with_the_same_first_line_share_no_place(logs: Logs) -> None:
    logs.write("a.log", lines(1, 1))
    logs.write("b.log", lines(1, 1) + lines(11, 12))
    logs.write("c.log", lines(1, 1) + lines(21, 22))
    logs.start(logs.folder)
    logs.settle()
    logs.restart(logs.folder)
    logs.write("a.log", lines(31, 32))
    logs.write("d.log", lines(1, 1) + lines(41, 42) + lines(21, 22))
    logs.settle()
    found = set(logs.ids())
    for tail in (lines(11, 12), lines(21, 22), lines(31, 32), lines(41, 42) + lines(21, 22)):
        assert found >= set(ids_of(lines(1, 1) + tail))


def test_a_copy_of_a_log_is_read_on_from_where_the_log_is_known(logs: Logs) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start()
    logs.settle()
    logs.write("copy.log", lines(1, 4))
    logs.restart(logs.folder / "copy.log")
    logs.settle()
    assert logs.landed() == numbered(1, 4)


def test_a_log_that_sleeps_is_closed_and_wakes_when_it_changes(logs: Logs) -> None:
    logs.write("a.log", lines(1, 2))
    logs.write("b.log", lines(11, 12))
    logs.start(logs.folder)
    logs.settle()
    logs.poll(after_seconds=ASLEEP_SECONDS)
    assert open_logs(logs) == []
    logs.write("a.log", lines(3, 3))
    logs.settle()
    logs.write("b.log", lines(21, 22), "wb")
    logs.settle()
    assert sorted(logs.landed()) == sorted([*numbered(1, 3), *numbered(11, 12), *numbered(21, 22)])


def test_old_logs_are_read_one_after_the_other_and_not_held_open(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        logs.write(f"{number}.log", lines(100 * number, 100 * number + 1)[:-1])
    logs.seconds += ASLEEP_SECONDS * 2
    held: list[int] = []

    def opened(path: Path) -> PlainFile | CompressedFile:
        held.append(len(open_logs(logs)))
        return open_file(path)

    monkeypatch.setattr("producer.open_logs.open_file", opened)
    logs.start(logs.folder)
    logs.settle()
    assert held == [0] * 20
    assert len(waiting_files(logs.landing)) == 1
    assert sorted(logs.landed()) == sorted(f"/{100 * number + n}" for number in range(20) for n in (0, 1))
    logs.restart(logs.folder)
    logs.settle()
    assert sorted(Counter(logs.ids()).values()) == [1] * 20 + [2] * 20  # an open last line is landed again


def test_a_log_that_cannot_be_opened_now_is_tried_again_and_reported_once(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_path: Path) -> None:
        raise InputError("too many open files")

    logs.write("access.log", lines(1, 2))
    logs.start()
    with monkeypatch.context() as patched:
        patched.setattr("producer.open_logs.open_file", refuse)
        for _ in range(3):
            logs.poll(after_seconds=RETRY_SECONDS)
    assert caplog.text.count("too many open files") == 1
    logs.poll(after_seconds=RETRY_SECONDS)
    logs.settle()
    assert logs.landed() == numbered(1, 2)


def test_a_log_that_goes_while_it_is_looked_at_stops_nothing(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_path: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    logs.write("a.gz", gzip.compress(lines(1, 2)))
    logs.start(logs.folder)
    with monkeypatch.context() as patched:
        patched.setattr("producer.blocks.PlainFile.at", gone)
        logs.poll()
    logs.poll(after_seconds=RETRY_SECONDS)
    logs.settle()
    assert logs.landed() == numbered(1, 2)


def test_a_log_compressed_otherwise_is_reported_once(logs: Logs, caplog: pytest.LogCaptureFixture) -> None:
    logs.write("a.lz4", b"\x04\x22\x4d\x18")
    logs.write("b.log", lines(1, 1))
    logs.start(logs.folder)
    logs.settle()
    assert caplog.text.count("decompress it with lz4") == 1
    assert logs.landed() == numbered(1, 1)


def test_idle_polling_opens_and_reads_nothing(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.write("a.log", lines(1, 2))
    logs.write("b.gz", gzip.compress(lines(11, 12)))
    logs.start(logs.folder)
    logs.settle()
    monkeypatch.setattr("producer.open_logs.open_file", None)
    monkeypatch.setattr("producer.blocks.PlainFile.read", None)
    monkeypatch.setattr("producer.positions.Places.save", None)
    logs.settle()
    logs.settle()
    monkeypatch.undo()
    assert sorted(logs.landed()) == sorted([*numbered(1, 2), *numbered(11, 12)])


def test_places_of_logs_that_are_gone_are_forgotten_after_a_month(logs: Logs) -> None:
    logs.write("a.log", lines(1, 2))
    logs.start(logs.folder)
    logs.settle()
    (logs.folder / "a.log").unlink()
    logs.settle()
    logs.write("b.log", lines(11, 12))
    logs.settle()
    assert len(logs.places()) == 2
    logs.poll(after_seconds=31 * 86_400)
    logs.write("b.log", lines(13, 13))
    logs.settle()
    assert [place["path"] for place in logs.places()] == [str(logs.folder / "b.log")]


def test_following_ends_when_told(logs: Logs) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start()
    ending = threading.Timer(0.2, logs.stop_event.set)
    ending.start()
    logs.follower.run()
    assert logs.landed() == numbered(1, 2)
    assert open_logs(logs) == []


NAMES = ["access.log", "access.log.1", "access.log.12.gz", "access.log-20261124", "access.log-20261124.gz",
         "access.log.2026-11-24T06", "access-20261124.log", "access.log.bak", "access.log.gz", "access.log1",
         "access.log.1.bak", "other.log.1", "xaccess.log.1", "access.logs.1"]  # fmt: skip


def test_the_names_that_rotation_gives_are_known() -> None:
    assert rotated_names(Path("/logs/access.log"), NAMES) == sorted([
        "access.log.1", "access.log.12.gz", "access.log-20261124", "access.log-20261124.gz", "access.log.2026-11-24T06",
        "access-20261124.log",
    ])  # fmt: skip
    assert rotated_names(Path("access"), ["access.1", "access-2", "access.log", "access"]) == ["access-2", "access.1"]


# Histories -----------------------------------------------------------------------------------------------------------

EVENTS = (
    "append",
    "append half",
    "append late",
    "rename",
    "rename and compress",
    "copy and cut",
    "poll",
    "poll",
    "wait",
    "kill",
    "stop",
)


class History:
    """What a server and an administrator do to one log, while a follower comes and goes."""

    def __init__(self, logs: Logs) -> None:
        self.logs = logs
        self.number = 0
        self.content = b""
        self.rotated: list[bytes] = []

    def happen(self, event: str) -> None:
        if event == "append":
            self._append(lines(self.number, self.number + 1))
            self.number += 2
        elif event == "append late":
            self._append_late(line(900 + self.number))
        elif event == "append half":
            self._append(b"%d is half of a line" % self.number)
            self.number += 1
        elif event in ("poll", "wait"):
            self.logs.poll(after_seconds=0.5 if event == "poll" else 20)
        elif event in ("kill", "stop"):
            if event == "stop":
                self.logs.stop()
            self.logs.start()
        elif self.content:
            self._rotate(event)

    def _append(self, content: bytes) -> None:
        self.content += content
        self.logs.write("access.log", content)

    def _append_late(self, content: bytes) -> None:
        """What a server writes that has not reopened its log yet."""
        path = self.logs.folder / "access.log.1"
        if not self.content and path.exists() and self.rotated[-1].endswith(b"\n"):
            self.rotated[-1] += content
            self.logs.write("access.log.1", content)

    def _rotate(self, event: str) -> None:
        folder = self.logs.folder
        for number in range(len(self.rotated), 0, -1):
            for old in (folder / f"access.log.{number}", folder / f"access.log.{number}.gz"):
                if old.exists():
                    old.rename(folder / old.name.replace(f".{number}", f".{number + 1}"))
        if event == "copy and cut":
            copytruncate(self.logs, b"")
        else:
            self.logs.log.rename(folder / "access.log.1")
        if event == "rename and compress":
            compressed = gzip.compress((folder / "access.log.1").read_bytes())
            status = (folder / "access.log.1").stat()
            (folder / "access.log.1").unlink()
            self.logs.write("access.log.1.gz", compressed)
            os.utime(folder / "access.log.1.gz", ns=(status.st_mtime_ns, status.st_mtime_ns))
        self.rotated.append(self.content)
        self.content = b""

    def expected(self) -> set[str]:
        """The ids of all whole lines, and of the open last lines of logs that were rotated."""
        whole = self.content[: self.content.rfind(b"\n") + 1]
        return {event_id for content in (*self.rotated, whole) if content for event_id in ids_of(content)}


@contextmanager
def listening(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("producer.follow")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@given(st.lists(st.sampled_from(EVENTS), max_size=25))
@hypothesis_settings(deadline=None, max_examples=60)
def test_whatever_happens_every_line_is_landed(events: list[str]) -> None:
    said_missing: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said_missing.append(record.getMessage())  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool, listening(handler):
        logs = Logs(Path(folder), pool)
        history = History(logs)
        history.happen("append")
        logs.start()
        logs.settle()
        for event in events:
            logs.seconds += 1.5
            history.happen(event)
        logs.settle()
        logs.settle()
        logs.stop()
        assert set(logs.ids()) == history.expected()
        assert said_missing == []


# A disk that fails now and then ---------------------------------------------------------------------------------------


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, method: str, *, call: int) -> Iterator[list[int]]:
    """Let one call of a method of ``PlainFile`` fail with EIO, or the first of a ``CompressedFile``'s; yields how many there were."""
    owner = {"CompressedFile": CompressedFile, "PlainFile": PlainFile}[method.split(".")[0]]
    name = method.split(".")[1]
    whole, calls = getattr(owner, name), [0]

    def fail_once(self: object, *args: int) -> bytes:
        calls[0] += 1
        if calls[0] == call:
            raise OSError(5, "Input/output error")
        found: bytes = whole(self, *args)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail_once)
        yield calls


@pytest.mark.parametrize(
    ("method", "call"),
    [*(("PlainFile.read", n) for n in range(1, 8)), *(("PlainFile.read_at", n) for n in range(1, 9))],
)
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_log_of_several_blocks_that_cannot_be_read_for_a_moment_loses_nothing(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str, call: int,
    *, is_restarted: bool,
) -> None:  # fmt: skip
    content = lines(1, 60_000)
    logs.write("access.log", content)
    logs.start()
    with failing(monkeypatch, method, call=call) as calls:
        logs.settle()
    assert calls[0] >= call, "there was no such call"
    assert "access.log: cannot be read: Input/output error; it is tried again" in caplog.text
    if is_restarted:
        logs.restart()
    logs.poll(after_seconds=RETRY_SECONDS)
    logs.settle()
    assert set(logs.ids()) == set(ids_of(content))
    logs.restart()
    logs.settle()
    landed_rows = len(logs.ids())
    logs.write("access.log", line(60_001))
    logs.settle()
    assert len(logs.ids()) == landed_rows + 1  # the place is where it was read to


def test_a_log_that_cannot_be_read_is_not_given_up_when_it_is_rotated(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.write("access.log", lines(3, 4))
    with monkeypatch.context() as patched:
        patched.setattr(PlainFile, "read", broken)
        logs.poll()
        logs.log.rename(logs.folder / "access.log.1")
        logs.write("access.log", b"")
        for _ in range(3):
            logs.poll(after_seconds=ROTATED_SECONDS)
    logs.poll(after_seconds=RETRY_SECONDS)
    logs.settle()
    assert logs.landed() == numbered(1, 4)


@pytest.mark.parametrize("method", ["CompressedFile.read", "PlainFile.read_at"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_compressed_log_that_cannot_be_read_for_a_moment_is_landed_later(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str, call: int
) -> None:
    content = lines(1, 60_000)
    logs.write("a.log.gz", gzip.compress(content))
    logs.start(logs.folder)
    with failing(monkeypatch, method, call=call) as calls:
        logs.settle()
    assert calls[0] >= call, "there was no such call"
    assert "a.log.gz: cannot be read: Input/output error; it is tried again" in caplog.text
    logs.poll(after_seconds=RETRY_SECONDS)
    logs.settle()
    assert set(logs.ids()) == set(ids_of(content))
    before = len(logs.ids())
    logs.restart(logs.folder)
    logs.settle()
    assert len(logs.ids()) == before


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_rotated_log_that_cannot_be_looked_at_for_a_moment_is_found_later(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, is_compressed: bool,
    is_restarted: bool,
) -> None:  # fmt: skip
    logs.write("access.log", lines(1, 2))
    logs.start()
    logs.settle()
    logs.stop()  # rotated while nobody looked
    whole = lines(1, 4)
    logs.write("access.log.1.gz" if is_compressed else "access.log.1", gzip.compress(whole) if is_compressed else whole)
    logs.write("access.log", lines(11, 12), "wb")
    logs.start()
    with monkeypatch.context() as patched:
        patched.setattr(CompressedFile if is_compressed else PlainFile, "read_at", broken_but_for_the_log(logs))
        logs.settle()
        logs.poll(after_seconds=RETRY_SECONDS)
        assert logs.follower.unreadable == 1
    assert caplog.text.count("looking for lines of a log that was rotated") == 1
    assert "is not to be found" not in caplog.text
    if is_restarted:
        logs.restart()
    logs.poll(after_seconds=RETRY_SECONDS)
    logs.settle()
    assert Counter(logs.landed()) == Counter([*numbered(1, 4), *numbered(11, 12)])


def test_a_compressed_log_that_stays_unreadable_is_tried_ever_more_rarely(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.write("a.log.gz", gzip.compress(lines(1, 3)))
    logs.start(logs.folder)
    tries = list[float]()

    def fail(_self: CompressedFile, _size: int) -> bytes:
        tries.append(logs.seconds)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(CompressedFile, "read", fail)
        for _ in range(18 * 60):
            logs.poll(after_seconds=10)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600]
    assert logs.follower.unreadable == 1
    logs.poll(after_seconds=LONGEST_RETRY_SECONDS)
    logs.settle()
    assert logs.landed() == numbered(1, 3)
    assert logs.follower.unreadable == 0


def test_a_log_that_was_compressed_just_now_in_a_followed_folder_is_not_missed(
    logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    logs.write("access.log", lines(1, 3))
    logs.start(logs.folder)
    logs.settle()
    logs.stop()
    logs.write("access.log.2.gz", gzip.compress(lines(1, 5)))
    logs.write("access.log.1", lines(11, 13), "wb")
    logs.write("access.log", lines(21, 22), "wb")
    logs.start(logs.folder)
    logs.poll(after_seconds=0)
    logs.settle()
    assert Counter(logs.landed()) == Counter([*numbered(1, 5), *numbered(11, 13), *numbered(21, 22)])
    assert "is not to be found" not in caplog.text


def broken(*_: object) -> bytes:
    raise OSError(5, "Input/output error")


def broken_but_for_the_log(logs: Logs) -> Callable[[PlainFile | CompressedFile, int, int], bytes]:
    """``read_at`` that fails in every file but ``access.log``."""
    plain = PlainFile.read_at

    def read_at(self: PlainFile | CompressedFile, offset: int, size: int) -> bytes:
        is_log = isinstance(self, PlainFile) and self.status().st_ino == logs.log.stat().st_ino
        return plain(self, offset, size) if is_log and isinstance(self, PlainFile) else broken()

    return read_at
