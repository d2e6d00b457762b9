from dataclasses import replace

import crawleruseragents
import pytest

from lakehouse.agents import (
    AGENT_COLUMNS,
    ENTRY_BYTES,
    PARSED_CHARACTERS,
    Agent,
    AgentCache,
    parse_agent,
    parse_kind,
    parsed_part,
)
from lakehouse.bots import NAME_CHARACTERS, Bot, bot_name, find_bot, known_bots

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"
)
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
HEADLESS = CHROME.replace("Chrome", "HeadlessChrome")
INSTANCES = [agent for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA for agent in entry["instances"]]


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (None, Agent(None, None, None, is_bot=False)),
        ("", Agent(None, None, None, is_bot=False)),
        ("?", Agent(None, None, None, is_bot=False)),
        (CHROME, Agent("Chrome", "Windows", None, is_bot=False)),
        (IPHONE, Agent("Mobile Safari", "iOS", "iPhone", is_bot=False)),
        ("curl/7.68.0", Agent("curl", None, None, is_bot=True, bot="curl", bot_class="http-library")),
        (GOOGLEBOT, Agent("Googlebot", None, "Spider", is_bot=True, bot="Googlebot", bot_class="search-engine")),
        # Only ua-parser knows it for a bot, by its name.
        ("Mozilla/5.0 (compatible; FooBot/1.0)", Agent("FooBot", None, "Spider", is_bot=True, bot="FooBot")),
        (CHROME + " " * 100_000 + "Googlebot", Agent("Chrome", "Windows", None, is_bot=False)),
        ("\x00\x1b[31m\n\u202e", Agent(None, None, None, is_bot=False)),
        (
            "Mozilla/5.0 (Linux; Android 10; \x1b[31m\u202eX\x00 Build/1) Chrome/1",
            Agent("Android", "Android", "[31mX", is_bot=False),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 10; {'x' * 900} Build/1) Chrome/1",
            Agent("Android", "Android", "x" * NAME_CHARACTERS, is_bot=False),
        ),
    ],
)
def test_an_agent_is_parsed(agent: str | None, expected: Agent) -> None:
    assert parse_agent(agent) == expected


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("Googlebot-Image/1.0", Bot("Googlebot-Image", "search-engine")),
        ("AdsBot-Google (+http://www.google.com/adsbot.html)", Bot("AdsBot-Google", "advertising")),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", Bot("bingbot", "search-engine")),
        ("python-requests/2.31.0", Bot("python-requests", "http-library")),
        # An address, with the name beside it.
        ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", Bot("YandexBot", "search-engine")),
        ("got (https://github.com/sindresorhus/got)", Bot("sindresorhus/got", "http-library")),
        # One bot in several spellings, and two in one pattern.
        ("SEMrushBot", Bot("SemrushBot", "seo")),
        ("claudebot", Bot("ClaudeBot", "ai-crawler")),
        ("wget/1", Bot("Wget", "http-library")),
        ("AhrefsBot/7.0", Bot("AhrefsBot", "seo")),
        ("AhrefsSiteAudit/6.1", Bot("AhrefsSiteAudit", "seo")),
        # An AI crawler that is a search engine too, and one that drives a browser.
        ("OAI-SearchBot/1.0", Bot("OAI-SearchBot", "ai-crawler")),
        (f"{HEADLESS} GPTBot/1.2", Bot("GPTBot", "ai-crawler")),
        # A name says more than the tool.
        (f"{HEADLESS} (compatible; YextBot/1.0)", Bot("YextBot", "seo")),
        ("W3C-checklink/4.81 libwww-perl/6.05", Bot("W3C-checklink", "monitoring")),
        (HEADLESS, Bot("HeadlessChrome", "browser-automation")),
        ("googlebot", None),
        ("curling", Bot("curl", "http-library")),
        ("not curl", None),
    ],
)
def test_a_bot_has_one_name_and_one_class(agent: str, expected: Bot | None) -> None:
    assert find_bot(agent) == expected


def test_every_bot_of_the_list_is_found_and_no_other() -> None:
    agents = [*INSTANCES, *(agent[:20] for agent in INSTANCES), *(agent[5:].lower() for agent in INSTANCES)]
    found = [agent for agent in agents if find_bot(agent)]
    assert found == [agent for agent in agents if crawleruseragents.is_crawler(agent)]


def test_names_of_bots_are_short_printable_and_without_a_version() -> None:
    bots = {bot for _, bot in known_bots()}
    assert [b.name for b in bots if not 0 < len(b.name) <= NAME_CHARACTERS or not b.name.isprintable()] == []
    assert [b.name for b in bots if b.name != b.name.strip(" /;:,()") or "[" in b.name or "/1" in b.name] == []
    assert len({b.name.casefold() for b in bots}) == len({b.name for b in bots})
    assert {b.bot_class for b in bots} == {
        "ai-crawler", "search-engine", "seo", "monitoring", "scanner", "advertising", "social-preview", "feed-reader",
        "http-library", "archiver", "academic", "browser-automation",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "instances", "name"),
    [
        ("Googlebot\\/", [], "Googlebot"),
        ("^LCC ", [], "LCC"),
        ("[wW]get", [], "wget"),
        ("Owler \\(ows\\.eu", [], "Owler"),
        ("Current[\\s\\S]*RSS Reader", ["x Current/1.0; RSS Reader"], "Current"),
        ("https:\\/\\/example\\.com\\/a\\/", [], "example.com/a"),
        ("x" * 100, [], "x" * NAME_CHARACTERS),
        ("a\\.com\\/bots", ["(compatible; \x1bBot/1; a.com/bots)", "(compatible; AuBot/1; a.com/bots)"], "AuBot"),
    ],
)
def test_a_name_is_read_from_the_pattern_or_what_it_finds(pattern: str, instances: list[str], name: str) -> None:
    assert bot_name(pattern, instances) == name


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (None, Agent(None, None, None, is_bot=False)),
        ("", Agent(None, None, None, is_bot=False)),
        (CHROME, Agent(None, None, None, is_bot=False)),
        (IPHONE, Agent(None, None, "iPhone", is_bot=False)),
        ("curl/7.68.0", Agent(None, None, None, is_bot=True, bot="curl", bot_class="http-library")),
        (GOOGLEBOT, Agent(None, None, "Spider", is_bot=True, bot="Googlebot", bot_class="search-engine")),
        ("Mozilla/5.0 (compatible; FooBot/1.0)", Agent(None, None, "Spider", is_bot=True)),
    ],
)
def test_the_kind_of_an_agent_is_known_without_its_browser_and_os(agent: str | None, expected: Agent) -> None:
    assert parse_kind(agent) == expected


def test_an_agent_is_of_the_same_kind_wherever_it_is_parsed() -> None:
    agents = [
        *INSTANCES[::10],
        CHROME,
        "Mozilla/5.0 (compatible; FooBot/1.0)",
        "Mozilla/5.0 (Linux; Android 9; CUBOT X19) Chrome/1",
    ]
    named = {agent for agent in agents if find_bot(agent)}
    kinds = [replace(parse_kind(agent), bot=None) for agent in agents if agent not in named]
    kinds += [parse_kind(agent) for agent in agents if agent in named]
    known = [replace(parse_agent(agent), browser=None, os=None, bot=None) for agent in agents if agent not in named]
    known += [replace(parse_agent(agent), browser=None, os=None) for agent in agents if agent in named]
    assert kinds == known


def test_agents_that_are_the_same_as_far_as_they_are_read_are_kept_once() -> None:
    front = CHROME.ljust(PARSED_CHARACTERS)
    assert parse_agent(front + "a" * 8000) is parse_agent(front + "b" * 8000)
    assert parsed_part(front + "a") == front


def test_the_cache_starts_anew_when_it_is_full() -> None:
    agent = parse_agent(CHROME)
    cache = AgentCache(2 * (ENTRY_BYTES + 10))
    for text in ("a" * 10, "b" * 10):
        cache.put(text, agent)
    assert (cache.get("a" * 10), cache.get("b" * 10), cache.get("c")) == (agent, agent, None)
    cache.put("\u6f22", agent)
    assert (cache.get("a" * 10), cache.get("b" * 10), cache.get("\u6f22")) == (None, None, agent)
    assert cache.bytes == ENTRY_BYTES + 4


def test_the_columns_are_those_of_an_agent() -> None:
    assert AGENT_COLUMNS == ("browser", "os", "device", "is_bot", "bot", "bot_class")
