"""What a refresh of the exact metrics adds, counts anew or compares; and what it knows after something was lost. No JVM."""

import os
import signal
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from datasketches import kll_doubles_sketch
from deltalake import DeltaTable, write_deltalake

from consumer.batch import recount, refresh
from consumer.components import exact_plan, exact_refresh
from consumer.components.batch_record import read_record
from consumer.components.counter import Counter
from consumer.components.durations import quantiles
from consumer.monitor import status
from lakehouse.errors import InputError, PipelineError
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.settings import Settings, unpack_settings
from lakehouse.stopping import Stopped
from lakehouse.tables import latest_version, query
from tests.requests import NOON, append, replace_all, request
from tests.tables import rows
from tests.unit.test_exact_metrics import TABLES, found, killed_after, plain

DAY, NEXT = date(2024, 5, 17), date(2024, 5, 18)
TOMORROW = NOON + timedelta(days=1)
LATER = datetime(2024, 5, 20, 9, tzinfo=UTC)


def changed(settings: Settings, **groups: Any) -> Settings:
    return unpack_settings(settings.model_dump(mode="json", exclude_unset=True) | groups, "test")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return changed(settings, batch={"static_endings": [".css", ".js"]})


def versions(lake: Lake) -> dict[str, int]:
    return {name: latest_version(lake.metrics("batch", name)) for name in TABLES}


def counted_files(monkeypatch: pytest.MonkeyPatch) -> list[list[Path]]:
    """What each count reads from now on."""
    read: list[list[Path]] = []
    usual = Counter.count

    def count(self: Any, files: Any, stored: Any) -> None:
        read.append(list(files))
        usual(self, read[-1], stored)

    monkeypatch.setattr(Counter, "count", count)
    return read


def test_a_refresh_reads_what_is_new_and_nothing_else(
    settings: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = [request(), request(timestamp=TOMORROW)]
    append(lake, everything)
    assert refresh(settings) is None
    before = {Path(uri) for uri in DeltaTable(str(lake.delta)).file_uris()}
    more = [request(agent=None, status=404)]
    append(lake, more)
    DeltaTable(str(lake.delta)).optimize.compact()  # moves rows into another file, and changes none
    read = counted_files(monkeypatch)
    assert refresh(settings) == {DAY}
    assert len(read) == 1
    assert len(read[0]) == 1
    assert not set(read[0]) & before
    assert {name: found(lake, name) for name in TABLES} == plain(everything + more)
    is_at = versions(lake)
    assert refresh(settings) == set()
    assert versions(lake) == is_at


@pytest.mark.parametrize("commits", range(10))
def test_a_refresh_killed_between_any_two_of_its_tables_adds_nothing_twice(
    settings: Settings, lake: Lake, commits: int
) -> None:
    everything = [request(), request(status=503)]
    append(lake, everything)
    refresh(settings)
    for number in range(2):
        more = [request(timestamp=NOON + timedelta(hours=number)), request(timestamp=TOMORROW, site="a.example")]
        append(lake, more)
        everything += more
        killed_after(settings, commits)
    refresh(settings)
    assert {name: found(lake, name) for name in TABLES} == plain(everything)
    assert recount(settings, None) == 0


def test_a_full_count_of_many_days_that_is_killed_is_not_taken_for_one_that_ended(
    settings: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = [request(timestamp=NOON + timedelta(days=n)) for n in range(4)]
    append(lake, everything)
    refresh(settings)
    monkeypatch.setattr(exact_plan, "CHUNK_BYTES", 1)
    monkeypatch.setattr(exact_plan, "MOST_ADDED_BYTES", 1)
    more = [request(timestamp=NOON + timedelta(days=n), bytes=n) for n in range(4)]
    append(lake, more)
    killed_after(settings, 2 * len(TABLES) + 3)  # two days and a part of the third
    monkeypatch.undo()
    refresh(settings)
    assert {name: found(lake, name) for name in TABLES} == plain(everything + more)


def test_a_job_that_is_told_to_end_ends_and_the_next_one_does_the_rest(settings: Settings, lake: Lake) -> None:
    append(lake, [request()])

    def end(number: int, _frame: object) -> None:
        raise Stopped(number)

    usual = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exact_refresh, "write_record", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
            with pytest.raises(SystemExit):
                refresh(settings)
    finally:
        signal.signal(signal.SIGTERM, usual)
    assert Ledger(lake.ledger).last_runs()["batch"]["exit_code"] == 128 + signal.SIGTERM
    refresh(settings)
    assert {name: found(lake, name) for name in TABLES} == plain(pl.read_delta(str(lake.delta)).to_dicts())


# Values that anyone can invent -----------------------------------------------------------------------------------------


def paths(lake: Lake) -> list[tuple[Any, ...]]:
    return rows(lake.metrics("batch", "path"), "site", "path", "is_static", "is_other", "requests", "bytes")


def test_of_a_day_and_site_so_many_paths_have_rows_of_their_own_and_the_others_share(
    settings: Settings, lake: Lake
) -> None:
    settings = changed(settings, batch={"max_values": 2, "recount_after_seconds": 60})
    append(lake, [request(path="/a"), request(path="/b"), request(path="/b"), request(path="/c.css", site="s")])
    refresh(settings, LATER - timedelta(minutes=2))
    # Those with rows of their own keep them, of the new ones those with the most requests get one; the rest is exact, too.
    append(lake, [request(path=p, bytes=n) for n, p in enumerate(("/c", "/c", "/d.css", "/e", "/e", "/a", None, "/c"))])
    refresh(settings, LATER - timedelta(minutes=1))
    assert paths(lake) == [
        ("s", "/c.css", True, False, 1, 100),
        (None, "/a", False, False, 2, 105),
        (None, "/b", False, False, 2, 200),
        (None, None, False, True, 6, 0 + 1 + 3 + 4 + 6 + 7),
        (None, None, True, True, 1, 2),
    ]
    # Once the day is closed and quiet, a full count gives the rows to those with the most. That is no difference.
    assert refresh(settings, LATER) == set()
    assert paths(lake) == [
        ("s", "/c.css", True, False, 1, 100),
        (None, "/a", False, False, 2, 105),
        (None, "/c", False, False, 3, 8),
        (None, None, False, True, 5, 200 + 3 + 4 + 6),
        (None, None, True, True, 1, 2),
    ]
    assert status(settings, LATER).differing_days == {}
    assert Ledger(lake.ledger).last_runs()["batch"]["figures"]["recounted"] == 1


def test_other_settings_of_what_is_counted_count_all_days_anew(settings: Settings, lake: Lake) -> None:
    append(lake, [request(path="/a.txt"), request(path="/b", timestamp=TOMORROW)])
    refresh(settings)
    assert refresh(changed(settings, batch={"static_endings": [".TXT"]})) is None
    assert [(path, is_static) for _, path, is_static, *_ in paths(lake)] == [("/a.txt", True), ("/b", False)]


def test_hosts_of_referers_and_whether_they_are_the_site_itself(settings: Settings, lake: Lake) -> None:
    sent = {
        "https://user:pw@Shop.example:8443/x": ("shop.example", True),
        "http://www.shop.example?x": ("www.shop.example", True),
        "https://[2001:db8::1]:80/": ("[2001:db8::1]", False),
        "android-app://com.example.app": ("com.example.app", False),
        "https://shop.example.evil.example/": ("shop.example.evil.example", False),
        "//shop.example/": (None, None),
        "javascript:alert(1)": (None, None),
        "https://": (None, None),
    }
    append(lake, [request(referer=referer, site="www.shop.example:443") for referer in sent])
    refresh(settings)
    assert rows(lake.metrics("batch", "referer"), "referer", "referer_host", "is_own_host") == sorted(
        ((referer, *known) for referer, known in sent.items()), key=repr
    )


def test_bytes_beyond_64_bits_stay_at_the_largest_number_and_hold_nothing_up(settings: Settings, lake: Lake) -> None:
    append(lake, [request(bytes=2**62), request(bytes=2**62)])
    refresh(settings)
    append(lake, [request(bytes=2**62)])
    refresh(settings)
    assert rows(lake.metrics("batch", "daily"), "requests", "bytes") == [(3, 2**63 - 1)]


# Durations and countries -----------------------------------------------------------------------------------------------


def test_where_a_duration_is_promoted_hours_carry_a_sketch_that_adds_up(settings: Settings, lake: Lake) -> None:
    settings = changed(settings, promoted={"request_time": {"field": "request_time", "type": "double"}})
    append(lake, [request()])  # before it was promoted
    refresh(settings)
    double = {"request_time": pa.float64()}
    first = [request(request_time=n / 1000) for n in range(1000)] + [request(request_time=None)]
    append(lake, first, extra=double)
    refresh(settings)
    append(lake, [request(request_time=n / 1000) for n in range(1000, 2000)], extra=double)
    append(lake, [request(request_time=7.0, timestamp=NOON + timedelta(hours=1))], extra=double)
    refresh(settings)
    hours = pl.read_delta(str(lake.metrics("batch", "hourly"))).sort("hour")
    assert hours["requests"].to_list() == [2002, 1]
    assert hours["durations"].to_list() == [2000, 1]
    sketches = hours["duration_sketch"].to_list()
    assert [kll_doubles_sketch.deserialize(sketch).n for sketch in sketches] == [2000, 1]
    median, last = quantiles(sketches, [0.5, 1.0]) or (0, 0)
    assert median == pytest.approx(1.0, abs=0.05)
    assert last == 7.0
    assert recount(settings, None) == 0


# Closed days, and what is asked for -------------------------------------------------------------------------------------


def test_a_closed_day_is_counted_once_more_when_it_has_been_quiet_and_never_again(
    settings: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(lake, [request(), request(timestamp=TOMORROW)])
    refresh(settings, NOON)
    append(lake, [request(), request(timestamp=TOMORROW)])
    refresh(settings, TOMORROW)
    read = counted_files(monkeypatch)
    assert refresh(settings, TOMORROW + timedelta(minutes=59)) == set()
    assert read == []
    refresh(settings, TOMORROW + timedelta(minutes=60))  # the first day; the second has not ended
    assert [{path.parent.name for path in files} for files in read if files] == [{f"event_date={DAY}"}]
    refresh(settings, TOMORROW + timedelta(hours=13))
    assert {path.parent.name for path in read[-1]} == {f"event_date={NEXT}"}
    count = len(read)
    refresh(settings, LATER)
    assert len(read) == count


def test_a_difference_is_an_error_of_the_status_corrected_and_gone_after_a_full_count_that_agrees(
    settings: Settings, lake: Lake
) -> None:
    everything = [request(), request(path="/x", agent=None)]
    append(lake, everything)
    refresh(settings, NOON)
    more = [request(timestamp=NOON + timedelta(hours=1))]
    append(lake, more)
    refresh(settings, NOON)
    path = lake.metrics("batch", "path")
    wrong = pl.read_delta(str(path)).with_columns(requests=pl.col("requests") + 1)
    write_deltalake(str(path), wrong.to_arrow(), mode="overwrite")

    assert refresh(settings, LATER) == set()
    assert {name: found(lake, name) for name in TABLES} == plain(everything + more)
    seen = status(settings, LATER)
    assert {day: known["rows"] for day, known in seen.differing_days.items()} == {DAY.isoformat(): {"path": 6}}
    assert any(f"consumer batch --recount {DAY}" in sentence for sentence in seen.late)
    assert seen.exit_code == 1

    assert recount(settings, [DAY], LATER) == 0
    assert status(settings, LATER).differing_days == {}


def test_a_recount_that_is_asked_for_finds_what_is_lacking_and_what_is_too_much(settings: Settings, lake: Lake) -> None:
    everything = [request(), request(ip="192.0.2.7"), request(timestamp=TOMORROW)]
    append(lake, everything)
    refresh(settings)
    for name, keep in (("ip", pl.col("ip") != "192.0.2.7"), ("hourly", pl.col("event_date") != NEXT)):
        table = lake.metrics("batch", name)
        write_deltalake(str(table), pl.read_delta(str(table)).filter(keep).to_arrow(), mode="overwrite")
    assert recount(settings, None) == 2
    assert {name: found(lake, name) for name in TABLES} == plain(everything)
    assert recount(settings, None) == 0
    with pytest.raises(InputError, match="no requests of 2020-01-01 have been merged"):
        recount(settings, [date(2020, 1, 1)])


def test_there_is_nothing_to_recount_before_the_first_merge(settings: Settings) -> None:
    with pytest.raises(InputError, match="nothing has been merged yet"):
        recount(settings, None)


# After something was lost -----------------------------------------------------------------------------------------------


def test_a_table_that_was_moved_away_is_made_anew_and_nothing_else_doubled(settings: Settings, lake: Lake) -> None:
    everything = [request(), request(timestamp=TOMORROW)]
    append(lake, everything)
    refresh(settings)
    for name in ("visitor", "site"):
        table = lake.metrics("batch", name)
        table.rename(table.with_name(f"_{name}"))
    assert refresh(settings) is None
    assert {name: found(lake, name) for name in TABLES} == plain(everything)


def test_commits_of_delta_that_are_gone_count_all_days_anew(settings: Settings, lake: Lake) -> None:
    everything = [request()]
    append(lake, everything)
    refresh(settings)
    for number in range(3):
        more = [request(status=404, timestamp=NOON + timedelta(days=number))]
        append(lake, more)
        everything += more
    DeltaTable(str(lake.delta)).create_checkpoint()
    for commit in sorted((lake.delta / "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()
    assert refresh(settings) is None
    assert {name: found(lake, name) for name in TABLES} == plain(everything)


def test_days_whose_rows_are_gone_from_delta_vanish_from_the_metrics(settings: Settings, lake: Lake) -> None:
    append(lake, [request(), request(timestamp=TOMORROW)])
    refresh(settings)
    left = [request(timestamp=TOMORROW)]
    replace_all(lake, left)
    assert refresh(settings) == {DAY, NEXT}
    assert {name: found(lake, name) for name in TABLES} == plain(left)


def test_a_lost_ledger_loses_no_figure_and_lets_each_closed_day_be_counted_once_more(
    settings: Settings, lake: Lake
) -> None:
    append(lake, [request()])
    refresh(settings)
    Ledger(lake.ledger).path.unlink()
    more = request(timestamp=TOMORROW)
    append(lake, [more])
    assert refresh(settings, NOON) == {NEXT}
    record = read_record(Ledger(lake.ledger))
    assert record is not None
    assert sorted(record.changed) == [DAY.isoformat(), NEXT.isoformat()]


def test_a_file_of_delta_that_vanished_is_an_error_that_says_so_and_not_a_smaller_figure(
    settings: Settings, lake: Lake
) -> None:
    append(lake, [request()])
    refresh(settings)
    before = {name: found(lake, name) for name in TABLES}
    append(lake, [request()])
    newest = max(lake.delta.rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    newest.unlink()
    with pytest.raises(PipelineError, match=f"cannot be counted: .*{newest.name}"):
        refresh(settings)
    assert {name: found(lake, name) for name in TABLES} == before


def test_the_tables_are_described_and_keep_their_logs_shortly(settings: Settings, lake: Lake) -> None:
    append(lake, [request()])
    refresh(settings)
    for name in TABLES:
        metadata = DeltaTable(str(lake.metrics("batch", name))).metadata()
        assert metadata.description == f"{EXACT_TABLES[name].grain}: exact figures"
        assert set(metadata.configuration.values()) == {"interval 1 hours"}
        assert metadata.partition_columns == list(EXACT_TABLES[name].partition_by)


def test_a_lake_whose_path_has_odd_characters_is_read_all_the_same(settings: Settings, tmp_path: Path) -> None:
    odd = changed(settings, paths={"data_lake": str(tmp_path / "it's a b"), "log": str(tmp_path / "log")})
    everything = [request()]
    append(odd.lake, everything)
    refresh(odd)
    append(odd.lake, everything)
    refresh(odd)
    assert query(odd.lake.metrics("batch", "daily"), "SELECT requests, visitors FROM t") == [(2, 1)]
    assert recount(odd, None) == 0
