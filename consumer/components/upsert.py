"""Additive writes into the streaming metrics tables, once for each batch, without a Spark plan. I/O."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from consumer.components.aggregate import SUMS, sketches
from consumer.components.visitor_sketches import estimate, united
from lakehouse.duck import connected, files_table, stored_days
from lakehouse.lake import GRAINS, Lake
from lakehouse.metric_columns import METRIC_KEYS, SHARED_TABLES
from lakehouse.schema import METRICS
from lakehouse.tables import ATTEMPTS, FIGURES_HOURS, create_table, replace_days

# Rows of a batch's roll-up that come to this process by memory; more of them go by a file.
MOST_IN_MEMORY = 200_000
# What adding up may take; beyond it goes to temporary files.
MEMORY = "256MB"
NEW = "new_figures"

log = logging.getLogger("consumer.metrics")


def streaming_schema(grain: str) -> T.StructType:
    """``METRICS[grain]`` and the sketches behind its distinct counts."""
    sketch_fields = [T.StructField(f"{name}_sketch", T.BinaryType()) for name in sketches(grain)]
    return T.StructType([*METRICS[grain].fields, *sketch_fields])


def create_metrics_tables(lake: Lake, application_id: str, *, is_reset: bool = False) -> None:
    """Make the three tables of ``metrics/streaming/``, named after the query whose transactions they take.

    :param is_reset: empty those that are there: they belong to a checkpoint that is gone.
    """
    for grain in GRAINS:
        create_table(
            lake.metrics("streaming", grain),
            streaming_schema(grain),
            partition_by=SHARED_TABLES[grain].partition_by,
            description=f"{SHARED_TABLES[grain].grain}: running figures, distinct counts from sketches",
            name=application_id,
            kept_hours=FIGURES_HOURS,
            is_replaced=is_reset,
        )


def add_figures(
    figures: DataFrame,
    path: Path,
    grain: str,
    days: Collection[date],
    *,
    application_id: str,
    batch_id: int,
    is_large: bool = False,
) -> None:
    """Add a batch's figures to a streaming metrics table: one commit, which carries Delta's transaction id.

    Applied again, the same batch changes nothing.

    :param figures: as ``aggregate.sketched`` makes them.
    :param days: the event dates in ``figures``; only their files are read.
    :param is_large: there may be more rows than this process should hold at once.
    :raises CommitFailedError: others changed the table, time after time.
    """
    if _has(DeltaTable(str(path)), application_id, batch_id):
        return
    with _handed_over(figures, is_large=is_large) as (connection, new):
        for attempt in range(1, ATTEMPTS + 1):
            table = DeltaTable(str(path))
            if _has(table, application_id, batch_id):
                return
            stored = stored_days(table, path, _columns(grain), days)
            rows = connection.sql(_added_up(grain, stored, new))
            try:
                replace_days(table, rows, days, application_id=application_id, version=batch_id)
            except CommitFailedError:
                if attempt == ATTEMPTS:
                    raise
                log.info("%s was changed by another process: adding batch %d again", path, batch_id)
            else:
                return


def _has(table: DeltaTable, application_id: str, batch_id: int) -> bool:
    version = table.transaction_version(application_id)
    return version is not None and version >= batch_id


@contextmanager
def _handed_over(figures: DataFrame, *, is_large: bool) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """A connection, and the figures as a table of it."""
    with connected(MEMORY) as connection, TemporaryDirectory(prefix="figures-") as folder:
        connection.create_function("united", united, ["BLOB", "BLOB"], "BLOB")
        connection.create_function("estimate", estimate, ["BLOB"], "BIGINT")
        if is_large:
            figures.write.parquet(f"file://{folder}/new")
            yield connection, files_table(str(file) for file in sorted(Path(folder, "new").glob("*.parquet")))
        else:
            connection.register(NEW, figures.toArrow())
            yield connection, NEW


def _columns(grain: str) -> dict[str, str]:
    return SHARED_TABLES[grain].columns | {f"{name}_sketch": "binary" for name in sketches(grain)}


def _added_up(grain: str, stored: str, new: str) -> str:
    """The rows of both, those of one key added up. A sketch is only taken apart where both have one."""
    columns, keys = _columns(grain), METRIC_KEYS[grain]
    is_same = " AND ".join(f"s.{key} IS NOT DISTINCT FROM n.{key}" for key in keys)
    united_sketches = ", ".join(f"united(s.{name}_sketch, n.{name}_sketch) AS {name}_both" for name in sketches(grain))
    chosen = ", ".join(f"{_figure(name, keys)} AS {name}" for name in columns)
    return f"""
        WITH stored AS ({stored}),
        pairs AS (
            SELECT s AS s, n AS n, {united_sketches}
            FROM (SELECT *, true AS is_there FROM stored) AS s
            FULL JOIN (SELECT *, true AS is_there FROM {new}) AS n ON {is_same}
        )
        SELECT {chosen} FROM pairs ORDER BY event_date
    """


def _figure(name: str, keys: Collection[str]) -> str:
    """A column of the sum of ``s``, which is stored, and ``n``, which is new; one of them may be lacking."""
    if name in keys:
        return f"CASE WHEN s.is_there THEN s.{name} ELSE n.{name} END"
    if name in SUMS:
        return f"coalesce(s.{name}, 0) + coalesce(n.{name}, 0)"
    if name == "first_seen":
        return "least(s.first_seen, n.first_seen)"
    if name == "last_seen":
        return "greatest(s.last_seen, n.last_seen)"
    if name.endswith("_sketch"):
        return f"coalesce({name.removesuffix('_sketch')}_both, s.{name}, n.{name})"
    is_kept = "s.is_there AND n.is_there IS NULL"
    return f"CASE WHEN {is_kept} THEN s.{name} ELSE estimate(coalesce({name}_both, n.{name}_sketch)) END"
