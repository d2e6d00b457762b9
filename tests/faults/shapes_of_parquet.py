"""Shapes of Parquet files: broken ones, and those with other columns than the landing's."""

import base64
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from tests.builders import LANDED_DEFAULTS, T0
from tests.faults.shape import (
    DAY,
    NO_IP,
    NO_STATUS,
    NO_TIME,
    NOT_PARQUET,
    NOTHING,
    UNPARSABLE,
    Build,
    Outcome,
    Shape,
    altered,
    arrow_schema,
    columns,
    content,
    merged,
    named,
    parquet,
    quarantined,
    refused,
    row,
)

# A column that the landing does not know: what becomes of its file.
EXTRA_COLUMN = refused("unknown column 'colour', which belongs into 'rescued', as JSON")
GOOD = parquet(row(1), row(2))
ROWS = 1_000_000


def expected_type(column: str, kind: str) -> Outcome:
    return refused(f"column '{column}' is {kind}, expected")


class _Keys(pe.KmsClient):  # type: ignore[misc]  # pyarrow has no types
    """A key server that wraps keys in nothing but base64."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        return base64.b64decode(wrapped_key)


def encrypted(**settings: Any) -> Build:
    def build(landing: Path, shape: str) -> list[Path]:
        settings_of_all = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["agent"]}, **settings)
        factory = pe.CryptoFactory(lambda configuration: _Keys())
        keys = factory.file_encryption_properties(pe.KmsConnectionConfig(), settings_of_all)
        return parquet(row(1), encryption_properties=keys)(landing, shape)

    return build


def many(count: int) -> Build:
    """A file of so many rows, a thousand agents among them."""

    def build(landing: Path, shape: str) -> list[Path]:
        numbers = range(1, count + 1)
        rows = pa.table(
            {
                "event_id": [f"{shape}-{n}" for n in numbers],
                "timestamp": pa.array([T0] * count, pa.timestamp("us", "UTC")),
                "ip": ["192.0.2.1"] * count,
                "status": pa.array([200] * count, pa.int32()),
                "agent": [f"agent {n % 1000}" for n in numbers],
                "ingested_at": pa.array([T0] * count, pa.timestamp("us", "UTC")),
            }
        )
        path = landing / f"{shape}.parquet"
        pq.write_table(rows, path)
        return [path]

    return build


def random_rows(landing: Path, shape: str) -> list[Path]:
    """Rows that do not compress, so that damage in the middle hits data."""
    randomness = random.Random(1)
    rows = [row(n, agent=str(randomness.random()), path=str(randomness.random())) for n in range(1, 20_001)]
    path = landing / f"{shape}.parquet"
    table = pa.Table.from_pylist(named(shape, tuple(rows)), arrow_schema())
    pq.write_table(table, path, row_group_size=5_000, compression="none", use_dictionary=False)
    return [path]


def bad_second_half(data: bytes) -> bytes:
    footer = int.from_bytes(data[-8:-4], "little") + 8
    half = len(data) // 2
    return data[:half] + b"\xff" * (len(data) - half - footer) + data[-footer:]


def flipped(data: bytes) -> bytes:
    """One bit of a text turned, which nothing but a checksum shows."""
    return data.replace(b"curl/7.68.0", b"curl/7.68.1", 1)


def required(landing: Path, shape: str) -> list[Path]:
    schema = pa.schema([f.with_nullable(LANDED_DEFAULTS[f.name] is None) for f in arrow_schema()])
    path = landing / f"{shape}.parquet"
    pq.write_table(pa.Table.from_pylist(named(shape, (row(1),)), schema), path)
    return [path]


def twice_the_same_column(landing: Path, shape: str) -> list[Path]:
    path = landing / f"{shape}.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["event_id", "event_id"]), path)
    return [path]


def not_utf8(landing: Path, shape: str) -> list[Path]:
    binary = pa.array([b"\xff\xfe"], pa.binary())
    text = pa.StringArray.from_buffers(1, *binary.buffers()[1:])
    return columns(agent=text)(landing, shape)


def int96(landing: Path, shape: str) -> list[Path]:
    return parquet(row(1), use_deprecated_int96_timestamps=True)(landing, shape)


def without_row_groups(landing: Path, shape: str) -> list[Path]:
    path = landing / f"{shape}.parquet"
    pq.ParquetWriter(path, arrow_schema()).close()
    return [path]


TIMES = [T0.replace(tzinfo=None)]
PARQUET = [
    Shape("parquet-good", "Nothing is wrong with it.", GOOD, merged(1, 2)),
    Shape("parquet-empty", "A file without a byte.", content(b"", ".parquet"), refused(NOT_PARQUET)),
    Shape("parquet-text", "Text.", content(b"not Parquet at all", ".parquet"), refused(NOT_PARQUET)),
    Shape("parquet-json", "NDJSON under the other suffix.", content(b'{"event_id": "@1"}\n', ".parquet"), refused(NOT_PARQUET)),
    Shape("parquet-zeros", "Zeros, as a crash of the machine leaves.", content(bytes(4096), ".parquet"), refused(NOT_PARQUET)),
    Shape("parquet-magic-only", "Parquet's first and last bytes, and nothing between them.", content(b"PAR1PAR1", ".parquet"), refused(NOT_PARQUET)),
    Shape("parquet-arrow", "A file of Arrow's own format.", content(b"ARROW1\0\0" + bytes(64) + b"ARROW1", ".parquet"), refused(NOT_PARQUET)),
    Shape("parquet-truncated", "Cut off at its end, as by a full disk.", altered(GOOD, lambda data: data[:-100]), refused(NOT_PARQUET)),
    Shape("parquet-headless", "Its first half is missing.", altered(GOOD, lambda data: data[len(data) // 2 :]), refused("")),
    Shape("parquet-first-half", "Good in its first half, garbage in the second, with a good footer: the good half is not taken either.",
          altered(random_rows, bad_second_half), refused(NOT_PARQUET)),
    Shape("parquet-checksum", "One changed bit, which only the checksum of its page shows.",
          altered(parquet(row(1), write_page_checksum=True, compression="none"), flipped), refused(NOT_PARQUET)),
    Shape("parquet-encrypted", "Encrypted, footer and all.", encrypted(), refused(NOT_PARQUET)),
    Shape("parquet-encrypted-column", "One column of it is encrypted.", encrypted(plaintext_footer=True), refused(NOT_PARQUET)),
    Shape("parquet-no-rows", "No rows.", parquet(), NOTHING),
    Shape("parquet-no-row-groups", "Not even a place for rows.", without_row_groups, NOTHING),
    Shape("parquet-many-groups", "A group for each row.", parquet(*(row(n) for n in range(1, 51)), row_group_size=1), merged(*range(1, 51))),
    Shape("parquet-pages-2", "The second version of Parquet's pages.", parquet(row(1), data_page_version="2.0", version="2.6"), merged(1)),
    Shape("parquet-million", "A million rows.", many(ROWS), Outcome(dict.fromkeys(range(1, ROWS + 1), DAY)), apart="long"),
    Shape("parquet-brotli", "Compressed in a way that not every reader knows.", parquet(row(1), compression="brotli"), refused("compressed with BROTLI")),
    Shape("parquet-encoding", "Encoded in a way that not every reader knows.",
          parquet(row(1), use_dictionary=False, column_encoding={"status": "BYTE_STREAM_SPLIT"}), refused("encoded with BYTE_STREAM_SPLIT")),
    Shape("parquet-long-text", "A text of 9 MB.", parquet(row(1, agent="x" * 9_000_000)), refused("column 'agent' has a text of more than 8 MiB")),
    Shape("parquet-not-utf8", "A text that is not UTF-8.", not_utf8, refused(NOT_PARQUET)),
    Shape("parquet-required", "Its columns allow no nulls.", required, merged(1)),
    Shape("column-id-missing", "The column event_id is missing.", columns(event_id=None), refused("column 'event_id' is missing")),
    Shape("column-missing", "Columns that a request may lack are missing.", columns(agent=None, user=None, bytes=None, raw=None), merged(1, agent=None)),
    Shape("columns-required-missing", "Columns that a request needs are missing.", columns(timestamp=None, ip=None, status=None),
          quarantined(1, NO_TIME, NO_IP, NO_STATUS)),
    Shape("column-extra", "A column that the landing does not know.", columns(colour=pa.array(["red"])), EXTRA_COLUMN),
    Shape("column-renamed", "A column under another name.", columns(agent=None, user_agent=pa.array(["curl"])), refused("unknown column 'user_agent'")),
    Shape("column-capitals", "A column with capitals in its name.", columns(agent=None, Agent=pa.array(["curl"])), refused("unknown column 'Agent'")),
    Shape("column-twice", "A column twice.", twice_the_same_column, refused("column 'event_id' stands in it twice")),
    Shape("column-status-int64", "Statuses of 64 bits.", columns(status=pa.array([200])), expected_type("status", "int64")),
    Shape("column-status-text", "Statuses as text.", columns(status=pa.array(["200"])), expected_type("status", "string")),
    Shape("column-status-null", "A column of nulls, without a type.", columns(status=pa.nulls(1)), expected_type("status", "null")),
    Shape("column-bytes-double", "Bytes with decimals.", columns(bytes=pa.array([1.5])), expected_type("bytes", "double")),
    Shape("column-bytes-decimal", "Bytes as decimals of 20 digits.", columns(bytes=pa.array([1]).cast(pa.decimal128(20))), expected_type("bytes", "decimal128(20, 0)")),
    Shape("column-time-text", "Times as text.", columns(timestamp=pa.array(["2024-05-17T10:05:03Z"])), expected_type("timestamp", "string")),
    Shape("column-time-without-zone", "Times without a zone.", columns(timestamp=pa.array(TIMES, pa.timestamp("us"))), expected_type("timestamp", "timestamp[us]")),
    Shape("column-time-nanoseconds", "Times in nanoseconds.", columns(timestamp=pa.array(TIMES, pa.timestamp("ns", "UTC"))), expected_type("timestamp", "timestamp[ns, tz=UTC]")),
    Shape("column-time-int96", "Times in the format that Parquet gave up.", int96, refused("column 'timestamp' is timestamp[ns")),
    Shape("column-time-epoch", "Times as seconds since 1970.", columns(timestamp=pa.array([1_715_940_303])), expected_type("timestamp", "int64")),
    Shape("column-time-date", "Dates in place of times.", columns(timestamp=pa.array([T0.date()])), expected_type("timestamp", "date32[day]")),
    Shape("column-agent-object", "Objects in place of a text.", columns(agent=pa.array([{"name": "curl"}])), expected_type("agent", "struct<name: string>")),
    Shape("column-agent-list", "Lists in place of a text.", columns(agent=pa.array([["curl"]])), refused("column 'agent' is list<")),
    Shape("column-agent-categories", "Texts as categories.", columns(agent=pa.array(["curl"]).dictionary_encode()), refused("column 'agent' is dictionary<")),
    Shape("column-id-bytes", "Ids as bytes.", columns(event_id=pa.array([b"1"])), expected_type("event_id", "binary")),
    Shape("parquet-raw", "A line that its producer could not read stands in raw, among good rows.",
          parquet(row(1), row(2, timestamp=None, ip=None, status=None, raw="no log line")), merged(1) | quarantined(2, UNPARSABLE)),
    Shape("parquet-all-null", "A row of nulls only, twice.", parquet(*[dict.fromkeys(row(1))] * 2),
          quarantined(None, "no event_id", NO_TIME, NO_IP, NO_STATUS) | quarantined(None, "no event_id", NO_TIME, NO_IP, NO_STATUS)),
]  # fmt: skip
