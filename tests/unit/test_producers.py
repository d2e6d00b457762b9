"""What is known of the producers that go on, and what ``producer status`` says of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.locks import lock
from lakehouse.producers import ProducerStatus, producers, stuck
from producer.status import deeds, problems

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LIMIT_SECONDS = 60


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


RUNNING = ProducerStatus("running", ago(7200), ago(60), ago(60), files=12, rows=60_000)
STARTED = ProducerStatus("running", ago(4))
STUCK = replace(RUNNING, progress_at=ago(61))
ENDED = ProducerStatus("ended", ago(7200), ago(200), ago(200), ago(180))
KILLED = ProducerStatus("killed", ago(7300), ago(200), ago(200))
NEVER = ProducerStatus()


# --- What is gathered


def record(**changes: Any) -> dict[str, Any]:
    times = {"started_at": NOW.isoformat(), "progress_at": None, "landed_at": None, "ended_at": None}
    return times | {"files": 0, "rows": 0} | changes


def test_a_lake_without_any_producer_has_none_and_is_not_made(lake: Lake) -> None:
    assert producers(lake) == {"simulate": NEVER, "follow": NEVER}
    assert not lake.root.exists()


def test_a_producer_that_has_not_ended_runs_if_its_lock_is_held_and_was_killed_if_not(lake: Lake) -> None:
    ledger = Ledger(lake.ledger)
    ledger.record_progress("simulate", record())
    assert producers(lake) == {"simulate": ProducerStatus("killed", NOW), "follow": NEVER}
    with lock(lake.locks, "simulate"), lock(lake.locks, "follow"):
        assert producers(lake) == {"simulate": ProducerStatus("running", NOW), "follow": ProducerStatus("running")}
        time = ago(1).isoformat()
        ledger.record_progress("simulate", record(progress_at=time, landed_at=time, files=1, rows=10))
        assert producers(lake)["simulate"] == ProducerStatus("running", NOW, ago(1), ago(1), files=1, rows=10)
        ledger.record_progress("simulate", record(ended_at=time))
        assert producers(lake)["simulate"] == ProducerStatus("ended", NOW, ended_at=ago(1))


# --- What is said of it


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (RUNNING, None),
        (STARTED, None),
        (ENDED, None),
        (KILLED, None),
        (NEVER, None),
        (ProducerStatus("running"), None),
        (
            replace(RUNNING, unreadable=2),
            "follow: 2 logs cannot be read now; its log, writer/producer.log, says why",
        ),
        (
            STUCK,
            (
                "follow: it is running, but its last progress was 1 min ago (limit 1 min); see its log,"
                " writer/producer.log, and start it again"
            ),
        ),
        (
            replace(STARTED, started_at=ago(180)),
            (
                "follow: it is running, but it has made no progress since it was started 3 min ago (limit 1 min);"
                " see its log, writer/producer.log, and start it again"
            ),
        ),
    ],
)
def test_a_producer_is_stuck_when_it_runs_without_progress_for_longer_than_the_limit(
    seen: ProducerStatus, expected: str | None
) -> None:
    assert stuck("follow", seen, NOW, LIMIT_SECONDS) == expected


@pytest.mark.parametrize(
    ("simulate", "follow", "expected"),
    [
        (RUNNING, NEVER, []),
        (RUNNING, KILLED, []),
        (ENDED, RUNNING, []),
        (
            NEVER,
            NEVER,
            [
                (
                    "no producer has been started yet; start one with: python -m producer simulate,"
                    " or: python -m producer ingest --follow PATH..."
                )
            ],
        ),
        (
            STARTED,
            NEVER,
            ["simulate: started 4 s ago, no progress yet; if it stays so, see its log, writer/producer.log"],
        ),
        (
            ProducerStatus("running"),
            ENDED,
            ["simulate: started and not recorded, no progress yet; if it stays so, see its log, writer/producer.log"],
        ),
        (RUNNING, STUCK, [str(stuck("follow", STUCK, NOW, LIMIT_SECONDS))]),
        (ENDED, KILLED, ["simulate: stopped 3 min ago; start it with: python -m producer simulate"]),
        (
            NEVER,
            KILLED,
            [
                (
                    "follow: not running, it failed or was killed after its last sign of life, 3 min ago; see its log,"
                    " writer/producer.log, and start it with: python -m producer ingest --follow PATH..."
                )
            ],
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    simulate: ProducerStatus, follow: ProducerStatus, expected: list[str]
) -> None:
    assert problems({"simulate": simulate, "follow": follow}, NOW, LIMIT_SECONDS) == expected


def test_what_a_producer_that_runs_did_is_said_in_a_line() -> None:
    assert deeds({"simulate": RUNNING, "follow": replace(RUNNING, progress_at=ago(2), files=1, rows=1200)}, NOW) == [
        "simulate: 12 files, 60,000 rows landed, the last 1 min ago",
        "follow: 1 file, 1,200 rows landed, the last 1 min ago; looked at the logs 2 s ago",
    ]
    assert deeds({"simulate": ENDED, "follow": replace(STARTED, progress_at=ago(2))}, NOW) == [
        "follow: nothing landed yet; looked at the logs 2 s ago"
    ]
