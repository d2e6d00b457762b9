"""A row as JSON, the same to the byte on each engine: ids are made of it."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

# To the millisecond, as Spark has always written them there.
TIME_FORMAT = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"
# Control characters whose number has letters, which Spark writes large and Sail small.
LETTERED = [f"\\u{number:04X}" for number in (0x0B, 0x0E, 0x0F, *range(0x1A, 0x20))]
ESCAPED_BACKSLASH = "\\\\"
NEVER_IN_JSON = "\x01"  # as itself: it would be escaped


def json_text(schema: T.StructType) -> Column:
    """The columns of ``schema`` as a JSON object, those that are null left out.

    On Spark it is what ``to_json`` gives. Times must be of the years 1 to 9999: of others, engines differ.
    """
    text = F.to_json(F.struct(*(_value(field) for field in schema)))
    # What is left of backslashes that do not escape one another begins an escape.
    text = F.replace(text, F.lit(ESCAPED_BACKSLASH), F.lit(NEVER_IN_JSON))
    for escape in LETTERED:
        text = F.replace(text, F.lit(escape.lower()), F.lit(escape))
    return F.replace(text, F.lit(NEVER_IN_JSON), F.lit(ESCAPED_BACKSLASH))


def _value(field: T.StructField) -> Column:
    if isinstance(field.dataType, T.TimestampType):
        return F.date_format(field.name, TIME_FORMAT).alias(field.name)
    return F.col(field.name)
