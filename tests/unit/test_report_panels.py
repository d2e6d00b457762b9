"""The report's panels: under any filters each equals a plain count of the same requests. Without a JVM."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from datasketches import kll_doubles_sketch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from consumer.batch import refresh
from consumer.components.day_panels import days, top
from consumer.components.durations import K
from consumer.components.figures import Figures, HourFigures, Ranked, Ranking, ResponseTimes, SiteFigures, Top, Value
from consumer.components.filters import NO_SITE, Filters
from consumer.components.panels import RANKINGS, Choice, hours, ranking, sites
from consumer.components.response_times import RANKS, response_times
from consumer.components.table_reader import TableReader, reading
from lakehouse.settings import Settings, unpack_settings
from tests.requests import append, request

Row = dict[str, Any]
MORNING = datetime(2024, 5, 17, 9, 59, 59, tzinfo=UTC)
ODD = "'; DROP TABLE t; --\u202e$site"
HOSTS = {
    None: None,
    "https://a.example/x?y=1": "a.example",
    "http://search.example": "search.example",
    f"https://{ODD}": ODD.lower(),
    "nonsense": None,
}
AGENTS: dict[str | None, tuple[Row, ...]] = {  # what is known of an agent may change within a day
    None: ({},),
    "curl/8": ({"browser": "curl"}, {"browser": "curl", "is_bot": True, "bot": "curl", "bot_class": "http-library"}),
    "Googlebot": ({"browser": "Googlebot", "is_bot": True, "bot": "Googlebot", "bot_class": "search-engine"},),
    "scanner": ({"is_bot": True},),
    ODD: ({"browser": ODD, "os": ODD},),
}


def some(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@st.composite
def requests(draw: st.DrawFn) -> Row:
    agent = draw(some(*AGENTS))
    known = {"browser": None, "os": None, "is_bot": False} | draw(some(*AGENTS[agent]))
    return request(
        agent=agent,
        timestamp=MORNING + timedelta(hours=draw(st.integers(0, 70)), seconds=draw(some(0, 1))),
        ip=draw(some(None, "192.0.2.1", "2001:db8::1")),
        path=draw(some(None, "/", "/a.CSS", "/b.js/c", ODD)),
        status=draw(some(None, 200, 404, 410, 503)),
        bytes=draw(some(None, 0, 7, 2**50)),
        referer=draw(some(*HOSTS)),
        site=draw(some(None, "a.example", "b.example:443", ODD)),
        request_time=draw(some(None, 0.1, 2.5)),
        **known,
    )


all_filters = st.builds(
    lambda site, two, is_bot: Filters(site, two[0], two[1], is_bot),
    some(None, None, NO_SITE, "a.example", ODD, "nobody"),
    st.tuples(*[st.one_of(st.none(), st.dates(date(2024, 5, 16), date(2024, 5, 21)))] * 2).filter(
        lambda two: not all(two) or two[0] <= two[1]
    ),
    some(None, True, False),
)


# --- a plain count


def in_range(requests: Sequence[Row], filters: Filters) -> list[Row]:
    first, last = filters.first or date.min, filters.last or date.max
    return [r for r in requests if first <= r["event_date"] <= last]


def chosen(requests: Sequence[Row], filters: Filters) -> list[Row]:
    site = None if filters.site == NO_SITE else filters.site
    return [
        r
        for r in in_range(requests, filters)
        if (filters.site is None or r["site"] == site) and filters.is_bot in (None, r["is_bot"])
    ]


def grouped(requests: Sequence[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for r in requests:
        groups[key(r)].append(r)
    return groups


def size(requests: Sequence[Row]) -> int:
    return sum(r["bytes"] or 0 for r in requests)


def of_class(requests: Sequence[Row], hundreds: int) -> int:
    return sum((r["status"] or 0) // 100 == hundreds for r in requests)


def visitors(requests: Sequence[Row]) -> int:
    return len({(r["event_date"], r["ip"], r["agent"]) for r in requests})


def nulls_last(key: Any) -> Any:
    return [(part is None, part) for part in key]


def most(groups: dict[Any, list[Row]], limit: int) -> list[tuple[Any, list[Row]]]:
    return sorted(groups.items(), key=lambda group: (-len(group[1]), nulls_last(group[0])))[:limit]


def plain_days(requests: Sequence[Row]) -> dict[date, Figures]:
    return {
        day: Figures(
            len(rs), visitors(rs), len({r["ip"] for r in rs} - {None}), size(rs), of_class(rs, 4), of_class(rs, 5),
            sum(r["is_bot"] for r in rs),
        )
        for day, rs in grouped(requests, lambda r: r["event_date"]).items()
    }  # fmt: skip


def plain_top(requests: Sequence[Row], key: str, limit: int) -> Top:
    every = grouped(requests, lambda r: (r[key],))
    kinds = []
    for is_bot in (False, True):
        of_kind = grouped([r for r in requests if r["is_bot"] is is_bot], lambda r: (r[key],))
        kinds.append(
            [
                Ranked(k[0], len(every[k]), sum(r["is_bot"] for r in every[k]), size(rs))
                for k, rs in most(of_kind, limit)
            ]
        )
    return Top(*kinds)


def is_static(r: Row) -> bool:
    return (r["path"] or "").lower().endswith(".css")


def is_foreign(r: Row) -> bool:
    host = HOSTS[r["referer"]]
    return r["referer"] is not None and (host is None or host != (r["site"] or "").lower().split(":")[0])


PLAIN: dict[str, tuple[Callable[[Row], bool], Callable[[Row], tuple[Any, ...]]]] = {
    "pages": (lambda r: not is_static(r), lambda r: (r["path"],)),
    "static_files": (is_static, lambda r: (r["path"],)),
    "client_errors": (lambda r: r["status"] in (404, 410), lambda r: (r["path"],)),
    "server_errors": (lambda r: r["status"] == 503, lambda r: (r["path"],)),
    "referring_hosts": (is_foreign, lambda r: (HOSTS[r["referer"]],)),
    "referers": (is_foreign, lambda r: (r["referer"],)),
    "browsers": (lambda r: not r["is_bot"], lambda r: (r["browser"],)),
    "systems": (lambda r: not r["is_bot"], lambda r: (r["os"],)),
    "bots": (lambda r: r["is_bot"], lambda r: (r["bot"], r["bot_class"])),
    "bot_classes": (lambda r: r["is_bot"], lambda r: (r["bot_class"],)),
}


def plain_ranking(requests: Sequence[Row], name: str, limit: int) -> Ranking:
    is_meant, key = PLAIN[name]
    meant = [r for r in requests if is_meant(r)]
    values = [Value(k, len(rs), size(rs)) for k, rs in most(grouped(meant, key), limit)]
    return Ranking(RANKINGS[name].columns, values, len(meant))


def plain_hours(requests: Sequence[Row], every_day: set[date]) -> list[HourFigures]:
    is_short = bool(every_day) and max(every_day) - min(every_day) <= timedelta(days=1)

    def hour(r: Row) -> Any:
        return r["timestamp"].replace(minute=0, second=0) if is_short else r["timestamp"].hour

    return [
        HourFigures(h, len(rs), size(rs), of_class(rs, 4), of_class(rs, 5))
        for h, rs in sorted(grouped(requests, hour).items())
    ]


def plain_sites(requests: Sequence[Row], limit: int) -> list[SiteFigures]:
    return [
        SiteFigures(site, len(rs), visitors(rs), size(rs), of_class(rs, 4), of_class(rs, 5))
        for (site,), rs in most(grouped(requests, lambda r: (r["site"],)), limit)
    ]


def plain_times(requests: Sequence[Row], filters: Filters, limit: int) -> list[ResponseTimes]:
    timed = [r for r in requests if r["request_time"] is not None]
    by_site = grouped(timed, lambda r: (r["site"],))
    if not timed:
        return []
    if filters.site is not None:
        return [times(timed[0]["site"], False, timed)]
    found = [times(None, True, timed)]
    return found + [times(site, False, rs) for (site,), rs in most(by_site, limit)] if len(by_site) > 1 else found


def times(site: str | None, is_all_sites: bool, requests: Sequence[Row]) -> ResponseTimes:
    sketch = kll_doubles_sketch(K)
    for r in requests:
        sketch.update(r["request_time"])
    return ResponseTimes(site, is_all_sites, len(requests), *sketch.get_quantiles(RANKS))


# --- the panels of a lake that the exact metrics have counted


def settings_in(folder: Path) -> Settings:
    groups = {
        "paths": {"data_lake": str(folder / "site=x, it's"), "log": str(folder / "log")},
        "promoted": {"request_time": {"field": "request_time", "type": "double"}},
    }
    return unpack_settings(groups, "test")


def reader_of(settings: Settings, filters: Filters) -> Any:
    return reading(settings.lake, filters.first, filters.last)


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests(), min_size=1, max_size=30), st.lists(all_filters, min_size=1, max_size=4), some(1, 2, 10))
def test_every_panel_equals_a_plain_count_under_any_filters(
    sent: list[Row], several: list[Filters], limit: int
) -> None:
    with TemporaryDirectory() as folder:
        settings = settings_in(Path(folder))
        append(settings.lake, sent, extra={"request_time": pa.float64()})
        refresh(settings)
        for filters in [Filters(), *several]:
            with reader_of(settings, filters) as reader:
                assert panels_of(reader, filters, limit) == plain_panels(sent, filters, limit), filters


def panels_of(reader: TableReader, filters: Filters, limit: int) -> dict[str, Any]:
    return {
        "days": days(reader, "batch", filters),
        **{key: top(reader, "batch", key, filters, limit, has_visitors=True) for key in ("agent", "ip")},
        **{name: ranking(reader, name, filters, limit) for name in PLAIN},
        "hours": hours(reader, filters),
        "sites": sites(reader, filters, Choice(limit)),
        "times": response_times(reader, filters, limit),
    }


def plain_panels(sent: Sequence[Row], filters: Filters, limit: int) -> dict[str, Any]:
    meant = chosen(sent, filters)
    return {
        "days": plain_days(meant),
        **{key: plain_top(meant, key, limit) for key in ("agent", "ip")},
        **{name: plain_ranking(meant, name, limit) for name in PLAIN},
        "hours": plain_hours(meant, {r["event_date"] for r in in_range(sent, filters)}),
        "sites": plain_sites(meant, limit),
        "times": plain_times(meant, filters, limit),
    }
