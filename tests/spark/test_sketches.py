"""Sketches of distinct counts: what Python unites is what Spark would, and each reads what the other makes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from consumer.components.aggregate import sketched
from consumer.components.upsert import add_figures, create_metrics_tables, streaming_schema
from consumer.components.visitor_sketches import estimate, united
from consumer.components.visitors import visitors
from lakehouse.lake import GRAINS, Lake
from lakehouse.metric_columns import METRIC_COLUMNS
from tests.builders import T0
from tests.tables import rows, utc

pytestmark = pytest.mark.spark

# A sketch is a list of values at first, then a set, then registers; and 0 stands for one of nothing.
SIZES = (0, 1, 30, 20_000)


def sketch(spark: SparkSession, begin: int, count: int, lg_k: int) -> bytes:
    values = spark.range(begin, begin + count).select(F.xxhash64("id").alias("key"))
    (row,) = values.agg(F.hll_sketch_agg("key", lg_k)).collect()
    return bytes(row[0])


@pytest.mark.parametrize("lg_k", [4, 12])
def test_python_unites_sketches_as_spark_does_and_both_read_them(spark: SparkSession, lg_k: int) -> None:
    made = [sketch(spark, begin, count, lg_k) for begin in (0, 10) for count in SIZES]
    pairs = [(one, other, united(one, other)) for one in made for other in made]
    frame = spark.createDataFrame(pairs, "one binary, other binary, python binary")
    spark_both = F.hll_union("one", "other")
    found = frame.select(
        F.hll_sketch_estimate(spark_both).alias("spark"),
        F.hll_sketch_estimate("python").alias("python"),
        F.hll_sketch_estimate(F.hll_union("python", spark_both)).alias("again"),
        spark_both.alias("sketch"),
    ).collect()
    assert len(found) == len(pairs)
    for row, (_, _, both) in zip(found, pairs, strict=True):
        assert row["spark"] == row["python"] == row["again"] == estimate(both) == estimate(bytes(row["sketch"]))


def requests(spark: SparkSession, first: int, count: int) -> DataFrame:
    """Requests of three IPs and two agents, one of them null, over two days; each is made of its number."""
    number = F.col("id")
    return spark.range(first, first + count).select(
        F.concat(F.lit("192.0.2."), (number % 3).cast("string")).alias("ip"),
        F.when(number % 2 == 0, "curl/8").alias("agent"),
        F.when(number % 5 == 0, 404).otherwise(200).alias("status"),
        F.when(number % 7 != 0, number).alias("bytes"),
        (F.lit(T0) + F.make_dt_interval(days=(number % 2).cast("int"), secs=number.cast("decimal(18,6)"))).alias("timestamp"),
    ).withColumn("event_date", F.to_date("timestamp"))  # fmt: skip


def test_tables_that_spark_made_are_gone_on_with(spark: SparkSession, lake: Lake) -> None:
    """Batch 0 is as earlier releases stored it: figures, sketches and estimates of Spark alone."""
    create_metrics_tables(lake, "app")
    parts = [requests(spark, 0, 40), requests(spark, 25, 60)]
    for grain in GRAINS:
        path = lake.metrics("streaming", grain)
        first, second, everything = (
            sketched(visitors(part).withColumn("bot_requests", F.lit(0).cast("long")), grain, 12)
            for part in (*parts, parts[0].unionByName(parts[1]))
        )
        stored_by_spark(first, grain).write.format("delta").mode("append").save(str(path))
        days = {T0.date(), (T0 + timedelta(days=1)).date()}
        add_figures(second, path, grain, days, application_id="app", batch_id=1)
        columns = METRIC_COLUMNS[grain]
        due = stored_by_spark(everything, grain)
        assert rows(path, *columns) == in_order(due, columns)
        # And Spark reads from the sketches what the table says.
        read = spark.read.format("delta").load(str(path)).withColumns(estimates(due))
        assert in_order(read, columns) == in_order(due, columns)


def estimates(figures: DataFrame) -> dict[str, Column]:
    """Spark's estimate of each sketch, by the name of its count."""
    names = [name for name in figures.columns if name.endswith("_sketch")]
    return {name.removesuffix("_sketch"): F.hll_sketch_estimate(name) for name in names}


def stored_by_spark(figures: DataFrame, grain: str) -> DataFrame:
    return figures.withColumns(estimates(figures)).select(*streaming_schema(grain).names)


def in_order(frame: DataFrame, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return sorted((tuple(utc(value) for value in row) for row in frame.select(*columns).collect()), key=repr)
