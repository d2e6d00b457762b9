"""The requests themselves, newest first: the rows behind any number. I/O by way of the reader."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from consumer.components.table_reader import explained
from consumer.page.lists import key
from consumer.page.order import Order, order_of
from consumer.page.panel import Column, Kind, Panel, Rows
from consumer.page.question import Question, QuestionError
from consumer.page.reader import LakeReader
from lakehouse.duck import TYPES, empty_row, files_table

MOST_ROWS = 10_000  # of one answer: they have many columns
TIME = '"timestamp"'
# In this order; what else delta/ has, promoted columns for instance, comes after them.
FIRST = (
    "timestamp",
    "site",
    "method",
    "path",
    "query",
    "status",
    "bytes",
    "ip",
    "agent",
    "referer",
    "is_bot",
    "bot",
    "user",
)
CLICKED = {
    "site",
    "method",
    "path",
    "status",
    "ip",
    "agent",
    "referer",
    "bot",
    "browser",
    "os",
    "device",
    "bot_class",
    "country",
}


def columns(types: Mapping[str, str]) -> list[Column]:
    """The columns of a request, for those that ``delta/`` has, with Delta's types."""
    found = [*(name for name in FIRST if name in types), *sorted(set(types) - set(FIRST))]
    return [
        replace(key(name), name=name)
        if name in CLICKED
        else Column(name, name.replace("_", " ").capitalize(), _kind(name, types[name]))
        for name in found
    ]


def _kind(name: str, kind: str) -> Kind:
    if name == "bytes":
        return "bytes"
    kinds: dict[str, Kind] = {"timestamp": "time", "double": "number"}
    return kinds.get(kind, "text")


def requests(reader: LakeReader, question: Question) -> Rows:
    """The newest requests first, or as the question wants them. By time, days are read until there are enough rows."""
    if question.search:
        raise QuestionError("requests are not searched: filter them by path, ip, agent, status, referer ...")
    order = order_of(question, columns(reader.version.columns) or PANEL.columns, PANEL.order)
    limit = MOST_ROWS if question.limit is None else min(question.limit, MOST_ROWS)
    wanted, rows = limit + 1, []
    every_day = sorted(reader.request_files(), reverse=not order.is_ascending)
    for days in _growing(every_day) if _is_by_file(order, reader) else filter(None, [every_day]):
        rows = _first(reader, question, order, days, wanted)  # those before them stay in DuckDB
        if len(rows) >= wanted:
            break
    return Rows(
        rows[:limit],
        None,
        has_more=len(rows) == wanted,
        columns=columns(reader.version.columns),
    )


def _is_by_file(order: Order, reader: LakeReader) -> bool:
    """Whether the rows of a file's day (UTC) all come before those of the next one. The newest come first within a local day."""
    is_by_local_day = order.column == "event_date" and (reader.local.is_utc or not order.is_ascending)
    return order.column == "timestamp" or is_by_local_day


def _growing(days: Sequence[date]) -> Iterator[Sequence[date]]:
    """The first day, the first eight, the first 64 and so on."""
    number = 1
    while number < 8 * len(days):
        yield days[:number]
        number *= 8


def _first(
    reader: LakeReader, question: Question, order: Order, days: Sequence[date], limit: int
) -> list[tuple[Any, ...]]:
    types = {name: TYPES.get(kind, "VARCHAR") for name, kind in reader.version.columns.items()}
    by = reader.local.day(TIME) if order.column == "event_date" else f'"{order.column}"'
    files = files_table(file for day in days for file in reader.request_files()[day])
    query = f"""
        SELECT {", ".join(_read(column, reader) for column in columns(reader.version.columns))}
        FROM (SELECT {empty_row(types)} WHERE false UNION ALL BY NAME SELECT * FROM {files})
        WHERE {reader.condition()} AND {question.filters.condition.replace("is_bot", "coalesce(is_bot, false)")}
        ORDER BY {by} {"ASC" if order.is_ascending else "DESC"} NULLS LAST, "timestamp" DESC, event_id DESC LIMIT {limit} OFFSET {question.offset}
    """
    with explained(reader.lake.delta):
        return reader.connection.execute(query, question.filters.parameters).fetchall()


def _read(column: Column, reader: LakeReader) -> str:
    """A time as microseconds, for Python needs a library of time zones for DuckDB's own."""
    if column.name == "event_date":
        return f"{reader.local.day(TIME)}::VARCHAR"
    return f'epoch_us("{column.name}")' if column.kind == "time" else f'"{column.name}"'


# The columns as long as there is no delta/ that says which it has.
PANEL = Panel(
    "requests", "Requests", columns(dict.fromkeys(FIRST, "string") | {"timestamp": "timestamp"}), requests, order="-timestamp"
)  # fmt: skip
