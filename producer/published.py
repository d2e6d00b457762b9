"""What is true once rows are published: places of logs, and that all of a path is landed (I/O).

Rows are landed first. What follows from them waits until they are published: so a crash lands rows again, with the same
ids, and passes none over.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl

from producer.formats.tally import Tally
from producer.landing import Lander
from producer.positions import Content, Place, Places
from producer.tail import Tail

SAVE_SECONDS = 2.0


class Published:
    """The rows that wait, and what waits for them.

    :param save: writes the places down; called every ``SAVE_SECONDS`` at most.
    :param clock: a monotonic clock in seconds.
    """

    def __init__(self, lander: Lander, places: Places, save: Callable[[], None], clock: Callable[[], float]) -> None:
        self.lines = 0
        self.unparsed = 0
        self._lander, self._places, self._save, self._clock = lander, places, save, clock
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._is_saved = True
        self._saved_at = clock()

    def land(self, rows: pl.DataFrame) -> None:
        """Take rows of a log."""
        self._lander.add(rows)
        self.lines += rows.height
        self.unparsed += rows["raw"].count()

    def then(self, act: Callable[[], None]) -> None:
        """Let something be true once the rows that were landed so far are published."""
        self._waiting.append((self._lander.rows + self._lander.waiting_rows, act))

    def settle(self, *, is_last: bool = False) -> None:
        """Let be true what waited for its rows to be published, and save it."""
        while self._waiting and self._waiting[0][0] <= self._lander.rows:
            _, act = self._waiting.popleft()
            act()
        if not self._is_saved and (is_last or self._clock() - self._saved_at >= SAVE_SECONDS):
            self.save()

    def publish(self, *, is_last: bool = False) -> None:
        """Publish what was landed, and let be true what waited for it."""
        self._lander.flush()
        self.settle(is_last=is_last)

    def save(self) -> None:
        """Write the places down now."""
        self._save()
        self._is_saved, self._saved_at = True, self._clock()

    # What waits ------------------------------------------------------------------------------------------------------

    def advance(self, tail: Tail, place: Place) -> None:
        """The log is landed up to ``place``, and its lines up to there are counted."""
        tail.read_up_to = place
        counted, tail.counted = tail.counted, Tally()
        self.then(partial(self._advance, tail, place, counted))

    def count(self, source: str, tally: Tally) -> None:
        """Lines of a log are landed, and its place says so."""
        self._places.tallies.add(source, tally)

    def know(self, place: Place) -> None:
        """``place`` is that of a log that is not being read."""
        self._places.add(place)
        self._is_saved = False

    def finish(self, place: Place) -> None:
        """The log of ``place`` is looked for no longer. It stays known."""
        if place in self._places:
            self._places.remove(place)
            self.know(replace(place, path=""))

    def complete(self, paths: Iterable[Path], until: float) -> None:
        """All that was at these paths up to this time is landed. That alone is not worth saving."""
        self._places.complete_until.update((str(path), until) for path in paths)

    def find(self, content: Content, site: str, current: Iterable[Place], size: int | None) -> Place | None:
        """How far this log is landed, under whichever name; what was read of it is published then.

        :param current: how far the open logs are read.
        """
        place = self._places.find(content, site, current=current, size=size)
        if place is not None and place not in self._places:
            self.publish()
        return place

    def _advance(self, tail: Tail, place: Place, counted: Tally) -> None:
        tail.place = place
        self.count(tail.source, counted)
        self._is_saved = False
