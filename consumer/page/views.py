"""The page's HTML: what its templates are given. No I/O but for reading the templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from consumer.components.filters import Filters
from consumer.page.cells import shown
from consumer.page.chart import Chart, chart, time_text
from consumer.page.figures import WEEKDAYS, granularity
from consumer.page.order import Order, order_of
from consumer.page.panel import Answer, Column
from consumer.page.pipeline import Pipeline
from consumer.page.question import MAX_ADDRESS, RANGE_TITLES, Question, is_allowed
from consumer.page.versions import LakeVersion
from lakehouse.logs import printable
from lakehouse.readable import ago_text, bytes_text, count_text, counted_text, duration_text, short_count_text

# The top lists of the first page, in its order.
SHOWN = (
    "pages", "referring_hosts", "sites", "countries", "browsers", "systems", "devices", "bots", "bot_classes", "not_found",
    "other_client_errors", "server_errors", "static_files", "referers", "statuses", "methods", "ips", "agents", "suspicious",
    "response_times",
)  # fmt: skip
SHOWN_ROWS = 8
# Of longer ranges the first page has no list that is counted from the requests: what the exact tables say of errors instead.
LONG_DAYS = 62
COUNTED_LISTS = ("not_found", "other_client_errors", "suspicious")
LIST_ROWS = 100
# What is kept of a question when the form is sent: its own fields are not.
FIELDS = ("from", "to", "range", "tz", "site", "who", "by", "compare")
# What the page proposes, besides what the settings say; it takes any other one too.
ZONES = (
    "UTC", "America/Los_Angeles", "America/Denver", "America/Chicago", "America/New_York", "America/Sao_Paulo", "Europe/London",
    "Europe/Paris", "Europe/Berlin", "Europe/Athens", "Europe/Istanbul", "Africa/Lagos", "Africa/Nairobi", "Asia/Dubai", "Asia/Kolkata",
    "Asia/Singapore", "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland",
)  # fmt: skip
CHIPS = {"referer_host": "referring site", "ip": "IP", "bot_class": "kind of bot", "os": "system"}


@dataclass(frozen=True)
class Tile:
    """A headline figure, and how it differs from that of the days that it is compared with."""

    title: str
    text: str
    exact: str
    before: str = ""
    change: str = ""


@dataclass(frozen=True)
class Overview:
    """Everything on the first page."""

    question: Question
    version: LakeVersion
    answers: Mapping[str, Answer]
    before: Answer | None
    live: Mapping[str, Any] | None
    waiting: str = ""

    @property
    def by(self) -> Any:
        """What a point in the chart is."""
        return granularity(self.question, self.version.days)

    @property
    def chart(self) -> Chart | None:
        """Requests and visitors over time."""
        answer = self.answers["over_time"]
        before = [
            row[n] for n, c in enumerate(answer.columns) if c.name == "requests_before" for row in answer.found.rows
        ]
        return chart(answer.found.rows, self.by, self.question, before)

    @property
    def tiles(self) -> list[Tile]:
        """The headline figures; the share of bots where both are counted."""
        if not self.answers["now"].found.rows:
            return []
        columns = self.answers["now"].columns
        figures = self.answers["now"].found.rows[0]
        earlier = self.before.found.rows[0] if self.before and self.before.found.rows else [None] * len(columns)
        return [_tile(column, now, then) for column, now, then in zip(columns, figures, earlier, strict=True)]

    @property
    def shown(self) -> list[str]:
        """The lists that say something: those with rows, and sites where there are several."""
        least = {"sites": 2}
        answers = {name: self.answers[name] for name in (*SHOWN, "client_errors") if name in self.answers}
        return [
            name for name, answer in answers.items() if answer.problem or len(answer.found.rows) >= least.get(name, 1)
        ]

    @property
    def heat(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """Of each weekday the requests of each hour, with a level from 0 to 9."""
        found = {(day, hour): n for day, hour, n in self.answers["weekdays"].found.rows}
        most = max(found.values(), default=0)
        return [
            (day, [(n := found.get((day, hour), 0), 0 if n == 0 else 1 + 8 * n // most) for hour in range(24)])
            for day in WEEKDAYS
        ]


def lists_of(question: Question, version: LakeVersion) -> list[str]:
    """The top lists of the first page."""
    days = [day for day in version.days if _is_between(day, question.filters)]
    if not days or (days[-1] - days[0]).days < LONG_DAYS:
        return list(SHOWN)
    return [*(name for name in SHOWN if name not in COUNTED_LISTS), "client_errors"]


def _is_between(day: date, filters: Filters) -> bool:
    return (filters.first is None or filters.first <= day) and (filters.last is None or day <= filters.last)


def _tile(column: Column, now: int, then: int | None) -> Tile:
    as_text = bytes_text if column.kind == "bytes" else short_count_text
    exact = f"{count_text(now)} bytes" if column.kind == "bytes" else count_text(now)
    if then is None:
        return Tile(column.title, as_text(now), exact)
    change = f"{100 * (now - then) / then:+.0f} %" if then else "new" if now else "="
    return Tile(column.title, as_text(now), exact, as_text(then), change)


def chips(question: Question) -> list[tuple[str, str]]:
    """Each active filter on a value: its parameter, and its value as a person reads it."""
    values = [("status" if column == "status_class" else column, value) for column, value in question.filters.values]
    if question.filters.site is not None:
        values.insert(0, ("site", question.filters.site))
    return values


def _link_of(question: Question, column: Column, value: Any, path: str = "/") -> str:
    """The question with this value as a filter too; empty where the value is too long to be one."""
    chosen = "-" if value is None else str(value)
    if not is_allowed(chosen):
        return ""
    link = question.without_list().link(path, **{str(column.parameter): chosen})
    return link if len(link) <= MAX_ADDRESS else ""


@dataclass(frozen=True)
class Heading:
    """The head of a column: where a click on it leads, and how the rows are sorted by it now (``aria-sort``), if they are."""

    link: str
    sorted: str = ""


def _heading(question: Question, answer: Answer, column: Column) -> Heading:
    """A click sorts by the column, the most first, names from the first; another one the other way round."""
    panel = answer.panel
    now = order_of(question, answer.columns, panel.order)
    is_sorted = now.column == column.name
    is_ascending = not now.is_ascending if is_sorted else column.kind == "text"
    sort = Order(column.name, is_ascending).text
    path = "/requests" if panel.name == "requests" else f"/panels/{panel.name}"
    link = question.link(path, sort=None if sort == panel.order else sort, offset=None)
    return Heading(link, ("ascending" if now.is_ascending else "descending") if is_sorted else "")


def _kept(question: Question) -> list[tuple[str, str]]:
    """The parameters that a form must send along."""
    return [(name, value) for name, value in question.without_list().parameters().items() if name not in FIELDS]


def _share_at(answer: Answer) -> int | None:
    """Where the share stands in the rows."""
    return next((n for n, column in enumerate(answer.columns) if column.name == "share"), None)


def _left_out(answer: Answer) -> tuple[str, ...]:
    """What a card, which is narrow, does not have of its list."""
    if answer.panel.name == "sites":
        return ("bytes",)
    return ("share",) if sum(c.kind == "text" for c in answer.columns) > 1 and answer.panel.name != "suspicious" else ()


def _local(time: datetime, question: Question, shape: str = "%Y-%m-%d %H:%M:%S %Z") -> str:
    """A time by the clocks of the question's time zone."""
    return f"{time.astimezone(ZoneInfo(question.zone)):{shape}}"


def environment() -> Environment:
    """Jinja2 with the page's templates: all text is escaped."""
    found = Environment(
        loader=PackageLoader("consumer.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        count=count_text,
        counted=counted_text,
        bytes=bytes_text,
        printable=printable,
        duration=duration_text,
        local=_local,
    )
    found.globals.update(
        shown=shown, heading=_heading, link_of=_link_of, kept=_kept, chips=chips, RANGES=RANGE_TITLES, CHIPS=CHIPS, ago=ago_text,
        time_text=time_text, share_at=_share_at, ZONES=ZONES, COUNTED=tuple(zip(COUNTED_LISTS, ("not found (404)", "other client errors", "suspicious IPs"), strict=True)), left_out=_left_out,
    )  # fmt: skip
    return found


class Views:
    """Renders the page. One of these serves all threads."""

    def __init__(self) -> None:
        self._templates = environment()

    def overview(self, seen: Overview, *, is_file: bool = False) -> str:
        """The first page; ``is_file``: as one file, without links and scripts, its style within."""
        style = files("consumer.page").joinpath("static/page.css").read_text(encoding="utf-8") if is_file else ""
        return self._render(
            "overview.html", seen=seen, question=seen.question, version=seen.version, is_file=is_file, style=style
        )

    def list_page(self, answer: Answer, question: Question, version: LakeVersion) -> str:
        """One list with all its rows, page by page."""
        return self._render(
            "list.html", answer=answer, question=question, version=version, step=question.limit or LIST_ROWS
        )

    def pipeline(self, seen: Pipeline, question: Question, version: LakeVersion) -> str:
        """How the pipeline is doing; of the question it has the time zone."""
        return self._render("pipeline.html", seen=seen, question=question, version=version)

    def problem(self, title: str, text: str, version: LakeVersion | None = None) -> str:
        """Why there is no answer."""
        return self._render(
            "problem.html", title=title, text=text, question=Question(), version=version or LakeVersion()
        )

    def _render(self, name: str, **values: Any) -> str:
        return self._templates.get_template(name).render({"is_file": False, "style": ""} | values)


def default_range(version: LakeVersion, now: datetime, zone: str) -> Question:
    """What the first page shows if nobody says: everything, or of a long history the last 30 days that there are."""
    days: Sequence[date] = version.days
    if not days or (days[-1] - days[0]).days < 92:
        return Question()
    last = _last_day(days[-1], now, zone)
    first = max(days[0], date.fromordinal(last.toordinal() - 29))
    return replace(Question(), range_name="dates", filters=replace(Question().filters, first=first, last=last))


def _last_day(day: date, now: datetime, zone: str) -> date:
    """The last day in the time zone that a day in UTC has a part of; today has not gone further than now."""
    if day.year in (1, 9999):
        return day
    end = now if day == now.astimezone(UTC).date() else datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)
    return end.astimezone(ZoneInfo(zone)).date()
