"""The README's Python code, run as it stands there on a lake with a few rows."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from cleaner.merge import merge
from consumer.batch import refresh
from lakehouse.settings import unpack_settings
from tests.builders import land_parquet, landed, unparsed

ROOT = Path(__file__).parents[2]
CODE = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """Where a user would run the code: settings, and a lake beside them."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "conf", folder / "conf")
    settings = unpack_settings({"paths": {"data_lake": str(folder / "data_lake"), "log": str(folder / "log")}}, "test")
    session: Callable[[], SparkSession] = lambda: spark  # noqa: E731
    rows = [landed("e1", agent=FIREFOX), landed("e2", agent=FIREFOX, path="/broken", status=500)]
    land_parquet(settings.lake.landing / "a.parquet", [*rows, unparsed("e3", "no request")])
    merge(settings, session)
    refresh(settings)
    return folder


@pytest.mark.spark
def test_the_readmes_code_runs_as_it_stands(folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    printed = []
    for code in CODE:
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
        printed.append(ran.stdout)
    polars, duckdb, pyspark = printed
    assert "/broken" in polars
    assert re.search(r"2024-05-17 .* Firefox .* 2", duckdb)
    assert re.search(r"Firefox *\| *2\|", pyspark)
    assert re.search(r"line does not parse *\|1", pyspark)
