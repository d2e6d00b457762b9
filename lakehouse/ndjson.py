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
_ANY_FIELDS = "map<string, variant>"


def landed_rows(rows: DataFrame, *keep: str) -> DataFrame:
    """``rows`` with those that are a line of NDJSON, in ``json``, read into LANDED's columns.

    :param rows: ``json``: the line, or null for a row that has LANDED's columns already; these, unless no row has.
    :param keep: other columns of ``rows`` to pass on.
    :return: LANDED's columns and ``keep``. Fields that LANDED does not know are in ``rescued``, beside those that the
        line's own ``rescued`` holds. A line that is not an object, or has a field of another type, has itself as ``raw``.
    """
    parsed = rows.withColumn("line", F.from_json("json", _JSON, {"columnNameOfCorruptRecord": _CORRUPT}))
    parsed = parsed.withColumn("rest", _rest())
    is_mixed = set(LANDED.names) <= set(rows.columns)
    return parsed.select(*(_either(f.name, is_mixed=is_mixed) for f in LANDED), *keep)


def _either(name: str, *, is_mixed: bool) -> Column:
    from_line = _field(name)
    if not is_mixed:
        return from_line.alias(name)
    return F.when(F.col("json").isNull(), F.col(name)).otherwise(from_line).alias(name)


def _field(name: str) -> Column:
    value = F.col(f"line.{name}")
    if name == "rescued":
        return F.when(~_is_broken(), F.col("rest"))
    if name in _TIMES:
        return _time(value)
    if name == "raw":
        return F.coalesce(F.when(_is_broken(), F.col("json")), value)
    return value


def _time(text: Column) -> Column:
    """A time that says its day: Spark takes one without for a time of today, another each day that it is read."""
    return F.when(text.rlike(r"^\s*\d{4}-\d"), F.try_to_timestamp(text))


def _rest() -> Column:
    """``rescued`` and the fields that LANDED does not know, as one object; null if there is none or they are none.

    Neither if one of them would vanish: they have a name in common, or ``rescued`` has one twice.
    """
    own = F.col("line.rescued")
    own_fields = F.when(_is_one_value(own) & ~_has_twins(own), F.from_json(own, _ANY_FIELDS))
    unknown = F.map_filter(F.from_json("json", _ANY_FIELDS), lambda name, _: ~name.isin(LANDED.names))
    return (
        F.when(~_has_unknown(), own)
        .when(own.isNull(), F.to_json(unknown))
        .when(
            ~F.arrays_overlap(F.map_keys(own_fields), F.map_keys(unknown)), F.to_json(F.map_concat(own_fields, unknown))
        )
    )


def _has_twins(text: Column) -> Column:
    keys = F.json_object_keys(text)
    return F.size(F.array_distinct(keys)) < F.size(keys)


def _has_unknown() -> Column:
    known = F.array(*(F.lit(n) for n in LANDED.names))
    return F.size(F.array_except(F.json_object_keys("json"), known)) > 0


def _is_broken() -> Column:
    """Not one JSON object, a field of another type, or one that would be lost: there twice, or not to be rescued."""
    is_object = F.json_object_keys("json").isNotNull() & F.col("line").isNotNull()
    is_lost = _has_twins(F.col("json")) | (_has_unknown() & F.col("rest").isNull())
    has_wrong_type = F.col(f"line.{_CORRUPT}").isNotNull()
    for name in _TIMES:
        time = F.col(f"line.{name}")
        has_wrong_type |= time.isNotNull() & _time(time).isNull()
    return ~_is_one_value(F.col("json")) | ~is_object | has_wrong_type | is_lost


def _is_one_value(line: Column) -> Column:
    """Whether the line ends where its first value does.

    Spark's JSON functions stop reading there, so a second object on the line would vanish. Inside brackets, and again
    inside braces, no rest can pass for the end.
    """
    in_brackets = F.json_array_length(F.concat(F.lit("["), line, F.lit("]")))
    in_braces = F.size(F.json_object_keys(F.concat(F.lit('{"line":'), line, F.lit("}"))))
    return F.coalesce((in_brackets == 1) & (in_braces == 1), F.lit(False))
