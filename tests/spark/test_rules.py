"""Rules: what is cleaned, what is rejected and why."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from lakehouse.rules import accepted, checked, normalised, rejected
from lakehouse.schema import LANDED
from lakehouse.settings import Rules
from tests.builders import T0, landed, unparsed

RULES = Rules()


def frame(spark: SparkSession, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame([tuple(row[n] for n in LANDED.names) for row in rows], LANDED)


def reasons(spark: SparkSession, *rows: dict[str, Any], rules: Rules = RULES) -> list[list[str]]:
    """The reasons against each row, in their order."""
    return [list(row.reasons) for row in checked(normalised(frame(spark, list(rows)).coalesce(1)), rules).collect()]


CHECKED = [
    (landed(), []),
    (landed(agent=None, referer=None, bytes=None, method=None, path=None, query=None, protocol=None, user=None), []),
    (landed(None), ["no event_id"]),
    (landed(timestamp=None), ["no timestamp"]),
    (landed(ip=None), ["no ip"]),
    (landed(ip=" - "), ["no ip"]),
    (landed(ip=""), ["no ip"]),
    (landed(status=None), ["no status"]),
    (landed(None, ip=None, status=None), ["no event_id", "no ip", "no status"]),
    (unparsed("u", "garbage"), ["line does not parse"]),
    (unparsed("u", "  "), ["blank line"]),
    (unparsed("u", ""), ["blank line"]),
    (landed(timestamp=T0 + timedelta(days=1)), []),
    (landed(timestamp=T0 + timedelta(days=1, seconds=1)), ["timestamp in the future"]),
    (landed(timestamp=T0 + timedelta(days=900), ingested_at=None), []),
    (landed(timestamp=datetime(1990, 1, 1, tzinfo=UTC)), []),
    (landed(timestamp=datetime(1989, 12, 31, 23, 59, 59, tzinfo=UTC)), ["timestamp before 1990-01-01"]),
    (landed(timestamp=datetime(1970, 1, 1, tzinfo=UTC)), ["timestamp before 1990-01-01"]),
    (landed(status=100), []),
    (landed(status=599), []),
    (landed(status=99), ["status outside 100-599"]),
    (landed(status=600, bytes=-1), ["status outside 100-599", "bytes out of range"]),
    (landed(bytes=0), []),
    (landed(bytes=2**50), []),
    (landed(bytes=2**50 + 1), ["bytes out of range"]),
    (landed(timestamp=datetime(9999, 12, 31, 23, 30, tzinfo=UTC), ingested_at=None), ["timestamp in the future"]),
    (landed(ingested_at=datetime(9999, 12, 31, 23, 30, tzinfo=UTC)), []),
]  # fmt: skip


def test_a_row_is_rejected_with_every_reason_against_it(spark: SparkSession) -> None:
    found = reasons(spark, *(row for row, _ in CHECKED))
    assert list(zip((row for row, _ in CHECKED), found, strict=True)) == CHECKED


def test_required_columns_and_ranges_are_settings(spark: SparkSession) -> None:
    rules = Rules(
        required=("event_id", "timestamp", "agent"), status_max=999, earliest=date(1960, 1, 1), future_seconds=0
    )
    rows = [
        landed(agent="-", status=999, ip=None),
        landed(timestamp=datetime(1970, 1, 1, tzinfo=UTC)),
        landed(timestamp=T0 + timedelta(seconds=1)),
    ]
    assert reasons(spark, *rows, rules=rules) == [["no agent"], [], ["timestamp in the future"]]


TEXTS = [
    ("-", None),
    (" - ", None),
    ("", None),
    ("   ", None),
    (None, None),
    ("a", "a"),
    (" a b ", "a b"),
    ("--", "--"),
    ("\\xE0", "\\xE0"),
]


def test_text_is_trimmed_and_the_logs_dash_is_null(spark: SparkSession) -> None:
    names = ("ip", "user", "method", "path", "query", "protocol", "referer", "agent", "site")
    rows = [landed(**dict.fromkeys(names, text)) for text, _ in TEXTS]
    found = normalised(frame(spark, rows).coalesce(1)).select(*names).collect()
    assert [tuple(row) for row in found] == [(expected,) * len(names) for _, expected in TEXTS]


def test_ids_sources_and_the_raw_line_stay_as_they_came(spark: SparkSession) -> None:
    row = normalised(frame(spark, [landed(" e ", source=" - ", raw=" x ")])).collect()[0]
    assert (row.event_id, row.source, row.raw) == (" e ", " - ", " x ")


def test_the_day_is_the_utc_day(spark: SparkSession) -> None:
    before_midnight = datetime(2024, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    rows = frame(
        spark,
        [landed("a", timestamp=before_midnight), landed("b", timestamp=before_midnight + timedelta(microseconds=1))],
    )
    days = [row.event_date for row in normalised(rows).orderBy("event_id").collect()]
    assert days == [date(2024, 12, 31), date(2025, 1, 1)]


texts = st.one_of(
    st.none(), st.sampled_from(["", "-", " ", "x"]), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
times = st.one_of(
    st.none(),
    st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(tzinfo=UTC)),
)
any_row = st.fixed_dictionaries(
    {
        "event_id": st.one_of(st.none(), st.text("abc", max_size=3)), "timestamp": times, "ingested_at": times,
        "status": st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
        "bytes": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), "source_offset": st.integers(0, 9),
        **dict.fromkeys(("ip", "user", "method", "path", "query", "protocol", "referer", "agent", "site", "source", "raw", "rescued"), texts),
    }
)  # fmt: skip


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(any_row, max_size=30))
def test_accepted_and_rejected_partition_the_rows(spark: SparkSession, rows: list[dict[str, Any]]) -> None:
    all_rows = checked(normalised(frame(spark, rows)), RULES).cache()
    both = accepted(all_rows).unionAll(rejected(all_rows))
    assert sorted(both.collect(), key=repr) == sorted(all_rows.collect(), key=repr)
    assert all(row.event_id is not None and row.timestamp is not None for row in accepted(all_rows).collect())
