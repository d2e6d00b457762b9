"""The logs whose lines were rejected most, as the report names them."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from consumer.components.figures import RejectedLog
from consumer.components.rejected_logs import rejected_logs
from consumer.components.table_reader import reading
from consumer.report import as_json, render, report
from lakehouse.errors import PipelineError
from lakehouse.lake import Lake
from lakehouse.settings import Settings, unpack_settings

DAY = date(2024, 5, 17)
UNPARSED, BLANK, NO_IP = ["line does not parse"], ["blank line"], ["no ip"]
HOSTILE = "[bold]'; DROP TABLE merged; --\x1b[2J\nforged\u202e"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return unpack_settings({"paths": {"data_lake": str(tmp_path / "my lake")}}, "test")


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return settings.lake


def write(path: Path, schema: dict[str, Any], rows: Sequence[tuple[Any, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(event_date=pl.lit(DAY))
    frame.write_delta(path, mode="append", delta_write_options={"partition_by": ["event_date"]})


def merged(lake: Lake, **lines: int) -> None:
    rows = [(f"{source}.log",) for source, count in lines.items() for _ in range(count)]
    write(lake.merged, {"source": pl.String}, rows)


def quarantined(lake: Lake, *rows: tuple[str | None, list[str]]) -> None:
    write(lake.quarantine, {"source": pl.String, "reasons": pl.List(pl.String)}, rows)


def found(lake: Lake, most: int = 10) -> list[RejectedLog]:
    with reading(lake) as reader:
        return rejected_logs(reader, most)


def test_without_a_table_no_log_is_named(lake: Lake) -> None:
    assert found(lake) == []
    merged(lake, a=1)
    assert found(lake) == []


def test_a_table_that_lacks_the_columns_names_no_log(lake: Lake) -> None:
    write(lake.quarantine, {"event_id": pl.String}, [("x",)])
    assert found(lake) == []


def test_logs_are_named_by_their_share_of_rejected_lines_with_the_most_frequent_reason(lake: Lake) -> None:
    merged(lake, good=100, below=96, at=95, half=1, mixed=5, other=1)
    quarantined(
        lake,
        *[("below.log", UNPARSED)] * 4,
        *[("at.log", UNPARSED)] * 5,
        ("half.log", NO_IP),
        *[("mixed.log", UNPARSED)] * 2,
        *[("mixed.log", BLANK)] * 2,
        ("mixed.log", ["no ip", "no status"]),
        *[("none.log", UNPARSED)] * 3,
        ("a-none.log", UNPARSED),
        (HOSTILE, NO_IP),
        *[(None, ["file refused: unknown kind of file"])] * 9,
    )  # fmt: skip
    expected = [
        RejectedLog("none.log", lines=3, rejected=3, unparsed=3, reason="line does not parse"),
        RejectedLog(HOSTILE, lines=1, rejected=1, unparsed=0, reason="no ip"),
        RejectedLog("a-none.log", lines=1, rejected=1, unparsed=1, reason="line does not parse"),
        RejectedLog("mixed.log", lines=10, rejected=5, unparsed=4, reason="blank line"),
        RejectedLog("half.log", lines=2, rejected=1, unparsed=0, reason="no ip"),
        RejectedLog("at.log", lines=100, rejected=5, unparsed=5, reason="line does not parse"),
    ]
    assert found(lake) == expected
    assert found(lake, most=2) == expected[:2]


def shown(settings: Settings) -> str:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(render(report(settings)))
    return capture.get()


def test_the_report_names_them_with_what_to_do(settings: Settings, lake: Lake) -> None:
    merged(lake, half=1)
    quarantined(lake, ("half.log", UNPARSED), (HOSTILE, NO_IP))
    text = shown(settings)
    lines = text.split("Logs with 5 % or more of their lines rejected, the worst first")[1].splitlines()
    assert [" ".join(line.split()) for line in lines[1:8] if not line.startswith("─")] == [
        "log lines rejected share main reason",
        "[bold]'; DROP TABLE merged; 1 1 100.0 % no ip",
        r"--\x1b[2J\nforged\u202e",
        "half.log 2 1 50.0 % line does not parse",
        "",
        "To see how a log is read, and what to set: python -m producer inspect LOG",
    ]
    assert as_json(report(settings))["rejected_logs"] == [
        {"source": HOSTILE, "lines": 1, "rejected": 1, "unparsed": 0, "reason": "no ip", "share": 1.0},
        {"source": "half.log", "lines": 2, "rejected": 1, "unparsed": 1, "reason": "line does not parse", "share": 0.5},
    ]
    assert json.dumps(as_json(report(settings))).isascii()


def test_where_every_line_parses_the_report_names_no_log(settings: Settings, lake: Lake) -> None:
    merged(lake, good=3)
    quarantined(lake, ("good.log", NO_IP))
    assert "inspect" not in shown(settings)
    merged(lake, good=100)
    assert "Logs with" not in shown(settings)
    assert as_json(report(settings))["rejected_logs"] == []


def test_a_table_that_cannot_be_read_is_named(lake: Lake) -> None:
    merged(lake, half=1)
    quarantined(lake, ("half.log", UNPARSED))
    for file in lake.merged.rglob("*.parquet"):
        file.unlink()
    with pytest.raises(PipelineError, match=r"merged: the table cannot be read: "):
        found(lake)
