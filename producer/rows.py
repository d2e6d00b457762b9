"""Landed rows from the blocks of a log. Pure but for what it remembers of one log: its first line and its format."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from lakehouse.settings import LogFormat
from producer.addresses import truncated_ips
from producer.blocks import Block
from producer.formats import SAMPLE_LINES, Parser, detect, parse
from producer.identity import Spans, event_ids, fingerprint, line_hashes, line_spans
from producer.landing import LANDED

UTF8_BOM = "\ufeff"


@dataclass(frozen=True)
class Reading:
    """How a log is read.

    :param source: its name, for the column of that name.
    :param site: the site's name, for the ids and for lines that do not name one; empty for none.
    """

    source: str
    site: str
    log_format: LogFormat
    max_line_bytes: int
    truncate_ips: bool


class LineParser:
    """Turns the blocks of one log, in order, into landed rows.

    :param log_fingerprint: known from an earlier reading; otherwise the first block must be the log's beginning.
    :param parser: known from an earlier reading, for the format ``auto``.
    """

    def __init__(self, reading: Reading, log_fingerprint: str | None = None, parser: Parser | None = None) -> None:
        self.fingerprint = log_fingerprint
        self.parser: Parser | None = parser
        self._reading = reading
        if reading.log_format != "auto":
            self.parser = "combined" if reading.log_format == "common" else reading.log_format

    def task(self, block: Block, ingested_at: datetime) -> Callable[[], pl.DataFrame]:
        """What makes the block's rows. It depends on nothing that changes, so that any thread may run it."""
        spans = line_spans(block.data)
        reading = self._reading
        if self.fingerprint is None:
            first_line = block.data[: min(int(spans.ends[0]), reading.max_line_bytes)]
            self.fingerprint = fingerprint(reading.site, first_line)
        if self.parser is None:
            self.parser = detect(_sample(block, spans, reading.max_line_bytes))
        log_fingerprint, parser = self.fingerprint, self.parser or "combined"
        return lambda: landed_rows(block, spans, reading, log_fingerprint, parser, ingested_at)


def landed_rows(
    block: Block, spans: Spans, reading: Reading, log_fingerprint: str, parser: Parser, ingested_at: datetime
) -> pl.DataFrame:
    """The block's lines as rows with the columns of ``LANDED``: one for each line, in order."""
    lengths = spans.ends - spans.starts
    is_cut = lengths > reading.max_line_bytes
    kept = Spans(spans.starts, spans.starts + lengths.clip(max=reading.max_line_bytes))
    lines = line_texts(block, kept, has_cut_lines=bool(is_cut.any()))
    if is_cut.any():
        lines_are_cut = pl.Series("is_cut", is_cut)
        # A line whose end is not known does not parse, even if its beginning would.
        parsed = parse(lines.set(lines_are_cut, ""), parser).with_columns(
            pl.when(lines_are_cut).then(lines).otherwise("raw").alias("raw")
        )
    else:
        parsed = parse(lines, parser)
    offsets = block.offset + kept.starts
    origin = {
        "event_id": pl.lit(event_ids(log_fingerprint, offsets, line_hashes(block.data, kept))),
        "site": pl.col("site").fill_null(pl.lit(reading.site or None, pl.String)),
        "source": pl.lit(reading.source),
        "source_offset": pl.lit(pl.Series(offsets, dtype=pl.Int64)),
        "ingested_at": pl.lit(ingested_at, LANDED["ingested_at"]),
    }
    rows = parsed.select(origin.get(name, pl.col(name)).alias(name) for name in LANDED)
    return truncated_ips(rows) if reading.truncate_ips else rows


def line_texts(block: Block, spans: Spans, *, has_cut_lines: bool) -> pl.Series:
    r"""The lines as text. Bytes that are not UTF-8 become ``\xNN``; a byte order mark before the first line goes."""
    data = block.data
    if has_cut_lines:
        bounds = zip(spans.starts.tolist(), spans.ends.tolist(), strict=True)
        data = b"\n".join(data[start:end] for start, end in bounds)
    text = data.decode("utf-8", "backslashreplace")
    if block.offset == 0:
        text = text.removeprefix(UTF8_BOM)
    lines = pl.Series("line", [text]).str.split("\n").explode().head(len(spans.starts))
    return lines.str.strip_suffix("\r") if "\r" in text and not has_cut_lines else lines


def _sample(block: Block, spans: Spans, max_line_bytes: int) -> pl.Series:
    count = int((spans.ends - spans.starts <= max_line_bytes)[:SAMPLE_LINES].cumprod().sum())
    if count == 0:
        return pl.Series([], dtype=pl.String)
    sample = Block(block.offset, block.data[: int(spans.ends[count - 1])])
    return line_texts(sample, Spans(spans.starts[:count], spans.ends[:count]), has_cut_lines=False)
