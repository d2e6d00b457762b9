"""``logs_to_merge/`` as a streaming source.

Spark's own file source would stop at the first bad file, forget files whose modification time is old, and remember every
name for ever; here the journal of arrivals decides, and a landed file is taken whole or refused whole.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.types import StringType, StructField, StructType, TimestampType

from consumer.components.pace import Pace
from lakehouse.arrivals import Arrival, Arrivals
from lakehouse.landed import BATCH_ROWS, JSON_ENCODING, JSON_SUFFIXES
from lakehouse.logs import printable
from lakehouse.schema import LANDED

if TYPE_CHECKING:
    import pyarrow as pa

# Lines of a megabyte each must not pile up to a batch of gigabytes.
BATCH_CHARACTERS = 1 << 24
# One row per received line: LANDED's columns from Parquet, or the line itself in `json`, with its file and its arrival.
SOURCE = StructType([
    *LANDED.fields, StructField("json", StringType()), StructField("landed_file", StringType()),
    StructField("arrived_at", TimestampType()),
])  # fmt: skip


@dataclass
class LandedFiles(InputPartition):
    """Landed files that one task reads."""

    arrivals: tuple[Arrival, ...]


class LandedStreamReader(DataSourceStreamReader):
    """Offsets are arrival numbers: a batch is the arrivals between two of them."""

    def __init__(self, options: dict[str, str]) -> None:
        self.landing = Path(options["path"])
        self.arrivals = Arrivals(Path(options["checkpoint"]))
        self.max_files = int(options["max_files"])
        self.pace = Pace(float(options.get("gather_seconds", 0)))

    def initialOffset(self) -> dict[str, int]:
        """Before the first arrival."""
        return {"seq": 0}

    def latestOffset(self) -> dict[str, int]:  # type: ignore[override]
        """The last arrival, after numbering what has landed since."""
        new = self.arrivals.admit(
            self.landing, max_files=self.max_files, is_time=lambda: self.pace.is_time(time.monotonic())
        )
        if new:
            self.pace.took(sum(arrival.rows for arrival in new), time.monotonic())
        for arrival in new:
            if arrival.refused:
                _say(f"{arrival.name} is refused, the cleaner quarantines it: {arrival.refused}")
        known = new or self.arrivals.read()
        return {"seq": max((a.seq for a in known), default=0)}

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> Sequence[LandedFiles]:
        """One task: the archive writes one file a batch."""
        arrivals = self.arrivals.read()
        batch = [a for a in arrivals if start["seq"] < a.seq <= end["seq"] and a.refused is None and a.name]
        return [LandedFiles(tuple(self.arrivals.give_back(self.landing, batch)))]

    def read(self, partition: InputPartition) -> Iterator["pa.RecordBatch"]:
        """The rows of the partition's files, in SOURCE's columns."""
        assert isinstance(partition, LandedFiles)
        for arrival in partition.arrivals:
            path = self.landing / arrival.name
            # A journal of an older release has no times: then it is now.
            arrived_at = datetime.fromtimestamp(arrival.arrived_at or time.time(), UTC)
            try:
                if arrival.is_file(path):
                    yield from _rows(path, arrived_at)
            except Exception:
                if arrival.is_file(path):
                    raise
            if not arrival.is_file(path):
                # To fail would stop the stream for ever. What stands there now is another arrival, whole.
                _say(f"{arrival.name} vanished or changed before it was archived: what is there now is taken anew")


class LandedSource(DataSource):
    """``spark.readStream.format("landed")``. Options: ``path``, ``checkpoint``, ``max_files``, ``gather_seconds``."""

    @classmethod
    def name(cls) -> str:
        """The format's name."""
        return "landed"

    def schema(self) -> StructType:
        """SOURCE."""
        return SOURCE

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        """A reader of the landing folder."""
        return LandedStreamReader(dict(self.options))


def _say(what: str) -> None:
    """Into the worker's log, which nobody has configured: it goes to the terminal as it is."""
    logging.getLogger("consumer.archive").warning("%s", printable(what))


def _rows(path: Path, arrived_at: datetime) -> Iterator["pa.RecordBatch"]:
    if path.suffix in JSON_SUFFIXES:
        return _json_rows(path, arrived_at)
    return _parquet_rows(path, arrived_at)


def _parquet_rows(path: Path, arrived_at: datetime) -> Iterator["pa.RecordBatch"]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS):
        columns = {name: batch.column(name) for name in batch.schema.names}
        yield _source_batch(columns, batch.num_rows, path.name, arrived_at)


def _json_rows(path: Path, arrived_at: datetime) -> Iterator["pa.RecordBatch"]:
    lines: list[str] = []
    characters = 0
    with path.open(encoding=JSON_ENCODING, newline="\n") as handle:
        for line in handle:
            lines.append(line.removesuffix("\n"))
            characters += len(line)
            if len(lines) == BATCH_ROWS or characters >= BATCH_CHARACTERS:
                yield _source_batch({"json": lines}, len(lines), path.name, arrived_at)
                lines, characters = [], 0
    if lines:
        yield _source_batch({"json": lines}, len(lines), path.name, arrived_at)


def _source_batch(columns: dict[str, Any], rows: int, landed_file: str, arrived_at: datetime) -> "pa.RecordBatch":
    """A batch in SOURCE's columns and types; absent ones are null."""
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    schema = to_arrow_schema(SOURCE, timezone="UTC")
    columns = columns | {"landed_file": [landed_file] * rows, "arrived_at": [arrived_at] * rows}
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(values, pa.Array):
            arrays.append(values.cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
