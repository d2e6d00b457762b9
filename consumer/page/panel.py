"""What a panel of the page is, and an answer of one. Plain values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from consumer.page.question import Question
from consumer.page.reader import LakeReader

Kind = Literal["text", "count", "bytes", "share", "time", "day", "number"]


@dataclass(frozen=True)
class Column:
    """A column of a panel.

    :param name: in JSON and CSV.
    :param title: on the page.
    :param parameter: a click on a value sets this filter; ``None``: it is no filter.
    :param none: what stands for a value that is not there.
    """

    name: str
    title: str
    kind: Kind = "count"
    parameter: str | None = None
    none: str = ""


@dataclass(frozen=True)
class Rows:
    """What a panel shows.

    :param rows: in the panel's columns.
    :param requests: those that shares are of; ``None`` where nobody has counted them.
    :param estimate: how far figures may be off; empty where they are exact.
    :param has_more: there are further rows.
    :param columns: instead of the panel's.
    """

    rows: Sequence[Sequence[Any]] = ()
    requests: int | None = 0
    notes: Sequence[str] = ()
    estimate: str = ""
    has_more: bool = False
    columns: Sequence[Column] = ()


@dataclass(frozen=True)
class Panel:
    """A panel: what its columns are, and how it is answered.

    :param read: rows, for a reader of the question's requests.
    :param about: one sentence that says what is counted.
    :param is_list: values that can be searched and paged through.
    :param order: what its rows are sorted by where nobody says, in the notation of ``sort``.
    """

    name: str
    title: str
    columns: Sequence[Column]
    read: Callable[[LakeReader, Question], Rows]
    about: str = ""
    is_list: bool = False
    order: str = "-requests"


@dataclass(frozen=True)
class Answer:
    """A panel's rows, and what they are read from.

    :param version: of ``delta/``; ``None`` where nothing has been merged yet.
    :param as_of: when that version was committed (UTC).
    :param problem: why there are no rows.
    """

    panel: Panel
    found: Rows = field(default_factory=Rows)
    version: int | None = None
    as_of: datetime | None = None
    problem: str = ""

    @property
    def columns(self) -> Sequence[Column]:
        """What the rows' values are."""
        return self.found.columns or self.panel.columns
