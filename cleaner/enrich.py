"""``merged/`` enriched for questions."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.enrich import with_agents
from lakehouse.schema import DELTA


def status_class(status: Column) -> Column:
    """``2xx`` for 204, and so on."""
    return F.concat(F.floor(status / 100).cast("string"), F.lit("xx"))


def enriched(requests: DataFrame) -> DataFrame:
    """Rows of ``merged/`` in DELTA's columns: browser, OS, device, bot or human, status class."""
    with_class = requests.withColumn("status_class", status_class(F.col("status")))
    return with_class.transform(with_agents).select(*DELTA.names)
