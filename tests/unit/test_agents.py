import pytest

from lakehouse.agents import Agent, parse_agent

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"
)
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (None, Agent(None, None, None, is_bot=False)),
        ("", Agent(None, None, None, is_bot=False)),
        ("?", Agent(None, None, None, is_bot=False)),
        (CHROME, Agent("Chrome", "Windows", None, is_bot=False)),
        (IPHONE, Agent("Mobile Safari", "iOS", "iPhone", is_bot=False)),
        ("curl/7.68.0", Agent("curl", None, None, is_bot=True)),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            Agent("Googlebot", None, "Spider", is_bot=True),
        ),
        (CHROME + " " * 100_000 + "Googlebot", Agent("Chrome", "Windows", None, is_bot=False)),
        ("\x00\x1b[31m\n\u202e", Agent(None, None, None, is_bot=False)),
    ],
)
def test_an_agent_is_parsed(agent: str | None, expected: Agent) -> None:
    assert parse_agent(agent) == expected
