"""What the exact metrics' job remembers from one run to the next, kept in the ledger. I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from lakehouse.ledger import Ledger

RECORD = "batch-days"


@dataclass
class BatchRecord:
    """By day (ISO date).

    :param changed: when figures were last added to a day that has not been counted in full since.
    :param differences: a day whose full count differed from what had been added up: when that was found, and how many rows of
        which tables were wrong. Until a later full count finds no difference.
    :param state: the commits that ``delta/`` and the tables were at when they last agreed.
    """

    changed: dict[str, str] = field(default_factory=dict)
    differences: dict[str, dict[str, Any]] = field(default_factory=dict)
    state: str = ""

    def due(self, now: datetime, quiet_seconds: float) -> list[date]:
        """The closed days that wait for their full count, unchanged for ``quiet_seconds``, the oldest first."""
        before = (now - timedelta(seconds=quiet_seconds)).isoformat()
        today = now.date().isoformat()
        return [date.fromisoformat(day) for day in sorted(self.changed) if day < today and self.changed[day] <= before]

    def add(self, days: Iterable[date], now: datetime) -> None:
        """Figures are about to be added to these days."""
        self.changed |= {day.isoformat(): now.isoformat() for day in days}

    def counted(self, days: Iterable[date]) -> None:
        """These days have been counted in full."""
        for day in days:
            self.changed.pop(day.isoformat(), None)

    def compared(self, days: Iterable[date], differences: Mapping[str, Mapping[str, int]], now: datetime) -> None:
        """These days have been counted in full, and compared.

        :param differences: of those days that differed, how many rows of which tables.
        """
        self.counted(days)
        for day in days:
            self.differences.pop(day.isoformat(), None)
        self.differences |= {
            day: {"found_at": now.isoformat(), "rows": dict(rows)} for day, rows in differences.items()
        }


def read_record(ledger: Ledger) -> BatchRecord | None:
    """What is remembered; ``None`` before the first run, or where the ledger was lost."""
    known = ledger.progress().get(RECORD)
    return None if known is None else BatchRecord(**known["progress"])


def write_record(ledger: Ledger, record: BatchRecord) -> None:
    """Remember this."""
    ledger.record_progress(RECORD, asdict(record))
