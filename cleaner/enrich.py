"""``merged/`` enriched for questions."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from cleaner.promoted import promoted_columns, promoted_fields
from lakehouse.enrich import with_agents
from lakehouse.errors import EngineError
from lakehouse.sail import is_sail
from lakehouse.schema import DELTA
from lakehouse.settings import Promoted


def delta_schema(promoted: Mapping[str, Promoted]) -> T.StructType:
    """DELTA and the promoted columns."""
    return T.StructType([*DELTA.fields, *promoted_fields(promoted)])


def status_class(status: Column) -> Column:
    """``2xx`` for 204, and so on."""
    return F.concat(F.floor(status / 100).cast("string"), F.lit("xx"))


def enriched(requests: DataFrame, promoted: Mapping[str, Promoted]) -> DataFrame:
    """Rows of ``merged/`` in the columns of ``delta_schema``: browser, OS, device, bot or human, status class, promoted.

    :raises EngineError: as ``require_promotable``.
    """
    require_promotable(requests.sparkSession, promoted)
    with_class = requests.withColumn("status_class", status_class(F.col("status")))
    return with_class.transform(with_agents).select(*DELTA.names, *promoted_columns(promoted))


def require_promotable(spark: SparkSession, promoted: Mapping[str, Promoted]) -> None:
    """See that the engine fills promoted columns as any other would.

    :raises EngineError: it is Sail, which spells numbers, and reads some values, in another way than Spark.
    """
    if promoted and is_sail(spark):
        raise EngineError(
            f"only Spark fills promoted columns ({', '.join(promoted)}): set spark.engine to spark, or promoted to {{}}"
        )
