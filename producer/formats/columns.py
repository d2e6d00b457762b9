"""What every format reads a line into: the columns, and what has no column as a JSON object. Pure and vectorised."""

from collections.abc import Mapping

import polars as pl

TIMESTAMP = pl.Datetime("us", "UTC")
# The columns that a line is read into. `raw` is the line itself where it did not parse, else null; `rescued` is a JSON
# object of what came with the line and has no column, null where nothing is left.
PARSED: dict[str, pl.DataType] = {
    "timestamp": TIMESTAMP, "ip": pl.String(), "user": pl.String(), "method": pl.String(), "path": pl.String(),
    "query": pl.String(), "protocol": pl.String(), "status": pl.Int32(), "bytes": pl.Int64(), "referer": pl.String(),
    "agent": pl.String(), "site": pl.String(), "raw": pl.String(), "rescued": pl.String(),
}  # fmt: skip
# What a format makes of a line: `ip` as logged, and what was logged as forwarded (X-Forwarded-For). The client is found
# in both by producer.addresses. A line without timestamp did not parse.
FIELDS: dict[str, pl.DataType] = {name: kind for name, kind in PARSED.items() if name != "raw"} | {
    "forwarded": pl.String()
}

_NULLS = {name: pl.lit(None, kind) for name, kind in FIELDS.items()}
_COLUMNS = {name: pl.col(name) for name in FIELDS}

# As JSON writes numbers, and few enough digits for every reader to keep them.
_NUMBER = r"^-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?$"
_NEEDS_ESCAPES = r'["\\\x00-\x1f]'


def no_fields(height: int) -> pl.DataFrame:
    """Rows of lines that did not parse."""
    return pl.DataFrame({name: pl.Series(name, [None] * height, dtype=kind) for name, kind in FIELDS.items()})


def with_all_fields(fields: pl.DataFrame, columns: Mapping[str, pl.Expr] | None = None) -> pl.DataFrame:
    """``FIELDS``: from ``columns``, else as they stand in ``fields``, else null."""
    known = _NULLS | {name: column for name, column in _COLUMNS.items() if name in fields.columns} | dict(columns or {})
    return fields.select(known[name].alias(name) for name in FIELDS)


def rescued_json(texts: pl.DataFrame, keys: Mapping[str, str]) -> pl.Series:
    """A JSON object for each row; null where there is nothing. Empty values and ``-`` say nothing, numbers are JSON's.

    :param keys: from a column of ``texts`` to its key in the object.
    """
    parts = [part for name, key in keys.items() if (part := _members(texts[name], key)) is not None]
    if not parts:
        return pl.Series("rescued", [None] * texts.height, dtype=pl.String)
    members = pl.concat_str(parts, ignore_nulls=True).str.slice(1)
    return texts.select(
        pl.when(members != "").then(pl.concat_str(pl.lit("{"), members, pl.lit("}"))).alias("rescued")
    ).to_series()


def _members(values: pl.Series, key: str) -> pl.Series | None:
    r"""``,"key":value`` for each value that says something."""
    if values.null_count() == values.len():
        return None
    values = values.alias("v").set(values.is_in(["", "-"]).fill_null(value=False), None)
    if values.null_count() == values.len():
        return None
    text = pl.col("v")
    is_number = text.str.contains(_NUMBER)
    quoted = pl.concat_str(pl.lit('"'), text, pl.lit('"'))
    if values.str.contains(_NEEDS_ESCAPES).any():
        quoted = pl.struct("v").struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
    member = pl.concat_str(
        pl.lit("," + pl.Series([key]).to_frame("k").select(pl.struct("k").struct.json_encode()).item()[5:-1] + ":"),
        pl.when(is_number).then(text).otherwise(quoted),
    )
    return values.to_frame().select(pl.when(text.is_not_null()).then(member).alias(key)).to_series()


def joined_objects(first: pl.Expr, second: pl.Expr) -> pl.Expr:
    """Two JSON objects, none of them empty, as one; the other where one is null."""
    both = pl.concat_str(first.str.strip_suffix("}"), pl.lit(","), second.str.slice(1))
    return pl.when(first.is_not_null() & second.is_not_null()).then(both).otherwise(pl.coalesce(first, second))
