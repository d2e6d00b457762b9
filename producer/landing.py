"""Publishing batches in ``logs_to_merge/`` (I/O): under a hidden name, then by rename: no reader sees half of one.

Names begin with the time in UTC and sort by it: ``20261124T061711.123456Z-3fa9c1d2-000001.parquet``. NDJSON has one
object for each row, nulls written out, times in ISO 8601 with ``Z``.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import polars as pl

from lakehouse.errors import PipelineError
from lakehouse.settings import LandingFormat
from producer.formats.columns import TIMESTAMP

log = logging.getLogger("producer.landing")

# One row per received line: lakehouse.schema.LANDED in polars' types, for a program that needs no pyspark.
LANDED: dict[str, pl.DataType] = {
    "event_id": pl.String(), "timestamp": TIMESTAMP, "ip": pl.String(), "user": pl.String(), "method": pl.String(),
    "path": pl.String(), "query": pl.String(), "protocol": pl.String(), "status": pl.Int32(), "bytes": pl.Int64(),
    "referer": pl.String(), "agent": pl.String(), "site": pl.String(), "source": pl.String(),
    "source_offset": pl.Int64(), "ingested_at": TIMESTAMP, "raw": pl.String(),
    "rescued": pl.String(),
}  # fmt: skip
# Small row groups halve the memory that writing a batch takes.
ROW_GROUP_ROWS = 20_000
PROBE_BYTES = 1 << 20
LEFT_OVER_AFTER = timedelta(days=1)
ISO_8601 = "%Y-%m-%dT%H:%M:%S%.6fZ"


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


class Lander:
    """Collects rows and publishes them in batches that are bounded in rows and age.

    :param landing: the folder, ``Lake.landing``; made if it is not there. Hidden files that a program which died more
        than a day ago left in it are removed.
    :param file_format: ``parquet`` or ``json``.
    :param batch_rows: no batch has more rows; a full one is published at once.
    :param batch_seconds: the age of its oldest row at which ``add`` and ``tick`` publish what there is.
    :param on_published: called after each batch with how many files and rows have been published so far.
    :param clock: a monotonic clock in seconds.
    :param now: the time in UTC, for names.
    :raises PipelineError: the folder cannot be written, here or when publishing.
    """

    def __init__(
        self, landing: Path, file_format: LandingFormat, *, batch_rows: int, batch_seconds: float,
        on_published: Callable[[int, int], None] | None = None,
        clock: Callable[[], float] = time.monotonic, now: Callable[[], datetime] = utc_now,
    ) -> None:  # fmt: skip
        self.files = 0
        self.rows = 0
        self._landing, self._format = landing, file_format
        self._batch_rows, self._batch_seconds = batch_rows, batch_seconds
        self._on_published, self._clock, self._now = on_published, clock, now
        self._run_id = secrets.token_hex(4)
        self._last_stamp = ""
        self._waiting: list[pl.DataFrame] = []
        self._waiting_rows = 0
        self._oldest = 0.0
        try:
            landing.mkdir(parents=True, exist_ok=True)
            self._remove_left_overs()
        except OSError as error:
            raise _cannot_land(landing, error) from None

    @property
    def waiting_rows(self) -> int:
        """How many rows have been added and are not published yet."""
        return self._waiting_rows

    def add(self, rows: pl.DataFrame) -> None:
        """Take rows with ``LANDED``'s columns; full batches are published at once, in the order of arrival."""
        if rows.is_empty():
            return
        if not self._waiting:
            self._oldest = self._clock()
        self._waiting.append(rows)
        self._waiting_rows += rows.height
        if self._waiting_rows >= self._batch_rows:
            self._publish_full_batches()
        self.tick()

    def tick(self) -> None:
        """Publish what there is if it is old enough."""
        if self._waiting and self._clock() - self._oldest >= self._batch_seconds:
            self.flush()

    def flush(self) -> None:
        """Publish what there is."""
        if self._waiting:
            self._publish(pl.concat(self._waiting))
            self._waiting, self._waiting_rows = [], 0

    def _publish_full_batches(self) -> None:
        rows = pl.concat(self._waiting)
        end = rows.height - rows.height % self._batch_rows
        for start in range(0, end, self._batch_rows):
            self._publish(rows.slice(start, self._batch_rows))
        rest = rows.slice(end)
        self._waiting = [] if rest.is_empty() else [rest]
        self._waiting_rows = rest.height
        self._oldest = self._clock()

    def _publish(self, rows: pl.DataFrame) -> None:
        name = self._next_name()
        hidden = self._landing / f".{name}.tmp"
        try:
            with hidden.open("xb") as file:
                try:
                    self._write(rows, file)
                except pl.exceptions.PolarsError:
                    file.write(bytes(PROBE_BYTES))  # it does not always tell what the disk said: that may say it again
                    file.flush()
                    raise
                file.flush()
                os.fsync(file.fileno())
            hidden.rename(self._landing / name)
            sync_folder(self._landing)
        except (OSError, pl.exceptions.PolarsError) as error:
            with suppress(OSError):  # a disk that may only be read holds no half of it
                hidden.unlink(missing_ok=True)
            raise _cannot_land(self._landing, error) from None
        self.files += 1
        self.rows += rows.height
        log.debug("published %s: %d rows", name, rows.height)
        if self._on_published is not None:
            self._on_published(self.files, self.rows)

    def _write(self, rows: pl.DataFrame, file: IO[bytes]) -> None:
        if self._format == "parquet":
            landed = rows.select(*LANDED)
            landed.write_parquet(file, compression="zstd", compression_level=1, row_group_size=ROW_GROUP_ROWS)
        else:
            rows.select(_as_json()).write_ndjson(file)

    def _next_name(self) -> str:
        # A clock that is set back must not put a later batch before an earlier one.
        self._last_stamp = max(self._last_stamp, self._now().strftime("%Y%m%dT%H%M%S.%fZ"))
        return f"{self._last_stamp}-{self._run_id}-{self.files + 1:06}.{self._format}"

    def _remove_left_overs(self) -> None:
        oldest = (self._now() - LEFT_OVER_AFTER).timestamp()
        for path in self._landing.glob(".*.tmp"):
            with suppress(FileNotFoundError):  # its producer has just published it
                if path.stat().st_mtime >= oldest:
                    continue
                path.unlink()
                log.info("removed %s, which a program that died left behind", path)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_json() -> list[pl.Expr]:
    return [pl.col(n).dt.strftime(ISO_8601) if kind == TIMESTAMP else pl.col(n) for n, kind in LANDED.items()]


def _cannot_land(landing: Path, error: Exception) -> PipelineError:
    reason = getattr(error, "strerror", None) or error
    return PipelineError(f"{landing}: cannot write there: {reason}; free some space or see to its permissions")
