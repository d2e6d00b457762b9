"""The archive query: every landed row as it came, with its file, into ``logs/``."""

import json
import logging
import shutil
import uuid
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.readwriter import DataStreamWriter

from consumer.components.landed_source import LandedSource
from lakehouse.arrivals import Arrival, Arrivals
from lakehouse.checkpoint import Checkpoint, batch_numbers
from lakehouse.errors import CheckpointError
from lakehouse.lake import Lake, file_stamp, waiting_files
from lakehouse.ndjson import landed_rows
from lakehouse.schema import ARCHIVED
from lakehouse.settings import Settings
from lakehouse.sink_log import require_whole

QUERY = "archive"
# Columns whose values hardly repeat: to look each one up in a dictionary of all of them costs more than it saves.
DISTINCT = ("event_id", "timestamp", "source_offset", "raw")

log = logging.getLogger("consumer.archive")


def landed(spark: SparkSession, settings: Settings, gather_seconds: float = 0) -> DataFrame:
    """The landed rows as a stream, in the source's columns.

    :param gather_seconds: how long files wait for others while few rows come (``pace.Pace``).
    """
    lake = settings.lake
    lake.landing.mkdir(parents=True, exist_ok=True)
    spark.dataSource.register(LandedSource)
    options = {
        "path": lake.landing,
        "checkpoint": lake.checkpoint(QUERY),
        "max_files": settings.stream.max_files_per_batch,
        "gather_seconds": gather_seconds,
    }
    return spark.readStream.format("landed").options(**{k: str(v) for k, v in options.items()}).load()


def archived(rows: DataFrame) -> DataFrame:
    """Rows of the source, Parquet's and NDJSON's alike, as ARCHIVED.

    ``archived_at`` is the stream's clock: arrival here, whatever a producer's clock or an old log's lines say.
    """
    as_landed = landed_rows(rows, "landed_file", "arrived_at")
    return as_landed.withColumnRenamed("arrived_at", "archived_at").select(*ARCHIVED.names)


def archive_query(rows: DataFrame, settings: Settings, every_seconds: float) -> DataStreamWriter:
    """The query, not started: ARCHIVED rows into ``logs/``, one file a batch."""
    lake = settings.lake
    plain = {f"parquet.enable.dictionary#{name}": "false" for name in DISTINCT}
    return (
        rows.coalesce(1)
        .writeStream.queryName(QUERY)
        .format("parquet")
        .options(**plain)
        .option("path", str(lake.logs))
        .option("checkpointLocation", str(lake.checkpoint(QUERY)))
        .option("retention", f"{settings.maintain.logs_days}d")
        .trigger(processingTime=f"{every_seconds} seconds")
    )


def recover_checkpoint(spark: SparkSession, lake: Lake) -> None:
    """Make a checkpoint for an archive whose own is lost or damaged, so that it neither skips nor repeats a landed file.

    The sink skips batch numbers that ``_spark_metadata`` knows, silently. So the new checkpoint goes on from the last of
    those, and the landed files whose rows are in ``logs/`` already are numbered as archived.

    :raises CheckpointError: ``_spark_metadata`` itself is damaged: nothing else says which files of ``logs/`` count.
    """
    arrivals = Arrivals(lake.checkpoint(QUERY))
    last = _last_in_sink(lake.logs, arrivals)
    reason = _damage(arrivals, last)
    if reason is None:
        return
    if last < 0:
        log.warning("the archive's checkpoint cannot be used, and nothing is in logs/ yet: beginning anew: %s", reason)
        shutil.rmtree(arrivals.checkpoint)
        return
    held = spark.read.parquet(str(lake.logs)).groupBy("landed_file").agg(F.max("archived_at").alias("at"))
    times = {row.landed_file: row.at.timestamp() for row in held.collect()}
    known: list[Arrival] = []
    for path in waiting_files(lake.landing):
        if path.name in times:
            known.append(Arrival(len(known) + 1, path.name, file_stamp(path) or "", 0, arrived_at=times[path.name]))
    log.warning(
        "the archive's checkpoint cannot be used: going on after batch %d of logs/, with %d landed files already in it: %s",
        last, len(known), reason,
    )  # fmt: skip
    shutil.rmtree(arrivals.checkpoint, ignore_errors=True)
    # The stream's clock must not go back, either: an arrival before the watermark would be dropped as late.
    arrivals.write([*known, Arrival(len(known) + 1, "", "", 0, arrived_at=max(times.values(), default=0))])
    _write_checkpoint(arrivals, last, seq=len(known) + 1)


def _damage(arrivals: Arrivals, last_in_sink: int) -> str | None:
    """Why the archive cannot go on from its checkpoint, or ``None``."""
    begun = Checkpoint(arrivals.checkpoint).begun()
    if not begun:
        return "it is gone" if last_in_sink >= 0 else None
    try:
        arrivals.require_whole()
    except CheckpointError as error:
        return str(error)
    if begun[-1] < last_in_sink:
        return f"it knows of batches up to {begun[-1]} only, and logs/ has batch {last_in_sink}"
    return None


def _last_in_sink(logs: Path, arrivals: Arrivals) -> int:
    """The last batch that ``_spark_metadata`` has, or -1."""
    require_whole(logs, max(Checkpoint(arrivals.checkpoint).committed(), default=-1))
    batches = batch_numbers(logs / "_spark_metadata")
    return batches[-1] if batches else -1


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
