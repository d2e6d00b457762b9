"""Jobs that wait for the merge leave a trace in the ledger, also when they have waited in vain."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cleaner.maintain import maintain
from cleaner.rebuild import rebuild
from cleaner.replay import replay
from consumer.monitor import status
from lakehouse.errors import LockedError
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.locks import is_locked, lock
from lakehouse.settings import Settings, unpack_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOW = datetime(2026, 11, 24, 6, 17, 11, tzinfo=UTC)


def no_session() -> "SparkSession":
    raise AssertionError("a JVM was started")


JOBS: dict[str, Callable[[Settings], None]] = {
    "maintain": lambda settings: maintain(settings, no_session, NOW),
    "replay": lambda settings: replay(settings, no_session),
    "rebuild": lambda settings: rebuild(settings, no_session),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_that_has_waited_in_vain_for_the_merge_has_failed(settings: Settings, lake: Lake, job: str) -> None:
    impatient = unpack_settings(settings.model_dump(mode="json") | {"merge": {"lock_seconds": 0}}, "test")
    with lock(lake.locks, "merge"), pytest.raises(LockedError, match="merge is locked by another process"):
        JOBS[job](impatient)
    run = Ledger(lake.ledger).last_runs()[job]
    assert (run["exit_code"], run["figures"]["error"].split(" (")[0]) == (1, "merge is locked by another process")
    late = status(settings, datetime.now(UTC)).late
    assert [sentence for sentence in late if f"{job}: the last run" in sentence and "merge is locked" in sentence]
    assert not is_locked(lake.locks, job)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_that_waits_for_the_merge_is_said_to_run(
    settings: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    states = []

    def look(_seconds: float) -> None:
        states.append(status(settings, datetime.now(UTC)).jobs[job].state)
        merge.__exit__(None, None, None)

    merge = lock(lake.locks, "merge")
    merge.__enter__()
    monkeypatch.setattr("lakehouse.locks.time.sleep", look)
    JOBS[job](settings)
    assert states == ["running"]
    assert Ledger(lake.ledger).last_runs()[job]["exit_code"] == 0


def test_a_dry_replay_that_has_waited_in_vain_leaves_no_trace(settings: Settings, lake: Lake) -> None:
    impatient = unpack_settings(settings.model_dump(mode="json") | {"merge": {"lock_seconds": 0}}, "test")
    with lock(lake.locks, "merge"), pytest.raises(LockedError):
        replay(impatient, no_session, is_dry_run=True)
    assert not lake.ledger.exists()
