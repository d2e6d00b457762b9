"""The metrics query: accepted, deduplicated requests of ``logs/`` into ``metrics/streaming/``, each counted once."""

import logging
import os
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from pyspark.sql.streaming.readwriter import DataStreamWriter

from consumer.components.aggregate import sketched
from consumer.components.deduplicate import deduplicated
from consumer.components.upsert import add_figures, create_metrics_tables
from consumer.components.visitors import visitors
from lakehouse.enrich import with_agents
from lakehouse.lake import METRICS, Lake
from lakehouse.rules import accepted, checked, normalised
from lakehouse.schema import ARCHIVED
from lakehouse.settings import Settings
from lakehouse.tables import is_table, table_name, transaction_version

QUERY = "metrics"
APPLICATION_FILE = "application_id"
# What is read of ARCHIVED: no figure comes from `rescued`, which can be large.
COUNTED = T.StructType([field for field in ARCHIVED if field.name != "rescued"])

log = logging.getLogger("consumer.metrics")


def archive(spark: SparkSession, settings: Settings) -> DataFrame:
    """``logs/`` as a stream: COUNTED columns of the rows in the files that ``_spark_metadata`` knows, and of no others."""
    logs = settings.lake.logs
    # The folder tells the source to trust the metadata alone, before the first batch is archived too.
    (logs / "_spark_metadata").mkdir(parents=True, exist_ok=True)
    # The source forgets, and then ignores, files much older than the newest: longer than logs/ keeps any.
    max_age_days = 2 * settings.maintain.logs_days
    reader = spark.readStream.schema(COUNTED).option("maxFileAge", f"{max_age_days}d")
    return reader.option("maxFilesPerTrigger", settings.stream.max_files_per_batch).parquet(str(logs))


def requests(archived: DataFrame, settings: Settings) -> DataFrame:
    """The archive's valid requests, each event once: the rules are the cleaner's."""
    valid = accepted(checked(normalised(archived), settings.rules))
    return deduplicated(valid, settings.stream.watermark_seconds)


def metrics_query(
    unique: DataFrame, settings: Settings, application_id: str, *, is_once: bool = False
) -> DataStreamWriter:
    """The query, not started: unique requests into the three tables.

    :param is_once: end when what is there has been processed.
    """
    trigger = {"availableNow": True} if is_once else {
        "processingTime": f"{settings.stream.metrics_trigger_seconds} seconds"
    }  # fmt: skip
    return (
        unique.writeStream.queryName(QUERY)
        .option("checkpointLocation", str(settings.lake.checkpoint(QUERY)))
        .foreachBatch(batch_writer(settings, application_id))
        .trigger(**trigger)
    )


def batch_writer(settings: Settings, application_id: str) -> Callable[[DataFrame, int], None]:
    """What ``foreachBatch`` runs: it may be given the same batch again, and then changes nothing."""
    lake, lg_k = settings.lake, settings.stream.sketch_lg_k

    def write_batch(unique: DataFrame, batch_id: int) -> None:
        rows = visitors(with_agents(unique.persist())).persist()
        try:
            days = [row.event_date for row in rows.select("event_date").distinct().collect()]
            if not days:
                return

            def write(grain: str) -> None:
                add_figures(
                    sketched(rows, grain, lg_k), lake.metrics("streaming", grain), grain, days,
                    application_id=application_id, batch_id=batch_id,
                )  # fmt: skip

            with ThreadPoolExecutor(len(METRICS)) as pool:
                list(pool.map(write, METRICS))
        finally:
            rows.unpersist()
            unique.unpersist()

    return write_batch


def prepare(lake: Lake) -> str:
    """Bring checkpoint and tables together before the query starts.

    Delta's transaction ids bind the tables to one checkpoint: an old id on a new checkpoint would drop batches, and a new
    id on old tables would add everything again. So where the two do not belong together, both start anew, and the query
    fills the tables from ``logs/``. The id's file is written last; until then every start does the same again.

    :return: the application id of the query's transactions.
    """
    checkpoint = lake.checkpoint(QUERY)
    id_file = checkpoint / APPLICATION_FILE
    if id_file.exists():
        application_id = id_file.read_text(encoding="utf-8").strip()
        if _is_consistent(lake, application_id):
            create_metrics_tables(lake, application_id)
            return application_id
    if any(is_table(lake.metrics("streaming", grain)) for grain in METRICS):
        log.warning("metrics/streaming/ does not belong to the checkpoint %s: filling it anew from logs/", checkpoint)
    shutil.rmtree(checkpoint, ignore_errors=True)
    application_id = str(uuid.uuid4())
    create_metrics_tables(lake, application_id, is_reset=True)
    checkpoint.mkdir(parents=True)
    hidden = checkpoint / f".{APPLICATION_FILE}.tmp"
    with hidden.open("w", encoding="utf-8") as handle:
        handle.write(application_id)
        handle.flush()
        os.fsync(handle.fileno())
    hidden.replace(id_file)
    return application_id


def _is_consistent(lake: Lake, application_id: str) -> bool:
    """Whether the tables carry this id, and hold no batch that the checkpoint has not begun."""
    offsets = lake.checkpoint(QUERY) / "offsets"
    last_begun = max((int(p.name) for p in offsets.glob("*") if p.name.isdigit()), default=-1)
    for grain in METRICS:
        path = lake.metrics("streaming", grain)
        if table_name(path) != application_id:
            return False
        if transaction_version(path, application_id) > last_begun:
            return False
    return True
