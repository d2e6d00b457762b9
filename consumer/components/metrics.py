"""The metrics query: accepted, deduplicated requests of ``logs/`` into ``metrics/streaming/``, each counted once."""

import logging
import math
import re
import shutil
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.readwriter import DataStreamWriter

from consumer.components.aggregate import sketched
from consumer.components.archive_source import ArchiveSource
from consumer.components.deduplicate import deduplicated
from consumer.components.upsert import MOST_IN_MEMORY, add_figures, create_metrics_tables
from consumer.components.visitors import visitors, with_bot_requests
from lakehouse.checkpoint import Checkpoint
from lakehouse.durable import sync_lake, write_durably
from lakehouse.errors import CheckpointError
from lakehouse.lake import GRAINS, Lake
from lakehouse.rules import accepted, checked, normalised
from lakehouse.schema import ARCHIVED
from lakehouse.settings import Settings
from lakehouse.tables import FIGURES_HOURS, ready_for_writing, table_name, tidy, transaction_version

QUERY = "metrics"
APPLICATION_FILE = "application_id"
TIDY_SECONDS = 600
# What rules, identity and figures are made of, besides the columns that the settings require; and the last two alone.
COUNTED = {"event_id", "timestamp", "ip", "agent", "status", "bytes", "raw", "ingested_at", "archived_at"}
KEPT = ("event_id", "timestamp", "archived_at", "event_date", "ip", "agent", "status", "bytes")

log = logging.getLogger("consumer.metrics")


def archive(spark: SparkSession, settings: Settings) -> DataFrame:
    """``logs/`` as a stream: what counting needs of the rows of the files that ``_spark_metadata`` knows, and of no others."""
    spark.dataSource.register(ArchiveSource)
    columns = COUNTED | set(settings.rules.required)
    options = {
        "path": settings.lake.logs,
        "max_files": settings.stream.max_files_per_batch,
        "columns": ",".join(name for name in ARCHIVED.names if name in columns),
    }
    return spark.readStream.format("archive").options(**{k: str(v) for k, v in options.items()}).load()


def requests(archived: DataFrame, settings: Settings) -> DataFrame:
    """The archive's valid requests, each event once: the rules are the cleaner's."""
    valid = accepted(checked(normalised(archived), settings.rules)).select(*KEPT)
    return deduplicated(valid, settings.stream.watermark_seconds)


def metrics_query(unique: DataFrame, settings: Settings, application_id: str, every_seconds: float) -> DataStreamWriter:
    """The query, not started: unique requests into the three tables."""
    return (
        unique.writeStream.queryName(QUERY)
        .option("checkpointLocation", str(settings.lake.checkpoint(QUERY)))
        .foreachBatch(batch_writer(settings, application_id))
        .trigger(processingTime=f"{every_seconds} seconds")
    )


def batch_writer(settings: Settings, application_id: str) -> Callable[[DataFrame, int], None]:
    """What ``foreachBatch`` runs: it may be given the same batch again, and then changes nothing.

    Each batch rewrites files of three tables and adds to three logs. What they leave is removed now and then: the tables
    have this one writer, and would have ten thousands of such files by the evening.
    """
    lake, lg_k = settings.lake, settings.stream.sketch_lg_k
    tidied_at = -math.inf

    def write_batch(unique: DataFrame, batch_id: int) -> None:
        nonlocal tidied_at
        # In one partition: what is made of them then needs no exchange, which costs a small batch more than its rows.
        found = visitors(unique).coalesce(1).persist()
        try:
            kinds = found.groupBy("event_date", "agent").count().collect()
            if not kinds:
                return
            days = {kind.event_date for kind in kinds}
            is_large = sum(kind["count"] for kind in kinds) > MOST_IN_MEMORY
            rows = with_bot_requests(found, {kind.agent for kind in kinds})

            def write(grain: str) -> None:
                add_figures(
                    sketched(rows, grain, lg_k), lake.metrics("streaming", grain), grain, days,
                    application_id=application_id, batch_id=batch_id, is_large=is_large,
                )  # fmt: skip

            with ThreadPoolExecutor(len(GRAINS)) as pool:
                list(pool.map(write, GRAINS))
            sync_lake(lake)  # the checkpoint must not outlast a power cut without the tables
            if time.monotonic() - tidied_at >= TIDY_SECONDS:
                tidied_at = time.monotonic()
                for grain in GRAINS:
                    tidy(lake.metrics("streaming", grain), FIGURES_HOURS)
        finally:
            found.unpersist()

    return write_batch


def prepare(lake: Lake) -> str:
    """Bring checkpoint and tables together before the query starts.

    Delta's transaction ids bind the tables to one checkpoint: an old id on a new checkpoint would drop batches, and a new
    id on old tables would add everything again. So where the two do not belong together, both start anew, and the query
    fills the tables from ``logs/``. The id's file is written last; until then every start does the same again.

    :return: the application id of the query's transactions.
    :raises TableError: a table is damaged; nothing is done.
    """
    checkpoint = lake.checkpoint(QUERY)
    id_file = checkpoint / APPLICATION_FILE
    has_table = ready_for_writing(*(lake.metrics("streaming", grain) for grain in GRAINS))  # all of them must be whole
    reason: str | None
    if (checkpoint / "sources").is_dir():
        reason = f"{checkpoint} is from a release that read logs/ otherwise"
    elif id_file.exists():
        application_id = id_file.read_text(encoding="utf-8", errors="replace").strip()
        reason = _mismatch(lake, application_id)
        if reason is None:
            _forget_unbegun(Checkpoint(checkpoint))
            create_metrics_tables(lake, application_id)
            return application_id
    else:
        reason = f"{id_file} is missing"
    if any(has_table):
        log.warning("metrics/streaming/ and its checkpoint do not fit, filling it anew from logs/: %s", reason)
    shutil.rmtree(checkpoint, ignore_errors=True)
    application_id = str(uuid.uuid4())
    create_metrics_tables(lake, application_id, is_reset=True)
    checkpoint.mkdir(parents=True)  # not if something of the old one is still there
    write_durably(id_file, application_id)
    return application_id


def has_lost_its_state(error: str) -> bool:
    """Whether the query stopped, as Spark says it, since files of its state are missing, cut off or otherwise damaged."""
    return (
        "CANNOT_LOAD_STATE_STORE" in error
        and re.search(r"EOFException|FileNotFoundException|orrupt", error) is not None
    )


def give_up_checkpoint(lake: Lake) -> None:
    """Let the next start make the checkpoint and the tables anew."""
    (lake.checkpoint(QUERY) / APPLICATION_FILE).unlink(missing_ok=True)


def _forget_unbegun(checkpoint: Checkpoint) -> None:
    """Remove what a query that was killed as it began its first batch left: Spark refuses a first batch where something is."""
    if not checkpoint.begun():
        for folder in (checkpoint.path / name for name in ("offsets", "commits", "state")):
            shutil.rmtree(folder, ignore_errors=True)


def _mismatch(lake: Lake, application_id: str) -> str | None:
    """Why the query cannot go on: the tables must carry this id and hold no batch that the checkpoint has not begun."""
    checkpoint = Checkpoint(lake.checkpoint(QUERY))
    last_begun = max(checkpoint.begun(), default=-1)
    for grain in GRAINS:
        path = lake.metrics("streaming", grain)
        if table_name(path) != application_id:
            return f"{path} belongs to another checkpoint, or is missing"
        if transaction_version(path, application_id) > last_begun:
            return f"{path} has a later batch than {last_begun}, the last that the checkpoint knows"
    try:
        require_whole(checkpoint)
    except CheckpointError as error:
        return str(error)
    return None


def require_whole(checkpoint: Checkpoint) -> None:
    """See that Spark can go on from here: with its batches, its place in ``logs/``, and the state it remembers.

    :raises CheckpointError: it cannot; names the file.
    """
    checkpoint.require_whole()
    begun, committed = checkpoint.begun(), checkpoint.committed()
    if not begun:
        return
    if not isinstance(checkpoint.offset(begun[-1]).get("file"), str):
        raise CheckpointError(f"{checkpoint.path / 'offsets' / str(begun[-1])}: names no file of logs/")
    if committed:
        _require_state(checkpoint.path / "state", committed[-1] + 1)


def _require_state(folder: Path, version: int) -> None:
    stores = [path for path in folder.glob("*/[0-9]*") if path.is_dir()]
    for store in stores:
        files = [store / f"{version}.changelog", store / f"{version}.zip"]
        if not any(path.exists() and path.stat().st_size for path in files):
            raise CheckpointError(f"{files[0]}: missing or empty")
    if not stores:
        raise CheckpointError(f"{folder}: the state of the query is gone")
