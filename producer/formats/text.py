"""Lines of text by regular expressions whose groups are named like columns. Pure and vectorised."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from producer.addresses import ADDRESS_LIST
from producer.formats.columns import FIELDS, no_fields, rescued_json, with_all_fields
from producer.formats.options import Options
from producer.formats.requests import (
    with_arguments,
    with_full_request_split,
    with_request_split,
    with_target_split,
    with_url_split,
)
from producer.formats.stretches import extracted
from producer.formats.times import LOGGED, instants, logged_times

BLANKS = r" \t\n\v\f\r"
FIELD = rf"[^{BLANKS}]+"
IN_QUOTES = r'(?:[^"\\]|\\.)*'
# What stands for no number of bytes; the last is -1 of a server that counts without sign.
NO_BYTES = ("-", "", "-1", "18446744073709551615")
COLUMN_GROUPS = frozenset([*FIELDS, "time", "request", "target", "arguments"])

Reader = Callable[[pl.Series], pl.DataFrame]


@dataclass(frozen=True)
class Pattern:
    """A format of lines. Each expression is tried on what those before it missed; a tuple of them reads one stretch after the other.

    Groups are named like columns; ``time``, ``request`` (method, target and protocol) and ``target`` (path and query) are
    taken apart, ``arguments`` is a query that is logged by itself. All others go to ``rescued``.

    :param keys: from a group to its key in ``rescued``, where that is not its name.
    :param has_url: whether the target is a full URL as a rule.
    :param time_format: of ``time``, as ``strptime`` has it, where it is no usual time; ``LOGGED`` where it always is Combined's.
    """

    name: str
    expressions: tuple[str | tuple[str, ...], ...]
    keys: Mapping[str, str] = field(default_factory=dict)
    has_url: bool = False
    time_format: str | None = None

    def read(self, lines: pl.Series, options: Options) -> pl.DataFrame:
        """``FIELDS`` for each line, in order."""
        return first_that_reads(lines, [self._reader(expression, options) for expression in self.expressions])

    def _reader(self, expression: str | tuple[str, ...], options: Options) -> Reader:
        return lambda lines: self._fields(lines, expression, options)

    def _fields(self, lines: pl.Series, expression: str | tuple[str, ...], options: Options) -> pl.DataFrame:
        texts = extracted(lines, (expression,) if isinstance(expression, str) else expression)
        if texts["time"].null_count() == texts.height:
            return no_fields(lines.len())
        return fields_of(texts, options, keys=self.keys, has_url=self.has_url, time_format=self.time_format)


def first_that_reads(lines: pl.Series, readers: Sequence[Reader]) -> pl.DataFrame:
    """``FIELDS`` for each line from the first reader that reads it."""
    fields = readers[0](lines)
    for reader in readers[1:]:
        if fields["timestamp"].null_count() == 0:
            break
        is_missed = fields["timestamp"].is_null()
        fields = replaced(fields, is_missed, reader(lines.filter(is_missed)))
    return fields


def replaced(rows: pl.DataFrame, mask: pl.Series, others: pl.DataFrame) -> pl.DataFrame:
    """``rows`` with those of ``mask`` from ``others``, which has as many, in their order."""
    if mask.all():
        return others
    if others.is_empty():
        return rows
    places = pl.int_range(rows.height, eager=True)
    kept = rows.filter(~mask).with_columns(places.filter(~mask).alias("place"))
    new = others.with_columns(places.filter(mask).alias("place"))
    return pl.concat([kept, new]).sort("place").drop("place")


def fields_of(
    texts: pl.DataFrame,
    options: Options,
    *,
    keys: Mapping[str, str] | None = None,
    has_url: bool = False,
    time_format: str | None = None,
) -> pl.DataFrame:
    """``FIELDS`` from the texts of groups, columns named like them; a row without time did not match."""
    extras = {name: (keys or {}).get(name, name) for name in texts.columns if name not in COLUMN_GROUPS}
    fields = texts
    if "request" in texts.columns:
        fields = with_full_request_split(fields) if has_url else with_request_split(fields)
    elif "target" in texts.columns:
        fields = with_target_split(fields)
    if "arguments" in texts.columns:
        fields = with_arguments(fields)
    if has_url and "request" not in texts.columns:
        fields = with_url_split(fields)
    forwarded = next((name for name, key in extras.items() if options.is_forwarded(key)), None)
    columns = typed_columns(fields, options, time_format)
    if forwarded is not None:
        columns["forwarded"] = pl.col(forwarded)
    elif (
        "rest" in extras and options.client_field is None and texts["rest"].null_count() < texts.height
    ):  # as in nginx's packaged format "main"
        columns["forwarded"] = pl.col("rest").str.extract(rf'^("{ADDRESS_LIST}")(?: |$)')
    columns["rescued"] = pl.lit(rescued_json(texts, extras))
    return with_all_fields(fields, columns)


def typed_columns(fields: pl.DataFrame, options: Options, time_format: str | None = None) -> dict[str, pl.Expr]:
    """By column what is made of its text."""
    if time_format == LOGGED:
        timestamp = logged_times(fields["time"])
    else:
        time = fields["time"] if time_format is None else _formatted_times(fields["time"], time_format)
        timestamp = instants(time, options.time_zone)
    columns = {"timestamp": pl.lit(timestamp)}
    if "bytes" in fields.columns:
        columns |= _sizes(fields["bytes"], timestamp)
    if "status" in fields.columns:
        columns["status"] = pl.col("status").cast(pl.Int32, strict=False)
    if "site" in fields.columns:
        site = pl.col("site").str.replace(r":[0-9]+$", "")
        columns["site"] = pl.when((site != "-") & (site != "")).then(site)
    return columns


def _sizes(texts: pl.Series, timestamp: pl.Series) -> dict[str, pl.Expr]:
    """The numbers of bytes, and the timestamps without those of lines that have an odd one: these do not parse."""
    size = texts.cast(pl.Int64, strict=False)
    unread = size.null_count() - texts.null_count()
    if unread == int((texts == "-").sum()) and not (size < 0).any():  # as in most blocks
        return {"bytes": pl.lit(size)}
    is_none = pl.any_horizontal(*(pl.col("bytes") == text for text in NO_BYTES)) | pl.col("bytes").is_null()
    has_size = is_none | pl.lit(size >= 0).fill_null(value=False)
    return {
        "timestamp": pl.when(has_size).then(pl.lit(timestamp)),
        "bytes": pl.lit(size.set(size < 0, None)),
    }


def _formatted_times(texts: pl.Series, time_format: str) -> pl.Series:
    """ISO 8601 of times in ``time_format``."""

    def iso(text: str) -> str | None:
        try:
            return datetime.strptime(text, time_format).isoformat()  # noqa: DTZ007  (without offset it is in the zone that is set)
        except ValueError:
            return None

    distinct = texts.drop_nulls().unique()
    return texts.replace_strict(distinct, pl.Series([iso(text) for text in distinct], dtype=pl.String), default=None)
