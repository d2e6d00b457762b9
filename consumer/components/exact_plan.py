"""What a refresh of the exact metrics has to do: to which days it adds, and which it counts in full. Plain values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from lakehouse.commits import Changes, DataFile

# Of days counted in full so much of delta/ is counted at once, some 400,000 requests: more take more memory and no less time.
CHUNK_BYTES = 24 * 1024 * 1024
# With more new requests than that, their days are counted in full, a few at a time: what is added must be added in one commit.
MOST_ADDED_BYTES = 256 * 1024 * 1024

Files = Mapping[date, Sequence[DataFile]]


@dataclass(frozen=True)
class Plan:
    """How to bring the tables up to a version of ``delta/``.

    :param added: files of new requests, by day: what they hold is added to the day.
    :param recounted: the days to be counted in full; ``None`` for all.
    """

    added: Files
    recounted: set[date] | None

    @property
    def days(self) -> set[date] | None:
        """The days that change; ``None`` for all."""
        return None if self.recounted is None else {*self.added, *self.recounted}


@dataclass(frozen=True)
class Step:
    """Days whose rows are replaced at once, and the files to count for that; ``is_added`` to what the tables hold."""

    days: Sequence[date]
    files: Sequence[DataFile]
    is_added: bool = False


def planned(found: Changes | None, *, is_clean: bool) -> Plan:
    """What to do about the changes of ``delta/`` since the tables last counted it.

    :param found: ``None`` where they are not known.
    :param is_clean: all tables have counted the same, and none has begun to count more.
    """
    if found is None:
        return Plan({}, None)
    if not is_clean or sum(file.bytes for files in found.added.values() for file in files) > MOST_ADDED_BYTES:
        return Plan({}, found.days)
    return Plan({day: files for day, files in found.added.items() if day not in found.rewritten}, found.rewritten)


def full_counts(files: Files) -> Iterator[Step]:
    """The days of ``files``, in order, a few at a time."""
    days: list[date] = []
    size = 0
    for day in sorted(files):
        more = sum(file.bytes for file in files[day])
        if days and size + more > CHUNK_BYTES:
            yield _step(days, files)
            days, size = [], 0
        days.append(day)
        size += more
    if days:
        yield _step(days, files)


def addition(files: Files) -> Step:
    """All of ``files`` at once, added to their days."""
    return Step(sorted(files), [file for day in sorted(files) for file in files[day]], is_added=True)


def _step(days: Sequence[date], files: Files) -> Step:
    return Step(list(days), [file for day in days for file in files[day]])
