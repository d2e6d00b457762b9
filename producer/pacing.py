"""``producer simulate``: the simulator's batches into landed rows, as fast as can be or at the pace of real time."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from threading import Event
from typing import Protocol

import polars as pl

from producer.landing import LANDED, Lander, utc_now

TICK_SECONDS = 1.0


class Batch(Protocol):
    """What the simulator made for one tick: rows as they are landed but for ``ingested_at``, and how many of what."""

    @property
    def rows(self) -> pl.DataFrame:
        """The rows."""

    @property
    def counts(self) -> Counter[str]:
        """Events, and how many of them are of each kind."""


def land_batches(
    batches: Iterable[Batch], lander: Lander, stop: Event, *, is_paced: bool,
    now: Callable[[], datetime] = utc_now, clock: Callable[[], float] = time.monotonic,
) -> Counter[str]:  # fmt: skip
    """Land the batches until there are no more or ``stop`` is set.

    :param is_paced: a batch waits until its tick of ``TICK_SECONDS`` is over, so that no event is ahead of real time.
    :return: the sums of the batches' counts.
    """
    counts: Counter[str] = Counter()
    begun = clock()
    for number, batch in enumerate(batches, start=1):
        while is_paced and not stop.is_set() and (wait_seconds := begun + number * TICK_SECONDS - clock()) > 0:
            stop.wait(wait_seconds)
        if stop.is_set():
            break
        counts.update(batch.counts)
        lander.add(batch.rows.with_columns(pl.lit(now(), LANDED["ingested_at"]).alias("ingested_at")))
        lander.tick()
    lander.flush()
    return counts
