"""What is known of the distinct values of a column, in as much memory whether there are ten of them or ten million. I/O.

Few are collected, and what is known of them is part of the query. Many are written down by the engine, looked up piece by
piece, and read again by the engine: agents and IPs are anyone's to invent.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from cleaner.landing import literal_path
from lakehouse.enrich import Knowledge, with_known
from lakehouse.sail import is_sail

PIECE_ROWS = 10_000

log = logging.getLogger("cleaner.known")


def joined(requests: DataFrame, knowledge: Knowledge, folder: Path) -> DataFrame:
    """``requests`` with what is known of each. An action.

    :param folder: is made for more than ``knowledge.at_once`` distinct values, and read as long as the result is.
    """
    spark = requests.sparkSession
    keys = requests.select(knowledge.key.alias(knowledge.key_name)).distinct()
    few = [row[0] for row in keys.limit(knowledge.at_once + 1).collect()]
    if len(few) <= knowledge.at_once:
        known = spark.createDataFrame(knowledge.rows(few), knowledge.schema)
        return with_known(requests, knowledge, F.broadcast(known))
    log.info("more than %d values of %s: what is known of them goes by way of the disk", len(few) - 1, knowledge.column)
    return with_known(requests, knowledge, _by_way_of_files(keys, knowledge, folder))


def _by_way_of_files(keys: DataFrame, knowledge: Knowledge, folder: Path) -> DataFrame:
    spark = keys.sparkSession
    keys_folder, known_file = folder / knowledge.column, folder / f"{knowledge.column}.parquet"
    keys.write.mode("overwrite").parquet(_written(spark, keys_folder))
    schema = to_arrow_schema(knowledge.schema, timezone="UTC")
    with pq.ParquetWriter(known_file, schema) as writer:
        for piece in _pieces(keys_folder):
            columns = zip(*knowledge.rows(piece), strict=True)
            arrays = [pa.array(values, f.type) for values, f in zip(columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return spark.read.schema(knowledge.schema).parquet(_read(spark, known_file))


def _pieces(folder: Path) -> Iterator[list[str | None]]:
    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PIECE_ROWS):
                if len(batch):
                    yield batch.column(0).to_pylist()


def _written(spark: SparkSession, path: Path) -> str:
    return path.absolute().as_uri() if is_sail(spark) else str(path.absolute())


def _read(spark: SparkSession, path: Path) -> str:
    return path.absolute().as_uri() if is_sail(spark) else literal_path(path)  # each engine has its own patterns
