"""Landed rows from the blocks of a log. Pure but for what it remembers of one log: its first line and its format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Lock

import polars as pl

from producer.addresses import Network, truncated_ips
from producer.blocks import Block
from producer.formats.detection import SAMPLE_LINES, Parsing, detect, parse
from producer.formats.options import Options
from producer.formats.tally import Tally
from producer.formats.w3c_days import HEADER, Above, below, lacks_day
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
    log_format: str
    max_line_bytes: int
    truncate_ips: bool
    options: Options = field(default_factory=Options)
    trusted: Sequence[Network] = ()

    @property
    def parsing(self) -> Parsing:
        """How its lines are parsed."""
        return Parsing(self.log_format, self.options, self.trusted)


class LineParser:
    """Turns the blocks of one log, in order, into landed rows.

    :param log_fingerprint: known from an earlier reading; otherwise the first block must be the log's beginning.
    :param parser: known from an earlier reading: the likely format, or the header of a W3C log.
    """

    def __init__(self, reading: Reading, log_fingerprint: str | None = None, parser: str | None = None) -> None:
        self.fingerprint = log_fingerprint
        self.parser = parser
        self._reading = reading
        self._tally, self._lock = Tally(), Lock()

    @property
    def source(self) -> str:
        """The log's name in its rows."""
        return self._reading.source

    @property
    def tally(self) -> Tally:
        """What the lines of all tasks that have run were."""
        with self._lock:
            tally = Tally()
            tally.add(self._tally)
            return tally

    def task(self, block: Block, ingested_at: datetime) -> Callable[[], pl.DataFrame]:
        """What makes the block's rows, and adds to ``tally``. Any thread may run it."""
        work = self.counted_task(block, ingested_at)

        def rows() -> pl.DataFrame:
            found, tally = work()
            with self._lock:
                self._tally.add(tally)
            return found

        return rows

    def counted_task(self, block: Block, ingested_at: datetime) -> Callable[[], tuple[pl.DataFrame, Tally]]:
        """What makes the block's rows, and says what its lines were. It depends on nothing that changes: any thread may run it."""
        spans = line_spans(block.data)
        reading = self._reading
        if self.fingerprint is None:
            first_line = block.data[: min(int(spans.ends[0]), reading.max_line_bytes)]
            self.fingerprint = fingerprint(reading.site, first_line)
        if self.parser is None:
            self.parser = detect(_sample(block, spans, reading.max_line_bytes), reading.parsing)
        log_fingerprint, parser = self.fingerprint, self.parser
        # The first look is much cheaper, and enough for most blocks.
        has_headers = b"#" in block.data and HEADER.encode() in block.data
        self.parser = _below(block, spans, parser, has_headers=has_headers)
        return partial(
            landed_rows, block, spans, reading, log_fingerprint, parser, ingested_at, may_have_headers=has_headers
        )


def landed_rows(
    block: Block,
    spans: Spans,
    reading: Reading,
    log_fingerprint: str,
    parser: str | None,
    ingested_at: datetime,
    *,
    may_have_headers: bool,
) -> tuple[pl.DataFrame, Tally]:
    """The block's lines as rows with the columns of ``LANDED``, in order, and what they were.

    There is a row for each line, but for headers of W3C logs and lines that a container runtime has cut.

    :param may_have_headers: false if no W3C header is in the block.
    """
    lengths = spans.ends - spans.starts
    is_cut = lengths > reading.max_line_bytes
    kept = Spans(spans.starts, spans.starts + lengths.clip(max=reading.max_line_bytes))
    lines = line_texts(block, kept, has_cut_lines=bool(is_cut.any()))
    header = parser if parser is not None and parser.startswith(HEADER) else None
    if is_cut.any():
        lines_are_cut = pl.Series("is_cut", is_cut)
        # A line whose end is not known does not parse, even if its beginning would.
        found = parse(lines.set(lines_are_cut, ""), reading.parsing, parser, header)
        rows = found.rows.with_columns(pl.when(lines_are_cut).then(lines).otherwise("raw").alias("raw"))
    else:
        found = parse(lines, reading.parsing, parser, header, may_have_headers=may_have_headers)
        rows = found.rows
    offsets = block.offset + kept.starts
    origin = {
        "event_id": pl.lit(event_ids(log_fingerprint, offsets, line_hashes(block.data, kept))),
        "site": pl.col("site").fill_null(pl.lit(reading.site or None, pl.String)),
        "source": pl.lit(reading.source),
        "source_offset": pl.lit(pl.Series(offsets, dtype=pl.Int64)),
        "ingested_at": pl.lit(ingested_at, LANDED["ingested_at"]),
    }
    landed = rows.select(origin.get(name, pl.col(name)).alias(name) for name in LANDED)
    if found.is_row is not None:
        landed = landed.filter(found.is_row)
    return truncated_ips(landed) if reading.truncate_ips else landed, found.tally


def _below(block: Block, spans: Spans, parser: str | None, *, has_headers: bool) -> str | None:
    """What is known of a log below the block: of a W3C log the header in force, and the time if lines have no day."""
    known = (_last_header(block) if has_headers else None) or parser
    if known is None or not known.startswith(HEADER) or not lacks_day(Above.from_text(known).header):
        return known
    before = Above.from_text(parser if parser is not None and parser.startswith(HEADER) else None)
    return below(line_texts(block, spans, has_cut_lines=False), before).text


def _last_header(block: Block) -> str | None:
    """The last ``#Fields:`` of a W3C log in the block."""
    mark = HEADER.encode()
    start = block.data.rfind(b"\n" + mark) + 1
    if not block.data.startswith(mark, start):
        return None
    return block.data[start:].split(b"\n", 1)[0].decode("utf-8", "backslashreplace").rstrip("\r")


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
