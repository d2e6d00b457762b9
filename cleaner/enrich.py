"""``merged/`` enriched for questions."""

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from cleaner.known import joined
from cleaner.promoted import promoted_columns, promoted_fields
from lakehouse.countries import ADDRESS_CHARACTERS, country_finder
from lakehouse.enrich import Knowledge, agents_known
from lakehouse.errors import EngineError
from lakehouse.sail import is_sail
from lakehouse.schema import COUNTRY, DELTA
from lakehouse.settings import Enrichment, Promoted

IPS_AT_ONCE = 200_000  # of 45 characters: 36 MB at the very most
AGENTS_IN_FULL = 50_000  # 10,000 requests of a real site had 559, and a pass has two million requests


def delta_schema(enrichment: Enrichment) -> T.StructType:
    """DELTA, ``country`` where there is a database of them, and the promoted columns."""
    return T.StructType([*DELTA.fields, *_country(enrichment), *promoted_fields(enrichment.promoted)])


def status_class(status: Column) -> Column:
    """``2xx`` for 204, and so on."""
    return F.concat(F.floor(status / 100).cast("string"), F.lit("xx"))


def enriched(requests: DataFrame, enrichment: Enrichment, *, is_bounded: bool = True) -> DataFrame:
    """Rows of ``merged/`` in the columns of ``delta_schema``. An action: what is distinct in them is looked up.

    :param is_bounded: browser and OS are looked up for AGENTS_IN_FULL agents at most, those with the most of these requests.
    :raises EngineError: as ``require_promotable``.
    :raises InputError: as ``country_finder``.
    """
    require_promotable(requests.sparkSession, enrichment.promoted)
    agents = agents_known(AGENTS_IN_FULL if is_bounded else None)
    rows = joined(requests, agents, enrichment.folder)
    if enrichment.database is not None:
        rows = joined(rows, countries_known(enrichment.database), enrichment.folder)
    rows = rows.withColumn("status_class", status_class(F.col("status")))
    countries = [field.name for field in _country(enrichment)]
    return rows.select(*DELTA.names, *countries, *promoted_columns(enrichment.promoted))


def countries_known(database: Path) -> Knowledge:
    """``country`` of an ``ip``.

    :raises InputError: as ``country_finder``.
    """
    country = country_finder(database)
    return Knowledge(
        column="ip",
        key=F.when(F.length("ip") <= ADDRESS_CHARACTERS, F.col("ip")),
        fields=(COUNTRY,),
        find=lambda ip: (country(ip),),
        at_once=IPS_AT_ONCE,
    )


def _country(enrichment: Enrichment) -> list[T.StructField]:
    return [] if enrichment.database is None else [COUNTRY]


def require_promotable(spark: SparkSession, promoted: Mapping[str, Promoted]) -> None:
    """See that the engine fills promoted columns as any other would.

    :raises EngineError: it is Sail, which spells numbers, and reads some values, in another way than Spark.
    """
    if promoted and is_sail(spark):
        raise EngineError(
            f"only Spark fills promoted columns ({', '.join(promoted)}): set spark.engine to spark, or promoted to {{}}"
        )
