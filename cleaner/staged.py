"""Landed files as one Parquet file that says which row is from where: Sail cannot tell, and plans long for each file. I/O.

The check has read each file with pyarrow to its end, and let only types pass that need no conversion; so does this.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from cleaner.plain_lines import plain_batches
from lakehouse.lake import STAGED_FOLDER
from lakehouse.landed import BATCH_ROWS, LandedFile
from lakehouse.schema import LANDED, STRING

STAGED = T.StructType([*LANDED.fields, T.StructField("landed_file", STRING)])


def read_staged(spark: SparkSession, deliveries: Sequence[tuple[LandedFile, str]]) -> DataFrame:
    """The rows of landed files that are not refused, in STAGED's columns.

    :param deliveries: each file, and the name of its delivery.
    :raises EngineError: a line of NDJSON is not plain; nothing has been read then.
    """
    path = deliveries[0][0].path.parent / STAGED_FOLDER / "landed.parquet"
    path.parent.mkdir(exist_ok=True)
    schema = to_arrow_schema(STAGED, timezone="UTC")
    with pq.ParquetWriter(path, schema) as writer:
        for file, landed_file in deliveries:
            for batch in plain_batches(file.path) if file.is_json else _parquet_batches(file.path):
                writer.write_batch(_named(batch, landed_file, schema))
    return spark.read.schema(STAGED).parquet(path.absolute().as_uri())  # a path would be taken for a pattern


def _parquet_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=BATCH_ROWS)


def _named(batch: pa.RecordBatch, landed_file: str, schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` in the columns of ``schema``; those that it lacks are null."""
    there = set(batch.schema.names)
    columns = [
        batch.column(f.name).cast(f.type) if f.name in there else pa.nulls(len(batch), f.type) for f in schema
    ]  # fmt: skip
    columns[schema.get_field_index("landed_file")] = pa.array(
        [landed_file] * len(batch), schema.field("landed_file").type
    )
    return pa.RecordBatch.from_arrays(columns, schema=schema)
