"""``logs/`` as a streaming source: the files that its sink has committed, in the order they came.

Spark's own file source keeps the name of every file it ever read in its checkpoint, for ever, and lists all of ``logs/``
at each trigger. Here the place in the sink's log is the name of the last file that was read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadLimit, ReadMaxFiles
from pyspark.sql.types import StructType

from lakehouse.landed import BATCH_ROWS
from lakehouse.schema import ARCHIVED
from lakehouse.sink_log import files_after

if TYPE_CHECKING:
    import pyarrow as pa

# Of a batch of several files: what is grouped and looked up at once must not outgrow the memory.
MAX_ROWS = 2_000_000


@dataclass
class ArchivedFile(InputPartition):
    """The name of a file of ``logs/`` that one task reads."""

    name: str


class ArchiveStreamReader(DataSourceStreamReader):
    """Offsets are names of files: a batch is the files after one of them, up to another."""

    def __init__(self, options: dict[str, str]) -> None:
        self.logs = Path(options["path"])
        self.max_files = int(options["max_files"])
        self.columns = columns(options)

    def initialOffset(self) -> dict[str, str]:
        """Before the first file."""
        return {"file": ""}

    def getDefaultReadLimit(self) -> ReadLimit:
        """So many files a batch, and fewer where they are large."""
        return ReadMaxFiles(self.max_files)

    def latestOffset(self, start: dict[str, str], limit: ReadLimit) -> dict[str, str]:
        """The last file of the next batch."""
        files = files_after(self.logs, start["file"])
        if not isinstance(limit, ReadAllAvailable):
            files = self._bounded(files)
        *_, last = [start["file"], *files]
        return {"file": last}

    def _bounded(self, names: Iterator[str]) -> Iterator[str]:
        """As many files as a batch takes: its rows are bounded too, for one of the archive's may have those of many landed ones."""
        import pyarrow.parquet as pq

        rows = 0
        for number, name in enumerate(islice(names, self.max_files)):
            rows += pq.read_metadata(self.logs / name).num_rows
            if number and rows > MAX_ROWS:
                return
            yield name

    def partitions(self, start: dict[str, str], end: dict[str, str]) -> Sequence[ArchivedFile]:
        """One task for each file."""
        return [ArchivedFile(name) for name in _up_to(end["file"], files_after(self.logs, start["file"]))]

    def read(self, partition: InputPartition) -> Iterator["pa.RecordBatch"]:
        """The rows of the partition's file."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        from pyspark.sql.pandas.types import to_arrow_schema

        assert isinstance(partition, ArchivedFile)
        schema = to_arrow_schema(self.columns, timezone="UTC")
        with (self.logs / partition.name).open("rb") as handle:
            for batch in pq.ParquetFile(handle).iter_batches(BATCH_ROWS, columns=schema.names):
                yield pa.RecordBatch.from_arrays([batch.column(f.name).cast(f.type) for f in schema], schema=schema)


class ArchiveSource(DataSource):
    """``spark.readStream.format("archive")``. Options: ``path``, ``max_files``, ``columns``."""

    @classmethod
    def name(cls) -> str:
        """The format's name."""
        return "archive"

    def schema(self) -> StructType:
        """Those of ARCHIVED that are asked for."""
        return columns(self.options)

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        """A reader of the archive's folder."""
        return ArchiveStreamReader(dict(self.options))


def columns(options: Mapping[str, str]) -> StructType:
    """The columns of ARCHIVED that the options name, parted by commas."""
    return StructType([ARCHIVED[name] for name in options["columns"].split(",")])


def _up_to(last: str, names: Iterator[str]) -> list[str]:
    """``names`` up to ``last``; none if it is not among them: then what was to be read has been kept for long enough."""
    taken = []
    for name in names:
        taken.append(name)
        if name == last:
            return taken
    return []
