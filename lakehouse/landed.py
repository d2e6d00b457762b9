"""The one check that every reader of ``logs_to_merge/`` obeys: a landed file is taken whole, or refused whole.

It depends on the file's content alone, so that the stream and the cleaner decide alike. It reads the file to its end:
Spark's own tolerance (``ignoreCorruptFiles``) drops the readable half of a file without a word.
"""

import errno
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.lake import file_stamp

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# What the reason of a refused file begins with in quarantine/.
REFUSED = "file refused: "
# What a column of a landed Parquet file may be, by its Arrow type's name.
_TEXT = frozenset({"string", "large_string", "string_view"})
_TIME = frozenset({"timestamp[us, tz=UTC]"})
# What every reader of the lake can read; Parquet has more.
CODECS = frozenset({"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4"})
ENCODINGS = frozenset({
    "PLAIN", "PLAIN_DICTIONARY", "RLE", "RLE_DICTIONARY", "BIT_PACKED", "DELTA_BINARY_PACKED", "DELTA_BYTE_ARRAY",
    "DELTA_LENGTH_BYTE_ARRAY",
})  # fmt: skip
ALLOWED_TYPES = {
    "event_id": _TEXT, "timestamp": _TIME, "ip": _TEXT, "user": _TEXT, "method": _TEXT, "path": _TEXT, "query": _TEXT,
    "protocol": _TEXT, "status": frozenset({"int32"}), "bytes": frozenset({"int64"}), "referer": _TEXT, "agent": _TEXT,
    "site": _TEXT, "source": _TEXT, "source_offset": frozenset({"int64"}), "ingested_at": _TIME, "raw": _TEXT, "rescued": _TEXT,
}  # fmt: skip
JSON_SUFFIXES = frozenset({".json", ".ndjson", ".jsonl"})
# A byte order mark before the first line is no part of it. Readers of NDJSON decode with this.
JSON_ENCODING = "utf-8-sig"
UNOPENABLE = frozenset(":\\")
BATCH_ROWS = 16_384
CHUNK_BYTES = 1 << 20
# A line or a text beyond this would take a JVM of a gigabyte down with it, at every try. At least CHUNK_BYTES.
MAX_TEXT_BYTES = 1 << 23
TOO_LONG = f"of more than {MAX_TEXT_BYTES >> 20} MiB, which does not fit into a reader's memory"


@dataclass(frozen=True)
class LandedFile:
    """One landed file after the check: ``rows`` in it, and why it is refused (``None``: it is taken).

    ``bytes`` is what its rows take as they come out of it, ``stamp`` is ``lake.file_stamp`` of the file that was checked.
    """

    path: Path
    rows: int
    refused: str | None = None
    stamp: str = field(default="", compare=False)
    bytes: int = field(default=0, compare=False)

    @property
    def reason(self) -> str:
        """What stands in ``quarantine/`` of a refused file."""
        return f"{REFUSED}{self.refused}"

    @property
    def is_json(self) -> bool:
        """Whether its rows are lines of JSON."""
        return self.path.suffix in JSON_SUFFIXES


def check(path: Path) -> LandedFile:
    """Read ``path`` to its end and decide.

    :raises OSError: the file cannot be opened or read now, or changes meanwhile; that says nothing about its content, so
        try again later.
    """
    stamp = file_stamp(path)
    found = _checked(path)
    if stamp is None or file_stamp(path) != stamp:
        raise OSError(errno.EAGAIN, "it changes while it is read", str(path))
    return replace(found, stamp=stamp)


def _checked(path: Path) -> LandedFile:
    if set(path.name) & UNOPENABLE:
        return LandedFile(path, 0, "a colon or backslash in its name, which Spark cannot open: land it under another")
    if path.suffix in JSON_SUFFIXES:
        return _check_json(path)
    if path.suffix == ".parquet":
        return _check_parquet(path)
    suffixes = ", ".join(sorted({".parquet", *JSON_SUFFIXES}))
    return LandedFile(path, 0, f"unknown kind of file {path.suffix!r}, expected {suffixes}")


def _check_parquet(path: Path) -> LandedFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as handle:
        try:
            parquet = pq.ParquetFile(handle, page_checksum_verification=True)
            if refused := _wrong_columns(parquet.schema_arrow):
                return LandedFile(path, 0, refused)
            rows = size = 0
            for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
                batch.validate(full=True)  # text that is not UTF-8, for one
                if too_long := _too_long(batch):
                    return LandedFile(path, 0, too_long)
                rows += batch.num_rows
                size += batch.nbytes
            # Not before all is read: of an encrypted column, pyarrow's metadata aborts the whole process.
            refused = _wrong_storage(parquet.metadata)
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            return LandedFile(path, 0, f"not readable as Parquet: {str(error).splitlines()[0].rstrip('.')[:300]}")
    return LandedFile(path, 0, refused) if refused else LandedFile(path, rows, bytes=size)


def _wrong_columns(schema: "pa.Schema") -> str | None:
    problems = []
    for name in sorted({n for n in schema.names if schema.names.count(n) > 1}):
        problems.append(f"column {name!r} stands in it twice")
    for column in schema:
        allowed = ALLOWED_TYPES.get(column.name)
        if allowed is None:
            problems.append(f"unknown column {column.name!r}, which belongs into 'rescued', as JSON")
        elif str(column.type) not in allowed:
            problems.append(f"column {column.name!r} is {column.type}, expected {' or '.join(sorted(allowed))}")
    if "event_id" not in schema.names:
        problems.append("column 'event_id' is missing")
    return "; ".join(problems) or None


def _wrong_storage(metadata: "pq.FileMetaData") -> str | None:
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            if column.compression not in CODECS:
                return f"compressed with {column.compression}, expected {', '.join(sorted(CODECS))}"
            if unknown := set(column.encodings) - ENCODINGS:
                return f"encoded with {', '.join(sorted(unknown))}, which not every reader knows"
    return None


def _too_long(batch: "pa.RecordBatch") -> str | None:
    import pyarrow.compute as pc

    if batch.nbytes <= MAX_TEXT_BYTES:
        return None
    for name in (n for n, allowed in ALLOWED_TYPES.items() if allowed == _TEXT and n in batch.schema.names):
        if (pc.max(pc.binary_length(batch.column(name))).as_py() or 0) > MAX_TEXT_BYTES:
            return f"column {name!r} has a text {TOO_LONG}"
    return None


def _check_json(path: Path) -> LandedFile:
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, size, open_bytes = 0, 0, 0
    with path.open("rb") as handle:
        if handle.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            handle.seek(0)
        while chunk := handle.read(CHUNK_BYTES):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return LandedFile(path, 0, f"not UTF-8 text: {error.reason}")
            lines += chunk.count(b"\n")
            size += len(chunk)
            first_end, last_end = chunk.find(b"\n"), chunk.rfind(b"\n")
            if open_bytes + (first_end if first_end >= 0 else len(chunk)) > MAX_TEXT_BYTES:
                return LandedFile(path, 0, f"a line {TOO_LONG}")
            open_bytes = len(chunk) - last_end - 1 + (open_bytes if last_end < 0 else 0)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return LandedFile(path, 0, f"not UTF-8 text: {error.reason}")
    return LandedFile(path, lines + (open_bytes > 0), bytes=size)
