from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import polars as pl

from lakehouse.lake import waiting_files
from producer.landing import LANDED, Lander
from producer.pacing import TICK_SECONDS, land_batches

NOW = datetime(2026, 11, 24, 6, 17, 11, tzinfo=UTC)


@dataclass
class Made:
    """A batch as the simulator makes it."""

    rows: pl.DataFrame
    counts: Counter[str]


class Time(Event):
    """A stop event and clock in one: waiting moves the clock."""

    def __init__(self, stop_at: float = 1e9) -> None:
        super().__init__()
        self.seconds = 0.0
        self.waits: list[float] = []
        self._stop_at = stop_at

    def __call__(self) -> float:
        return self.seconds

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(round(timeout, 6))
        self.seconds += timeout
        if self.seconds >= self._stop_at:
            self.set()
        return self.is_set()


def made(time: Time, costs: list[float]) -> Iterator[Made]:
    """Batches of one event each, which take so many seconds to make."""
    for number, cost in enumerate(costs):
        time.seconds += cost
        row = dict.fromkeys(LANDED) | {"event_id": f"e{number}"}
        yield Made(pl.DataFrame([row], schema=LANDED), Counter(events=1, late=number))


def landed(tmp_path: Path, time: Time, costs: list[float], *, is_paced: bool) -> tuple[list[str], Counter[str]]:
    lander = Lander(tmp_path, "parquet", batch_rows=100, batch_seconds=5, clock=time)
    counts = land_batches(made(time, costs), lander, time, is_paced=is_paced, now=lambda: NOW, clock=time)
    rows = pl.concat([pl.read_parquet(path) for path in waiting_files(tmp_path)])
    assert rows["ingested_at"].unique().to_list() == [NOW]
    return rows["event_id"].to_list(), counts


def test_a_tick_lands_when_it_is_over_and_a_late_one_is_made_up_for(tmp_path: Path) -> None:
    time = Time()
    ids, counts = landed(tmp_path, time, [0.25, 0.0, 2.0, 0.0, 0.0], is_paced=True)
    assert ids == ["e0", "e1", "e2", "e3", "e4"]
    assert counts == {"events": 5, "late": 10}
    assert time.waits == [0.75, TICK_SECONDS, 1.0]
    assert time.seconds == 5 * TICK_SECONDS


def test_at_full_speed_nothing_waits(tmp_path: Path) -> None:
    time = Time()
    assert landed(tmp_path, time, [0.1] * 3, is_paced=False)[0] == ["e0", "e1", "e2"]
    assert time.waits == []


def test_a_stop_publishes_what_was_landed_and_drops_the_tick_that_was_waiting(tmp_path: Path) -> None:
    ids, counts = landed(tmp_path, Time(stop_at=2.5), [0.0] * 9, is_paced=True)
    assert ids == ["e0", "e1"]
    assert counts == {"events": 2, "late": 1}
