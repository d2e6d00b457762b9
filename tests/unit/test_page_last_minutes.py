"""The last minutes on the page: from the newest files of the archive, each read once. Without a JVM."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import Schema, write_deltalake
from starlette.testclient import TestClient

from consumer.page import recent
from consumer.page.app import application
from consumer.page.recent import MINUTES, Recent
from lakehouse.lake import Lake
from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.settings import Settings
from lakehouse.sink_log import SinkFile, newest_files
from lakehouse.tables import create_table
from tests.requests import append, request

NOW = datetime(2024, 5, 17, 12, 30, 15, tzinfo=UTC)
Row = tuple[str | None, datetime | None]


def archive(lake: Lake, batch: str, rows: Sequence[Row], written_at: datetime, name: str = "") -> Path:
    """A file of ``logs/`` with rows of these identities and times, committed by the batch."""
    log = lake.logs / "_spark_metadata"
    log.mkdir(parents=True, exist_ok=True)
    file = lake.logs / f"part-{name or batch}.parquet"
    ids, times = [row[0] for row in rows], pa.array([row[1] for row in rows], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"event_id": pa.array(ids, pa.string()), "timestamp": times}), file)
    before = (log / batch).read_text() if (log / batch).exists() else "v1"
    (log / batch).write_text(f"{before}\n{entry(file, written_at)}")
    return file


def entry(file: Path, written_at: datetime) -> str:
    milliseconds = round(written_at.timestamp() * 1000)
    return json.dumps(
        {"path": file.as_uri(), "size": file.stat().st_size, "modificationTime": milliseconds, "action": "add"}
    )


def count_today(lake: Lake) -> None:
    """The running figures of today, as the stream has them."""
    table, path = EXACT_TABLES["daily"], lake.metrics("streaming", "daily")
    create_table(path, table, description=table.grain)
    kinds = pa.schema(Schema.from_json(table.json()).to_arrow())
    today = datetime.now(UTC).date()
    day = {"event_date": today, "requests": 3, "visitors": 1, "bytes": 5, "client_errors": 0, "server_errors": 0}
    write_deltalake(str(path), pa.Table.from_pylist([day], kinds), mode="append")


def minutes(seen: Recent, now: datetime = NOW) -> dict[str, int] | None:
    with duckdb.connect() as connection:
        found = seen.last_minutes(connection, now)
    if found is None:
        return None
    assert len(found.minutes) == MINUTES
    return {f"{minute.start:%H:%M}": minute.requests for minute in found.minutes if minute.requests}


def ago(**before: float) -> datetime:
    return NOW - timedelta(**before)


def test_requests_are_counted_by_the_minute_of_their_time(lake: Lake) -> None:
    first, second = ago(minutes=20), ago(seconds=5)
    archive(
        lake,
        "0",
        [
            ("a", first), ("a", first), ("b", first), (None, None), ("c", None),  # delivered twice; without a time
            ("d", ago(hours=2)), ("e", ago(minutes=29, seconds=15)), ("f", ago(minutes=29, seconds=16)), ("g", NOW + timedelta(days=300)),
        ],
        first,
    )  # fmt: skip
    archive(lake, "1", [("h", second), ("i", first)], second)
    assert minutes(Recent(lake)) == {"12:01": 1, "12:10": 3, "12:30": 1}


def test_a_file_is_read_once_and_forgotten_when_its_minutes_are_over(lake: Lake) -> None:
    seen = Recent(lake)
    first = archive(lake, "0", [("a", ago(minutes=1))], ago(minutes=1))
    assert minutes(seen) == {"12:29": 1}
    first.write_bytes(b"no longer a Parquet file")
    archive(lake, "1", [("b", NOW)], NOW)
    assert minutes(seen) == {"12:29": 1, "12:30": 1}
    assert minutes(seen, NOW + timedelta(minutes=29)) == {"12:30": 1}
    assert minutes(seen, NOW + timedelta(minutes=31)) is None


def test_only_files_of_the_last_minutes_are_looked_at_however_many_there_are(lake: Lake) -> None:
    times = [ago(minutes=n) for n in range(60, 0, -1)]
    for n, time in enumerate(times[:-2]):
        archive(lake, "57.compact", [(f"e{n}", time)], time, str(n))
    for n in (58, 59):
        archive(lake, str(n), [(f"e{n}", times[n])], times[n])
    sizes = {n: (lake.logs / f"part-{n}.parquet").stat().st_size for n in range(60)}
    expected = [SinkFile(f"part-{n}.parquet", sizes[n], times[n]) for n in (59, 58, 57, 56, 55)]
    assert newest_files(lake.logs, ago(minutes=5)) == expected
    (lake.logs / "part-0.parquet").unlink()
    assert len(minutes(Recent(lake)) or ()) == 30 - 1  # the newest file is a minute old


@pytest.mark.parametrize("damage", ["", "v1\n{", 'v1\n{"path": "file:///x"}'])
def test_without_an_archive_or_with_a_damaged_one_there_are_none(lake: Lake, damage: str) -> None:
    assert minutes(Recent(lake)) is None
    (lake.logs / "_spark_metadata").mkdir(parents=True)
    (lake.logs / "_spark_metadata" / "0").write_text(damage)
    assert minutes(Recent(lake)) is None


def test_a_stream_that_catches_up_is_not_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(lake, "0", [("a", NOW)], NOW)
    monkeypatch.setattr(recent, "MAX_BYTES", 100)
    assert minutes(Recent(lake)) is None


def test_the_page_shows_them_as_bars_and_as_a_table_in_its_time_zone(settings: Settings, lake: Lake) -> None:
    now = datetime.now(UTC)
    append(lake, [request()])
    count_today(lake)
    with TestClient(application(settings), base_url="http://127.0.0.1") as page:
        assert page.get("/api/live").json()["live"]["minutes"] is None
        assert 'class="minutes"' not in page.get("/").text
        at = now - timedelta(minutes=2)
        archive(lake, "0", [("a", at), ("b", at), ("c", at - timedelta(minutes=1))], now)
        found = page.get("/api/live", params={"tz": "Asia/Kolkata"}).json()["live"]["minutes"]
        shown = {row["time"]: row["requests"] for row in found["rows"] if row["requests"]}
        expected = f"{at + timedelta(hours=5, minutes=30):%Y-%m-%dT%H:%M}+05:30"
        assert (len(found["rows"]), len(shown), shown[expected]) == (30, 2, 2)
        html = page.get("/?tz=Asia/Kolkata").text
        assert f'<tr><td>{expected[11:16]}</td><td class="number">2</td></tr>' in html
        assert re.findall(r'height="([0-9.]+)"><title>' + expected[11:16], html) == ["40.0"]
        log = lake.logs / "_spark_metadata" / "0"
        log.write_text(log.read_text().replace("part-0", "gone"))
        assert page.get("/").status_code == 200
