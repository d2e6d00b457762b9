"""/pipeline and /metrics with a table that cannot be read: it is named, and the others are shown. No JVM."""

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Schema, write_deltalake

from consumer.page.exposition import exposition
from lakehouse.lake import Lake
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.schema import MERGED, QUARANTINE
from lakehouse.settings import Settings, unpack_settings
from lakehouse.tables import create_table
from tests.requests import NOON, request
from tests.unit.test_page import counted, page_of

Damage = Callable[[Path], None]
SECTIONS = {
    "merged": "identity", "delta": "identity", "quarantine": "identity",
    "metrics/batch/daily": "days", "metrics/streaming/daily": "days",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of one landed file: two rows merged, one in quarantine; counted by batch and by the stream."""
    settings = settings_of(tmp_path_factory.mktemp("model"))
    lake = settings.lake
    counted(settings, request(site="a.example", ip="192.0.2.1"), request(ip="192.0.2.2"))
    for path, schema, rows in (
        (lake.merged, MERGED, [{"event_id": "a", "event_date": datetime(2024, 5, 17, tzinfo=UTC).date()}] * 2),
        (lake.quarantine, QUARANTINE, [{"event_id": "q", "reasons": ["no ip"], "raw": "the rejected line", "landed_file": "a.parquet"}]),
    ):  # fmt: skip
        create_table(path, schema, description="a table", partition_by=("event_date",) if schema is MERGED else ())
        kinds = pa.schema(Schema.from_json(schema.json()).to_arrow())
        write_deltalake(DeltaTable(str(path)), pa.Table.from_pylist(rows, kinds), mode="append")
    table, path = EXACT_TABLES["daily"], lake.metrics("streaming", "daily")
    create_table(path, table, description=table.grain)
    kinds = pa.schema(Schema.from_json(table.json()).to_arrow())
    day = {"event_date": datetime(2024, 5, 17, tzinfo=UTC).date(), "requests": 777, "visitors": 2, "last_seen": NOON}
    write_deltalake(str(path), pa.Table.from_pylist([day], kinds), mode="append")
    ledger = Ledger(lake.ledger)
    with ledger.run("merge") as run:
        figures = FileFigures("a", "a", rows=3, merged=2, duplicates=0, quarantined=1, reasons={"no ip": 1})
        ledger.record_files(run, [figures])
    return lake.root


@pytest.fixture
def whole(model: Path, settings: Settings) -> Settings:
    """The test's own copy of it."""
    shutil.copytree(model, settings.lake.root)
    return settings


def settings_of(folder: Path) -> Settings:
    return unpack_settings({"paths": {"data_lake": str(folder / "lake"), "log": str(folder / "log")}}, "test")


def damaged_log(path: Path) -> None:
    max((path / "_delta_log").glob("*.json")).write_text("")


def lost_files(path: Path) -> None:
    for file in path.rglob("*.parquet"):
        file.unlink()


def sections(html: str) -> dict[str, str]:
    return dict(re.findall(r'aria-labelledby="t-(\w+)">(.*?)</section>', html, re.DOTALL))


def shown(html: str) -> dict[str, bool]:
    """What of each section is there."""
    found = sections(html)
    return {
        "identity": "<b>3</b> landed" in found["identity"],
        "exact": "<td>2024-05-17</td><td class=\"number\">2</td>" in found["days"],
        "streaming": '<td class="number">777</td>' in found["days"],
        "quarantine": "the rejected line" in found["quarantine"] and "no ip" in found["quarantine"],
        "tables": "metrics/batch/daily" in found["tables"],
        "jobs": "merge" in found["jobs"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "damage"),
    [(table, damaged_log) for table in SECTIONS]
    + [("metrics/batch/daily", lost_files), ("metrics/streaming/daily", lost_files), ("quarantine", lost_files)],
)
def test_a_table_that_cannot_be_read_leaves_the_other_sections_as_they_are(
    whole: Settings, lake: Lake, table: str, damage: Damage
) -> None:
    path = lake.tables[table]
    damage(path)
    with page_of(whole) as page:
        answer = page.get("/pipeline")
        as_json = page.get("/api/pipeline").json()
        exported = dict(csv.reader(io.StringIO(page.get("/export/pipeline.csv").text)))
    assert answer.status_code == 200
    lost = {"metrics/batch/daily": "exact", "metrics/streaming/daily": "streaming", "quarantine": "quarantine"}.get(
        table
    )
    assert shown(answer.text) == {name: name != lost for name in shown(answer.text)}
    section = "quarantine" if table == "quarantine" and damage is lost_files else SECTIONS[table]
    assert f"<li>{path}" in sections(answer.text)[section]
    assert {name for name, text in sections(answer.text).items() if f"<li>{path}" in text} == set(as_json["problems"])
    assert all(said.startswith(str(path)) for said in as_json["problems"][section])
    is_counted = not (SECTIONS[table] == "identity" and damage is damaged_log)
    assert as_json["identity"]["holds"] is is_counted
    names = {"merged": "2", "quarantine": "1", "delta": "2"}
    assert {name: exported[f"rows_of_{name}"] for name in names} == names | ({} if is_counted else {table: ""})


def test_a_whole_lake_has_no_problems(whole: Settings) -> None:
    with page_of(whole) as page:
        html, as_json = page.get("/pipeline").text, page.get("/api/pipeline").json()
    assert set(shown(html).values()) == {True}
    assert 'class="problems"' not in "".join(text for name, text in sections(html).items() if name != "late")
    assert (as_json["problems"], as_json["identity"]["holds"]) == ({}, True)


# --- for Prometheus


def samples(settings: Settings) -> dict[str, float]:
    lines = exposition(settings).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def unreadable(found: dict[str, Any]) -> list[str]:
    pairs = [(re.search(r'lakehouse_table_unreadable\{table="(.*)"\}', name), value) for name, value in found.items()]
    return [match[1] for match, value in pairs if match and value]


@pytest.mark.parametrize("damage", [damaged_log, lost_files])
@pytest.mark.parametrize(
    "table", ["delta", "merged", "metrics/batch/hourly", "metrics/batch/daily", "metrics/streaming/daily"]
)
def test_metrics_name_a_table_that_cannot_be_read_and_have_the_others(
    whole: Settings, lake: Lake, table: str, damage: Damage
) -> None:
    before = samples(whole)
    assert unreadable(before) == []
    damage(lake.tables[table])
    found = samples(whole)
    is_noticed = damage is damaged_log or table.startswith("metrics")
    assert unreadable(found) == ([table] if is_noticed else [])
    assert found["lakehouse_unreadable_tables"] == is_noticed
    gone = {
        "metrics/batch/hourly": {name for name in before if name.startswith("lakehouse_requests{")},
        "metrics/batch/daily": {'lakehouse_event_to_figure_lag_seconds{figures="batch"}'},
        "metrics/streaming/daily": {'lakehouse_event_to_figure_lag_seconds{figures="streaming"}'},
    }.get(table, set())
    facts = {
        name for name in before if f'table="{table}"' in name and not name.startswith("lakehouse_table_unreadable")
    }
    lost = gone | (facts if damage is damaged_log else set())
    assert set(before) - set(found) == lost
    assert gone <= set(before)
    assert bool(gone) == table.startswith("metrics")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_approves_of_metrics_without_a_table(whole: Settings, lake: Lake) -> None:
    damaged_log(lake.metrics("batch", "hourly"))
    lost_files(lake.metrics("batch", "daily"))
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition(whole), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
