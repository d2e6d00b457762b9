import logging
import time
from pathlib import Path

import pytest

from lakehouse.logs import FORMAT, SafeFormatter, configure, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢 😀", "plain é 漢 😀"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\ud800 lone", "\\ud800 lone"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u2028", "\\u2028"),
        (None, "None"),
    ],
)
def test_nothing_that_acts_on_a_terminal_is_printable(text: object, expected: str) -> None:
    assert printable(text) == expected


def test_a_log_line_cannot_be_forged(tmp_path: Path) -> None:
    log_file = tmp_path / "folder" / "x.log"
    configure("forged", log_file)
    try:
        logging.getLogger("forged.part").info("agent %s", "x\n2026-01-01 ERROR all is lost \x1b[2J")
        lines = log_file.read_text().splitlines()
    finally:
        logging.basicConfig(force=True, handlers=[logging.NullHandler()])
    assert len(lines) == 1
    assert lines[0].endswith("INFO forged.part: agent x\\n2026-01-01 ERROR all is lost \\x1b[2J")


def test_a_log_lines_time_is_in_utc_with_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        record = logging.LogRecord("x", logging.INFO, "", 0, "said", None, None)
        record.created = 1_764_000_000.5
        assert SafeFormatter(FORMAT).format(record) == "2025-11-24T16:00:00.500+00:00 INFO x: said"
    finally:
        monkeypatch.undo()
        time.tzset()
