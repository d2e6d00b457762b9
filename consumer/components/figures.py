"""What a report is made of: figures of days, agents, IPs and values; how they are compared and added. Plain values."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from consumer.components.filters import EVERYTHING, Filters
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
    """An agent or an IP over all days; ``key`` is ``None`` where none was sent.

    ``bytes`` are those of the kind that it is listed for, humans or bots; ``None`` where the tables do not tell them apart.
    """

    key: str | None
    requests: int
    bot_requests: int
    bytes: int | None

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
class Value:
    """A path, a referer, a browser and so on; ``keys`` has one part for each column of its ranking."""

    keys: tuple[str | None, ...]
    requests: int
    bytes: int


@dataclass(frozen=True)
class Ranking:
    """The values with the most requests; of equals, the first by name.

    :param columns: what the keys of each value are.
    :param requests: of all values.
    :param other_requests: those of them whose values are not known: on their day and site others came first.
    """

    columns: tuple[str, ...]
    values: Sequence[Value]
    requests: int
    other_requests: int = 0


@dataclass(frozen=True)
class HourFigures:
    """An hour's figures: ``hour`` is a time in UTC, or 0 to 23 for that hour of all days."""

    hour: datetime | int
    requests: int
    bytes: int
    client_errors: int
    server_errors: int


@dataclass(frozen=True)
class SiteFigures:
    """A site's figures over all days; ``site`` is ``None`` for requests without one."""

    site: str | None
    requests: int
    visitors: int
    bytes: int
    client_errors: int
    server_errors: int


@dataclass(frozen=True)
class ResponseTimes:
    """How long requests took: those of a site, or of all (``is_all_sites``). In the unit that the log has, mostly seconds."""

    site: str | None
    is_all_sites: bool
    requests: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class RejectedLog:
    """A log and its lines, each counted once: merged or rejected. ``reason`` is the most frequent one.

    :param unparsed: those of the rejected lines that are no request at all.
    """

    source: str
    lines: int
    rejected: int
    unparsed: int
    reason: str | None

    @property
    def share(self) -> float:
        """The part of the lines that was rejected."""
        return self.rejected / self.lines


@dataclass(frozen=True)
class Panels:
    """What the exact tables answer besides days, agents and IPs. A ranking whose table is not there is missing."""

    rankings: Mapping[str, Ranking] = field(default_factory=dict)
    hours: Sequence[HourFigures] = ()
    sites: Sequence[SiteFigures] = ()
    response_times: Sequence[ResponseTimes] = ()


@dataclass(frozen=True)
class Report:
    """Everything in the lake in figures, or what ``filters`` leave of it; ``reasons``, ``rejected_logs`` and ``identity`` are the whole lake's.

    ``totals`` are over all days, by mode. ``top_mode`` says whose figures ``agents`` and ``ips`` are. ``waiting``
    landed files are not merged yet, and no part of the identity. ``stale`` is a sentence if batch lacks what is merged;
    ``notes`` are sentences about figures that cannot be shown, or lack something.
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
    filters: Filters = EVERYTHING
    panels: Panels = field(default_factory=Panels)
    notes: Sequence[str] = ()
    rejected_logs: Sequence[RejectedLog] = ()

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
    for name in (figure.name for figure in fields(Figures)):
        one, other = getattr(some, name), getattr(others, name)
        differences[name] = None if one is None or other is None else one - other
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
    added: dict[str, Any] = {figure.name: sums[figure.name] for figure in fields(Figures)}
    return Figures(**added | {"ips": None})
