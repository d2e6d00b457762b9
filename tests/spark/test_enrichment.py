"""What ``delta/`` knows of agents and IPs, however many there are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from cleaner import enrich as cleaner_enrich
from cleaner.enrich import countries_known
from cleaner.known import joined
from cleaner.merge import merge
from cleaner.rebuild import rebuild
from lakehouse import enrich
from lakehouse.agents import PARSED_CHARACTERS
from lakehouse.enrich import agents_known
from lakehouse.errors import InputError
from lakehouse.lake import STAGED_FOLDER, Lake
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import column_names
from tests.builders import land_parquet, landed
from tests.geoip import write_countries
from tests.tables import rows

CHROME = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"
LONG = CHROME.ljust(PARSED_CHARACTERS)
GPTBOT = "Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)"
OTHER_BOT = "Mozilla/5.0 (compatible; FooBot/1.0)"
AGENTS = [
    (None, None, None, None, False, None, None),
    ("", None, None, None, False, None, None),
    ("\x00\x1b[31m'; DROP TABLE x --\u202e\U0001f600", None, None, None, False, None, None),
    (CHROME, "Chrome", "Windows", None, False, None, None),
    (LONG + "a" * 8000, "Chrome", "Windows", None, False, None, None),
    (LONG + "b", "Chrome", "Windows", None, False, None, None),
    ("\U0001f600" * 1000 + GPTBOT, None, None, None, False, None, None),
    (GPTBOT, "GPTBot", None, "Spider", True, "GPTBot", "ai-crawler"),
    (OTHER_BOT, "FooBot", None, "Spider", True, "FooBot", None),
]
IPS = [
    (None, None), ("192.0.2.1", "DE"), ("192.0.2.2", "DE"), ("2001:db8::1", "JP"), ("192.0.3.1", None),
    ("localhost", None), ("9" * 5000, None), ("", None),
]  # fmt: skip


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return write_countries(tmp_path / "countries.mmdb", DE="192.0.2.0/24", JP="2001:db8::/32")


def with_database(settings: Settings, database: Path | None) -> Settings:
    path = None if database is None else str(database)
    return unpack_settings(settings.model_dump(mode="json") | {"geoip": {"database": path}}, "test")


@pytest.mark.parametrize("at_once", [1, 8, 20_000])
@pytest.mark.parametrize("name", ["few", "a b [x] {y,z} 50%25 q?*"])
def test_each_agent_is_known_once_however_many_fit_into_memory(
    spark: SparkSession, tmp_path: Path, at_once: int, name: str
) -> None:
    requests = spark.createDataFrame([(a[0], n) for a in AGENTS for n in (1, 2)], "agent string, n int")
    found = joined(requests, replace(agents_known(most=None), at_once=at_once), tmp_path / name).collect()
    expected = [(agent, n, *known) for agent, *known in AGENTS for n in (1, 2)]
    assert sorted(map(tuple, found), key=repr) == sorted(expected, key=repr)
    assert (tmp_path / name).exists() == (at_once < len(AGENTS) - 1)


@pytest.mark.parametrize(
    ("most", "looked_up"),
    [
        (None, {"a", "b", "c", "d", "e", None}),
        (6, {"a", "b", "c", "d", "e", None}),
        (5, {"a", "b", "c", "d"}),  # e and null have as many requests: neither or both
        (4, {"a", "b", "c", "d"}),
        (2, {"a", "b"}),
        (1, set()),
        (0, set()),
    ],
)
def test_of_too_many_agents_those_with_the_most_requests_are_looked_up_and_no_row_is_lost(
    spark: SparkSession, tmp_path: Path, most: int | None, looked_up: set[str | None]
) -> None:
    numbers = {"a": 9, "b": 9, "c": 3, "d": 2, "e": 1, None: 1}
    calls: list[str | None] = []

    def find(agent: str | None) -> tuple[str | None, ...]:
        calls.append(agent)
        return ("Browser", "OS", None, False, None, None)  # type: ignore[return-value]

    knowledge = replace(agents_known(most), at_once=1, find=find)
    requests = spark.createDataFrame(
        [(a, n) for a, count in numbers.items() for n in range(count)], "agent string, n int"
    )
    found = joined(requests, knowledge, tmp_path).collect()
    browsers = {agent: "Browser" if agent in looked_up else None for agent in numbers}
    expected = [
        (agent, n, browsers[agent], "OS" if browsers[agent] else None, None, False, None, None)
        for agent, count in numbers.items()
        for n in range(count)
    ]
    assert sorted(map(tuple, found), key=repr) == sorted(expected, key=repr)
    assert sorted(calls, key=repr) == sorted(looked_up, key=repr)  # each once


@pytest.mark.parametrize("at_once", [1, 200_000])
def test_each_ip_has_its_country_however_many_fit_into_memory(
    spark: SparkSession, tmp_path: Path, database: Path, at_once: int
) -> None:
    requests = spark.createDataFrame([(ip, n) for ip, _ in IPS for n in (1, 2)], "ip string, n int")
    found = joined(requests, replace(countries_known(database), at_once=at_once), tmp_path / "x").collect()
    expected = [(ip, n, country) for ip, country in IPS for n in (1, 2)]
    assert sorted(map(tuple, found), key=repr) == sorted(expected, key=repr)


def land_all(lake: Lake) -> None:
    """A file that has each agent, and each IP that makes a request."""
    ips = [ip for ip, _ in IPS if ip]
    batch = [landed(f"a{n}", agent=agent, ip=ips[n % len(ips)]) for n, (agent, *_) in enumerate(AGENTS)]
    land_parquet(lake.landing / "a.parquet", batch)


@pytest.mark.parametrize("at_once", [2, 1000])
def test_a_merge_leaves_the_same_however_many_fit_into_memory(
    settings: Settings, spark: SparkSession, database: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(enrich, "AGENTS_AT_ONCE", at_once)
    monkeypatch.setattr(cleaner_enrich, "IPS_AT_ONCE", at_once)
    lake = settings.lake
    land_all(lake)
    merge(with_database(settings, database), lambda: spark)
    ips = [(ip, country) for ip, country in IPS if ip]
    expected = [(f"a{n}", known[3], known[4], ips[n % len(ips)][1]) for n, (_, *known) in enumerate(AGENTS)]
    assert rows(lake.delta, "event_id", "is_bot", "bot", "country") == expected
    assert not (lake.landing / STAGED_FOLDER).exists()


@pytest.mark.apache_spark
def test_a_rebuild_looks_up_what_a_merge_of_too_many_agents_left(
    settings: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrich, "AGENTS_AT_ONCE", 1)
    monkeypatch.setattr(cleaner_enrich, "AGENTS_IN_FULL", 1)
    lake = settings.lake
    batch = [landed(f"a{n}", agent=agent) for n, agent in enumerate([CHROME, CHROME, GPTBOT, OTHER_BOT])]
    land_parquet(lake.landing / "a.parquet", batch)
    merge(settings, lambda: spark)
    columns = ("event_id", "browser", "os", "is_bot", "bot", "bot_class")
    chrome = [("a0", "Chrome", "Windows", False, None, None), ("a1", "Chrome", "Windows", False, None, None)]
    assert rows(lake.delta, *columns) == [
        *chrome, ("a2", None, None, True, "GPTBot", "ai-crawler"), ("a3", None, None, True, None, None),
    ]  # fmt: skip
    rebuild(settings, lambda: spark)
    assert rows(lake.delta, *columns) == [
        *chrome, ("a2", "GPTBot", None, True, "GPTBot", "ai-crawler"), ("a3", "FooBot", None, True, "FooBot", None),
    ]  # fmt: skip


@pytest.mark.apache_spark
def test_a_database_gives_countries_to_rows_to_come_and_a_rebuild_gives_them_to_all(
    settings: Settings, lake: Lake, spark: SparkSession, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session: Callable[[], SparkSession] = lambda: spark  # noqa: E731
    located = with_database(settings, database)

    def land(event_id: str, ip: str) -> None:
        land_parquet(lake.landing / f"{event_id}.parquet", [landed(event_id, ip=ip)])

    land("e1", "192.0.2.1")
    merge(settings, session)
    assert "country" not in column_names(lake.delta)
    land("e2", "2001:db8::1")
    merge(located, session)
    assert rows(lake.delta, "event_id", "country") == [("e1", None), ("e2", "JP")]
    monkeypatch.setattr(cleaner_enrich, "IPS_AT_ONCE", 1)
    rebuild(located, session)
    assert not (lake.landing / STAGED_FOLDER).exists()
    assert rows(lake.delta, "event_id", "country", "bot", "status_class") == [
        ("e1", "DE", "curl", "2xx"), ("e2", "JP", "curl", "2xx"),
    ]  # fmt: skip
    land("e3", "192.0.2.1")
    merge(settings, session)  # without the database: null from now on
    assert rows(lake.delta, "event_id", "country") == [("e1", "DE"), ("e2", "JP"), ("e3", None)]
    rebuild(settings, session)
    assert "country" not in column_names(lake.delta)


@pytest.mark.apache_spark
def test_a_promoted_field_may_be_called_country_where_there_is_no_database(
    settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    promoting = unpack_settings(settings.model_dump(mode="json") | {"promoted": {"country": {"field": "geo"}}}, "test")
    land_parquet(lake.landing / "a.parquet", [landed("e1", rescued='{"geo":"XK"}')])
    merge(promoting, lambda: spark)
    assert rows(lake.delta, "event_id", "country") == [("e1", "XK")]


def test_without_the_database_that_is_set_nothing_is_written(settings: Settings, lake: Lake, tmp_path: Path) -> None:
    located = with_database(settings, tmp_path / "none.mmdb")
    land_all(lake)
    with pytest.raises(InputError, match=r"none.mmdb: no such file; name a MaxMind DB file"):
        merge(located, lambda: pytest.fail("a JVM was started"))
    assert not any(path.exists() for path in (lake.merged, lake.quarantine, lake.delta))
