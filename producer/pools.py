"""What simulated requests are drawn from: visitors, crawlers, paths, referers, queries. Faker makes them, once."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import polars as pl
from faker import Faker

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

SITE = "https://www.example.org"
# Weights fall with rank ** -exponent: a power law.
VISITOR_EXPONENT = 0.8
PAGE_EXPONENT = 1.0
REFERER_EXPONENT = 1.2
IPV6_SHARE = 0.12
SHARED_IP_SHARE = 0.08  # visitors behind an address that another has too
NAMED_SHARE = 0.03  # visitors who log in, so that the log has their name
HTTP2_SHARE = 0.6
PAGE_SHARE = 0.6  # of the paths; the rest are assets
MAX_ASSETS = 6  # of one page
POOLED_AGENTS, POOLED_NAMES, POOLED_SITES, POOLED_QUERIES = 300, 80, 40, 60

# Crawlers, busiest first, with the number of addresses each comes from.
BOTS = (
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", 12),
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", 8),
    ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", 6),
    ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", 4),
    ("Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", 4),
    ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", 3),
    ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", 3),
    ("curl/8.5.0", 3),
    ("python-requests/2.32.3", 2),
    ("Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", 2),
    ("Go-http-client/1.1", 1),
    ("CCBot/2.0 (https://commoncrawl.org/faq/)", 1),
)
PROBES = (
    "/wp-login.php", "/.env", "/xmlrpc.php", "/.git/config", "/phpmyadmin/index.php", "/cgi-bin/test-cgi",
    "/backup.zip", "/wp-content/plugins/hello.php", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/favicon.bak",
)  # fmt: skip


class Kind(IntEnum):
    """Kinds of path: they decide about status, size and method."""

    PAGE = 0
    ASSET = 1
    DOWNLOAD = 2
    API = 3
    PRIVATE = 4
    MOVED = 5
    MISSING = 6
    ROBOTS = 7


# What a pooled page is; "/" is always a page.
PAGE_KINDS = {Kind.PAGE: 0.80, Kind.API: 0.07, Kind.MOVED: 0.06, Kind.DOWNLOAD: 0.04, Kind.PRIVATE: 0.03}
# Median size in bytes and its spread (sigma of the logarithm) over the paths of a kind.
SIZES = {
    Kind.PAGE: (12_000, 0.8), Kind.ASSET: (25_000, 1.3), Kind.DOWNLOAD: (1_500_000, 1.2), Kind.API: (900, 1.0),
    Kind.PRIVATE: (6_000, 0.6), Kind.MOVED: (300, 0.1), Kind.MISSING: (1_200, 0.1), Kind.ROBOTS: (180, 0.0),
}  # fmt: skip
SECTIONS = ("blog", "products", "docs", "news", "about", "support", "shop")
ASSET_TYPES = ("css", "js", "png", "jpg", "svg", "woff2", "webp")


@dataclass(frozen=True)
class Ranked:
    """Things drawn by their rank: the first ones are the popular ones."""

    cumulative: Floats

    @classmethod
    def by_power_law(cls, count: int, exponent: float) -> "Ranked":
        """``count`` things whose weight is ``rank ** -exponent``."""
        return cls.by_weights(np.arange(1, count + 1, dtype=np.float64) ** -exponent)

    @classmethod
    def by_weights(cls, weights: Floats) -> "Ranked":
        """Things with these weights."""
        return cls(np.cumsum(weights / weights.sum()))

    @property
    def weights(self) -> Floats:
        """The probability of each."""
        return np.diff(self.cumulative, prepend=0.0)

    def draw(self, rng: np.random.Generator, count: int) -> Integers:
        """``count`` independent ranks, from 0."""
        ranks = np.searchsorted(self.cumulative, rng.random(count), side="right")
        return np.minimum(ranks, len(self.cumulative) - 1).astype(np.int64)


@dataclass(frozen=True)
class Pools:
    """Everything a request refers to by number.

    :param visitors: one row for each visitor, people first, crawlers after: ip, user, agent, protocol.
    :param people: draws people, numbered as in ``visitors``.
    :param bots: draws crawlers; add ``first_bot``.
    :param paths: pages first, then assets, robots.txt and what crawlers look for in vain.
    :param pages: draws pages, numbered as in ``paths``.
    :param first_assets: how many assets a page brings at the start of a visit.
    :param later_assets: how many once the browser has the common ones.
    :param assets_of: the numbers of each page's assets.
    :param referers: number 0 is null, then other sites, from ``first_own_referer`` on the site's own paths.
    :param queries: number 0 is null.
    """

    visitors: pl.DataFrame
    people: Ranked
    bots: Ranked
    first_bot: int
    paths: pl.Series
    kinds: Integers
    sizes: Floats
    pages: Ranked
    first_assets: Integers
    later_assets: Integers
    assets_of: Integers
    robots: int
    probes: Integers
    referers: pl.Series
    other_sites: Ranked
    first_own_referer: int
    queries: pl.Series


def make_pools(visitors: int, paths: int, seed: int) -> Pools:
    """The pools of a simulated site; equal arguments give equal pools.

    :param visitors: how many people visit.
    :param paths: how many pages and assets there are.
    """
    fake = Faker("en_US")
    fake.seed_instance(seed)
    rng = np.random.default_rng(abs(seed))
    people = _people(fake, rng, visitors)
    bots, bot_weights = _bots(fake, set(people["ip"]))

    pages = max(1, round(PAGE_SHARE * paths))
    assets = paths - pages
    page_kinds = rng.choice(list(PAGE_KINDS), size=pages, p=list(PAGE_KINDS.values())).astype(np.int64)
    page_kinds[0] = Kind.PAGE
    kinds = np.concatenate([
        page_kinds, np.full(assets, Kind.ASSET), [Kind.ROBOTS], np.full(len(PROBES), Kind.MISSING)
    ]).astype(np.int64)  # fmt: skip
    names = pl.Series("path", [*_path_names(fake, kinds[:paths]), "/robots.txt", *PROBES], dtype=pl.String)
    medians = np.array([SIZES[Kind(k)][0] for k in kinds], dtype=np.float64)
    spreads = np.array([SIZES[Kind(k)][1] for k in kinds], dtype=np.float64)
    sizes = medians * np.exp(spreads * rng.standard_normal(len(kinds)))

    has_assets = (kinds[:pages] == Kind.PAGE) & (assets > 0)
    first_assets = np.where(has_assets, rng.integers(2, MAX_ASSETS + 1, size=pages), 0)
    later_assets = np.where(has_assets, rng.integers(0, 3, size=pages), 0)
    popular = Ranked.by_power_law(max(assets, 1), PAGE_EXPONENT)
    assets_of = pages + popular.draw(rng, pages * MAX_ASSETS).reshape(pages, MAX_ASSETS)

    sites = [f"https://{fake.domain_name()}/{fake.word()}" for _ in range(POOLED_SITES)]
    others = ["https://www.google.com/", "https://www.bing.com/", "https://duckduckgo.com/", *sites]
    return Pools(
        visitors=pl.concat([people, bots]),
        people=Ranked.by_power_law(visitors, VISITOR_EXPONENT),
        bots=Ranked.by_weights(bot_weights),
        first_bot=visitors,
        paths=names,
        kinds=kinds,
        sizes=sizes,
        pages=Ranked.by_power_law(pages, PAGE_EXPONENT),
        first_assets=first_assets,
        later_assets=later_assets,
        assets_of=assets_of,
        robots=paths,
        probes=paths + 1 + np.arange(len(PROBES)),
        referers=pl.Series("referer", [None, *others, *(SITE + names)], dtype=pl.String),
        other_sites=Ranked.by_power_law(len(others), REFERER_EXPONENT),
        first_own_referer=1 + len(others),
        queries=pl.Series("query", [None, *_queries(fake)], dtype=pl.String),
    )


def _people(fake: Faker, rng: np.random.Generator, count: int) -> pl.DataFrame:
    """One row for each visitor. Some share an address; most have no name."""
    ips = [fake.ipv6() if is_v6 else fake.ipv4_public() for is_v6 in rng.random(count) < IPV6_SHARE]
    for visitor in np.flatnonzero(rng.random(count) < SHARED_IP_SHARE).tolist():
        ips[visitor] = ips[int(rng.integers(0, visitor + 1))]
    agents = [_browser(fake) for _ in range(min(count, POOLED_AGENTS))]
    names = [fake.user_name() for _ in range(min(count, POOLED_NAMES))]
    agent = Ranked.by_power_law(len(agents), 0.7).draw(rng, count)
    name = np.where(rng.random(count) < NAMED_SHARE, rng.integers(1, len(names) + 1, size=count), 0)
    return _visitors(
        ips,
        pl.Series([None, *names], dtype=pl.String).gather(name),
        pl.Series(agents).gather(agent),
        pl.Series(["HTTP/1.1", "HTTP/2.0"]).gather((rng.random(count) < HTTP2_SHARE).astype(np.int64)),
    )


def _bots(fake: Faker, taken: set[str]) -> tuple[pl.DataFrame, Floats]:
    """One row for each address of a crawler, none of them a person's, and how busy each is."""
    agents = [agent for agent, count in BOTS for _ in range(count)]
    ips: list[str] = []
    while len(ips) < len(agents):
        ip = fake.ipv4_public()
        if ip not in taken:
            taken.add(ip)
            ips.append(ip)
    weights = [1 / (rank * count) for rank, (_, count) in enumerate(BOTS, start=1) for _ in range(count)]
    users = pl.repeat(None, len(agents), dtype=pl.String, eager=True)
    protocols = pl.repeat("HTTP/1.1", len(agents), dtype=pl.String, eager=True)
    return _visitors(ips, users, pl.Series(agents), protocols), np.array(weights)


def _visitors(ips: list[str], users: pl.Series, agents: pl.Series, protocols: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"ip": ips, "user": users, "agent": agents, "protocol": protocols})


def _browser(fake: Faker) -> str:
    # Faker's own Firefox has the wall clock in it.
    kind = fake.random_int(0, 99)
    if kind < 62:
        return str(fake.chrome())
    if kind < 82:
        return str(fake.safari())
    if kind < 97:
        version = fake.random_int(102, 140)
        platform = fake.random_element((fake.windows_platform_token(), fake.linux_platform_token()))
        return f"Mozilla/5.0 ({platform}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
    return str(fake.opera())


def _path_names(fake: Faker, kinds: Integers) -> Iterator[str]:
    """A path for each kind, no two alike; the first is ``/``."""
    yield "/"
    taken: set[str] = set()
    for number, kind in enumerate(kinds[1:].tolist(), start=1):
        slug = f"{fake.word()}-{fake.word()}"
        if slug in taken:
            slug = f"{slug}-{number}"
        taken.add(slug)
        section = SECTIONS[fake.random_int(0, len(SECTIONS) - 1)]
        if kind == Kind.ASSET:
            yield f"/assets/{slug}.{ASSET_TYPES[fake.random_int(0, len(ASSET_TYPES) - 1)]}"
        elif kind == Kind.DOWNLOAD:
            yield f"/downloads/{slug}.{fake.random_element(('pdf', 'zip'))}"
        elif kind == Kind.API:
            yield f"/api/v1/{slug}"
        elif kind == Kind.PRIVATE:
            yield f"/admin/{slug}"
        elif kind == Kind.MOVED:
            yield f"/{section}/{slug}.php"
        else:
            yield f"/{section}/{slug}{fake.random_element(('', '/', '.html'))}"


def _queries(fake: Faker) -> Iterator[str]:
    for number in range(POOLED_QUERIES):
        if number % 3 == 0:
            yield f"page={1 + number // 3}"
        elif number % 3 == 1:
            yield f"q={fake.word()}+{fake.word()}"
        else:
            yield f"utm_source={fake.word()}&utm_medium={fake.random_element(('email', 'social', 'cpc'))}"
