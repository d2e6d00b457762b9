"""What the tests of killed and of stopped programs share."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from cleaner.merge import merge
from consumer.batch import refresh
from consumer.streaming import stream_once
from tests.faults.programs import Programs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def undisturbed(spark: "SparkSession") -> Callable[[Programs], None]:
    """The programs' work, done once by the session that all tests share."""

    def run(programs: Programs) -> None:
        stream_once(spark, programs.settings)
        merge(programs.settings, lambda: spark)
        refresh(programs.settings)

    return run
