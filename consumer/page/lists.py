"""The top lists: values with their requests, share and bytes. I/O by way of the reader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consumer.components.panel_view import COLUMNS, TITLES
from consumer.components.panels import RANKINGS, Choice, RankingOf, ranked
from consumer.page.order import order_of
from consumer.page.panel import Column, Panel, Rows
from consumer.page.question import MAX_ROWS, Question
from consumer.page.reader import PATH_STATUS, LakeReader
from lakehouse.readable import counted_text

REQUESTS = Column("requests", "Requests")
SHARE = Column("share", "Share", "share")
BYTES = Column("bytes", "Bytes", "bytes")
SUMS = (REQUESTS, SHARE, BYTES)
SEEN = (Column("first_seen", "First seen", "time"), Column("last_seen", "Last seen", "time"))

# Besides those of the report.
MORE_RANKINGS: Mapping[str, RankingOf] = {
    "not_found": RankingOf(PATH_STATUS, ("path",), "status = 404"),
    "other_client_errors": RankingOf(PATH_STATUS, ("status", "path"), "status BETWEEN 400 AND 499 AND status <> 404"),
    "methods": RankingOf("hourly", ("method",), "true"),
    "statuses": RankingOf("hourly", ("status",), "true"),
    "devices": RankingOf("client", ("device",), "NOT is_bot"),
}
MORE_TITLES = {
    "not_found": "Not found (404)",
    "other_client_errors": "Other client errors",
    "client_errors": "Client errors (4xx)",
    "server_errors": "Server errors (5xx)",
    "referring_hosts": "Referring sites",
    "referers": "Referers",
    "browsers": "Browsers",
    "systems": "Systems",
    "devices": "Devices",
    "methods": "Methods",
    "statuses": "Status codes",
    "bot_classes": "Bots by purpose",
}
MORE_COLUMNS = {
    "method": ("method", "(none)"), "status": ("status", "(none)"), "device": ("device", "(unknown)"),
    "site": ("site", "(no site)"), "ip": ("IP", "(none)"), "agent": ("agent", "(none sent)"),
}  # fmt: skip
ABOUT = {
    "pages": "Paths without static files.",
    "static_files": "Paths that end as batch.static_endings says.",
    "referring_hosts": "Hosts that refer, without the site itself.",
    "referers": "Addresses that refer, without the site's own.",
    "browsers": "Of humans.",
    "systems": "Of humans.",
    "devices": "Of humans.",
    "bots": "By the name of the bot.",
}


def key(column: str) -> Column:
    """The column of a value that can be clicked on."""
    title, none = (COLUMNS | MORE_COLUMNS)[column]
    return Column(column, title[:1].upper() + title[1:], "text", column, none)


@dataclass(frozen=True)
class ListRead:
    """Reads a ranking."""

    of: RankingOf

    def __call__(self, reader: LakeReader, question: Question) -> Rows:
        """Values with the most requests first, or as the question wants them."""
        choice = chosen(question, (*map(key, self.of.columns), *SUMS))
        found = ranked(reader, self.of, question.filters, choice)
        if found is None:
            return Rows()
        rows = [(*v.keys, v.requests, _share(v.requests, found.requests), v.bytes) for v in found.values]
        notes = []
        if found.other_requests:
            notes.append(
                f"and {counted_text(found.other_requests, 'request')} of values beyond those kept of a day and site"
            )
        return page_of(rows, question, requests=found.requests, notes=notes)


def chosen(question: Question, columns: Sequence[Column]) -> Choice:
    """What the question wants of a list, and one row more: it says that there are further ones.

    :raises QuestionError: the list has no such column to sort by.
    """
    order = order_of(question, columns, "-requests")
    limit = MAX_ROWS if question.limit is None else question.limit
    by = "requests" if order.column == "share" else order.column
    return Choice(limit + 1, question.offset, question.search, by, order.is_ascending)


def page_of(rows: list[Any], question: Question, *, requests: int | None, notes: list[str] | None = None) -> Rows:
    """As many of the rows as were asked for."""
    limit = MAX_ROWS if question.limit is None else question.limit
    if not rows and (question.offset or question.search):
        requests = None  # they stand in the rows
    return Rows(rows[:limit], requests, notes or [], has_more=len(rows) > limit)


@dataclass(frozen=True)
class Addresses:
    """Reads IPs or agents, each with its first and last request.

    :param column: ``ip`` or ``agent``.
    """

    column: str

    def __call__(self, reader: LakeReader, question: Question) -> Rows:
        """Those with the most requests first, or as the question wants them."""
        filters, choice = question.filters, chosen(question, (key(self.column), *SUMS, *SEEN))
        table = f"{self.column}_by_site" if filters.is_by_request else self.column
        is_found = f"contains(lower({self.column}), lower($search))" if choice.search else "true"
        query = f"""
            WITH found AS (
                SELECT {self.column}, sum(requests) AS requests, coalesce(sum(bytes), 0) AS bytes,
                    epoch_us(min(first_seen)) AS first_seen, epoch_us(max(last_seen)) AS last_seen
                FROM t WHERE {filters.condition if filters.is_by_request else "true"} GROUP BY {self.column}
            ), counted AS (SELECT *, sum(requests) OVER () AS every FROM found)
            SELECT {self.column}, requests, every, bytes, first_seen, last_seen FROM counted WHERE {is_found}
            ORDER BY {choice.order(self.column)} LIMIT {choice.limit} OFFSET {choice.offset}
        """
        parameters = (filters.parameters if filters.is_by_request else {}) | (
            {"search": choice.search} if choice.search else {}
        )
        found = reader.rows("batch", table, query, parameters)
        every = int(found[0][2]) if found else 0
        rows = [(value, int(n), _share(n, every), int(size), *seen) for value, n, _, size, *seen in found]
        return page_of(rows, question, requests=every)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def lists() -> list[Panel]:
    """The top lists, in the order in which the page has them."""
    rankings = {**RANKINGS, **MORE_RANKINGS}
    titles = {**TITLES, **MORE_TITLES}
    panels = {
        name: Panel(name, titles[name], (*map(key, of.columns), *SUMS), ListRead(of), ABOUT.get(name, ""), is_list=True)
        for name, of in rankings.items()
    }
    for name, column, title in (("ips", "ip", "IPs"), ("agents", "agent", "Agents")):
        panels[name] = Panel(name, title, (key(column), *SUMS, *SEEN), Addresses(column), is_list=True)
    return list(panels.values())
