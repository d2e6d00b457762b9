"""Made-up requests in bulk: the same seed makes the same ones, and any part of them can be made without the others. Pure.

Visitors, paths and agents fall with a power law, as they do on a real site; a visitor has an address, and one agent or two. The simulator's events are richer; these are
made a hundred times faster, and are all valid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

Integers = npt.NDArray[np.int64]

BLOCK_ROWS = 50_000
VISITORS, PAGES, AGENTS, REFERERS = 40_000, 4_000, 400, 300
VISITOR_EXPONENT, PATH_EXPONENT, AGENT_EXPONENT, REFERER_EXPONENT = 0.8, 1.0, 0.9, 1.1
SECOND_AGENT_SHARE = 0.1
IPV6_SHARE, QUERY_SHARE, REFERER_SHARE, USER_SHARE, NO_AGENT_SHARE = 0.12, 0.15, 0.45, 0.01, 0.005
STATUSES, STATUS_SHARES = (200, 304, 301, 404, 206, 403, 500), (0.82, 0.08, 0.04, 0.04, 0.01, 0.005, 0.005)
METHODS, METHOD_SHARES = ("GET", "POST", "HEAD"), (0.95, 0.04, 0.01)
PROTOCOLS, PROTOCOL_SHARES = ("HTTP/2.0", "HTTP/1.1"), (0.6, 0.4)
MEDIAN_BYTES, BYTES_SPREAD = 9_000, 1.4
SECTIONS = ("blog", "products", "docs", "news", "about", "support", "shop", "assets/js", "assets/css", "images")
ENDINGS = ("", "/", ".html", ".php", ".css", ".js", ".png", ".svg")
WORDS = (
    "summer", "engine", "letter", "garden", "window", "orange", "market", "copper", "winter", "silver", "planet",
    "bridge", "forest", "camera", "stream", "harbor", "museum", "ticket", "parcel", "anchor", "lantern", "meadow",
)  # fmt: skip
PLATFORMS = (
    "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64",
    "iPhone; CPU iPhone OS 17_5 like Mac OS X", "Linux; Android 14; Pixel 8", "Linux; Android 13; SM-S911B",
)  # fmt: skip
CRAWLERS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "curl/8.5.0", "python-requests/2.32.3",
)  # fmt: skip


@dataclass(frozen=True)
class Pools:
    """What requests are drawn from, the popular ones first. ``agents_of``: by visitor (``ips``) those that it has."""

    ips: pl.Series
    paths: pl.Series
    agents: pl.Series
    referers: pl.Series
    agents_of: tuple[Integers, Integers]


@cache
def pools() -> Pools:
    """The site and its visitors: always the same ones."""
    rng = np.random.default_rng(0)
    return Pools(
        ips=pl.Series("ip", _ips(rng)),
        paths=pl.Series("path", _paths(rng)),
        agents=pl.Series("agent", _agents(rng)),
        referers=pl.Series("referer", [f"https://www.example.org/{_slug(rng)}/{_slug(rng)}" for _ in range(REFERERS)]),
        agents_of=(_ranks(rng, AGENTS, AGENT_EXPONENT, VISITORS), _ranks(rng, AGENTS, AGENT_EXPONENT, VISITORS)),
    )


def blocks(rows: int, begin: datetime, end: datetime, *, seed: int) -> Iterator[pl.DataFrame]:
    """``rows`` requests evenly from ``begin`` to before ``end``, in time order, ``BLOCK_ROWS`` at a time.

    :return: timestamp, ip, user, method, path, query, protocol, status, bytes, referer, agent; null where a log has ``-``.
    """
    for number, first in enumerate(range(0, rows, BLOCK_ROWS)):
        count = min(BLOCK_ROWS, rows - first)
        yield _block(count, _times(first, count, rows, begin, end), pools(), np.random.default_rng([seed, 1, number]))


def _times(first: int, count: int, rows: int, begin: datetime, end: datetime) -> pl.Series:
    """Whole seconds, as logs have them."""
    span = int((end - begin).total_seconds())
    seconds = int(begin.timestamp()) + np.arange(first, first + count, dtype=np.int64) * span // rows
    return pl.Series("timestamp", seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))


def _block(count: int, times: pl.Series, drawn: Pools, rng: np.random.Generator) -> pl.DataFrame:
    def some(values: pl.Series, share: float) -> pl.Series:
        return values.zip_with(
            pl.Series(rng.random(count) < share), pl.Series([None], dtype=values.dtype).new_from_index(0, count)
        )

    statuses = pl.Series("status", STATUSES, dtype=pl.Int32).gather(_choice(rng, STATUS_SHARES, count))
    sizes = pl.Series("bytes", (MEDIAN_BYTES * np.exp(BYTES_SPREAD * rng.standard_normal(count))).astype(np.int64))
    numbers = pl.Series("query", rng.integers(1, 1000, count))
    visitors = _ranks(rng, VISITORS, VISITOR_EXPONENT, count)
    first, second = (agents[visitors] for agents in drawn.agents_of)
    agents = np.where(rng.random(count) < SECOND_AGENT_SHARE, second, first)
    return pl.DataFrame({
        "timestamp": times,
        "ip": drawn.ips.gather(visitors),
        "user": some(pl.Series("user", ["editor"]).new_from_index(0, count), USER_SHARE),
        "method": pl.Series(METHODS).gather(_choice(rng, METHOD_SHARES, count)),
        "path": drawn.paths.gather(_ranks(rng, PAGES, PATH_EXPONENT, count)),
        "query": some("page=" + numbers.cast(pl.String), QUERY_SHARE),
        "protocol": pl.Series(PROTOCOLS).gather(_choice(rng, PROTOCOL_SHARES, count)),
        "status": statuses,
        "bytes": sizes.zip_with(statuses != 304, pl.Series([None], dtype=pl.Int64).new_from_index(0, count)),
        "referer": some(drawn.referers.gather(_ranks(rng, REFERERS, REFERER_EXPONENT, count)), REFERER_SHARE),
        "agent": some(drawn.agents.gather(agents), 1 - NO_AGENT_SHARE),
    })  # fmt: skip


def _ranks(rng: np.random.Generator, pool: int, exponent: float, count: int) -> Integers:
    """Numbers in a pool; that of rank r comes with a weight of r ** -exponent."""
    found = np.searchsorted(_cumulative(pool, exponent), rng.random(count), side="right")
    return np.minimum(found, pool - 1).astype(np.int64)


@cache
def _cumulative(pool: int, exponent: float) -> npt.NDArray[np.float64]:
    weights = np.arange(1, pool + 1, dtype=np.float64) ** -exponent
    return np.asarray(np.cumsum(weights / weights.sum()))


def _choice(rng: np.random.Generator, shares: tuple[float, ...], count: int) -> Integers:
    found = np.searchsorted(np.cumsum(shares), rng.random(count), side="right")
    return np.minimum(found, len(shares) - 1).astype(np.int64)


def _ips(rng: np.random.Generator) -> list[str]:
    octets = rng.integers(1, 255, (VISITORS, 4)).tolist()
    groups = rng.integers(0, 0x10000, (VISITORS, 4)).tolist()
    is_v6 = (rng.random(VISITORS) < IPV6_SHARE).tolist()
    return [
        "2001:db8:" + ":".join(f"{g:x}" for g in group) + "::1" if v6 else ".".join(map(str, address))
        for v6, group, address in zip(is_v6, groups, octets, strict=True)
    ]


def _slug(rng: np.random.Generator) -> str:
    return "-".join(WORDS[n] for n in rng.integers(0, len(WORDS), 2))


def _paths(rng: np.random.Generator) -> list[str]:
    sections, endings = rng.integers(0, len(SECTIONS), PAGES), rng.integers(0, len(ENDINGS), PAGES)
    made = (
        f"/{SECTIONS[section]}/{_slug(rng)}-{number}{ENDINGS[ending]}"
        for number, (section, ending) in enumerate(zip(sections, endings, strict=True))
    )
    return ["/", *made][:PAGES]


def _agents(rng: np.random.Generator) -> list[str]:
    """Browsers of some versions on some platforms; every seventh is a crawler or a program, until these run out."""
    found: list[str] = []
    for number in range(AGENTS):
        platform, version = PLATFORMS[rng.integers(0, len(PLATFORMS))], rng.integers(100, 131)
        build = f"{version}.0.{rng.integers(1000, 9999)}.{rng.integers(10, 200)}"
        if number % 7 == 6 and number // 7 < len(CRAWLERS):
            found.append(CRAWLERS[number // 7])
        elif number % 5 == 4:
            found.append(f"Mozilla/5.0 ({platform}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0")
        else:
            found.append(
                f"Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{build} Safari/537.36"
            )
    return found
