"""What an agent is: browser, operating system, device, bot or human. No JVM, no pyspark.

Families come from ua-parser's database, bots from the crawler-user-agents list. They cost tens of microseconds, and
hundreds for an agent that is made to cost, so they are applied to the distinct agents of a batch, never row by row.
Browser and OS take most of that. What figures need of every agent, whether it is a bot, comes without them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from threading import Lock
from typing import TYPE_CHECKING

from lakehouse.bots import bounded, find_bot

if TYPE_CHECKING:
    from ua_parser import OS, Device, UserAgent

# Agents are sent by anyone; what identifies one stands at its front, and a regular expression must not chew on 100 kB.
PARSED_CHARACTERS = 1024
CACHE_BYTES = 32 * 1024 * 1024
ENTRY_BYTES = 1024  # a generous guess at what the cache holds of an agent besides its text
MOST_BYTES_OF_A_CHARACTER = 4


@dataclass(frozen=True)
class Agent:
    """One agent, as columns of ``delta/``.

    Families are null where the database knows none; an absent agent is not called a bot.

    :param bot: the bot's name, without version; null for humans, and for a bot that nobody has named.
    :param bot_class: see ``bots.Bot``; null for humans, and for bots that only ua-parser knows.
    """

    browser: str | None
    os: str | None
    device: str | None
    is_bot: bool
    bot: str | None = None
    bot_class: str | None = None


AGENT_COLUMNS = tuple(field.name for field in fields(Agent))
NO_AGENT = Agent(None, None, None, is_bot=False)


class AgentCache:
    """Agents that were parsed before, as many as fit into ``max_bytes``; then it starts anew. Threads may share it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._agents: dict[str, Agent] = {}
        self._lock = Lock()

    def get(self, text: str) -> Agent | None:
        """What ``text`` was parsed to, if it is there still."""
        return self._agents.get(text)

    def put(self, text: str, agent: Agent) -> None:
        """Keep what ``text`` was parsed to."""
        width = 1 if text.isascii() else MOST_BYTES_OF_A_CHARACTER
        size = ENTRY_BYTES + width * len(text)
        with self._lock:
            if self.bytes + size > self.max_bytes:
                self._agents.clear()
                self.bytes = 0
            self._agents[text] = agent
            self.bytes += size


_known = AgentCache(CACHE_BYTES)
_kinds = AgentCache(CACHE_BYTES)


def parsed_part(agent: str) -> str:
    """What is looked at of an agent: agents that are the same there are the same."""
    return agent[:PARSED_CHARACTERS]


def parse_agent(agent: str | None) -> Agent:
    """What an agent string is, as it stands in the log."""
    return _remembered(agent, _known, _parsed)


def parse_kind(agent: str | None) -> Agent:
    """What ``parse_agent`` says, without browser, OS, and the name of a bot that only ua-parser knows.

    It takes a quarter of the time: some 20 microseconds, 80 for an agent that is made to cost.
    """
    return _remembered(agent, _kinds, _kind)


def _remembered(agent: str | None, cache: AgentCache, parse: Callable[[str], Agent]) -> Agent:
    if agent is None:
        return NO_AGENT
    text = parsed_part(agent)
    found = cache.get(text)
    if found is None:
        found = parse(text)
        cache.put(text, found)
    return found


def _parsed(text: str) -> Agent:
    from ua_parser import parse_os, parse_user_agent

    kind, browser, os = _kind(text), _family(parse_user_agent(text)), _family(parse_os(text))
    return replace(kind, browser=browser, os=os, bot=kind.bot or (browser if kind.is_bot else None))


def _kind(text: str) -> Agent:
    from ua_parser import parse_device

    device, bot = _family(parse_device(text)), find_bot(text)
    if bot is None:
        return Agent(None, None, device, is_bot=device == "Spider")
    return Agent(None, None, device, is_bot=True, bot=bot.name, bot_class=bot.bot_class)


def _family(found: "UserAgent | OS | Device | None") -> str | None:
    """The family that ua-parser found. It can be a piece of the agent, which may hold anything."""
    return (bounded(found.family) or None) if found else None
