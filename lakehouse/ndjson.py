"""Landed NDJSON: lines of text in, landed rows out. Every line is a row, whatever is in it."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lakehouse.schema import LANDED

_CORRUPT = "_corrupt"
_TIMES = frozenset(f.name for f in LANDED if isinstance(f.dataType, T.TimestampType))
# Times are read as text and converted, so that one that is none leaves the other fields readable.
_JSON = T.StructType(
    [T.StructField(f.name, T.StringType() if f.name in _TIMES else f.dataType) for f in LANDED]
    + [T.StructField(_CORRUPT, T.StringType())]
)


def landed_rows(rows: DataFrame, *keep: str) -> DataFrame:
    """``rows`` with those that are a line of NDJSON, in ``json``, read into LANDED's columns.

    :param rows: ``json``: the line, or null for a row that has LANDED's columns already; these, unless no row has.
    :param keep: other columns of ``rows`` to pass on.
    :return: LANDED's columns and ``keep``. A line that is not an object of LANDED's fields with their types has itself as ``raw``.
    """
    parsed = rows.withColumn("line", F.from_json("json", _JSON, {"columnNameOfCorruptRecord": _CORRUPT}))
    is_mixed = set(LANDED.names) <= set(rows.columns)
    return parsed.select(*(_either(f.name, is_mixed=is_mixed) for f in LANDED), *keep)


def _either(name: str, *, is_mixed: bool) -> Column:
    from_line = _field(name)
    if not is_mixed:
        return from_line.alias(name)
    return F.when(F.col("json").isNull(), F.col(name)).otherwise(from_line).alias(name)


def _field(name: str) -> Column:
    value = F.col(f"line.{name}")
    if name in _TIMES:
        return _time(value)
    if name == "raw":
        return F.coalesce(F.when(_is_broken(), F.col("json")), value)
    return value


def _time(text: Column) -> Column:
    """A time that says its day: Spark takes one without for a time of today, another each day that it is read."""
    return F.when(text.rlike(r"^\s*\d{4}-\d"), F.try_to_timestamp(text))


def _is_broken() -> Column:
    """Not one JSON object, a field of another type, or one that would be lost: unknown to the landing, or there twice."""
    keys = F.json_object_keys("json")
    has_twins = F.size(F.array_distinct(keys)) < F.size(keys)
    unknown = F.size(F.array_except(keys, F.array(*(F.lit(n) for n in LANDED.names)))) > 0
    has_wrong_type = F.col(f"line.{_CORRUPT}").isNotNull()
    for name in _TIMES:
        time = F.col(f"line.{name}")
        has_wrong_type |= time.isNotNull() & _time(time).isNull()
    return ~_is_one_value() | keys.isNull() | F.col("line").isNull() | has_wrong_type | unknown | has_twins


def _is_one_value() -> Column:
    """Whether the line ends where its first value does.

    Spark's JSON functions stop reading there, so a second object on the line would vanish. Inside brackets, and again
    inside braces, no rest can pass for the end.
    """
    line = F.col("json")
    in_brackets = F.json_array_length(F.concat(F.lit("["), line, F.lit("]")))
    in_braces = F.size(F.json_object_keys(F.concat(F.lit('{"line":'), line, F.lit("}"))))
    return F.coalesce((in_brackets == 1) & (in_braces == 1), F.lit(False))
