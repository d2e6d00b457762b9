"""What a shape of input is, what becomes of it, and how shapes are built."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.builders import LANDED_DEFAULTS, T0, _iso, landed

if TYPE_CHECKING:
    import pyarrow as pa

DAY = T0.date()
UNPARSABLE, BLANK = "line does not parse", "blank line"
NO_ID, NO_TIME, NO_IP, NO_STATUS = "no event_id", "no timestamp", "no ip", "no status"
FUTURE, PAST = "timestamp in the future", "timestamp before 1990-01-01"
BAD_STATUS, BAD_BYTES = "status outside 100-599", "bytes out of range"
NOT_PARQUET, NOT_UTF8, UNKNOWN_KIND = "not readable as Parquet", "not UTF-8 text", "unknown kind of file"

Build = Callable[[Path, str], list[Path]]
# A row that quarantine/ has: its number, or None where the landing could read no id, and its reasons.
Rejected = tuple[int | None, tuple[str, ...]]


@dataclass(frozen=True)
class Outcome:
    """What becomes of a shape. A row's number stands for its event_id: ``<shape's name>-<number>``.

    ``merged`` has the day on which each is counted, ``refused`` how the reason begins for which the whole file is
    refused, ``fields`` what merged rows hold.
    """

    merged: Mapping[int, date] = field(default_factory=dict)
    quarantined: tuple[Rejected, ...] = ()
    duplicates: int = 0
    refused: str | None = None
    is_left_alone: bool = False
    fields: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows are taken."""
        return len(self.merged) + len(self.quarantined) + self.duplicates

    def __or__(self, other: "Outcome") -> "Outcome":
        """What becomes of rows of the one kind and of the other in one file."""
        return Outcome(
            {**self.merged, **other.merged}, self.quarantined + other.quarantined, self.duplicates + other.duplicates,
            fields={**self.fields, **other.fields},
        )  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """One shape of input.

    ``what`` says in a sentence what happens. ``build`` puts it into a landing folder and returns the landed files.
    ``meddle`` is done to them once they have been checked and numbered, before they are read.
    ``apart`` says why it is not landed among the others.
    """

    name: str
    what: str
    build: Build
    expected: Outcome
    meddle: Callable[[Path], None] | None = None
    apart: str = ""


# Outcomes ------------------------------------------------------------------------------------------------------------


def merged(*numbers: int, day: date = DAY, **fields: Any) -> Outcome:
    """These rows are merged, counted on ``day``, and hold ``fields``."""
    return Outcome(dict.fromkeys(numbers, day), fields=dict.fromkeys(numbers, fields) if fields else {})


def quarantined(number: int | None, *reasons: str) -> Outcome:
    """This row is rejected."""
    return Outcome(quarantined=((number, reasons),))


def refused(reason: str) -> Outcome:
    """The file is refused whole."""
    return Outcome(refused=reason)


LEFT_ALONE = Outcome(is_left_alone=True)
NOTHING = Outcome()
EVERY = ("timestamp", "ip", "status")


# Files ---------------------------------------------------------------------------------------------------------------


def row(number: int | None, **fields: Any) -> dict[str, Any]:
    """A landed row whose id is made of the shape's name and ``number``."""
    return landed(None, **fields) | {"event_id": number}


def line(number: int, **fields: Any) -> str:
    """The row as a line of NDJSON; ``@1`` in lines stands for the id of number 1."""
    return json.dumps(row(number, **fields) | {"event_id": f"@{number}"}, default=_iso)


def edited(number: int, field_name: str, text: str) -> str:
    """The row's line, with ``text`` as it is for the value of one field."""
    return line(number, **{field_name: None}).replace(f'"{field_name}": null', f'"{field_name}": {text}')


def named(shape: str, rows: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """The rows with their ids."""
    return [r | {"event_id": None if r["event_id"] is None else f"{shape}-{r['event_id']}"} for r in rows]


def parquet(*rows: dict[str, Any], **options: Any) -> Build:
    """A good Parquet file of these rows; ``options`` of ``pyarrow.parquet.write_table``."""

    def build(landing: Path, shape: str) -> list[Path]:
        return [write_parquet(landing / f"{shape}.parquet", named(shape, rows), **options)]

    return build


def write_parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    """Write landed rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows, arrow_schema()), path, **options)
    return path


def arrow_schema() -> "pa.Schema":
    """LANDED in Arrow's types."""
    import pyarrow as pa

    kinds: dict[type, Any] = {int: pa.int64(), type(T0): pa.timestamp("us", "UTC")}
    types = {name: kinds.get(type(value), pa.string()) for name, value in LANDED_DEFAULTS.items()}
    return pa.schema(types | {"status": pa.int32()})


def columns(**changed: Any) -> Build:
    """A Parquet file of one row, number 1, with some columns changed or added, or left out where they are None."""

    def build(landing: Path, shape: str) -> list[Path]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(named(shape, (row(1),)), arrow_schema())
        for name, values in changed.items():
            if name in table.column_names:
                table = table.drop_columns([name])
            if values is not None:
                table = table.append_column(name, values)
        path = landing / f"{shape}.parquet"
        pq.write_table(table, path)
        return [path]

    return build


def ndjson(*lines: str | dict[str, Any], end: str = "\n", head: str = "", last: str | None = None) -> Build:
    """NDJSON of these rows and lines as they are, each ending with ``end``, the last with ``last``."""

    def build(landing: Path, shape: str) -> list[Path]:
        texts = [one if isinstance(one, str) else json.dumps(one, default=_iso) for one in lines]
        text = head + end.join(texts) + (end if last is None else last)
        return content(text.encode())(landing, shape)

    return build


def content(data: bytes, suffix: str = ".json") -> Build:
    """A file of these bytes, with ids for ``@1``."""

    def build(landing: Path, shape: str) -> list[Path]:
        path = landing / f"{shape}{suffix}"
        path.write_bytes(data.replace(b"@", f"{shape}-".encode()))
        return [path]

    return build


def called(name: str | bytes, build: Build | None = None) -> Build:
    """A good file of one row, or what ``build`` makes, under another name."""

    def renamed(landing: Path, shape: str) -> list[Path]:
        (path,) = (build or ndjson(line(1)))(landing, shape)
        return [path.rename(landing / os.fsdecode(name))]

    return renamed


def altered(build: Build, alter: Callable[[bytes], bytes]) -> Build:
    """What ``build`` makes, its bytes altered."""

    def made(landing: Path, shape: str) -> list[Path]:
        (path,) = build(landing, shape)
        path.write_bytes(alter(path.read_bytes()))
        return [path]

    return made


def modified_at(build: Build, *seconds: float) -> Build:
    """Files with these modification times, in seconds since the epoch: file N has the row of number N."""

    def made(landing: Path, shape: str) -> list[Path]:
        files = []
        for number, time in enumerate(seconds, start=1):
            (path,) = build(landing, shape)
            text = path.read_text().replace(f"{shape}-1", f"{shape}-{number}")
            path = path.rename(landing / f"{shape}-{number}.json")
            path.write_text(text)
            os.utime(path, (time, time))
            files.append(path)
        return files

    return made
