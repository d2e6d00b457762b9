"""Requests of each of the last minutes, seconds after they have landed: from the newest files of the raw archive. I/O."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import duckdb

from consumer.components.table_reader import explained
from lakehouse.duck import files_table
from lakehouse.lake import Lake
from lakehouse.sink_log import newest_files

MINUTES = 30
MINUTE = 60_000_000  # in microseconds
# More than this is not read at once: a page that starts beside a stream that catches up has other things to do.
MAX_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Minute:
    """Rows that landed with a time in this minute."""

    start: datetime
    requests: int


@dataclass(frozen=True)
class LastMinutes:
    """The last minutes in order, and when the archive had its newest file."""

    minutes: Sequence[Minute]
    as_of: datetime


class Recent:
    """The last minutes of one lake. A file of the archive is read once, when it is new. One of these serves all threads."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._lock = Lock()
        self._known: dict[str, Mapping[int, int]] = {}

    def last_minutes(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> LastMinutes | None:
        """Requests of each minute until now; ``None`` where nothing was archived in so long a time, or too much to be read.

        :raises PipelineError: a file of the archive cannot be read.
        """
        last = int(now.timestamp()) // 60
        first = last - MINUTES + 1
        files = []
        with suppress(OSError, ValueError, KeyError):  # no archive, or a damaged one: the stream says so
            files = newest_files(self.lake.logs, datetime.fromtimestamp(first * 60, UTC))
        with self._lock:
            new = [file for file in files if file.name not in self._known]
            if not files or sum(file.size for file in new) > MAX_BYTES:
                return None
            known = self._known | self._read(connection, [file.name for file in new], first, last)
            self._known = {file.name: known[file.name] for file in files}
            found = {n: sum(counts.get(n, 0) for counts in self._known.values()) for n in range(first, last + 1)}
        minutes = [Minute(datetime.fromtimestamp(60 * n, UTC), requests) for n, requests in found.items()]
        return LastMinutes(minutes, files[0].written_at)

    def _read(
        self, connection: duckdb.DuckDBPyConnection, names: Sequence[str], first: int, last: int
    ) -> dict[str, Mapping[int, int]]:
        """By file the requests of each minute; a line that was delivered twice within a file counts once."""
        counts: dict[str, Counter[int]] = {name: Counter() for name in names}
        if not names:
            return {}
        table = files_table(str(self.lake.logs / name) for name in names)
        query = f"""
            SELECT filename, epoch_us("timestamp") // {MINUTE} AS minute, count(DISTINCT event_id) FROM {table}
            WHERE epoch_us("timestamp") // {MINUTE} BETWEEN {first} AND {last + 1} GROUP BY filename, minute
        """
        with explained(self.lake.logs):
            for file, minute, requests in connection.execute(query).fetchall():
                counts[Path(file).name][int(minute)] = int(requests)
        return dict(counts)
