"""Which format each line is in, and its columns. Pure: text in, columns out.

The format that a log is likely in is tried first, its misses are offered to all others, then to all formats without the
envelope that they may stand in, twice at most. The formats exclude each other by their looks, so that the result does not depend
on what a log was likely to be in, nor on where blocks begin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Protocol

import polars as pl

from producer.addresses import Network, private_share, with_client
from producer.formats.columns import PARSED, joined_objects, no_fields
from producer.formats.combined import READERS
from producer.formats.directives import FormatError, compiled, is_format_string
from producer.formats.envelopes import opened
from producer.formats.json_lines import JsonFormat, LtsvFormat
from producer.formats.options import Options
from producer.formats.pieces import joined
from producer.formats.servers import PATTERNS
from producer.formats.tally import Tally
from producer.formats.text import replaced
from producer.formats.w3c import DIRECTIVES, W3cFormat
from producer.formats.w3c_days import HEADER, Above, lacks_day, with_days


class Format(Protocol):
    """What reads the lines of one format."""

    @property
    def name(self) -> str:
        """As users name it."""
        ...

    def read(self, lines: pl.Series, options: Options) -> pl.DataFrame:
        """``FIELDS`` for each line, in order; without timestamp where a line is in another format."""
        ...


FORMATS: tuple[Format, ...] = (*READERS, JsonFormat(), *PATTERNS, LtsvFormat())
W3C = "w3c"
# What log_format can be, but for format strings.
NAMES = ("auto", "common", *dict.fromkeys(known.name for known in FORMATS), W3C)
MOST_HEADERS, MOST_ENVELOPES = 16, 2
SAMPLE_LINES = 200


@dataclass(frozen=True)
class Parsing:
    """How lines are parsed.

    :param log_format: one of ``NAMES`` or a format string.
    :param trusted: the networks of trusted proxies.
    """

    log_format: str = "auto"
    options: Options = field(default_factory=Options)
    trusted: Sequence[Network] = ()


@dataclass(frozen=True)
class Parsed:
    """What came of lines.

    :param rows: one for each line, in order, with the columns of ``PARSED``.
    :param is_row: false for headers of a W3C log and for what goes on a line that an envelope cut; ``None`` where all are rows.
    """

    rows: pl.DataFrame
    is_row: pl.Series | None
    tally: Tally


def check_format(log_format: str) -> None:
    """Whether a log can be read as this.

    :raises FormatError: it is no name, and no format string that can be used; says why.
    """
    if is_format_string(log_format):
        _compiled(log_format)
    elif log_format not in NAMES:
        raise FormatError(
            f"no such format; one of {', '.join(NAMES)}, or a format string of nginx ($...) or Apache (%...)"
        )


@lru_cache(maxsize=32)
def _compiled(text: str) -> Format:
    return compiled(text)


def _chosen(log_format: str) -> tuple[Format, ...]:
    if log_format in ("auto", W3C):
        return FORMATS if log_format == "auto" else ()
    if is_format_string(log_format):
        return (_compiled(log_format),)
    if log_format == "vhost":
        return READERS
    name = "combined" if log_format == "common" else log_format
    return tuple(known for known in FORMATS if known.name == name)


def parse(
    lines: pl.Series,
    parsing: Parsing | str = "auto",
    likely: str | None = None,
    header: str | None = None,
    *,
    may_have_headers: bool = True,
) -> Parsed:
    """Read log lines.

    :param lines: text without end-of-line characters, no nulls.
    :param likely: a key of ``Tally.formats``: it is tried first.
    :param header: what stood above these lines of a W3C log, as ``Above.text`` has it.
    :param may_have_headers: false if it is known that there is no header of such a log in the lines: this saves a look at each.
    """
    if isinstance(parsing, str):
        parsing = Parsing(parsing)
    lines = lines.alias("line")
    reading = _Reading(lines, parsing, likely)
    may_have_headers = may_have_headers and parsing.log_format in ("auto", W3C)
    if header is not None or (may_have_headers and lines.str.starts_with(HEADER).any()):
        reading.read_below_headers(header)
    reading.read_all()
    return reading.result()


def detect(lines: pl.Series, parsing: Parsing | str = "auto") -> str | None:
    """The format, with its envelopes, that most of the first lines are in; ``None`` when none of them parses."""
    formats = parse(lines.head(SAMPLE_LINES), parsing).tally.formats
    return formats.most_common(1)[0][0] if formats else None


def first_timestamp(lines: pl.Series, parsing: Parsing | str = "auto") -> datetime | None:
    """The first time that can be read in the lines."""
    for count in (10, SAMPLE_LINES):
        found = parse(lines.head(count), parsing).rows["timestamp"].drop_nulls()
        if found.len():
            first: datetime = found[0]
            return first
    return None


class _Reading:
    """Lines on their way: ``fields`` has what was read so far."""

    def __init__(self, lines: pl.Series, parsing: Parsing, likely: str | None) -> None:
        self._lines, self._parsing = lines, parsing
        self._envelope, _, self._likely = (likely or "").rpartition("+")
        self._formats = sorted(_chosen(parsing.log_format), key=lambda known: known.name != self._likely)
        self._fields: pl.DataFrame | None = None
        self._is_row: pl.Series | None = None
        self._tally = Tally(lines.len())

    def read_below_headers(self, header: str | None) -> None:
        """Lines of a W3C log, each by the header above it."""
        starts = self._lines.str.starts_with(HEADER)
        above = Above.from_text(header)
        headers = pl.select(
            pl.when(starts).then(self._lines).forward_fill().fill_null(pl.lit(above.header, pl.String))
        ).to_series()
        lines = self._lines
        if any(lacks_day(known) for known in headers.drop_nulls().unique()):
            lines, headers = with_days(lines, above)
        is_directive = self._lines.str.contains(f"^(?:{'|'.join(DIRECTIVES)})")
        self._is_row = ~(is_directive & (headers.is_not_null() | starts.any()))
        distinct = headers.drop_nulls().unique(maintain_order=True)
        for known in distinct.head(MOST_HEADERS):
            is_below = (headers == known).fill_null(value=False) & self._is_row
            self._take(is_below, lines.filter(is_below), W3cFormat(known), "")

    def read_all(self) -> None:
        """All that is left."""
        if self._envelope:
            self._read_opened()
        left = self._left()
        for known in self._formats:
            if left is not None and not left.any():
                return
            self._take(left, self._lines if left is None else self._lines.filter(left), known, "")
            if self._is_complete():
                return
            left = self._left()
        if not self._envelope and (left is None or left.any()):
            self._read_opened()

    def result(self) -> Parsed:
        """What was read. A line without timestamp keeps its text in ``raw``."""
        fields = self._fields if self._fields is not None else no_fields(self._lines.len())
        trusted = self._parsing.trusted
        if self._is_row is not None:
            self._tally.lines = int(self._is_row.sum())
        if fields["forwarded"].null_count() < fields.height:
            peers = fields["ip"].filter(fields["forwarded"].is_not_null() & fields["timestamp"].is_not_null())
            self._tally.forwarded, self._tally.private = peers.len(), round(private_share(peers) * peers.len())
        fields = with_client(fields, trusted)
        if self._is_complete():
            no_raw = pl.lit(None, pl.String).alias("raw")
            return Parsed(fields.select(no_raw if n == "raw" else n for n in PARSED), self._is_row, self._tally)
        is_parsed = pl.col("timestamp").is_not_null()
        rows = fields.with_columns(self._lines).select(
            (pl.when(~is_parsed).then("line") if name == "raw" else pl.when(is_parsed).then(pl.col(name))).alias(name)
            for name in PARSED
        )
        return Parsed(rows, self._is_row, self._tally)

    def _is_complete(self) -> bool:
        """Whether every line was read."""
        return self._fields is not None and self._fields["timestamp"].null_count() == 0

    def _left(self) -> pl.Series | None:
        """Which lines were not read yet; ``None`` for all."""
        if self._fields is None:
            return self._is_row
        missed = self._fields["timestamp"].is_null()
        return missed if self._is_row is None else missed & self._is_row

    def _take(
        self, mask: pl.Series | None, lines: pl.Series, known: Format, envelope: str, said: pl.Series | None = None
    ) -> pl.Series:
        """Read the lines of ``mask``; which of them were read."""
        fields = known.read(lines, self._parsing.options)
        is_read = fields["timestamp"].is_not_null()
        count = fields.height - fields["timestamp"].null_count()
        if count == 0:
            return is_read
        self._tally.formats[envelope + known.name] += count
        if said is not None:
            fields = fields.with_columns(joined_objects(pl.col("rescued"), pl.lit(said)).alias("rescued"))
        if mask is None:
            self._fields = fields
        else:
            rows = self._fields if self._fields is not None else no_fields(self._lines.len())
            self._fields = replaced(rows, _within(mask, is_read), fields.filter(is_read))
        return is_read

    def _read_opened(self) -> None:
        """Lines without their envelopes."""
        left = self._left()
        places = pl.int_range(self._lines.len(), eager=True)
        if left is not None:
            places = places.filter(left)
        lines = self._lines.gather(places)
        said = pl.Series("said", [None] * lines.len(), dtype=pl.String)
        names = pl.Series("names", [""] * lines.len())
        for _ in range(MOST_ENVELOPES):
            found = opened(lines)
            is_open = found.name.is_not_null()
            if not is_open.any():
                return
            parts = found.is_part.any()
            inner, pieces = joined(found.lines, found.streams, found.is_part) if parts else (found.lines, {})
            followers = {places[first]: [places[n] for n in others] for first, others in pieces.items()}
            places, lines, names = (
                places.filter(is_open),
                inner.filter(is_open),
                names.filter(is_open) + found.name.filter(is_open) + "+",
            )
            said = _both_said(said.filter(is_open), found.said.filter(is_open))
            is_read = self._read_inner(places, lines, names, said)
            self._drop(places.filter(is_read), followers)
            places, lines, names, said = (s.filter(~is_read) for s in (places, lines, names, said))

    def _read_inner(self, places: pl.Series, lines: pl.Series, names: pl.Series, said: pl.Series) -> pl.Series:
        is_read = pl.Series([False] * lines.len())
        enveloped = pl.select(
            pl.when(said.is_not_null()).then(pl.concat_str(pl.lit('{"envelope":'), said, pl.lit("}")))
        ).to_series()
        for known in self._formats:
            for name in names.unique(maintain_order=True):
                mask = ~is_read & (names == name)
                if mask.any():
                    rows = pl.Series([False] * self._lines.len()).scatter(places.filter(mask), True)
                    read = self._take(rows, lines.filter(mask), known, name, enveloped.filter(mask))
                    is_read = is_read.scatter(pl.int_range(lines.len(), eager=True).filter(mask).filter(read), True)
        return is_read

    def _drop(self, read: pl.Series, followers: Mapping[int, list[int]]) -> None:
        """The lines whose text went into one before them are no rows."""
        gone = [place for first in read if first in followers for place in followers[first]]
        if gone:
            kept = self._is_row if self._is_row is not None else pl.Series([True] * self._lines.len())
            self._is_row = kept.scatter(gone, False)


def _within(mask: pl.Series, inner: pl.Series) -> pl.Series:
    places = pl.int_range(mask.len(), eager=True).filter(mask).filter(inner)
    return pl.Series([False] * mask.len()).scatter(places, True)


def _both_said(outer: pl.Series, inner: pl.Series) -> pl.Series:
    """What both envelopes say; where both have a time or a host, the inner one's is under ``time_2`` or ``host_2``."""
    says = pl.lit(inner)
    for key in ("time", "host"):
        has_both = pl.lit(outer).str.contains(f'"{key}":', literal=True).fill_null(value=False)
        renamed = says.str.replace(rf'([{{,])"{key}":', f'${{1}}"{key}_2":')
        says = pl.when(has_both).then(renamed).otherwise(says)
    return pl.select(joined_objects(pl.lit(outer), says)).to_series()
