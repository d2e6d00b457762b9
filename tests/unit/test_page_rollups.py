"""What is added up once and kept: the same figures as without it, over versions, and for many readers at once. No JVM."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from consumer.batch import refresh
from consumer.components.filters import Filters
from consumer.page import reader, rollups
from consumer.page.answers import Answers
from consumer.page.question import Question
from consumer.page.rollups import ROLLED_UP
from consumer.page.versions import OpenTables
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from tests.requests import NOON, append, request
from tests.unit.test_report_panels import all_filters, requests, settings_in

LISTS = (
    "pages", "static_files", "client_errors", "server_errors", "referring_hosts", "referers", "ips", "agents", "browsers", "sites", "now",
)  # fmt: skip
VALUES = st.sampled_from([(), (), (("status", "404"),), (("path", "/"),), (("browser", "curl"),)])


@pytest.fixture
def short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the newest day of any range is added up."""
    monkeypatch.setattr(reader, "LONG_DAYS", 0)
    monkeypatch.setattr(reader, "OPEN_DAYS", 1)


def found_in(answers: Answers, *questions: Question, is_forced: bool = True) -> list[dict[str, Any]]:
    """The rows of each list, for each question."""
    answers.tables.version(is_forced=is_forced)
    return [{name: a.found for name, a in answers.ask(LISTS, question)[1].items()} for question in questions]


@hypothesis_settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(requests(), min_size=5, max_size=40), st.lists(st.tuples(all_filters, VALUES), min_size=3, max_size=3))
def test_lists_are_the_same_with_and_without_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, sent: list[Any], several: list[Any]
) -> None:
    questions = [
        Question(Filters(f.site, f.first, f.last, f.is_bot, values), sort=sort)
        for f, values in [(Filters(), ()), *several]
        for sort in ("", "requests")
    ]
    with TemporaryDirectory() as folder:
        settings = settings_in(Path(folder))
        append(settings.lake, sent)
        refresh(settings)
        plain, kept = Answers(settings), Answers(settings)
        expected = found_in(plain, *questions)
        monkeypatch.setattr(reader, "LONG_DAYS", 0)
        monkeypatch.setattr(reader, "OPEN_DAYS", 1)
        assert found_in(kept, *questions) == expected
        monkeypatch.undo()
        plain.close()
        kept.close()


@pytest.fixture
def year(settings: Settings) -> Iterator[Answers]:
    """Answers about a lake of some days."""
    append(
        settings.lake, [request(timestamp=NOON - timedelta(days=n), path=f"/{n}", site="a.example") for n in range(6)]
    )
    refresh(settings)
    answers = Answers(settings, OpenTables(settings))
    yield answers
    answers.close()


def tables(answers: Answers) -> set[str]:
    with answers._database.cursor() as connection:
        return {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}


@pytest.mark.usefixtures("short_is_long")
def test_what_is_kept_serves_later_versions_until_an_older_day_changes(year: Answers, lake: Lake) -> None:
    every, humans = Question(), Question(Filters(is_bot=False))
    assert len(found_in(year, every, humans)[0]["pages"].rows) == 6
    first = tables(year)
    assert len(first) == len(ROLLED_UP)
    append(lake, [request(path="/new")])
    refresh(year.settings)
    assert {row[0] for row in found_in(year, every, humans)[0]["pages"].rows} == {*(f"/{n}" for n in range(6)), "/new"}
    assert tables(year) == first
    append(lake, [request(path="/late", timestamp=NOON - timedelta(days=3))])
    refresh(year.settings)
    late = found_in(year, every, humans)
    assert "/late" in {row[0] for row in late[0]["pages"].rows}
    assert late[1]["ips"].rows[0][1] == 8
    assert len(tables(year) - first) == len(ROLLED_UP)


@pytest.mark.usefixtures("short_is_long")
def test_beyond_the_limit_what_was_not_read_for_longest_is_dropped(
    year: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "KEPT_VALUES", 0)
    days = [Question(Filters(first=NOON.date() - timedelta(days=n))) for n in (1, 3, 5)]
    assert [len(found["pages"].rows) for found in found_in(year, *days)] == [2, 4, 6]
    assert tables(year) == set()


@pytest.mark.usefixtures("short_is_long")
def test_many_readers_at_once_see_the_same(year: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "KEPT_VALUES", 60)  # some are dropped while others are read
    several = [
        Question(Filters(first=NOON.date() - timedelta(days=n), is_bot=is_bot, values=values))
        for n in range(1, 6)
        for is_bot in (None, False)
        for values in ((), (("browser", "curl"),), (("method", "GET"),))
    ]
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda q: found_in(year, q, is_forced=False)[0], [*several, *several[::-1]]))
    numbers = [len(one["pages"].rows) for one in found]
    assert numbers == [n + 1 for n in range(1, 6) for _ in range(6)] + [
        n + 1 for n in range(5, 0, -1) for _ in range(6)
    ]
    assert not any(kept.readers for kept in year._rollups._kept.values())
