"""What an agent is: browser, operating system, device, bot or human. No JVM, no pyspark.

Families come from ua-parser's database, bots from the crawler-user-agents list. They cost tens of microseconds, and
hundreds for an agent that is made to cost, so they are applied to the distinct agents of a batch, never row by row.
"""

from dataclasses import dataclass, fields
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


def parsed_part(agent: str) -> str:
    """What is looked at of an agent: agents that are the same there are the same."""
    return agent[:PARSED_CHARACTERS]


def parse_agent(agent: str | None) -> Agent:
    """What an agent string is, as it stands in the log."""
    if agent is None:
        return NO_AGENT
    text = parsed_part(agent)
    found = _known.get(text)
    if found is None:
        found = _parsed(text)
        _known.put(text, found)
    return found


def _parsed(text: str) -> Agent:
    from ua_parser import parse

    parsed = parse(text)
    browser, os, device = (_family(found) for found in (parsed.user_agent, parsed.os, parsed.device))
    if bot := find_bot(text):
        return Agent(browser, os, device, is_bot=True, bot=bot.name, bot_class=bot.bot_class)
    is_spider = device == "Spider"
    return Agent(browser, os, device, is_bot=is_spider, bot=browser if is_spider else None)


def _family(found: "UserAgent | OS | Device | None") -> str | None:
    """The family that ua-parser found. It can be a piece of the agent, which may hold anything."""
    return (bounded(found.family) or None) if found else None
