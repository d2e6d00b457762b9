"""Lines of one JSON logger, which have the same keys in the same order, read at once by expressions learnt from one of them. Pure.

A template takes only what :mod:`producer.formats.json_lines` would read in the same way; all other lines are left to that module, and a
test compares the two. :mod:`producer.formats.learning` makes templates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from producer.formats.columns import no_fields, with_all_fields
from producer.formats.numbers import as_python_writes
from producer.formats.options import Options
from producer.formats.stretches import extracted
from producer.formats.text import typed_columns


@dataclass(frozen=True)
class Template:
    """What was learnt from a line.

    :param stretches: expressions whose groups are named like columns or, for what goes to ``rescued``, ``v`` and a number.
    :param conditions: what must hold, so that a line's columns have the values of the same keys as in the line that this was learnt from.
    :param rescued: the object of what no column took, from pieces of text and groups; none if there is nothing.
    :param numbers: groups of ``rescued`` that are numbers.
    :param forwarded: the groups that may have the chain of addresses: the first that says something counts.
    :param has_url: whether the target is a full URL.
    """

    stretches: Sequence[str]
    conditions: Sequence[pl.Expr]
    rescued: Sequence[pl.Expr]
    numbers: Sequence[str]
    forwarded: Sequence[str]
    has_url: bool

    def read(self, lines: pl.Series, options: Options) -> pl.DataFrame:
        """``FIELDS`` for each line; without timestamp where it is not like the template."""
        texts = self._texts(lines)
        if texts["time"].null_count() == texts.height:
            return no_fields(lines.len())
        columns = typed_columns(texts, options)
        columns["rescued"] = pl.concat_str(self.rescued) if self.rescued else pl.lit(None, pl.String)
        columns["forwarded"] = self._forwarded()
        if "arguments" in texts.columns:
            query = pl.col("arguments").str.strip_prefix("?").str.strip_chars_end(" ")
            columns["query"] = pl.when((query != "") & (query != "-")).then(query)
        if self.has_url:
            columns["path"] = pl.when(pl.col("path") == "").then(pl.lit("/")).otherwise("path")
        is_like = [*self.conditions, *(pl.col(number).is_not_null() for number in self.numbers)]
        if "status" in texts.columns:
            is_like.append(columns["status"] >= 0)
        if is_like:
            columns["timestamp"] = pl.when(pl.all_horizontal(is_like)).then(columns["timestamp"])
        return with_all_fields(texts, columns)

    def _forwarded(self) -> pl.Expr:
        texts = [pl.col(group) for group in self.forwarded]
        telling = [pl.when((text != "") & (text != "-")).then(text) for text in texts] if len(texts) > 1 else []
        return pl.coalesce(*telling, *texts[:1], pl.lit(None, pl.String))

    def _texts(self, lines: pl.Series) -> pl.DataFrame:
        """The groups; null where the line has another shape."""
        texts = extracted(lines, self.stretches)
        return texts.with_columns(as_python_writes(texts, self.numbers))
