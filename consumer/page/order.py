"""How the rows of a panel are ordered: by any of its columns, as the parameter ``sort`` says. Plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from consumer.page.panel import Column
from consumer.page.question import Question, QuestionError


@dataclass(frozen=True)
class Order:
    """By which column, and whether the least comes first."""

    column: str
    is_ascending: bool

    @property
    def text(self) -> str:
        """As ``sort`` has it."""
        return self.column if self.is_ascending else f"-{self.column}"


def order_of(question: Question, columns: Sequence[Column], usual: str) -> Order:
    """The order that a question wants.

    :param usual: where it wants none, in the notation of ``sort``.
    :raises QuestionError: the panel has no such column.
    """
    sort = question.sort or usual
    found = next((column.name for column in columns if column.name == sort.removeprefix("-")), None)
    if found is None:
        names = ", ".join(column.name for column in columns)
        raise QuestionError(f"sort: one of {names}; with - before it the most, latest or last by name comes first")
    return Order(found, is_ascending=not sort.startswith("-"))


def in_order(rows: Sequence[Any], columns: Sequence[Column], question: Question) -> list[Any]:
    """Rows that are all in memory, in the order that the question wants; those without a value last. Else as they stand.

    :raises QuestionError: the panel has no such column.
    """
    order = order_of(question, columns, columns[0].name)
    if not question.sort:
        return list(rows)
    at = next(n for n, column in enumerate(columns) if column.name == order.column)
    if columns[at].kind == "day":  # they stand in this order; as texts, hours would not where clocks were put back
        return list(rows) if order.is_ascending else list(reversed(rows))
    known, unknown = ([row for row in rows if (row[at] is None) is is_none] for is_none in (False, True))
    return [*sorted(known, key=lambda row: row[at], reverse=not order.is_ascending), *unknown]
