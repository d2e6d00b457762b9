"""Simulated requests, tick by tick of simulated time. Pure: no disk, no clock; the same arguments give the same events.

People come in sessions: a page, its assets, some seconds later the next page with the last one as its referer.
Crawlers fetch single paths. Then each row meets its fate: an earlier row is delivered again in its place, or it is
malformed, lacks a required column, or is late. Shares are parts of all rows, redelivered ones included; where they add
up to more than 1, the first in this order win.

A day has its curve, with ``rate`` as its mean. It sets in over the first hour: a run of minutes keeps to ``rate``.
"""

import math
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from hashlib import blake2b

import numpy as np
import polars as pl

from lakehouse.settings import Simulate
from producer.landing import LANDED
from producer.pools import Booleans, Floats, Integers, Kind, Pools, Ranked, make_pools

SOURCE = "simulator"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000  # times are microseconds since EPOCH
DAY_SECONDS = 86_400
CURVE_RAMP_SECONDS = 3_600
BUSIEST_HOUR = 15  # UTC

MAX_PAGES = 20  # of one session
MEAN_PAGES = 3.0
# The median time between two pages. At rates that one site hardly sees it shrinks: what is under way stays in memory.
THINK_SECONDS = 12.0
MAX_RATE_WITH_FULL_THINK = 10_000.0
THINK_SPREAD = 0.9
MAX_THINK = 15.0  # times the median
WARM_UP = 50.0  # sessions may have begun so long before the first tick, in median times between pages
ASSET_SECONDS = (0.05, 1.2)  # after their page
DIRECT_SHARE = 0.4  # of sessions: no referer
QUERY_SHARES = {Kind.PAGE: 0.08, Kind.API: 0.5}
BOT_ROBOTS_SHARE, BOT_PROBE_SHARE = 0.03, 0.06
MOSTLY_BOTS = 0.9

LATE_SECONDS = (60, 3 * DAY_SECONDS)
RECENT_TICKS, RECENT_ROWS = 3, 20_000  # how far back a redelivered row lies at most
NULLABLE = ("ip", "status", "timestamp")  # one of them is missing in a row that lacks a required column

STATUSES = (200, 206, 301, 302, 304, 401, 403, 404, 500, 503)
STATUS_WEIGHTS = {
    Kind.PAGE:     (0.900, 0.000, 0.004, 0.020, 0.050, 0.000, 0.002, 0.012, 0.008, 0.004),
    Kind.ASSET:    (0.720, 0.005, 0.000, 0.000, 0.265, 0.000, 0.000, 0.008, 0.001, 0.001),
    Kind.DOWNLOAD: (0.700, 0.250, 0.000, 0.020, 0.020, 0.000, 0.000, 0.009, 0.000, 0.001),
    Kind.API:      (0.930, 0.000, 0.000, 0.000, 0.010, 0.020, 0.005, 0.010, 0.020, 0.005),
    Kind.PRIVATE:  (0.300, 0.000, 0.000, 0.200, 0.000, 0.300, 0.190, 0.005, 0.004, 0.001),
    Kind.MOVED:    (0.000, 0.000, 0.900, 0.090, 0.000, 0.000, 0.000, 0.010, 0.000, 0.000),
    Kind.MISSING:  (0.000, 0.000, 0.000, 0.000, 0.000, 0.000, 0.100, 0.898, 0.001, 0.001),
    Kind.ROBOTS:   (0.950, 0.000, 0.000, 0.000, 0.049, 0.000, 0.000, 0.000, 0.000, 0.001),
}  # fmt: skip
_STATUSES: Integers = np.array(STATUSES, dtype=np.int64)
_STATUS_CUMULATIVE: Floats = np.cumsum([STATUS_WEIGHTS[kind] for kind in Kind], axis=1)
_QUERY_SHARES = np.array([QUERY_SHARES.get(kind, 0.0) for kind in Kind])
_POST_SHARES = np.array([{Kind.API: 0.4, Kind.PAGE: 0.01}.get(kind, 0.0) for kind in Kind])
TLS_GREETING = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
HEAD_SHARE, BOT_HEAD_SHARE = 0.003, 0.05


class Fate(IntEnum):
    """What becomes of a row, in the order in which shares are served."""

    DUPLICATE = 0
    MALFORMED = 1
    NULL = 2
    LATE = 3
    PLAIN = 4


@dataclass(frozen=True)
class Batch:
    """The rows of one tick, in order of arrival.

    :param rows: columns and types of ``producer.landing.LANDED``; ``ingested_at`` is null: whoever lands them knows it.
    :param counts: ``events`` is all rows. No row is counted twice among ``duplicates`` (redelivered rows),
        ``malformed``, ``nulls`` and ``late``: ``events - duplicates - malformed - nulls`` rows are to be merged.
        ``bots`` are the rows of crawlers that are neither redelivered nor malformed.
    """

    rows: pl.DataFrame
    counts: Counter[str]


def batches(
    simulation: Simulate, *, seed: int, start: datetime, events: int | None, tick_seconds: float
) -> Iterator[Batch]:
    """Simulated rows from ``start`` on: a batch, if need be an empty one, for each ``tick_seconds`` of simulated time.

    :param seed: the same seed makes the same site and visitors, and with the other arguments the same events. Event ids
        come from all arguments but ``events`` together, so that no two different events share one.
    :param start: with a time zone; the first tick begins there.
    :param events: how many rows to make in all; without end if ``None``.
    """
    origin = (start - EPOCH) // timedelta(microseconds=1)
    tick = max(1, round(tick_seconds * SECOND))
    pools = make_pools(simulation.visitors, simulation.paths, seed)
    rng = np.random.default_rng(_entropy("requests", seed))
    ids = np.random.default_rng(_entropy("ids", seed, start.astimezone(UTC), tick, simulation))
    traffic = Traffic(pools, simulation, rng, origin)
    delivery = Delivery(pools, simulation, rng, ids)
    left = math.inf if events is None else events
    begin = origin
    while left > 0:
        batch = delivery.deliver(traffic.requests(begin, begin + tick), limit=left)
        left -= batch.rows.height
        begin += tick
        yield batch


def curve(at: int, elapsed_seconds: float) -> float:
    """The day's curve at the time ``at``: its mean over a day is 1. It grows from flat to full in the first hour."""
    hours = at / SECOND % DAY_SECONDS / 3600 - BUSIEST_HOUR
    wave = 0.55 * math.cos(math.tau * hours / 24) + 0.15 * math.cos(2 * math.tau * hours / 24)
    return 1 + wave * min(1.0, max(0.0, elapsed_seconds) / CURVE_RAMP_SECONDS)


# Requests under way are arrays of shape (4, n): time, visitor, path, referer, by their numbers in the pools.
NO_REQUESTS: Integers = np.empty((4, 0), dtype=np.int64)


class Traffic:
    """Who asks for what and when. Keeps the requests of sessions that go on beyond the present tick."""

    def __init__(self, pools: Pools, simulation: Simulate, rng: np.random.Generator, origin: int) -> None:
        self._pools, self._rng, self._origin, self._rate = pools, rng, origin, simulation.rate
        rest = 1 - simulation.duplicates - simulation.malformed
        self._bots = min(1.0, simulation.bots / rest) if rest > 0 else simulation.bots
        self._think = THINK_SECONDS * min(1.0, MAX_RATE_WITH_FULL_THINK / simulation.rate)
        self._page_counts = _page_counts()
        self._sessions_per_second = simulation.rate * (1 - self._bots) / self._requests_per_session()
        self._pending = NO_REQUESTS
        self._is_warm = False

    def requests(self, begin: int, end: int) -> Integers:
        """The requests from ``begin`` until ``end``, in order of time. Ticks must follow one another."""
        if not self._is_warm:
            # As if the site had been visited before: otherwise the first minute would be all first pages.
            self._begin_sessions(begin - round(WARM_UP * self._think * SECOND), begin, since=begin)
            self._is_warm = True
        self._begin_sessions(begin, end, since=begin)
        is_due = self._pending[0] < end
        people = self._pending[:, is_due]
        self._pending = self._pending[:, ~is_due]
        requests = np.concatenate([people, self._bot_requests(people.shape[1], begin, end)], axis=1)
        return requests[:, np.argsort(requests[0], kind="stable")]

    def _factor(self, begin: int) -> float:
        return curve(begin, (begin - self._origin) / SECOND)

    def _requests_per_session(self) -> float:
        """How many requests a session has in the mean."""
        pools = self._pools
        later_pages = float(np.dot(self._page_counts.weights, np.arange(MAX_PAGES)))
        first = 1 + float(np.dot(pools.pages.weights, pools.first_assets))
        later = 1 + float(np.dot(pools.pages.weights, pools.later_assets))
        return first + later_pages * later

    def _begin_sessions(self, begin: int, end: int, *, since: int) -> None:
        """Sessions that begin between ``begin`` and ``end``: their requests from ``since`` on become pending."""
        pools, rng = self._pools, self._rng
        mean = self._sessions_per_second * self._factor(begin) * (end - begin) / SECOND
        sessions = int(rng.poisson(mean))
        if sessions == 0:
            return
        visitors = pools.people.draw(rng, sessions)
        begins = rng.integers(begin, end, size=sessions)
        page_counts = 1 + self._page_counts.draw(rng, sessions)
        session, place = _ragged(page_counts)
        is_first = place == 0
        gaps = rng.lognormal(math.log(self._think), THINK_SPREAD, size=len(session))
        gaps = np.where(is_first, 0.0, np.minimum(gaps, MAX_THINK * self._think))
        elapsed = np.cumsum(gaps)
        elapsed -= np.repeat(elapsed[is_first], page_counts)
        time = begins[session] + (elapsed * SECOND).astype(np.int64)
        page = pools.pages.draw(rng, len(session))
        referer = np.where(is_first, self._arrivals_from(len(session)), pools.first_own_referer + np.roll(page, 1))
        views = np.stack([time, visitors[session], page, referer])

        is_wanted = time >= since - round(ASSET_SECONDS[1] * SECOND)
        views, is_first = views[:, is_wanted], is_first[is_wanted]
        requests = np.concatenate([views, self._assets(views, is_first)], axis=1)
        self._pending = np.concatenate([self._pending, requests[:, requests[0] >= since]], axis=1)

    def _arrivals_from(self, count: int) -> Integers:
        """Referers of first pages: other sites, or none."""
        other_sites = 1 + self._pools.other_sites.draw(self._rng, count)
        return np.where(self._rng.random(count) < DIRECT_SHARE, 0, other_sites)

    def _assets(self, views: Integers, is_first: Booleans) -> Integers:
        """The requests for what the viewed pages consist of."""
        pools, rng = self._pools, self._rng
        time, visitor, page, _ = views
        view, place = _ragged(np.where(is_first, pools.first_assets[page], pools.later_assets[page]))
        delay = (rng.uniform(*ASSET_SECONDS, size=len(view)) * SECOND).astype(np.int64)
        pages = page[view]
        return np.stack([
            time[view] + delay, visitor[view], pools.assets_of[pages, place], pools.first_own_referer + pages
        ])  # fmt: skip

    def _bot_requests(self, people: int, begin: int, end: int) -> Integers:
        """As many as it takes for each request to be a crawler's with the set probability, whatever people do.

        Where crawlers are nearly alone, people are too few to go by, and crawlers come at a rate of their own.
        """
        pools, rng = self._pools, self._rng
        if self._bots == 0:
            return NO_REQUESTS
        if self._bots > MOSTLY_BOTS:
            count = int(rng.poisson(self._bots * self._rate * self._factor(begin) * (end - begin) / SECOND))
        else:
            count = int(rng.negative_binomial(people, 1 - self._bots)) if people else 0
        path = pools.pages.draw(rng, count)
        aim = rng.random(count)
        path = np.where(aim < BOT_ROBOTS_SHARE + BOT_PROBE_SHARE, rng.choice(pools.probes, size=count), path)
        path = np.where(aim < BOT_ROBOTS_SHARE, pools.robots, path)
        bot = pools.first_bot + pools.bots.draw(rng, count)
        return np.stack([rng.integers(begin, end, size=count), bot, path, np.zeros(count, dtype=np.int64)])


class Delivery:
    """Makes rows of requests, not all of them sound. Remembers the last ticks' rows, to deliver some again."""

    def __init__(self, pools: Pools, simulation: Simulate, rng: np.random.Generator, ids: np.random.Generator) -> None:
        self._pools, self._rng, self._ids = pools, rng, ids
        shares = [simulation.duplicates, simulation.malformed, simulation.nulls, simulation.late]
        self._thresholds = np.minimum(np.cumsum(shares), 1.0)
        self._recent: deque[pl.DataFrame] = deque(maxlen=RECENT_TICKS)
        self._made = 0

    def deliver(self, requests: Integers, *, limit: float) -> Batch:
        """One row for each request, or the first ``limit`` of them."""
        count = int(requests.shape[1])
        if count == 0:
            return Batch(pl.DataFrame(schema=LANDED), _counts(np.empty(0, dtype=np.int64), 0))
        fates = np.searchsorted(self._thresholds, self._rng.random(count), side="right").astype(np.int64)
        if not self._recent and fates[0] == Fate.DUPLICATE:
            fates[0] = Fate.PLAIN  # there is nothing yet that could be delivered again
        is_new = fates != Fate.DUPLICATE
        new = self._new_rows(requests[:, is_new], fates[is_new])
        is_bot = (requests[1] >= self._pools.first_bot) & is_new & (fates != Fate.MALFORMED)
        rows = self._with_duplicates(new, is_new)
        if not new.is_empty():
            self._recent.append(new.tail(RECENT_ROWS))
        end = int(min(count, limit))
        return Batch(rows.head(end), _counts(fates[:end], int(is_bot[:end].sum())))

    def _with_duplicates(self, new: pl.DataFrame, is_new: Booleans) -> pl.DataFrame:
        """``new`` in the places where ``is_new``; in the others, rows from before that place or the last ticks."""
        if is_new.all():
            return new
        known = pl.concat([*self._recent, new])
        recent = known.height - new.height
        rows_before = recent + np.cumsum(is_new)
        again = self._rng.integers(0, np.maximum(rows_before, 1))
        return known[np.where(is_new, rows_before - 1, again)]

    def _new_rows(self, requests: Integers, fates: Integers) -> pl.DataFrame:
        rows = self._requests_as_rows(requests, fates)
        return self._malformed(self._without_required(rows, fates), fates)

    def _requests_as_rows(self, requests: Integers, fates: Integers) -> pl.DataFrame:
        pools, rng = self._pools, self._rng
        time, visitor, path, referer = requests
        count = len(time)
        kind = pools.kinds[path]
        is_bot = visitor >= pools.first_bot

        delay = rng.integers(LATE_SECONDS[0] * SECOND, LATE_SECONDS[1] * SECOND, size=count, endpoint=True)
        time = np.where(fates == Fate.LATE, time - delay, time)
        is_head = rng.random(count) < np.where(is_bot, BOT_HEAD_SHARE, HEAD_SHARE)
        is_post = rng.random(count) < np.where(is_bot, 0.0, _POST_SHARES[kind])
        method = np.where(is_post, 1, np.where(is_head, 2, 0))
        status = _statuses(kind, rng.random(count))
        status = np.where(is_post & (status == 304), 200, status)
        sizes, has_size = self._sizes(path, kind, status, method)
        has_query = rng.random(count) < _QUERY_SHARES[kind]
        query = np.where(has_query, rng.integers(1, len(pools.queries), size=count), 0)

        source_offset = np.arange(self._made, self._made + count, dtype=np.int64)
        self._made += count
        texts = pools.visitors[visitor]
        parts = pl.DataFrame({
            "event_id": self._event_ids(count),
            "timestamp": pl.Series(time).cast(LANDED["timestamp"]),
            "ip": texts["ip"],
            "user": texts["user"],
            "method": pl.Series(("GET", "POST", "HEAD")).gather(method),
            "path": pools.paths.gather(path),
            "query": pools.queries.gather(query),
            "protocol": texts["protocol"],
            "status": pl.Series(status, dtype=pl.Int32),
            "size": sizes,
            "has_size": has_size,
            "referer": pools.referers.gather(referer),
            "agent": texts["agent"],
            "source_offset": source_offset,
        })  # fmt: skip
        return parts.with_columns(
            pl.when("has_size").then("size").alias("bytes"),
            pl.lit(SOURCE).alias("source"),
            *(pl.lit(None, LANDED[name]).alias(name) for name in ("site", "ingested_at", "raw", "rescued")),
        ).select(list(LANDED))

    def _sizes(self, path: Integers, kind: Integers, status: Integers, method: Integers) -> tuple[Integers, Booleans]:
        """Bytes sent, and whether any were: a log has ``-`` for none."""
        noise = self._rng.standard_normal(len(path))
        is_fixed = (kind == Kind.ASSET) | (kind == Kind.DOWNLOAD) | (kind == Kind.ROBOTS)
        whole = self._pools.sizes[path] * np.exp(np.where(is_fixed, 0.0, 0.15) * noise)
        whole = np.where(status == 206, whole * np.exp(-np.abs(noise)), whole)
        short = np.where(status < 400, 240, 520) * np.exp(0.2 * noise)
        sizes = np.where((status == 200) | (status == 206), whole, short)
        return np.maximum(1, sizes).astype(np.int64), (status != 304) & (method != 2)

    def _event_ids(self, count: int) -> list[str]:
        digits = self._ids.bytes(16 * count).hex()
        return [digits[place : place + 32] for place in range(0, 32 * count, 32)]

    def _without_required(self, rows: pl.DataFrame, fates: Integers) -> pl.DataFrame:
        """``rows`` with one required column gone in those that are to lack one."""
        is_null = fates == Fate.NULL
        if not is_null.any():
            return rows
        missing = pl.lit(pl.Series(np.where(is_null, self._rng.integers(0, len(NULLABLE), size=len(fates)), -1)))
        return rows.with_columns(pl.when(missing != number).then(name) for number, name in enumerate(NULLABLE))

    def _malformed(self, rows: pl.DataFrame, fates: Integers) -> pl.DataFrame:
        """``rows`` with nothing but a broken line in those that are to be malformed."""
        is_malformed = pl.Series(fates == Fate.MALFORMED)
        if not is_malformed.any():
            return rows
        lines = pl.Series(broken_lines(rows.filter(is_malformed), self._rng), dtype=pl.String)
        parsed = [name for name in LANDED if name not in ("event_id", "site", "source", "source_offset", "raw")]
        emptied = rows.with_columns(pl.when(~pl.lit(is_malformed)).then(pl.col(parsed)).name.keep())
        return emptied.with_columns(emptied["raw"].scatter(is_malformed.arg_true(), lines))


def broken_lines(rows: pl.DataFrame, rng: np.random.Generator) -> Iterator[str]:
    """The Combined line of each row, broken in one of five ways so that no parser can take it for a request."""
    ways = rng.integers(0, 5, size=rows.height)
    for row, way in zip(rows.iter_rows(named=True), ways.tolist(), strict=True):
        request = f"{row['method']} {row['path']} {row['protocol']}"
        front = f"{row['ip']} - {row['user'] or '-'} [{row['timestamp']:%d/%b/%Y:%H:%M:%S} +0000] "
        back = f'{row["status"]} {row["bytes"] or "-"} "{row["referer"] or "-"}" "{row["agent"]}"'
        if way == 0:  # cut off within the request
            yield f'{front}"{request}'[: int(rng.integers(1, len(front) + len(request)))]
        elif way == 1:  # quotes lost
            yield f"{front}{request} {back}".replace('"', "")
        elif way == 2:  # another program's words, in an encoding that was misread
            yield f"Ã©chec: {row['agent']} â€” ï»¿dÃ©lai dÃ©passÃ© Ð½Ðµ Ð½Ð°Ð¹Ð´ÐµÐ½ {row['path']}"
        elif way == 3:  # a TLS greeting on the port of plain HTTP
            yield TLS_GREETING + "".join(map(chr, rng.integers(14, 32, size=24).tolist()))
        else:
            yield "" if rng.random() < 0.5 else "   "


def _counts(fates: Integers, bots: int) -> Counter[str]:
    made = np.bincount(fates, minlength=len(Fate)).tolist()
    return Counter(
        events=len(fates), duplicates=made[Fate.DUPLICATE], late=made[Fate.LATE], nulls=made[Fate.NULL],
        malformed=made[Fate.MALFORMED], bots=bots,
    )  # fmt: skip


def _entropy(*parts: object) -> int:
    """A seed for numpy that stands for all of ``parts``."""
    return int.from_bytes(blake2b("|".join(map(str, parts)).encode(), digest_size=16).digest())


def _page_counts() -> Ranked:
    """How many pages a session has, from 1: geometric, cut off at ``MAX_PAGES``."""
    return Ranked.by_weights((1 - 1 / MEAN_PAGES) ** np.arange(MAX_PAGES, dtype=np.float64))


def _ragged(lengths: Integers) -> tuple[Integers, Integers]:
    """For groups of these lengths laid end to end: each member's group, and its place in the group."""
    group = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    ends = np.cumsum(lengths)
    place = np.arange(len(group), dtype=np.int64) - np.repeat(ends - lengths, lengths)
    return group, place


def _statuses(kind: Integers, chance: Floats) -> Integers:
    """A status for each kind of path, by its weights."""
    ranks: Integers = (chance[:, None] >= _STATUS_CUMULATIVE[kind]).sum(axis=1)
    statuses: Integers = _STATUSES[np.minimum(ranks, len(STATUSES) - 1)]
    return statuses
