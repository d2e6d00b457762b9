"""What is known of the distinct values of a column, in as much memory whether there are ten of them or ten million. I/O.

Few are collected, and what is known of them is part of the query. Many are written down by the engine, looked up piece by
piece, and read again by the engine: agents and IPs are anyone's to invent.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from cleaner.landing import literal_path
from lakehouse.enrich import Knowledge, with_known
from lakehouse.sail import is_sail

PIECE_ROWS = 10_000
REQUESTS = "requests"

log = logging.getLogger("cleaner.known")


def joined(requests: DataFrame, knowledge: Knowledge, folder: Path) -> DataFrame:
    """``requests`` with what is known of each. An action.

    :param folder: is made for more than ``knowledge.at_once`` distinct values, and read as long as the result is.
    """
    spark = requests.sparkSession
    keys = requests.select(knowledge.key.alias(knowledge.key_name))
    few = [row[0] for row in keys.distinct().limit(knowledge.at_once + 1).collect()]
    if len(few) <= knowledge.at_once:
        known = spark.createDataFrame(knowledge.rows(few), knowledge.schema)
        return with_known(requests, knowledge, F.broadcast(known))
    log.info("more than %d values of %s: what is known of them goes by way of the disk", len(few) - 1, knowledge.column)
    return with_known(requests, knowledge, _by_way_of_files(keys, knowledge, folder))


def _by_way_of_files(keys: DataFrame, knowledge: Knowledge, folder: Path) -> DataFrame:
    spark = keys.sparkSession
    keys_folder, known_file = folder / knowledge.column, folder / f"{knowledge.column}.parquet"
    counted = keys.groupBy(knowledge.key_name).agg(F.count(F.lit(1)).alias(REQUESTS))
    counted.write.mode("overwrite").parquet(_written(spark, keys_folder))
    few = _requests_of_the_rest(keys_folder, knowledge.most)
    if few:
        log.warning(
            "more than %d values of %s: little is looked up of those with %d requests or fewer; 'cleaner rebuild' looks up all",
            knowledge.most, knowledge.column, few,
        )  # fmt: skip
    schema = to_arrow_schema(knowledge.schema, timezone="UTC")
    with pq.ParquetWriter(known_file, schema) as writer:
        for piece in _pieces(keys_folder):
            columns = zip(*knowledge.rows_by_requests(piece, few), strict=True)
            arrays = [pa.array(values, f.type) for values, f in zip(columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return spark.read.schema(knowledge.schema).parquet(_read(spark, known_file))


def _requests_of_the_rest(folder: Path, most: int | None) -> int:
    """The fewest requests such that at most ``most`` keys have more. So it depends on nothing but the requests."""
    counts = pa.concat_tables(pq.read_table(path, columns=[REQUESTS]) for path in sorted(folder.glob("*.parquet")))
    if most is None or counts.num_rows <= most:
        return 0
    highest = pc.select_k_unstable(counts, k=most + 1, sort_keys=[(REQUESTS, "descending")])
    return int(pc.min(counts[REQUESTS].take(highest)).as_py())


def _pieces(folder: Path) -> Iterator[list[tuple[str | None, int]]]:
    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PIECE_ROWS):
                if len(batch):
                    yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _written(spark: SparkSession, path: Path) -> str:
    return path.absolute().as_uri() if is_sail(spark) else str(path.absolute())


def _read(spark: SparkSession, path: Path) -> str:
    return path.absolute().as_uri() if is_sail(spark) else literal_path(path)  # each engine has its own patterns
