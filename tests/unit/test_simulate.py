import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import MappingProxyType

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lakehouse.agents import parse_agent
from lakehouse.settings import Simulate
from producer.formats.detection import parse
from producer.landing import LANDED
from producer.pools import BOTS, SITE, make_pools
from producer.simulate import DAY_SECONDS, SECOND, batches, broken_lines, curve

START = datetime(2026, 3, 29, 11, 0, tzinfo=UTC)
NO_SHARES = {"duplicates": 0.0, "late": 0.0, "nulls": 0.0, "malformed": 0.0, "bots": 0.0}
BOT_AGENTS = [agent for agent, _ in BOTS]
KINDS = ("duplicates", "malformed", "nulls", "late", "bots")


def simulated(
    events: int,
    settings: Mapping[str, float] = MappingProxyType({}),
    *,
    seed: int = 7,
    start: datetime = START,
    tick_seconds: float = 1.0,
) -> tuple[pl.DataFrame, Counter[str]]:
    """All rows and counts of one simulation of a small site."""
    simulation = Simulate.model_validate({"rate": 5000, "visitors": 800, "paths": 120, **settings})
    made = list(batches(simulation, seed=seed, start=start, events=events, tick_seconds=tick_seconds))
    return pl.concat([batch.rows for batch in made]), sum((batch.counts for batch in made), Counter())


def counted(rows: pl.DataFrame) -> Counter[str]:
    """What ``Batch.counts`` must say of ``rows``, but for late ones: found by looking at them."""
    new = rows.filter(pl.col("event_id").is_first_distinct())
    parsed = new.filter(pl.col("raw").is_null())
    lacks_required = pl.any_horizontal(pl.col("timestamp", "ip", "status").is_null())
    return Counter(
        events=rows.height,
        duplicates=rows.height - new.height,
        malformed=new.height - parsed.height,
        nulls=parsed.filter(lacks_required).height,
        bots=parsed.filter(pl.col("agent").is_in(BOT_AGENTS)).height,
    )


@pytest.fixture(scope="module")
def many() -> tuple[pl.DataFrame, Counter[str]]:
    return simulated(50_000)


@pytest.fixture(scope="module")
def plain() -> pl.DataFrame:
    """People alone, in perfect order."""
    rows, _ = simulated(50_000, NO_SHARES)
    return rows


def test_rows_have_exactly_the_landing_columns_and_types(many: tuple[pl.DataFrame, Counter[str]]) -> None:
    rows, _ = many
    assert dict(rows.schema) == LANDED
    assert rows.select(pl.col("site", "ingested_at").is_null().all()).row(0) == (True, True)
    assert rows["source"].unique().to_list() == ["simulator"]


def test_an_empty_tick_has_the_landing_columns_and_types_too() -> None:
    batch = next(batches(Simulate(rate=1e-9), seed=1, start=START, events=None, tick_seconds=1))
    assert batch.rows.is_empty()
    assert dict(batch.rows.schema) == LANDED
    assert batch.counts.total() == 0


def test_the_same_seed_and_start_give_the_same_rows() -> None:
    rows, counts = simulated(3000)
    again, counts_again = simulated(3000)
    assert_frame_equal(rows, again)
    assert counts == counts_again


def test_fewer_events_are_the_beginning_of_more_and_the_number_is_exact() -> None:
    rows, _ = simulated(3000)
    fewer, counts = simulated(1234)
    assert_frame_equal(fewer, rows.head(1234))
    assert counts["events"] == 1234
    assert list(batches(Simulate(), seed=1, start=START, events=0, tick_seconds=1)) == []


def test_another_seed_gives_another_site() -> None:
    rows, _ = simulated(3000)
    other, _ = simulated(3000, seed=8)
    assert set(rows["event_id"]).isdisjoint(other["event_id"])
    assert rows["ip"].to_list() != other["ip"].to_list()
    assert rows["path"].to_list() != other["path"].to_list()


def test_no_id_is_given_to_two_different_events() -> None:
    rows, _ = simulated(500)
    others = [
        simulated(500, start=START + timedelta(microseconds=1)),
        simulated(500, tick_seconds=0.5),
        simulated(500, {"rate": 5001}),
        simulated(500, {"late": 0.5}),
    ]
    for other, _ in others:
        assert set(rows["event_id"]).isdisjoint(other["event_id"])


def test_a_start_in_another_zone_is_the_same_start() -> None:
    zone = START.astimezone().tzinfo
    assert_frame_equal(simulated(300)[0], simulated(300, start=START.astimezone(zone))[0])


@pytest.mark.parametrize("seed", [0, -1, 2**63])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    rows, _ = simulated(10, seed=seed)
    assert rows.height == 10


def test_counts_are_what_is_in_the_rows(many: tuple[pl.DataFrame, Counter[str]]) -> None:
    rows, counts = many
    assert {k: n for k, n in counts.items() if k != "late"} == dict(counted(rows))


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    st.fixed_dictionaries({kind: st.sampled_from([0.0, 0.01, 0.3, 0.7, 1 - 1e-12, 1.0]) for kind in KINDS}),
    st.integers(min_value=1, max_value=300),
)
def test_whatever_the_shares_every_event_is_made_and_counted(shares: dict[str, float], events: int) -> None:
    rows, counts = simulated(events, {"rate": 100, "visitors": 5, "paths": 3} | shares)
    assert rows.height == events
    assert {k: n for k, n in counts.items() if k != "late" and n} == {k: n for k, n in counted(rows).items() if n}
    assert counts["late"] <= events - counts["duplicates"] - counts["malformed"] - counts["nulls"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_holds_within_its_statistical_error(many: tuple[pl.DataFrame, Counter[str]], kind: str) -> None:
    _, counts = many
    share = getattr(Simulate(), kind)
    error = math.sqrt(share * (1 - share) / counts["events"])
    assert counts[kind] / counts["events"] == pytest.approx(share, abs=5 * error)


def test_shares_of_zero_give_none(plain: pl.DataFrame) -> None:
    assert counted(plain) == Counter(events=50_000, duplicates=0, malformed=0, nulls=0, bots=0)
    assert plain["timestamp"].is_sorted()
    assert plain["source_offset"].to_list() == list(range(50_000))
    assert START <= plain["timestamp"][0] <= plain["timestamp"][-1] < START + timedelta(seconds=60)


@pytest.mark.parametrize(("kind", "expected"), [("duplicates", 399), ("malformed", 400), ("nulls", 400), ("late", 400)])
def test_a_share_of_one_takes_every_row_it_can(kind: str, expected: int) -> None:
    rows, counts = simulated(400, NO_SHARES | {kind: 1.0})
    assert rows.height == 400
    assert counts[kind] == expected


@pytest.mark.parametrize("bots", [0.5, 0.9, 0.95, 1 - 1e-12])
def test_crawlers_may_be_most_of_the_traffic(bots: float) -> None:
    _, counts = simulated(20_000, NO_SHARES | {"bots": bots})
    assert counts["bots"] / counts["events"] == pytest.approx(bots, abs=0.03)


def test_nothing_but_bots_can_come() -> None:
    rows, counts = simulated(400, NO_SHARES | {"bots": 1.0})
    assert set(rows["agent"]) <= set(BOT_AGENTS)
    assert counts["bots"] == 400


def test_a_duplicate_equals_an_earlier_row(many: tuple[pl.DataFrame, Counter[str]]) -> None:
    rows, counts = many
    is_first = rows["event_id"].is_first_distinct()
    duplicates = rows.filter(~is_first)
    originals = rows.filter(is_first)
    assert duplicates.height == counts["duplicates"] > 0
    matched = duplicates.select("event_id").join(originals, on="event_id", how="left", maintain_order="left")
    assert_frame_equal(duplicates, matched.select(duplicates.columns))


def test_ids_are_32_hexadecimal_digits_and_offsets_a_running_number(many: tuple[pl.DataFrame, Counter[str]]) -> None:
    rows, counts = many
    originals = rows.filter(pl.col("event_id").is_first_distinct())
    assert rows["event_id"].str.contains(r"^[0-9a-f]{32}$").all()
    assert originals["source_offset"].to_list() == list(range(50_000 - counts["duplicates"]))


def test_a_duplicate_may_repeat_a_row_of_an_earlier_tick() -> None:
    simulation = Simulate(rate=100, visitors=10, paths=10, duplicates=0.5)
    ticks = [b.rows for b in islice(batches(simulation, seed=1, start=START, events=None, tick_seconds=1), 20)]
    before = pl.concat(ticks[:10])["event_id"]
    assert ticks[10]["event_id"].is_in(before.implode()).any()


def test_a_late_row_is_up_to_three_days_old() -> None:
    rows, _ = simulated(5000, NO_SHARES | {"late": 1.0})
    ages = START - rows["timestamp"]
    assert timedelta(seconds=0) < ages.max() <= timedelta(days=3)  # type: ignore[operator]
    assert ages.max() > timedelta(days=2.9)  # type: ignore[operator]
    assert ages.min() > timedelta(seconds=0)  # type: ignore[operator]


def test_a_row_that_lacks_a_column_lacks_exactly_one_and_each_gets_its_turn() -> None:
    rows, _ = simulated(300, NO_SHARES | {"nulls": 1.0})
    missing = rows.select(pl.col("ip", "status", "timestamp").is_null().cast(pl.Int32))
    assert missing.sum_horizontal().to_list() == [1] * 300
    assert min(missing.sum().row(0)) > 50


def test_a_malformed_row_has_only_its_line_and_no_parser_takes_it() -> None:
    rows, _ = simulated(500, NO_SHARES | {"malformed": 1.0})
    filled = [name for name in rows.columns if rows[name].null_count() < rows.height]
    assert filled == ["event_id", "source", "source_offset", "raw"]
    assert rows["raw"].null_count() == 0
    assert not rows["raw"].str.contains(r"[\r\n]").any()
    assert parse(rows["raw"], "combined").rows["raw"].to_list() == rows["raw"].to_list()
    assert rows.filter(pl.col("raw").str.strip_chars() == "").height > 0


def test_lines_are_broken_even_where_every_field_is_absent() -> None:
    row = pl.DataFrame([dict.fromkeys(LANDED)] * 50, schema=LANDED).with_columns(timestamp=START)
    lines = pl.Series(broken_lines(row, np.random.default_rng(1)))
    assert parse(lines, "combined").rows["raw"].to_list() == lines.to_list()


def test_few_ips_and_paths_make_most_requests(plain: pl.DataFrame) -> None:
    for column, top, share in (("ip", 80, 0.3), ("path", 12, 0.3)):
        hits = plain.group_by(column).len().sort("len", descending=True)["len"]
        assert hits.head(top).sum() / plain.height > share
        assert hits.tail(hits.len() // 2).sum() / plain.height < 0.25


def test_an_asset_follows_its_page_and_names_it_as_referer(plain: pl.DataFrame) -> None:
    who = ["ip", "agent"]
    views = plain.filter(~pl.col("path").str.starts_with("/assets/"))
    assets = plain.filter(
        pl.col("path").str.starts_with("/assets/") & (pl.col("timestamp") > START + timedelta(seconds=1.2))
    )
    seen = views.select(*who, (SITE + pl.col("path")).alias("referer"), pl.col("timestamp").alias("seen_at"))
    joined = assets.join(seen, on=[*who, "referer"], how="left")
    age = pl.col("timestamp") - pl.col("seen_at")
    followed = joined.filter(age.is_between(timedelta(seconds=0), timedelta(seconds=1.2)))
    assert set(followed["event_id"]) == set(assets["event_id"])
    assert assets.height > 10_000


def test_a_session_goes_from_page_to_page_some_seconds_apart() -> None:
    rows, _ = simulated(20_000, NO_SHARES | {"rate": 100})
    views = rows.filter(~pl.col("path").str.starts_with("/assets/"))
    who = ["ip", "agent"]
    seen = views.select(*who, (SITE + pl.col("path")).alias("referer"), pl.col("timestamp").alias("seen_at"))
    later = views.filter(
        pl.col("referer").str.starts_with(SITE) & (pl.col("timestamp") > START + timedelta(seconds=150))
    )
    steps = later.join(seen, on=[*who, "referer"], how="left").filter(pl.col("seen_at") < pl.col("timestamp"))
    gap = (pl.col("timestamp") - pl.col("seen_at")).dt.total_milliseconds().min()
    gaps = steps.group_by("event_id").agg(gap.alias("gap"))["gap"]
    assert gaps.len() / later.height > 0.99
    assert 3_000 < gaps.median() < 30_000  # type: ignore[operator]


def test_bots_have_their_own_ips_no_referer_and_read_robots_txt(many: tuple[pl.DataFrame, Counter[str]]) -> None:
    rows, _ = many
    is_bot = pl.col("agent").is_in(BOT_AGENTS)
    bots, people = rows.filter(is_bot), rows.filter(~is_bot)
    assert set(bots["ip"].drop_nulls()).isdisjoint(people["ip"].drop_nulls())
    assert bots["referer"].null_count() == bots.height
    assert bots.filter(path="/robots.txt").height > 0
    assert people.filter(path="/robots.txt").height == 0


def test_crawlers_are_recognised_as_such_and_people_are_not() -> None:
    pools = make_pools(2000, 10, seed=3)
    people = set(pools.visitors["agent"].head(2000))
    assert [agent for agent in BOT_AGENTS if not parse_agent(agent).is_bot] == []
    assert [agent for agent in people if parse_agent(agent).is_bot] == []


def test_most_requests_go_well_and_what_sends_nothing_has_no_bytes(many: tuple[pl.DataFrame, Counter[str]]) -> None:
    rows, _ = many
    parsed = rows.filter(pl.col("raw").is_null(), pl.col("status").is_not_null())
    shares = dict(parsed["status"].value_counts(normalize=True).iter_rows())
    assert shares[200] + shares[304] > 0.85
    assert {200, 206, 301, 302, 304, 401, 403, 404, 500, 503} == set(shares)
    is_empty = (pl.col("status") == 304) | (pl.col("method") == "HEAD")
    assert parsed.filter(is_empty)["bytes"].null_count() == parsed.filter(is_empty).height > 0
    assert parsed.filter(~is_empty)["bytes"].min() >= 1  # type: ignore[operator]
    assert set(parsed["method"]) == {"GET", "POST", "HEAD"}
    assert set(parsed["protocol"]) == {"HTTP/1.1", "HTTP/2.0"}
    assert parsed["ip"].str.contains(":").any()


@pytest.mark.parametrize("rate", [10.0, 1000.0, 50_000.0])
def test_a_run_of_minutes_keeps_to_the_rate(rate: float) -> None:
    simulation = Simulate(rate=rate, visitors=300, paths=100)
    seconds = 60 if rate < 50_000 else 4
    made = islice(batches(simulation, seed=5, start=START, events=None, tick_seconds=1), seconds)
    rows = sum(batch.rows.height for batch in made)
    # Requests come in sessions of some ten: the count scatters more than a Poisson one.
    assert rows == pytest.approx(rate * seconds, abs=6 * math.sqrt(15 * rate * seconds))


def test_the_curve_of_a_day_is_flat_at_first_and_has_the_mean_one() -> None:
    midnight = round(datetime(2026, 3, 29, tzinfo=UTC).timestamp()) * SECOND
    day = [curve(midnight + second * SECOND, DAY_SECONDS) for second in range(0, DAY_SECONDS, 60)]
    assert sum(day) / len(day) == pytest.approx(1)
    assert min(day) > 0.2
    assert day.index(max(day)) == 15 * 60
    assert curve(midnight, 0) == 1
    assert abs(curve(midnight, 120) - 1) < 0.05


@pytest.mark.parametrize(("visitors", "paths"), [(1, 1), (1, 2), (2, 1), (3, 700)])
def test_the_smallest_sites_work(visitors: int, paths: int) -> None:
    rows, _ = simulated(200, NO_SHARES | {"visitors": visitors, "paths": paths})
    assert rows["ip"].n_unique() <= visitors
    assert rows["path"].n_unique() <= paths


def test_no_two_paths_of_a_site_are_alike() -> None:
    paths = make_pools(1, 3000, seed=1).paths
    assert paths.n_unique() == paths.len()
