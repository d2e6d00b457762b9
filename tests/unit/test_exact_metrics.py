"""Exact metrics: added up in any pieces they equal a plain count of all requests, in every table. Without a JVM."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from consumer.batch import recount, refresh
from consumer.components import exact_tables
from lakehouse import tables
from lakehouse.lake import Lake
from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.settings import Settings, unpack_settings
from tests.requests import NOON, append, replace_all, request
from tests.tables import rows

TABLES = tuple(name for name in EXACT_TABLES if name != "country")
Row = dict[str, Any]


def settings_in(folder: Path, **batch: Any) -> Settings:
    groups = {"paths": {"data_lake": str(folder / "lake"), "log": str(folder / "log")}, "batch": batch}
    return unpack_settings(groups, "test")


def found(lake: Lake, name: str) -> list[tuple[Any, ...]]:
    return rows(lake.metrics("batch", name), *EXACT_TABLES[name].columns)


# --- a plain count, in Python


def plain(requests: Sequence[Row]) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows, counted one request after the other."""
    counted = {
        "visitor": _visitor(requests),
        "daily": _shared(requests, ("event_date",)),
        "ip": _shared(requests, ("event_date", "ip")),
        "agent": _shared(requests, ("event_date", "agent")),
        "hourly": _hourly(requests),
        "site": _site(requests),
        "path": _path(requests),
        "referer": _referer(requests),
        "client": _client(requests),
    }
    return {
        name: sorted((tuple(row[c] for c in EXACT_TABLES[name].columns) for row in table), key=repr)
        for name, table in counted.items()
    }


def _groups(requests: Sequence[Row], *keys: str) -> list[tuple[Row, list[Row]]]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for r in requests:
        groups[tuple(r[k] for k in keys)].append(r)
    return [(dict(zip(keys, values, strict=True)), members) for values, members in groups.items()]


def _sums(members: Sequence[Row]) -> Row:
    return {"requests": len(members), "bytes": sum(r["bytes"] or 0 for r in members)}


def _errors(members: Sequence[Row]) -> Row:
    classes = Counter(r["status"] // 100 for r in members if r["status"] is not None)
    return {"client_errors": classes[4], "server_errors": classes[5]}


def _seen(members: Sequence[Row]) -> Row:
    times = [r["timestamp"] for r in members]
    return {"first_seen": min(times), "last_seen": max(times)}


def _visitors(members: Sequence[Row]) -> Row:
    return {"visitors": len({(r["event_date"], r["ip"], r["agent"]) for r in members})}


def _ips(members: Sequence[Row]) -> Row:
    return {"ips": len({r["ip"] for r in members if r["ip"] is not None})}


def _visitor(requests: Sequence[Row]) -> list[Row]:
    keys = [k for k in EXACT_TABLES["visitor"].keys if k != "country"]
    return [k | {"country": None} | _sums(m) | _errors(m) | _seen(m) for k, m in _groups(requests, *keys)]


def _shared(requests: Sequence[Row], keys: tuple[str, ...]) -> list[Row]:
    return [
        k | _sums(m) | _errors(m) | _seen(m) | _visitors(m) | _ips(m) | {"bot_requests": sum(r["is_bot"] for r in m)}
        for k, m in _groups(requests, *keys)
    ]


def _hourly(requests: Sequence[Row]) -> list[Row]:
    timed = [r | {"hour": r["timestamp"].replace(minute=0, second=0, microsecond=0)} for r in requests]
    return [
        k | _sums(m) | {"durations": 0, "duration_sketch": None}
        for k, m in _groups(timed, "event_date", "hour", "site", "is_bot", "method", "status")
    ]


def _site(requests: Sequence[Row]) -> list[Row]:
    found = []
    for keys in (("site", "is_bot"), ("site",), ("is_bot",), ()):
        for k, m in _groups(requests, "event_date", *keys):
            whole = {"site": None, "is_bot": None, "is_all_sites": "site" not in keys} | k
            found.append(whole | _sums(m) | _visitors(m) | _ips(m) | _errors(m))
    return found


def _path(requests: Sequence[Row]) -> list[Row]:
    keys = ("event_date", "site", "is_bot", "status_class", "path")
    return [
        k | {"is_static": (k["path"] or "").lower().endswith((".css", ".js")), "is_other": False} | _sums(m)
        for k, m in _groups(requests, *keys)
    ]


HOSTS = {
    None: None,
    "https://a.example/x?y=1": "a.example",
    "http://WWW.b.example:8080/": "www.b.example",
    "nonsense": None,
}


def _referer(requests: Sequence[Row]) -> list[Row]:
    found = []
    for k, m in _groups(requests, "event_date", "site", "is_bot", "referer"):
        host, site = HOSTS[k["referer"]], k["site"]
        is_own = None if host is None or site is None else host.removeprefix("www.") == site.split(":")[0]
        found.append(k | {"referer_host": host, "is_own_host": is_own, "is_other": False} | _sums(m))
    return found


def _client(requests: Sequence[Row]) -> list[Row]:
    keys = tuple(EXACT_TABLES["client"].keys)
    return [k | _sums(m) | _visitors(m) for k, m in _groups(requests, *keys)]


# --- random requests, in random pieces


def some(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


AGENTS = {  # what the cleaner says of an agent, which may change from one release to the next
    None: ({"is_bot": False},),
    "curl/8": ({"browser": "curl", "is_bot": False}, {"browser": "curl", "is_bot": True, "bot": "curl", "bot_class": "http-library"}),
    "Googlebot": ({"browser": "Googlebot", "device": "Spider", "is_bot": True, "bot": "Googlebot", "bot_class": "search-engine"},),
    "": ({"is_bot": False},),
}  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> Row:
    agent = draw(some(*AGENTS))
    known = dict.fromkeys(("browser", "os", "device", "bot", "bot_class")) | draw(some(*AGENTS[agent]))
    return request(
        agent=agent,
        timestamp=NOON + timedelta(hours=draw(st.integers(0, 60)), microseconds=draw(some(0, 1, 999_999))),
        ip=draw(some(None, "192.0.2.1", "2001:db8::1")),
        method=draw(some(None, "GET", "PROPFIND")),
        path=draw(some(None, "/", "/a.CSS", "/b.js/c", "/'\"")),
        status=draw(some(None, 200, 404, 503)),
        bytes=draw(some(None, 0, 7, 2**50)),
        referer=draw(some(*HOSTS)),
        site=draw(some(None, "a.example", "b.example:443")),
        **known,
    )


# What happens to delta/ between two refreshes: requests come, files are joined, all is made anew with what was known then.
steps = st.one_of(
    st.tuples(st.just("append"), st.lists(requests(), min_size=1, max_size=8)),
    st.tuples(st.just("refresh"), st.none()),
    st.tuples(st.just("join"), st.none()),
    st.tuples(st.just("rebuild"), some("Googlebot", "curl/8")),
    st.tuples(st.just("killed"), st.integers(0, 8)),
)


@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=8), st.lists(requests(), min_size=1, max_size=8))
def test_adding_up_in_any_pieces_equals_counting_once(happenings: list[tuple[str, Any]], last: list[Row]) -> None:
    with TemporaryDirectory() as folder:
        settings = settings_in(Path(folder), static_endings=[".css", ".js"], recount_after_seconds=315_360_000)
        lake, everything = settings.lake, []
        for what, value in [*happenings, ("append", last)]:
            if what == "append":
                append(lake, value)
                everything += value
            elif not everything:
                continue
            elif what == "refresh":
                refresh(settings)
            elif what == "join":
                DeltaTable(str(lake.delta)).optimize.compact()
            elif what == "killed":
                killed_after(settings, value)
            else:
                everything = [r | (AGENTS[value][-1] if r["agent"] == value else {}) for r in everything]
                replace_all(lake, everything)
        refresh(settings)
        due = plain(everything)
        assert {name: found(lake, name) for name in TABLES} == due
        assert recount(settings, None) == 0


def killed_after(settings: Settings, commits: int) -> None:
    """A refresh that dies after so many commits of its tables."""
    done, usual = 0, tables.replace_days

    def replace_or_die(*args: Any, **named: Any) -> None:
        nonlocal done
        if done == commits:
            raise KeyboardInterrupt
        done += 1
        usual(*args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_tables, "replace_days", replace_or_die)
        with suppress(KeyboardInterrupt):
            refresh(settings)
