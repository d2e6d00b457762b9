"""What the lines of each followed log were, as far as they are landed: kept beside their places, of a bounded number of logs.

Plain values but for ``kept_tallies``, which reads what ``positions.json`` has of them (I/O): without the libraries that parse.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from producer.formats.tally import Tally
from producer.reports import LogReport

KEPT_LOGS = 500
KEPT_FORMATS = 20
OTHER_FORMATS = "others"


class Tallies:
    """A tally for each log, by its name; the one that was counted last stands last.

    :param record: as ``as_record`` gives it.
    :raises ValueError, TypeError, KeyError, AttributeError: it is none.
    """

    def __init__(self, record: Mapping[str, Any] | None = None) -> None:
        self._of = {source: _tally(found) for source, found in (record or {}).items()}

    def add(self, source: str, tally: Tally) -> None:
        """Count more lines of a log. Of more than ``KEPT_LOGS`` the one that was counted longest ago is forgotten."""
        if not tally.lines:
            return
        total = self._of.pop(source, Tally())
        total.add(tally)
        total.formats = _bounded(total.formats)
        self._of[source] = total
        while len(self._of) > KEPT_LOGS:
            del self._of[next(iter(self._of))]

    def as_record(self) -> dict[str, Any]:
        """In plain values."""
        return {source: vars(tally) for source, tally in self._of.items()}

    def reports(self) -> list[LogReport]:
        """One for each log."""
        return [LogReport(source, tally) for source, tally in self._of.items()]


def kept_tallies(positions: Path) -> Tallies:
    """What a follower keeps in its file of places; nothing where there is none that can be understood."""
    try:
        return Tallies(json.loads(positions.read_text(encoding="utf-8")).get("tallies"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Tallies()


def _tally(record: Mapping[str, Any]) -> Tally:
    formats = Counter({str(name): int(count) for name, count in record["formats"].items()})
    return Tally(int(record["lines"]), formats, int(record["forwarded"]), int(record["private"]))


def _bounded(formats: "Counter[str]") -> "Counter[str]":
    """The most frequent formats, and one name for all others."""
    if len(formats) <= KEPT_FORMATS:
        return formats
    named = [found for found in formats.most_common() if found[0] != OTHER_FORMATS]
    kept = Counter(dict(named[: KEPT_FORMATS - 1]))
    kept[OTHER_FORMATS] = formats.total() - kept.total()
    return kept
