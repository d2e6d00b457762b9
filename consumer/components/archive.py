"""The archive query: every landed row as it came, with its file, into ``logs/``."""

import json
import logging
import uuid

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.readwriter import DataStreamWriter

from consumer.components.landed_source import LandedSource
from lakehouse.arrivals import Arrival, Arrivals
from lakehouse.lake import Lake, file_stamp, waiting_files
from lakehouse.landed import check
from lakehouse.ndjson import landed_rows
from lakehouse.schema import ARCHIVED
from lakehouse.settings import Settings

QUERY = "archive"

log = logging.getLogger("consumer.archive")


def landed(spark: SparkSession, settings: Settings) -> DataFrame:
    """The landed rows as a stream, in the source's columns."""
    lake = settings.lake
    lake.landing.mkdir(parents=True, exist_ok=True)
    spark.dataSource.register(LandedSource)
    options = {
        "path": lake.landing,
        "checkpoint": lake.checkpoint(QUERY),
        "max_files": settings.stream.max_files_per_batch,
    }
    return spark.readStream.format("landed").options(**{k: str(v) for k, v in options.items()}).load()


def archived(rows: DataFrame) -> DataFrame:
    """Rows of the source, Parquet's and NDJSON's alike, as ARCHIVED.

    ``archived_at`` is the stream's clock: arrival here, whatever a producer's clock or an old log's lines say.
    """
    as_landed = landed_rows(rows, "landed_file")
    return as_landed.withColumn("archived_at", F.current_timestamp()).select(*ARCHIVED.names)


def archive_query(rows: DataFrame, settings: Settings) -> DataStreamWriter:
    """The query, not started: ARCHIVED rows into ``logs/``, one file a batch."""
    lake, stream = settings.lake, settings.stream
    return (
        rows.coalesce(1)
        .writeStream.queryName(QUERY)
        .format("parquet")
        .option("path", str(lake.logs))
        .option("checkpointLocation", str(lake.checkpoint(QUERY)))
        .option("retention", f"{settings.maintain.logs_days}d")
        .trigger(processingTime=f"{stream.archive_trigger_seconds} seconds")
    )


def recover_checkpoint(spark: SparkSession, lake: Lake) -> None:
    """Make a checkpoint for an archive that has lost its own, so that it neither skips nor repeats a landed file.

    The sink skips batch numbers that ``_spark_metadata`` knows, silently. So the new checkpoint goes on from the last of
    those, and the landed files whose rows are in ``logs/`` already are numbered as archived.
    """
    arrivals = Arrivals(lake.checkpoint(QUERY))
    batches = [int(p.name.removesuffix(".compact")) for p in (lake.logs / "_spark_metadata").glob("[0-9]*")]
    if not batches or (arrivals.checkpoint / "commits").is_dir():
        return
    names = {row.landed_file for row in spark.read.parquet(str(lake.logs)).select("landed_file").distinct().collect()}
    known: list[Arrival] = []
    for path in waiting_files(lake.landing):
        if path.name in names:
            known.append(Arrival(len(known) + 1, path.name, file_stamp(path) or "", check(path).rows))
    log.warning(
        "the archive's checkpoint is gone: going on after batch %d of logs/, with %d landed files already in it",
        max(batches), len(known),
    )  # fmt: skip
    arrivals.write(known)
    _write_checkpoint(arrivals, max(batches), seq=len(known))


def _write_checkpoint(arrivals: Arrivals, batch: int, *, seq: int) -> None:
    """Spark's checkpoint as it stands after ``batch``; ``commits`` comes last, and makes it count."""
    progress = {"batchWatermarkMs": 0, "batchTimestampMs": 0, "conf": {}}
    offset = f"v1\n{json.dumps(progress)}\n{json.dumps({'seq': seq})}"
    recent = [number for number in (batch - 1, batch) if number >= 0]  # Spark looks at the one before the last too
    files = {"metadata": json.dumps({"id": str(uuid.uuid4())})}
    files |= {f"offsets/{number}": offset for number in recent}
    files |= {f"commits/{number}": 'v1\n{"nextBatchWatermarkMs":0}' for number in recent}
    for name, content in files.items():
        path = arrivals.checkpoint / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
