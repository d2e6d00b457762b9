from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from bench.figures import exact, exact_visitors, wrong_figures
from bench.latencies import Moment, latencies, percentiles
from bench.measure import wrong
from bench.process import Sample, Usage
from bench.rows.memory import together

DAY = date(2026, 7, 1)
REQUESTS = pl.LazyFrame(
    {
        "event_date": [DAY, DAY, DAY],
        "ip": ["192.0.2.1", "192.0.2.1", "192.0.2.2"],
        "agent": ["a", None, "a"],
        "status": [200, 404, 500],
        "bytes": [10, None, 5],
    }
)


def test_figures_are_counted_for_each_day_and_key() -> None:
    due = exact(REQUESTS)
    assert due["daily"].rows() == [(DAY, 3, 15, 1, 1)]
    assert sorted(due["ip"].rows()) == [(DAY, "192.0.2.1", 2, 10, 1, 0), (DAY, "192.0.2.2", 1, 5, 0, 1)]
    assert sorted(due["agent"].rows(), key=repr) == [(DAY, "a", 2, 15, 0, 1), (DAY, None, 1, 0, 1, 0)]
    assert exact_visitors(REQUESTS).rows() == [(DAY, 3)]


def test_equal_tables_are_right_whatever_else_they_have() -> None:
    due = exact(REQUESTS)
    found = {grain: frame.reverse().with_columns(first_seen=pl.lit(1)) for grain, frame in due.items()}
    assert wrong_figures(found, due) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ips: ips.head(1), "ip: 1 rows of 2 missing, 0 wrong"),
        (lambda ips: pl.concat([ips, ips.head(1)]), "ip: 0 rows of 2 missing, 0 wrong"),
        (lambda ips: ips.with_columns(requests=pl.col("requests") + 1), "ip: 2 rows of 2 missing, 2 wrong"),
    ],
)
def test_a_table_that_differs_is_named(change: Callable[[pl.DataFrame], pl.DataFrame], said: str) -> None:
    due = exact(REQUESTS)
    assert wrong_figures(due | {"ip": change(due["ip"])}, due) == said


def test_a_file_waits_until_the_last_table_has_counted_its_rows() -> None:
    landed = [Moment(10, 100), Moment(11, 50), Moment(12, 1)]
    counted = {
        "daily": [Moment(9, 0), Moment(12, 100), Moment(15, 150)],
        "ip": [Moment(9, 0), Moment(13, 149), Moment(16, 150)],
    }
    assert latencies(landed, counted) == [3, 5, float("inf")]


def test_percentiles_are_over_rows_not_over_files() -> None:
    assert percentiles([Moment(0, 98), Moment(0, 2)], [1.0, 9.0], (50, 98, 99)) == {50: 1.0, 98: 1.0, 99: 9.0}


def test_what_is_not_as_it_must_be_is_said() -> None:
    assert wrong(rows=(3, 3)) is None
    assert wrong(rows=(2, 3), doubled=(1, 0)) == "rows is 2, not 3; doubled is 1, not 0"


def usage(*samples: Sample) -> Usage:
    return Usage(0, 10, 1, 0, 0, samples)


def test_programs_are_added_up_as_each_was_last_seen() -> None:
    used = {
        "producer": usage(Sample(1, 10, 0), Sample(4, 50, 0)),
        "consumer": usage(Sample(0, 999, 0), Sample(2, 100, 0), Sample(3, 20, 0), Sample(9, 999, 0)),
    }
    assert together(used, 1, 9) == 110


def test_the_processor_share_is_that_of_the_span() -> None:
    used = usage(Sample(0, 1, 5), Sample(10, 1, 6), Sample(20, 1, 21), Sample(30, 1, 99))
    assert used.processor_share(10, 30) == 1.5
    assert used.processor_share(31, 40) == 0
