"""Landed NDJSON read without Spark's JSON functions, which Sail has not whole: plain lines alone, and no guess at others. I/O.

A plain line is one that cannot be read in two ways: an object of LANDED's fields, each there once at most, text in quotes,
numbers whole, times in UTC. The producer lands no others. What other lines become is for Spark (``lakehouse/ndjson.py``).
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from lakehouse.errors import EngineError
from lakehouse.landed import BATCH_ROWS, JSON_ENCODING
from lakehouse.schema import LANDED

KINDS = {f.name: f.dataType for f in LANDED}
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|\+00:00)")
BITS = {"int": 31, "bigint": 63}


def plain_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a landed NDJSON file, in LANDED's columns.

    :raises EngineError: a line is not plain; says which, and what to do.
    """
    schema = to_arrow_schema(LANDED, timezone="UTC")
    rows = _numbered_rows(path)
    while batch := list(islice(rows, BATCH_ROWS)):
        yield pa.RecordBatch.from_pylist(batch, schema)


def plain_row(line: str) -> dict[str, Any]:
    """The fields of a plain line.

    :raises ValueError: it is none.
    """
    fields = json.loads(line, object_pairs_hook=_once, parse_constant=_no_number)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return {name: _value(name, value) for name, value in fields.items()}


def _numbered_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding=JSON_ENCODING, newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield plain_row(line.removesuffix("\n"))
            except (ValueError, RecursionError) as error:
                raise EngineError(
                    f"{path}: line {number} is not as the producer lands lines ({error}), and only Spark knows what becomes"
                    " of it: set spark.engine to spark for this merge, or move the file away"
                ) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands in it twice")
    return fields


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _value(name: str, value: Any) -> Any:
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError("a field that is not known")
    if value is None:
        return None
    if isinstance(kind, T.IntegerType | T.LongType):
        is_whole = type(value) is int and -(2 ** BITS[kind.simpleString()]) <= value < 2 ** BITS[kind.simpleString()]
    else:
        is_whole = type(value) is str
    if not is_whole:
        raise ValueError(f"{name} is of another type")
    if isinstance(kind, T.TimestampType):
        return _time(name, value)
    if isinstance(value, str):
        value.encode()  # halves of surrogate pairs are no text
    return value


def _time(name: str, text: str) -> datetime:
    if not TIME.fullmatch(text):
        raise ValueError(f"{name} is no time in UTC")
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
