"""How the pipeline is doing: what is gathered from a lake, what of it is late, and how it is shown."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from consumer.components.health import JobStatus, Part, Pile, QueryStatus, Status, TableStatus, faults, lateness
from consumer.monitor import as_json, part_status, render, status, summary
from lakehouse.arrivals import Arrival, Arrivals
from lakehouse.lake import Lake, file_stamp
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.locks import lock
from lakehouse.producers import ProducerStatus
from lakehouse.readable import bytes_text, duration_text, safe
from lakehouse.settings import Limits, Settings, unpack_settings
from lakehouse.tables import TableFacts

NOW = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NO_JOBS: dict[str, JobStatus] = {}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return unpack_settings({"paths": {"data_lake": str(tmp_path / "lake"), "log": str(tmp_path / "log")}}, "test")


@pytest.fixture
def lake(settings: Settings) -> Lake:
    settings.lake.landing.mkdir(parents=True)
    return settings.lake


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    return Ledger(settings.lake.ledger)


def now() -> datetime:
    return datetime.now(UTC)


def land(lake: Lake, name: str, content: bytes = b"rows") -> None:
    (lake.landing / name).write_bytes(content)


def figures(lake: Lake, name: str) -> FileFigures:
    stamp = file_stamp(lake.landing / name) or ""
    return FileFigures(name, name, rows=1, merged=1, duplicates=0, quarantined=0, stamp=stamp)


def archive(lake: Lake, *names: str, committed: int, refused: tuple[str, ...] = ()) -> None:
    """Let the archive have numbered these files, and written those up to ``committed``."""
    arrivals = Arrivals(lake.checkpoint("archive"))
    found = []
    for seq, name in enumerate(names, 1):
        stamp = file_stamp(lake.landing / name) or ""
        reason = "not Parquet" if name in refused else None
        found.append(Arrival(seq, name, stamp, 1, reason))
    arrivals.write(found)
    for folder, content in (("commits", "v1"), ("offsets", f'v1\n{{}}\n{{"seq": {committed}}}')):
        (arrivals.checkpoint / folder).mkdir()
        (arrivals.checkpoint / folder / "0").write_text(content)


def shown(seen: Status, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(render(seen))
    return capture.get()


def made(**changes: Any) -> Status:
    """A pipeline on which nothing is late."""
    return replace(Status(NOW, Path("lake"), first_landed_at=NOW - HOUR), **changes)


# --- What is gathered


def test_a_lake_that_does_not_exist_says_so_and_is_not_made(settings: Settings) -> None:
    seen = status(settings, now())
    assert seen.exit_code == 0
    assert shown(seen).splitlines()[0].startswith("nothing has landed yet in ")
    assert str(settings.lake.landing) in shown(seen, 1000)
    assert not settings.lake.root.exists()


def test_landed_files_wait_for_the_cleaner_or_the_archive_or_neither(
    settings: Settings, lake: Lake, ledger: Ledger
) -> None:
    for name in ("a.parquet", "b.parquet", "c.parquet", "d.json", ".hidden", "_temporary"):
        land(lake, name)
    (lake.landing / "folder").mkdir()
    with ledger.run("merge") as run:
        ledger.record_files(run, [figures(lake, "a.parquet"), figures(lake, "b.parquet")])
    archive(lake, "a.parquet", "b.parquet", "c.parquet", committed=1, refused=("c.parquet",))
    seen = status(settings, now() + HOUR)
    assert (seen.waiting.files, seen.waiting.bytes) == (4, 16)
    assert (seen.unmerged.files, seen.unmerged.bytes) == (2, 8)  # c, d
    assert (seen.unarchived.files, seen.unarchived.bytes) == (2, 8)  # b, d; c is refused, so nobody archives it
    assert seen.unmerged.oldest_seconds == pytest.approx(3600, abs=60)


def test_a_file_that_comes_again_under_a_retired_name_waits_again(
    settings: Settings, lake: Lake, ledger: Ledger
) -> None:
    with ledger.run("merge") as run:
        ledger.record_files(run, [figures(lake, "a.parquet")])
        ledger.retire(["a.parquet"])
    assert status(settings, now()).unmerged == Pile()
    land(lake, "a.parquet")
    assert status(settings, now()).unmerged.files == 1


def test_tables_are_told_from_their_logs(settings: Settings, lake: Lake) -> None:
    for rows in (3, 2):
        pl.DataFrame({"event_id": ["x"] * rows}).write_delta(lake.merged, mode="append")
    seen = status(settings, now())
    facts = seen.tables["merged"].facts
    assert facts is not None
    size = sum(path.stat().st_size for path in lake.merged.glob("*.parquet"))
    assert facts == TableFacts(1, facts.committed_at, 5, 2, size)
    assert seen.tables["delta"] == TableStatus()
    assert list(seen.tables) == list(settings.tables)


def test_a_table_that_cannot_be_read_is_late_and_hides_nothing_else(settings: Settings, lake: Lake) -> None:
    log = lake.delta / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("not a commit\x1b[1m\n")
    pl.DataFrame({"event_id": ["x"]}).write_delta(lake.merged)
    seen = status(settings, now())
    assert seen.tables["merged"].facts is not None
    assert seen.tables["delta"].problem
    assert [sentence[:36] for sentence in seen.late] == [
        "delta: the table cannot be read: " + seen.tables["delta"].problem[:3]
    ]
    assert "\x1b" not in shown(seen)


def test_jobs_tell_their_last_run_and_when_they_last_ended_well(settings: Settings, ledger: Ledger) -> None:
    with ledger.run("merge") as run:
        run.figures["rows"] = 10
    good_end = datetime.fromisoformat(ledger.last_good_ends()["merge"])
    with suppress(RuntimeError), ledger.run("merge"):
        raise RuntimeError("disk \x1b[1m full")
    jobs = status(settings, now()).jobs
    assert list(jobs) == ["merge", "batch", "maintain"]
    assert jobs["batch"] == JobStatus()
    merge = jobs["merge"]
    assert (merge.state, merge.exit_code, merge.last_good_end) == ("ended", 1, good_end)
    assert merge.figures == {"error": "RuntimeError: disk \x1b[1m full"}
    assert merge.ended_at is not None
    assert merge.started_at is not None


def test_a_run_without_an_end_goes_on_if_the_job_holds_its_lock_and_was_killed_if_not(
    settings: Settings, ledger: Ledger
) -> None:
    with ledger.run("merge"):
        with lock(settings.lake.locks, "merge"):
            assert status(settings, now()).jobs["merge"].state == "running"
        assert status(settings, now()).jobs["merge"].state == "killed"
    assert status(settings, now()).jobs["merge"].state == "ended"


def test_a_job_under_another_name_is_found_by_its_command(tmp_path: Path) -> None:
    jobs = {"hourly": {"cron": "@hourly", "program": "consumer", "command": "batch"}}
    settings = unpack_settings({"paths": {"data_lake": str(tmp_path)}, "jobs": jobs}, "test")
    with Ledger(settings.lake.ledger).run("batch"):
        pass
    assert [(name, job.state) for name, job in status(settings, now()).jobs.items()] == [("batch", "ended")]


PROGRESS = {
    "batchId": 7, "timestamp": "2024-05-17T12:00:00.000Z", "numInputRows": 1000, "inputRowsPerSecond": float("inf"),
    "processedRowsPerSecond": 250.5, "durationMs": {"latestOffset": 500, "triggerExecution": 4000},
    "stateOperators": [{"numRowsTotal": 0, "memoryUsedBytes": 40}, {"numRowsTotal": 0, "memoryUsedBytes": 2}],
}  # fmt: skip


def test_queries_tell_their_last_progress(settings: Settings, ledger: Ledger) -> None:
    ledger.record_progress("metrics", PROGRESS)
    queries = status(settings, now()).queries
    assert list(queries) == ["metrics"]
    seen = queries["metrics"]
    assert seen == QueryStatus(
        seen.progress_at, 7, "2024-05-17T12:00:00.000Z", 1000, input_rate=None, processed_rate=250.5, batch_seconds=4.0,
        state_bytes=42, waiting_seconds=None,
    )  # fmt: skip
    assert seen.progress_at is not None


def test_a_query_without_any_progress_is_known_by_its_checkpoint(settings: Settings, lake: Lake) -> None:
    lake.checkpoint("archive").mkdir(parents=True)
    land(lake, "a.parquet")
    queries = status(settings, now() + HOUR).queries
    waited = queries["archive"].waiting_seconds
    assert queries == {"archive": QueryStatus(waiting_seconds=waited)}
    assert waited == pytest.approx(3600, abs=60)


def test_what_the_archive_wrote_after_the_metrics_last_looked_waits_for_them_even_if_they_idle_since(
    settings: Settings, lake: Lake, ledger: Ledger
) -> None:
    metadata = lake.logs / "_spark_metadata"
    metadata.mkdir(parents=True)
    looked_at = NOW + timedelta(seconds=0.5)  # as PROGRESS has it
    for name, seconds in {"0": -60, "1": -0.1, "2": 1, "3": 2, ".3.crc": 2}.items():
        (metadata / name).write_text("v1")
        os.utime(metadata / name, times=(0, looked_at.timestamp() + seconds))
    ledger.record_progress("metrics", PROGRESS)
    ledger.touch_progress("metrics")
    moment = looked_at + timedelta(seconds=301)
    assert status(settings, moment).queries["metrics"].waiting_seconds == 300
    ledger.record_progress("metrics", PROGRESS | {"timestamp": "2024-05-17T12:00:03.000Z"})
    assert status(settings, moment).queries["metrics"].waiting_seconds is None
    ledger.clear_progress("metrics")
    lake.checkpoint("metrics").mkdir(parents=True)
    assert status(settings, moment).queries["metrics"].waiting_seconds == 361


def test_the_stream_runs_since_it_said_so_while_its_lock_is_held(
    settings: Settings, lake: Lake, ledger: Ledger
) -> None:
    def seen() -> tuple[datetime | None, list[str]]:
        found = status(settings, now())
        return found.stream_started_at, list(found.queries)

    assert seen() == (None, [])
    with lock(lake.locks, "stream"):
        assert seen() == (None, [])  # it ends by itself: --once
        ledger.record_progress("stream", {})
        started_at = datetime.fromisoformat(ledger.progress()["stream"]["updated_at"])
        assert seen() == (started_at, ["archive", "metrics"])
    assert seen() == (None, [])


def test_producers_that_ever_ran_are_told_of(settings: Settings, lake: Lake, ledger: Ledger) -> None:
    times = {"started_at": ago(9).isoformat(), "progress_at": None, "landed_at": None, "ended_at": NOW.isoformat()}
    ledger.record_progress("simulate", times | {"files": 0, "rows": 0})
    ended = ProducerStatus("ended", ago(9), ended_at=NOW)
    assert status(settings, now()).producers == {"simulate": ended}
    with lock(lake.locks, "follow"):
        assert status(settings, now()).producers == {"simulate": ended, "follow": ProducerStatus("running")}


def test_a_part_is_told_without_reading_the_rest(settings: Settings, lake: Lake, ledger: Ledger) -> None:
    (lake.merged / "_delta_log").mkdir(parents=True)
    (lake.merged / "_delta_log" / f"{0:020}.json").write_text("not a commit")
    land(lake, "a.parquet")
    with ledger.run("merge"):
        pass
    with lock(lake.locks, "stream"):
        ledger.record_progress("stream", {})
        ledger.record_progress("archive", PROGRESS)
        ledger.touch_progress("metrics")
        moment = now()
        whole = status(settings, moment)
        stream, jobs = part_status(settings, "stream", moment), part_status(settings, "jobs", moment)
    queries = {name: replace(query, waiting_seconds=None) for name, query in whole.queries.items()}
    assert stream == Status(moment, lake.root, stream_started_at=whole.stream_started_at, queries=queries)
    assert jobs == Status(moment, lake.root, first_landed_at=whole.first_landed_at, jobs=whole.jobs)
    assert [sentence.partition(":")[0] for sentence in whole.late] == ["merged"]


def test_a_part_of_a_new_lake_is_not_at_work(settings: Settings) -> None:
    stream, jobs = part_status(settings, "stream", NOW), part_status(settings, "jobs", NOW)
    assert stream.late == ("stream: it is not running; start it with: python -m consumer stream",)
    assert jobs.late == ("merge: has never ended well",)
    assert not settings.lake.root.exists()


def test_status_needs_neither_a_jvm_nor_a_data_frame(settings: Settings, lake: Lake, ledger: Ledger) -> None:
    pl.DataFrame({"event_id": ["x"]}).write_delta(lake.merged)
    script = (
        "import sys\n"
        "from datetime import UTC, datetime\n"
        "from consumer.monitor import as_json, part_status, render, status, summary\n"
        "from lakehouse.settings import unpack_settings\n"
        f"settings = unpack_settings({{'paths': {{'data_lake': {str(lake.root)!r}}}}}, 'test')\n"
        "for part in ('stream', 'jobs'):\n"
        "    summary(part_status(settings, part, datetime.now(UTC)), part)\n"
        "print([name for name in ('deltalake', 'rich') if name in sys.modules])\n"
        "seen = status(settings, datetime.now(UTC))\n"
        "assert seen.tables['merged'].facts.rows == 1\n"
        "as_json(seen), render(seen)\n"
        "print([name for name in ('pyspark', 'polars', 'pandas', 'pyarrow', 'numpy') if name in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n[]\n"


# --- What is late


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def ended(seconds_ago: float, exit_code: int = 0, **changes: Any) -> JobStatus:
    end = ago(seconds_ago)
    good_end = end if exit_code == 0 else None
    return replace(JobStatus("ended", end - timedelta(seconds=1), end, exit_code, {}, good_end), **changes)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (made(), []),
        (made(jobs={"merge": ended(300)}), []),
        (made(jobs={"merge": ended(301)}), ["merge: last ended well 5 min ago (limit 5 min)"]),
        (made(jobs={"batch": ended(899)}), []),
        (made(jobs={"batch": ended(7300)}), ["batch: last ended well 2 h ago (limit 15 min)"]),
        (
            made(jobs={"merge": JobStatus("running", ago(600), last_good_end=ago(660))}),
            ["merge: last ended well 11 min ago (limit 5 min) and is running"],
        ),
        (
            made(jobs={"merge": ended(5, 1, last_good_end=ago(70), figures={"error": "LockedError: held"})}),
            ["merge: the last run, 5 s ago, failed with exit code 1: LockedError: held"],
        ),
        (
            made(jobs={"merge": ended(400, 137)}),
            [
                "merge: the last run, 7 min ago, failed with exit code 137",
                "merge: has never ended well, and the first file landed 1 h ago (limit 5 min)",
            ],
        ),
        (made(jobs={"merge": JobStatus("killed", ago(60), last_good_end=ago(120))}), []),
        (made(jobs={"maintain": JobStatus()}), []),
        (made(jobs={"merge": JobStatus()}, first_landed_at=None), []),
        (made(jobs={"merge": JobStatus()}, first_landed_at=ago(10)), []),
        (
            made(jobs={"merge": JobStatus()}),
            ["merge: has never ended well, and the first file landed 1 h ago (limit 5 min)"],
        ),
        (made(jobs={"reindex": ended(10**9)}), []),
        (made(unmerged=Pile(2, 10, 300)), []),
        (
            made(unmerged=Pile(1200, 10, 301)),
            [
                (
                    "landing: 1,200 files not merged, the oldest for 5 min (limit 5 min);"
                    " merge with: python -m cleaner merge"
                )
            ],
        ),
        (made(queries={"archive": QueryStatus(ago(10_000))}), []),
        (made(queries={"archive": QueryStatus(ago(10_000), waiting_seconds=119)}), []),
        (made(queries={"archive": QueryStatus(ago(5), waiting_seconds=10_000)}), []),
        (
            made(queries={"archive": QueryStatus(ago(7200), waiting_seconds=180)}),
            [
                (
                    "archive: rows have been waiting for the query for 3 min (limit 2 min),"
                    " its last progress was 2 h ago; run it with: python -m consumer stream"
                )
            ],
        ),
        (
            made(queries={"metrics": QueryStatus(waiting_seconds=180)}),
            [
                (
                    "metrics: rows have been waiting for the query for 3 min (limit 2 min),"
                    " its last progress was never; run it with: python -m consumer stream"
                )
            ],
        ),
        (made(stream_started_at=ago(120), queries={"metrics": QueryStatus()}), []),
        (made(stream_started_at=ago(10_000), queries={"metrics": QueryStatus(ago(120))}), []),
        (
            made(stream_started_at=ago(180), queries={"metrics": QueryStatus(ago(7200)), "archive": QueryStatus()}),
            [
                (
                    f"{name}: its last progress was {progress} (limit 2 min); the stream was started 3 min ago; see its"
                    " log, consumer/consumer.log, and start it again"
                )
                for name, progress in {"metrics": "2 h ago", "archive": "never"}.items()
            ],
        ),
        (
            made(stream_started_at=ago(180), queries={"archive": QueryStatus(ago(170), waiting_seconds=150)}),
            [
                (
                    "archive: rows have been waiting for the query for 2 min (limit 2 min), its last progress was"
                    " 3 min ago; the stream was started 3 min ago; see its log, consumer/consumer.log, and start it again"
                )
            ],
        ),
        (
            made(stream_started_at=ago(4), queries={"archive": QueryStatus(ago(7200), waiting_seconds=150)}),
            [
                (
                    "archive: rows have been waiting for the query for 2 min (limit 2 min), its last progress was"
                    " 2 h ago; the stream was started 4 s ago"
                )
            ],
        ),
        (made(producers={"simulate": ProducerStatus("running", ago(99), ago(60))}), []),
        (made(producers={"simulate": ProducerStatus("killed", ago(99), ago(90))}), []),
        (made(producers={"simulate": ProducerStatus("ended", ago(9999), ago(9000), ended_at=ago(9000))}), []),
        (
            made(producers={"simulate": ProducerStatus("running", ago(9999), ago(180))}),
            [
                (
                    "simulate: it is running, but its last progress was 3 min ago (limit 1 min); see its log,"
                    " writer/producer.log, and start it again"
                )
            ],
        ),
        (made(tables={"delta": TableStatus(problem="bad")}), ["delta: the table cannot be read: bad"]),
        (made(lost_rows=1), ["merged: 1 row fewer than were merged; see what to do by: python -m consumer report"]),
    ],
)
def test_what_is_late_is_said_in_a_sentence(seen: Status, expected: list[str]) -> None:
    assert lateness(seen, Limits()) == expected


@pytest.mark.parametrize(
    ("part", "seen", "expected"),
    [
        ("stream", made(), ["stream: it is not running; start it with: python -m consumer stream"]),
        (
            "stream",
            made(stream_started_at=ago(4), queries={"archive": QueryStatus(ago(3)), "metrics": QueryStatus()}),
            ["metrics: no progress yet, the stream was started 4 s ago"],
        ),
        (
            "stream",
            made(stream_started_at=ago(4), queries={"archive": QueryStatus(ago(5)), "metrics": QueryStatus(ago(4))}),
            ["archive: no progress yet, the stream was started 4 s ago"],
        ),
        ("stream", made(stream_started_at=ago(999), queries={"archive": QueryStatus(ago(120))}), []),
        (
            "stream",
            made(stream_started_at=ago(180), queries={"archive": QueryStatus(ago(7200))}),
            [
                (
                    "archive: its last progress was 2 h ago (limit 2 min); the stream was started 3 min ago; see its"
                    " log, consumer/consumer.log, and start it again"
                )
            ],
        ),
        ("jobs", made(first_landed_at=None), ["merge: has never ended well"]),
        (
            "jobs",
            made(first_landed_at=None, jobs={"merge": JobStatus("running", ago(4))}),
            ["merge: has never ended well and is running"],
        ),
        (
            "jobs",
            made(jobs={"merge": ended(5, 1)}),
            [
                "merge: the last run, 5 s ago, failed with exit code 1",
                "merge: has never ended well, and the first file landed 1 h ago (limit 5 min)",
            ],
        ),
        (
            "jobs",
            made(jobs={"merge": ended(300), "batch": JobStatus(), "maintain": JobStatus()}, first_landed_at=None),
            [],
        ),
        (
            "jobs",
            made(jobs={"merge": ended(301), "batch": JobStatus()}, first_landed_at=ago(1000)),
            [
                "merge: last ended well 5 min ago (limit 5 min)",
                "batch: has never ended well, and the first file landed 17 min ago (limit 15 min)",
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_part_that_must_be_at_work_is_said_in_a_sentence(
    part: Part, seen: Status, expected: list[str]
) -> None:
    assert faults(seen, Limits(), part) == expected


def test_something_late_makes_the_exit_code_1() -> None:
    assert made().exit_code == 0
    assert made(late=("merge: late",)).exit_code == 1


# --- How it is shown


@pytest.fixture
def busy() -> Status:
    """A status with something in every place, and hostile text wherever text comes from outside."""
    hostile = "[bold]x[/bold]\x1b[2J\n\u202efdp.exe"
    figures = {"rows": 1234, "reasons": {"no ip": 2}, "error": hostile}
    return made(
        producers={
            "simulate": ProducerStatus("running", ago(9000), ago(3), ago(3), files=1234, rows=123_456_789),
            "follow": ProducerStatus("running", ago(9)),
        },
        waiting=Pile(3, 1_234_567, 4000.0),
        unmerged=Pile(1, 10, 4000.0),
        unarchived=Pile(2, 20, 30.0),
        tables={
            "merged": TableStatus(TableFacts(12, ago(90), 123_456_789, 400, 98_765_432_100)),
            "delta": TableStatus(),
            "quarantine": TableStatus(problem=hostile),
        },
        jobs={
            "merge": ended(60, 1, figures=figures),
            "batch": JobStatus(),
            "maintain": JobStatus("running", ago(30)),
        },
        queries={
            "archive": QueryStatus(ago(10), 12345, "2024-05-17T12:00:00Z", 1_000_000, 1.5, 33_000.4, 4.2, 10**9, 5.0),
            "metrics": QueryStatus(),
        },
        late=(f"merge: the last run failed: {hostile}",),
    )


def test_nothing_from_outside_acts_on_the_terminal(busy: Status) -> None:
    text = shown(busy, 200)
    assert r"[bold]x[/bold]\x1b[2J\n\u202efdp.exe" in text
    assert all(character.isprintable() for character in text.replace("\n", ""))


def test_eighty_columns_are_enough(busy: Status) -> None:
    lines = shown(busy).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    words = " ".join(shown(busy).split())
    for figure in (
        "simulate running 1,234 123,456,789 3 s ago 3 s ago",
        "follow running 0 0 nothing yet none yet",
        "123,456,789 400 98.8 GB 12 2 min ago",
        "cannot be read",
        "not made yet",
        "3 1.23 MB 1 h",
        "1 min ago 1 s 1 rows 1,234",
        "never run",
        "running 30 s",
        "10 s ago 12345 1,000,000 4.2 s 33,000 1.00 GB 5 s",
        "none yet",
        "late: merge",
    ):
        assert figure in words, figure


def test_a_quiet_pipeline_says_that_nothing_is_late() -> None:
    assert shown(made()).splitlines()[-1] == "nothing is late"


def test_a_part_is_shown_in_a_line_if_all_is_well_else_in_one_for_each_thing_that_is_wrong(busy: Status) -> None:
    queries = {"archive": QueryStatus(ago(10)), "metrics": QueryStatus(ago(2))}
    jobs = {"merge": ended(60), "batch": JobStatus()}
    well = made(stream_started_at=ago(7200), queries=queries, jobs=jobs)
    assert summary(well, "stream") == "stream: started 2 h ago; last progress: archive 10 s ago, metrics 2 s ago"
    assert summary(well, "jobs") == "jobs: last ended well: merge 1 min ago, batch never"
    wrong = summary(replace(well, late=(*busy.late, "x" * 1000)), "jobs").splitlines()
    assert wrong == [r"merge: the last run failed: [bold]x[/bold]\x1b[2J\n\u202efdp.exe", "x" * 500 + "…"]


def test_json_of_a_part_has_that_part_alone(busy: Status) -> None:
    whole, common = as_json(busy), {"now", "data_lake", "late", "exit_code"}
    stream, jobs = as_json(busy, "stream"), as_json(busy, "jobs")
    assert stream == {key: whole[key] for key in common | {"stream_started_at", "queries"}}
    assert jobs == {key: whole[key] for key in common | {"jobs"}}


def test_json_is_strict_and_plain(busy: Status) -> None:
    text = json.dumps(as_json(busy), allow_nan=False)
    back = json.loads(text)
    assert (back["now"], back["data_lake"], back["exit_code"]) == ("2024-05-17T12:00:00+00:00", "lake", 1)
    assert back["landing"] == {
        "waiting": {"files": 3, "bytes": 1_234_567, "oldest_seconds": 4000.0},
        "unmerged": {"files": 1, "bytes": 10, "oldest_seconds": 4000.0},
        "unarchived": {"files": 2, "bytes": 20, "oldest_seconds": 30.0},
        "left_alone": 0,
        "first_landed_at": "2024-05-17T11:00:00+00:00",
    }
    assert back["tables"] == {
        "merged": {"version": 12, "committed_at": "2024-05-17T11:58:30+00:00", "rows": 123_456_789, "files": 400,
                   "bytes": 98_765_432_100},
        "delta": None,
        "quarantine": {"problem": busy.tables["quarantine"].problem},
    }  # fmt: skip
    assert back["jobs"]["merge"]["figures"] == busy.jobs["merge"].figures
    assert (back["jobs"]["merge"]["age_seconds"], back["jobs"]["batch"]["age_seconds"]) == (60, None)
    assert back["producers"]["simulate"] == {
        "state": "running", "started_at": ago(9000).isoformat(), "progress_at": ago(3).isoformat(),
        "landed_at": ago(3).isoformat(), "ended_at": None, "files": 1234, "rows": 123_456_789,
        "unreadable": 0,
    }  # fmt: skip
    assert back["queries"]["archive"]["processed_rate"] == 33_000.4
    assert back["late"] == list(busy.late)


def test_json_of_an_infinite_figure_is_null() -> None:
    seen = made(jobs={"merge": ended(1, figures={"rate": float("nan"), "day": [date(2024, 1, 1).isoformat()]})})
    assert as_json(seen)["jobs"]["merge"]["figures"] == {"rate": None, "day": ["2024-01-01"]}


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (-1, "-1 B"), (-123_456, "-123 kB"), (9_994, "9.99 kB"),
        (9_996, "10.0 kB"), (99_960, "100 kB"), (999_499, "999 kB"), (999_500, "1.00 MB"), (10**18, "1,000 PB"),
    ],
)  # fmt: skip
def test_bytes_have_three_digits_and_a_unit(count: int, expected: str) -> None:
    assert bytes_text(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-1, "0 s"), (0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (172_800, "2 d")]
)
def test_durations_have_their_largest_unit(seconds: float, expected: str) -> None:
    assert duration_text(seconds) == expected


def test_long_text_is_cut() -> None:
    assert safe("x" * 1_000_000).plain == "x" * 500 + "…"
    assert safe(None).plain == "None"
