"""What an agent is: browser, operating system, device, bot or human. No JVM, no pyspark.

Families come from ua-parser's database, bots from the crawler-user-agents list. Both cost tens of microseconds, so
they are applied to the distinct agents of a batch, never row by row.
"""

from dataclasses import dataclass
from functools import lru_cache

# Agents are sent by anyone; what identifies one stands at its front, and a regular expression must not chew on 100 kB.
PARSED_CHARACTERS = 1024


@dataclass(frozen=True)
class Agent:
    """One agent. Families are null where the database knows none; an absent agent is not called a bot."""

    browser: str | None
    os: str | None
    device: str | None
    is_bot: bool


NO_AGENT = Agent(None, None, None, is_bot=False)


@lru_cache(maxsize=65_536)
def parse_agent(agent: str | None) -> Agent:
    """Browser, OS, device and bot-or-human of an agent string as it stands in the log."""
    if agent is None:
        return NO_AGENT
    import crawleruseragents
    from ua_parser import parse

    text = agent[:PARSED_CHARACTERS]
    parsed = parse(text)
    device = parsed.device.family if parsed.device else None
    is_bot = bool(crawleruseragents.is_crawler(text)) or device == "Spider"
    return Agent(
        browser=parsed.user_agent.family if parsed.user_agent else None,
        os=parsed.os.family if parsed.os else None,
        device=device,
        is_bot=is_bot,
    )
