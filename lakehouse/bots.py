"""Which bot an agent is: its name and class, from the crawler-user-agents list. No JVM, no pyspark."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

NAME_CHARACTERS = 64
# A bot has one class. Where the list gives it several, this one; otherwise the first.
AI_CRAWLER = "ai-crawler"
# What a bot was made with. A name of its own says more.
TOOLS = frozenset(["browser-automation", "http-library"])

ONE_OF = re.compile(r"\[(\w)[^\]]*\]")
CHOICE = re.compile(r"\(([^()|]*(?:\|[^()|]*)+)\)")
# Where a name ends: at its version, at a remark, at whatever else the pattern allows.
END = re.compile(r"/\d|[;()]|\[")
AROUND = " /:;,+-()"
SELF_NAMED = re.compile(r"compatible; ([\w-]+)/")


@dataclass(frozen=True)
class Bot:
    """One bot.

    :param name: at most NAME_CHARACTERS printable characters, the same for all versions of the bot.
    :param bot_class: ``ai-crawler``, ``search-engine``, ``seo``, ``monitoring``, ``scanner``, ``advertising``,
        ``social-preview``, ``feed-reader``, ``http-library``, ``archiver``, ``academic`` or ``browser-automation``.
    """

    name: str
    bot_class: str | None


def find_bot(agent: str) -> Bot | None:
    """The bot that sends ``agent``, if the list has it.

    Where several patterns match, the same one is chosen each time: an AI crawler's before any other, a tool's after all
    others, then the longest, then the first of the list.
    """
    number = _first_match()(agent)
    return None if number is None else known_bots()[number][1]


@cache
def known_bots() -> list[tuple[str, Bot]]:
    """Pattern and bot, in the order in which they are tried."""
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA

    spellings: dict[str, str] = {}  # wget is Wget
    found = []
    for entry in CRAWLER_USER_AGENTS_DATA:
        bot_class = _class(entry.get("tags", []))
        for pattern in _alternatives(entry["pattern"]):
            name = bot_name(pattern, entry.get("instances", []))
            found.append((pattern, Bot(spellings.setdefault(name.casefold(), name), bot_class)))
    return sorted(found, key=lambda known: (_rank(known[1]), -len(known[0])))


def bot_name(pattern: str, instances: list[str]) -> str:
    r"""The name of the bot that ``pattern`` finds: Googlebot for ``Googlebot\/``, ClaudeBot for ``[cC]laude[bB]ot``.

    :param instances: agents of that bot and perhaps of others; may be empty.
    """
    matches = [match[0] for agent in instances if (match := re.search(pattern, agent))]
    spelled = next((text for text in matches if text != text.lower()), matches[0] if matches else _literal(pattern))
    name = _cleaned(spelled)
    if "/" in name:  # an address; many such bots say their name as well
        names = (SELF_NAMED.search(agent) for agent in instances)
        name = next((found[1] for found in names if found), name)
    return name


def bounded(name: str) -> str:
    """``name`` without what cannot be printed, at most NAME_CHARACTERS long."""
    return "".join(c for c in name if c.isprintable())[:NAME_CHARACTERS].strip()


def _cleaned(text: str) -> str:
    text = text.strip(AROUND).removeprefix("https://")
    end = END.search(text)
    return bounded((text[: end.start()] if end else text).strip(AROUND))


def _literal(pattern: str) -> str:
    """A text that ``pattern`` finds, as far as it says one."""
    return ONE_OF.sub(r"\1", pattern).replace("\\", "").strip("^$")


def _alternatives(pattern: str) -> Iterator[str]:
    """``pattern`` as several without a choice of words: ``Ahrefs(Bot|SiteAudit)`` finds two bots."""
    if choice := CHOICE.search(pattern):
        for word in choice[1].split("|"):
            yield from _alternatives(pattern[: choice.start()] + word + pattern[choice.end() :])
    else:
        yield from pattern.split("|")


def _class(tags: list[str]) -> str | None:
    return AI_CRAWLER if AI_CRAWLER in tags else next(iter(tags), None)


def _rank(bot: Bot) -> int:
    return 0 if bot.bot_class == AI_CRAWLER else 2 if bot.bot_class in TOOLS else 1


@cache
def _first_match() -> Callable[[str], int | None]:
    """Finds the number of the first pattern that matches an agent.

    ua-parser's engine takes any patterns: it looks only at those whose words occur, in time linear in the agent's length.
    """
    from ua_parser import Domain
    from ua_parser.lazy import UserAgentMatcher
    from ua_parser.regex import Resolver

    matchers: Any = [UserAgentMatcher(pattern, str(number)) for number, (pattern, _) in enumerate(known_bots())]
    resolver = Resolver((matchers, [], []))

    def first_match(agent: str) -> int | None:
        found = resolver(agent, Domain.USER_AGENT).user_agent
        return None if found is None else int(found.family)

    return first_match
