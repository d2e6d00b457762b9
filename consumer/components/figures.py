"""Figures of days, agents and IPs: what a report is made of, and how they are compared and added. Plain values."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from consumer.components.identity import Identity


@dataclass(frozen=True)
class Figures:
    """Figures of one day, or of all days: then ``ips`` is ``None``, for they do not add up."""

    requests: int
    visitors: int
    ips: int | None
    bytes: int
    client_errors: int
    server_errors: int
    bot_requests: int


@dataclass(frozen=True)
class Day:
    """One day (UTC) as batch and as streaming count it; ``None`` where one has nothing of it."""

    day: date
    batch: Figures | None
    streaming: Figures | None

    @property
    def difference(self) -> Figures | None:
        """Streaming less batch."""
        return minus(self.streaming, self.batch)


@dataclass(frozen=True)
class Ranked:
    """An agent or an IP over all days; ``key`` is ``None`` where none was sent. ``bytes`` are of all its requests."""

    key: str | None
    requests: int
    bot_requests: int
    bytes: int

    @property
    def human_requests(self) -> int:
        """Those not made by bots."""
        return self.requests - self.bot_requests


@dataclass(frozen=True)
class Top:
    """The keys with the most requests, humans and bots apart."""

    humans: Sequence[Ranked]
    bots: Sequence[Ranked]


@dataclass(frozen=True)
class Report:
    """Everything in the lake in figures.

    ``totals`` are over all days, by mode. ``top_mode`` says whose figures ``agents`` and ``ips`` are. ``waiting``
    landed files are not merged yet, and no part of the identity. ``stale`` is a sentence if batch lacks what is merged.
    """

    data_lake: Path
    days: Sequence[Day]
    totals: Mapping[str, Figures | None]
    top_mode: str
    agents: Top
    ips: Top
    reasons: Mapping[str, int]
    identity: Identity
    waiting: int
    stale: str | None
    visitor_error: float

    @property
    def has_data(self) -> bool:
        """Whether anything has been merged or counted."""
        return bool(self.identity.files or self.days or any(self.identity.table_rows.values()))

    @property
    def exit_code(self) -> int:
        """1 if the identity does not hold."""
        return 0 if self.identity.holds else 1


def minus(some: Figures | None, others: Figures | None) -> Figures | None:
    """The differences of all figures, or ``None`` where one is missing."""
    if some is None or others is None:
        return None
    differences: dict[str, Any] = {}
    for field in fields(Figures):
        one, other = getattr(some, field.name), getattr(others, field.name)
        differences[field.name] = None if one is None or other is None else one - other
    return Figures(**differences)


def total(figures: Iterable[Figures]) -> Figures | None:
    """The sums over days, or ``None`` where there are none. A visitor is one of a day: visitors add up, IPs do not."""
    sums: Counter[str] = Counter()
    has_days = False
    for day in figures:
        has_days = True
        sums.update({name: value for name, value in asdict(day).items() if name != "ips"})
    if not has_days:
        return None
    added: dict[str, Any] = {field.name: sums[field.name] for field in fields(Figures)}
    return Figures(**added | {"ips": None})
