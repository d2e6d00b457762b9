"""Additive writes into the streaming metrics tables, once for each batch. I/O."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from consumer.components.aggregate import SUMS, sketches
from lakehouse.lake import GRAINS, Lake
from lakehouse.metric_columns import METRIC_KEYS
from lakehouse.schema import METRICS
from lakehouse.sql import day_condition, table
from lakehouse.tables import FIGURES_HOURS, create_table


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
            partition_by=() if grain == "daily" else ("event_date",),
            description=f"one row per {' and '.join(METRIC_KEYS[grain])}: running figures, distinct counts from sketches",
            name=application_id,
            kept_hours=FIGURES_HOURS,
            is_replaced=is_reset,
        )


def add_figures(
    figures: DataFrame, path: Path, grain: str, days: Iterable[date], *, application_id: str, batch_id: int
) -> None:
    """Add a batch's figures to a streaming metrics table: one commit, which carries Delta's transaction id.

    Applied again, the same batch changes nothing. The id is set on the session of ``figures``: one set on the query's outer
    session is not recorded by a MERGE inside ``foreachBatch``.

    :param figures: as ``aggregate.sketched`` makes them.
    :param days: the event dates in ``figures``; only their files are read.
    """
    session = figures.sparkSession
    session.conf.set("spark.databricks.delta.write.txnAppId", application_id)
    session.conf.set("spark.databricks.delta.write.txnVersion", str(batch_id))
    view = f"figures_{grain}"
    figures.createOrReplaceTempView(view)
    session.sql(
        f"""
        MERGE INTO {table(path)} AS t USING {view} AS s
        ON {" AND ".join(f"t.{key} <=> s.{key}" for key in METRIC_KEYS[grain])} AND {day_condition("t.event_date", days)}
        WHEN MATCHED THEN UPDATE SET {_assignments(grain)}
        WHEN NOT MATCHED THEN INSERT ({", ".join(streaming_schema(grain).names)})
        VALUES ({", ".join(_first(name) for name in streaming_schema(grain).names)})
        """
    )


def _assignments(grain: str) -> str:
    names = [n for n in streaming_schema(grain).names if n not in METRIC_KEYS[grain]]
    return ", ".join(f"t.{name} = {_added(name)}" for name in names)


def _added(name: str) -> str:
    """What a column becomes when a batch is added to it."""
    if name in SUMS:
        return f"t.{name} + s.{name}"
    if name == "first_seen":
        return "least(t.first_seen, s.first_seen)"
    if name == "last_seen":
        return "greatest(t.last_seen, s.last_seen)"
    if name.endswith("_sketch"):
        return f"hll_union(t.{name}, s.{name}, true)"
    return f"hll_sketch_estimate(hll_union(t.{name}_sketch, s.{name}_sketch, true))"


def _first(name: str) -> str:
    """What a column is in a row that a batch starts."""
    is_estimate = name in ("visitors", "ips")
    return f"hll_sketch_estimate(s.{name}_sketch)" if is_estimate else f"s.{name}"
