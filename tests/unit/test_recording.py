"""What a producer that goes on leaves in the ledger, and that nothing there ever stops it."""

import logging
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.locks import is_locked, lock
from producer.recording import WRITE_SECONDS, Recorder, recorded_if_first


class Clock:
    """Seconds, and the time of the day that they make."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> str:
        return f"{self.seconds:g}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(lake: Lake, clock: Clock) -> Recorder:
    return Recorder(lake, "simulate", clock=clock, now=clock.now)


def recorded(lake: Lake) -> dict[str, Any]:
    """What the ledger knows of each producer."""
    return {name: found["progress"] for name, found in Ledger(lake.ledger).progress().items()}


def record(started_at: str, **changes: Any) -> dict[str, Any]:
    unset = {"progress_at": None, "landed_at": None, "ended_at": None, "files": 0, "rows": 0, "unreadable": 0}
    return {"started_at": started_at} | unset | changes


def test_a_start_takes_the_place_of_what_a_process_before_has_left(
    lake: Lake, recorder: Recorder, clock: Clock
) -> None:
    Ledger(lake.ledger).record_progress("simulate", record("0", progress_at="1", files=12, rows=60_000))
    clock.seconds = 7
    with recorder:
        assert recorded(lake) == {"simulate": record("7")}


def test_progress_is_recorded_every_few_seconds_at_most_and_the_end_in_any_case(
    lake: Lake, recorder: Recorder, clock: Clock
) -> None:
    with recorder:
        clock.seconds = 1
        recorder.progress(0, 0)
        assert recorded(lake) == {"simulate": record("0", progress_at="1")}
        clock.seconds = 2
        recorder.progress(1, 100)
        assert recorded(lake) == {"simulate": record("0", progress_at="1")}
        clock.seconds = 1 + WRITE_SECONDS
        recorder.progress(1, 100)
        landed = {"landed_at": "2", "files": 1, "rows": 100}
        assert recorded(lake) == {"simulate": record("0", progress_at="5", **landed)}
        clock.seconds = 6
        recorder.progress(2, 150)
        clock.seconds = 7
    landed = {"landed_at": "6", "files": 2, "rows": 150}
    assert recorded(lake) == {"simulate": record("0", progress_at="6", ended_at="7", **landed)}


def test_a_producer_that_fails_has_not_ended_well(lake: Lake, recorder: Recorder) -> None:
    with pytest.raises(ValueError, match="disk full"), recorder:
        raise ValueError("disk full")
    assert recorded(lake) == {"simulate": record("0")}


def test_what_ends_by_itself_is_not_recorded(lake: Lake, recorder: Recorder) -> None:
    recorder.progress(1, 100)
    assert not lake.ledger.exists()


def test_a_second_one_leaves_the_record_to_the_first(
    lake: Lake, recorder: Recorder, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "producer.recording")
    with recorded_if_first(recorder):
        assert is_locked(lake.locks, "simulate")
        clock.seconds = 1
        second = Recorder(lake, "simulate", clock=clock, now=clock.now)
        with recorded_if_first(second):
            second.progress(9, 900)
            recorder.progress(1, 100)
    assert caplog.messages == ["another simulate lands here already; status tells how that one is doing"]
    assert recorded(lake) == {"simulate": record("0", progress_at="1", landed_at="1", ended_at="1", files=1, rows=100)}
    assert not is_locked(lake.locks, "simulate")


def test_a_ledger_that_cannot_be_written_is_told_of_once_and_stops_nothing(
    lake: Lake, recorder: Recorder, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    lake.root.mkdir(parents=True)
    lake.ledger.parent.write_text("not a folder")
    with recorder:
        clock.seconds = 10
        recorder.progress(1, 100)
    with recorded_if_first(recorder):
        clock.seconds = 20
        recorder.progress(2, 200)
    assert [message.partition(" [Errno")[0] for message in caplog.messages] == 2 * [
        "status will not know how simulate is doing; landing goes on:"
    ]


def test_a_ledger_that_is_busy_is_not_waited_for_and_written_when_it_is_free(
    lake: Lake, recorder: Recorder, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.recording.BUSY_SECONDS", 0.0)
    recorder = Recorder(lake, "simulate", clock=clock, now=clock.now)
    Ledger(lake.ledger).clear_progress("simulate")
    with closing(sqlite3.connect(lake.ledger, isolation_level=None)) as db, lock(lake.locks, "simulate"), recorder:
        db.execute("BEGIN IMMEDIATE")
        recorder.progress(1, 100)
        assert len(caplog.messages) == 1
        db.execute("ROLLBACK")
        recorder.progress(2, 200)
        assert recorded(lake) == {"simulate": record("0")}
        clock.seconds = WRITE_SECONDS
        recorder.progress(2, 200)
        assert recorded(lake) == {"simulate": record("0", progress_at="4", landed_at="0", files=2, rows=200)}
