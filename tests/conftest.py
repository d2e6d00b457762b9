"""Fixtures. One Spark session serves all tests; each test has a lake of its own."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from lakehouse.lake import Lake
from lakehouse.settings import Settings, unpack_settings
from tests.engine import QUICK_CONF

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# How long a test takes is no part of what it tests. The same commit tries the same examples; RANDOM_EXAMPLES=1 tries others.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("random" if os.environ.get("RANDOM_EXAMPLES") else "repeatable")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The defaults, on a lake in the test's own folder."""
    return unpack_settings({"paths": {"data_lake": str(tmp_path / "lake"), "log": str(tmp_path / "log")}}, "test")


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """The test's lake: nothing in it."""
    return settings.lake


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkSession]":
    """The session that all tests share. ``TEST_ENGINE=sail`` makes it one of Sail's: ``tests/spark/test_engines.py``."""
    from lakehouse.session import FIRST_COMPILER_ONLY, spark_session

    # Tests are over before the second compiler's work pays off.
    os.environ.setdefault("JAVA_TOOL_OPTIONS", " ".join(FIRST_COMPILER_ONLY))
    conf = QUICK_CONF | {
        "spark.driver.memory": "1500m",
        "spark.sql.shuffle.partitions": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    group = {"engine": os.environ.get("TEST_ENGINE", "spark"), "master": "local[2]", "conf": conf}
    session = spark_session(unpack_settings({"spark": group}, "test"), "tests")
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def no_transaction_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A batch written by a test itself leaves its transaction id on the shared session: the next writes would be dropped."""
    yield
    if "spark" in request.fixturenames:
        session = request.getfixturevalue("spark")
        for name in ("txnAppId", "txnVersion"):
            session.conf.unset(f"spark.databricks.delta.write.{name}")
