"""Log lines as people have them, with the rows that should come of them. Runs where REAL_LOGS names the folder that has cases."""

import importlib.util
import json
import os
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from lakehouse.errors import InputError
from lakehouse.settings import Ingest
from producer.formats.detection import check_format
from producer.formats.directives import FormatError
from producer.ingest import Ingestion
from producer.landing import Lander

CASES = Path(os.environ.get("REAL_LOGS", "/nonexistent")) / "cases"
PREFIX = "PIPELINE_INGEST__"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="REAL_LOGS does not name a folder that has cases")


def checker() -> ModuleType:
    """What compares the rows that landed with a case."""
    spec = importlib.util.spec_from_file_location("check_cases", CASES / "check_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def settings_of(case: dict[str, Any]) -> Ingest:
    """The case's settings, which are those of a program's environment."""
    values = {name.removeprefix(PREFIX).lower(): value for name, value in case.get("settings", {}).items()}
    plain = {name: json.loads(value) if value[:1] in ("[", "{") else value for name, value in values.items()}
    if case.get("log_format") is not None:
        plain["log_format"] = case["log_format"]
    return Ingest.model_validate(plain)


def ingested(case: dict[str, Any], folder: Path, landing: Path) -> tuple[int, str, list[dict[str, Any]]]:
    """The exit code, what was said, and the rows, as the program would have them."""
    settings = settings_of(case)
    try:
        check_format(settings.log_format)
        lander = Lander(landing, "parquet", batch_rows=1_000_000, batch_seconds=1000)
        summary = Ingestion(settings, lander, Event()).run([str(folder / name) for name in case["files"]])
    except (InputError, FormatError) as error:
        return 1, str(error), []
    rows = [pl.read_parquet(path) for path in sorted(landing.iterdir())]
    return int(summary.failed > 0), "", pl.concat(rows).to_dicts() if rows else []


@pytest.mark.parametrize("name", sorted(p.parent.name for p in CASES.glob("given/*/case.json")))
def test_a_log_is_read_as_its_case_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = checker()
    monkeypatch.setattr(check, "ingest", lambda case, folder: ingested(case, folder, tmp_path))
    folder = CASES / "given" / name
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    assert check.first_difference(case, folder) is None
