"""Promoted columns: fields of ``rescued`` that the settings make columns of ``delta/``. Null where they are of another type."""

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lakehouse.settings import Promoted

TYPES: dict[str, T.DataType] = {
    "string": T.StringType(), "long": T.LongType(), "double": T.DoubleType(), "boolean": T.BooleanType(),
    "timestamp": T.TimestampType(),
}  # fmt: skip
# A time alone would be cast to one of today, and a year to its beginning.
FULL_DATE = r"^\d{4}-\d{2}-\d{2}(\D|$)"


def promoted_fields(promoted: Mapping[str, Promoted]) -> list[T.StructField]:
    """The columns' names and types."""
    return [T.StructField(name, TYPES[column.type]) for name, column in promoted.items()]


def promoted_columns(promoted: Mapping[str, Promoted]) -> list[Column]:
    """The columns, from ``rescued``."""
    return [_value(column).alias(name) for name, column in promoted.items()]


def _value(column: Promoted) -> Column:
    text = F.get_json_object("rescued", column.field)
    value = text.try_cast(TYPES[column.type])
    if column.type == "double":
        return F.when(F.abs(value) < float("inf"), value)  # neither infinite nor NaN, which would spoil every sum
    if column.type == "timestamp":
        return F.when(text.rlike(FULL_DATE), value)
    return value
