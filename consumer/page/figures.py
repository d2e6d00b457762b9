"""Headline figures, figures over time, hours by weekday, sites, and response times. I/O by way of the reader."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, replace
from datetime import date, timedelta
from typing import Any

from consumer.components.day_panels import days
from consumer.components.figures import Figures, SiteFigures, total
from consumer.components.filters import Filters
from consumer.components.panels import Choice, sites
from consumer.components.response_times import RANKS, response_times
from consumer.page.lists import BYTES, REQUESTS, chosen, key, page_of
from consumer.page.local_days import HOUR
from consumer.page.local_figures import local_days, local_visitors
from consumer.page.order import in_order
from consumer.page.panel import Column, Panel, Rows
from consumer.page.question import MAX_ROWS, Granularity, Question
from consumer.page.reader import LakeReader

VISITORS = Column("visitors", "Visitors")
ERRORS = (Column("client_errors", "4xx"), Column("server_errors", "5xx"))
BOTS = Column("bot_requests", "Requests of bots")
FIGURES = (REQUESTS, VISITORS, BYTES, *ERRORS, BOTS)
OVER_TIME = (Column("time", "Time", "day"), *FIGURES[:-1])
SITES = (key("site"), REQUESTS, VISITORS, BYTES, *ERRORS)
EVERY_SITE = 10**9
HOURS_OF_WEEKDAYS = (Column("weekday", "Weekday", "text"), Column("hour", "Hour"), REQUESTS)
TIMES = (
    Column("site", "Site", "text"), REQUESTS, *(Column(name, name, "number") for name in ("p50", "p95", "p99")),
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
UTC_VISITORS = (
    "too large a range to count visitors by the days of this time zone: a visitor is one IP and agent on one day in UTC"
)
NO_VISITORS = "too large a range to count visitors by the days of this time zone; in UTC they are counted"
HOUR_VISITORS = "a visitor of several hours counts in each of them"
NO_HOUR_VISITORS = "too large a range to count visitors by the hour"
SKETCH_ERROR = "estimates from sketches: the rank of a quantile is off by at most 1.33 % in 99 of 100 cases"
_SUMS = """
    sum(requests), coalesce(sum(bytes), 0), coalesce(sum(requests) FILTER (status BETWEEN 400 AND 499), 0),
    coalesce(sum(requests) FILTER (status BETWEEN 500 AND 599), 0)
"""


def now(reader: LakeReader, question: Question) -> Rows:
    """The sums of the range. Visitors are those of each day, added up."""
    counted = local_days if reader.has_local_visitors else _days_in_utc
    found = total(counted(reader, question.filters).values())
    figures = found or Figures(0, 0, None, 0, 0, 0, 0)
    return Rows(in_order([_shown(figures)], FIGURES, question), figures.requests, _whose_visitors(reader))


def _whose_visitors(reader: LakeReader) -> list[str]:
    return [] if reader.has_local_visitors else [UTC_VISITORS]


def _days_in_utc(reader: LakeReader, filters: Filters) -> dict[date, Figures]:
    return days(reader, "batch", filters)


def _shown(figures: Figures) -> tuple[int, ...]:
    requests, visitors, _, *others = astuple(figures)
    return (requests, visitors, *others)


def granularity(question: Question, days_with_requests: list[date]) -> Granularity:
    """What a point in time is, where nobody has said it: such that there are some dozens of them."""
    if question.by is not None:
        return question.by
    first = question.filters.first or (days_with_requests[0] if days_with_requests else date.min)
    last = question.filters.last or (days_with_requests[-1] if days_with_requests else date.min)
    length = (last - first).days + 1
    return "hour" if length <= 2 else "day" if length <= 100 else "week" if length <= 800 else "month"


def over_time(reader: LakeReader, question: Question) -> Rows:
    """Figures of each hour, day, week or month between the first and the last with requests."""
    by = granularity(question, reader.version.days)
    if by == "hour":
        return _hours(reader, question)
    has_visitors = reader.has_local_visitors
    by_point: dict[date, list[Figures]] = {}
    for day, figures in local_days(reader, question.filters).items():
        by_point.setdefault(start_of(day, by), []).append(figures)
    sums = {point: total(figures) for point, figures in by_point.items()}
    nothing = Figures(0, 0, None, 0, 0, 0, 0)
    rows: list[tuple[Any, ...]] = []
    for point in points(sums, by):
        requests, visitors, *others, _ = _shown(sums.get(point) or nothing)
        rows.append((point.isoformat(), requests, visitors if has_visitors else None, *others))
    notes = [] if has_visitors else [NO_VISITORS]
    return Rows(in_order(rows, OVER_TIME, question), sum(int(row[1]) for row in rows), notes)


def _hours(reader: LakeReader, question: Question) -> Rows:
    query = f"""
        SELECT epoch_us(hour) AS which, {_SUMS} FROM t WHERE {question.filters.condition}
        GROUP BY which ORDER BY which LIMIT {MAX_ROWS}
    """
    found = {
        int(which): [*map(int, sums)]
        for which, *sums in reader.rows("batch", "hourly", query, question.filters.parameters)
    }
    visitors = _visitors_by_hour(reader, question) if reader.is_countable else None
    by_hour = {reader.local.hour_text(which): sums for which, sums in found.items()}
    is_close = bool(found) and max(found) - min(found) < MAX_ROWS * HOUR
    rows: list[tuple[Any, ...]] = []
    for hour in reader.local.hours(min(found), max(found)) if is_close else by_hour:
        requests, *others = by_hour.get(hour, (0, 0, 0, 0))
        rows.append((hour, requests, None if visitors is None else visitors.get(hour, 0), *others))
    note = NO_HOUR_VISITORS if visitors is None else HOUR_VISITORS
    return Rows(in_order(rows, OVER_TIME, question), sum(row[1] for row in rows), [note])


def _visitors_by_hour(reader: LakeReader, question: Question) -> dict[str, int]:
    query = f"""
        SELECT epoch_us(hour) AS which, count(DISTINCT (ip, agent)) FROM t WHERE {question.filters.condition} GROUP BY which
    """
    found = reader.rows("batch", "requests", query, question.filters.parameters)
    return {reader.local.hour_text(int(which)): int(visitors) for which, visitors in found}


def start_of(day: date, by: Granularity) -> date:
    """The first day of the point that a day belongs to."""
    return day - timedelta(days=day.weekday()) if by == "week" else day.replace(day=1) if by == "month" else day


def points(found: Collection[date], by: Granularity) -> Iterator[date]:
    """Every point from the first to the last; beyond ``MAX_ROWS`` those alone that have requests."""
    if not found:
        return
    point, last = min(found), max(found)
    if (last - point).days > MAX_ROWS:
        yield from sorted(found)
        return
    while point <= last:
        yield point
        point = start_of(point + timedelta(days={"day": 1, "week": 7, "month": 31}[by]), by)


def weekdays(reader: LakeReader, question: Question) -> Rows:
    """Requests by weekday and hour of the day."""
    query = f"""
        SELECT isodow(moment) - 1 AS weekday, hour(moment) AS which, sum(requests)
        FROM (SELECT {reader.local.time("hour")} AS moment, requests FROM t WHERE {question.filters.condition})
        GROUP BY weekday, which ORDER BY weekday, which
    """
    found = reader.rows("batch", "hourly", query, question.filters.parameters)
    rows = [(WEEKDAYS[day], int(hour), int(n)) for day, hour, n in in_order(found, HOURS_OF_WEEKDAYS, question)]
    return Rows(rows, sum(row[2] for row in rows))


def by_site(reader: LakeReader, question: Question) -> Rows:
    """Sites with their figures; null: requests without one."""
    found = _sites(reader, question.filters, chosen(question, SITES))
    rows = [(s.site, s.requests, s.visitors, s.bytes, s.client_errors, s.server_errors) for s in found]
    return page_of(
        [tuple(v if v is None or isinstance(v, str) else int(v) for v in row) for row in rows], question, requests=None,
        notes=_whose_visitors(reader),
    )  # fmt: skip


def _sites(reader: LakeReader, filters: Filters, choice: Choice) -> list[SiteFigures]:
    """The sites that are chosen, with the visitors of each day of the time zone where these can be counted."""
    if reader.has_local_days or not reader.has_local_visitors:
        return sites(reader, filters, choice)
    visitors = local_visitors(reader, filters, "site")
    is_by_visitors = choice.by == "visitors"  # the table knows others
    wanted = Choice(EVERY_SITE, search=choice.search) if is_by_visitors else choice
    found = [replace(s, visitors=visitors[s.site]) for s in sites(reader, filters, wanted)]
    if not is_by_visitors:
        return found
    found.sort(key=lambda s: s.visitors, reverse=not choice.is_ascending)
    return found[choice.offset : choice.offset + choice.limit]


def times(reader: LakeReader, question: Question) -> Rows:
    """Response times in the log's own unit: of all sites, and of the busiest ones."""
    if reader.version.counted_as is None or reader.version.counted_as.duration is None:
        return Rows(
            _sites_in_order([], question),
            notes=["no duration is promoted: see promoted and batch.duration in the settings"],
        )
    limit = 20 if question.limit is None else question.limit
    if not reader.is_stored("hourly"):
        return _exact_times(reader, question, limit)
    found = response_times(reader, question.filters, limit)
    rows = [(ALL if t.is_all_sites else t.site, t.requests, t.p50, t.p95, t.p99) for t in found]
    return Rows(_sites_in_order(rows, question), found[0].requests if found else 0, estimate=SKETCH_ERROR)


ALL = "all sites"


def _exact_times(reader: LakeReader, question: Question, limit: int) -> Rows:
    """Of the durations themselves, where the sketches of hours do not tell these requests apart."""
    query = f"""
        WITH timed AS (SELECT site, duration FROM t WHERE isfinite(duration) AND {question.filters.condition})
        SELECT GROUPING(site) = 1 AS is_all, site, count(*) AS timed, quantile_disc(duration, {RANKS})
        FROM timed GROUP BY GROUPING SETS ((), (site)) HAVING timed > 0 ORDER BY is_all DESC, timed DESC, site LIMIT {limit + 1}
    """
    found = reader.rows("batch", "requests", query, question.filters.parameters)
    rows = [(ALL if is_all else site, timed, *quantiles) for is_all, site, timed, quantiles in found]
    return Rows(_sites_in_order(rows, question), int(rows[0][1]) if rows else 0)


def _sites_in_order(rows: Sequence[Any], question: Question) -> list[Any]:
    """What is of all sites stays first."""
    number = 1 if rows and rows[0][0] == ALL else 0
    return [*rows[:number], *in_order(rows[number:], TIMES, question)]


def panels() -> list[Panel]:
    """These panels."""
    return [
        Panel("now", "Now", FIGURES, now),
        Panel("over_time", "Over time", OVER_TIME, over_time, order="time"),
        Panel("sites", "Sites", SITES, by_site, is_list=True),
        Panel("weekdays", "Hours by weekday", HOURS_OF_WEEKDAYS, weekdays, order="weekday"),
        Panel("response_times", "Response times", TIMES, times, "In the unit of the log."),
    ]  # fmt: skip
