"""The README's Python code, run as it stands there on a lake with a few rows."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from cleaner.merge import merge
from consumer.batch import refresh
from lakehouse.settings import load_settings
from tests.builders import land_parquet, landed, unparsed

ROOT = Path(__file__).parents[2]
CODE = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"

# What each of them must print of the rows below.
PRINTED = ["/broken", "Firefox", "line does not parse"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "conf", folder / "conf")
    session: Callable[[], SparkSession] = lambda: spark  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = load_settings()
        rows = [landed("e1", agent=FIREFOX), landed("e2", agent=FIREFOX, path="/broken", status=500)]
        land_parquet(settings.lake.landing / "a.parquet", [*rows, unparsed("e3", "no request")])
        merge(settings, session)
        refresh(settings, session)
    return folder


def test_there_is_an_expectation_for_each_piece_of_code() -> None:
    assert len(CODE) == len(PRINTED)


@pytest.mark.spark
@pytest.mark.parametrize(("code", "printed"), zip(CODE, PRINTED, strict=False))
def test_the_readmes_code_runs_as_it_stands(
    code: str, printed: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    exec(compile(code, "README.md", "exec"), {})
    assert printed in capfd.readouterr().out
