"""Values as the page, CSV and JSON have them. What came from a log is made harmless here, and nowhere else. Pure."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from consumer.page.local_days import iso_text, local_time
from consumer.page.panel import Column
from lakehouse.logs import printable
from lakehouse.readable import bytes_text, count_text

SHOWN_CHARACTERS = 1000
# What makes a spreadsheet take a cell for a formula; and what it skips before that.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def shown(column: Column, value: Any, zone: str = "UTC") -> str:
    """A value as a person reads it: control and bidirectional characters are written out, times are those of ``zone``."""
    if value is None:
        return column.none
    if column.kind == "count" and isinstance(value, int):
        return count_text(value)
    if column.kind == "bytes" and isinstance(value, int):
        return bytes_text(value)
    if column.kind == "share":
        return f"{100 * value:.1f} %"
    if column.kind == "number":
        return f"{value:.4g}"
    if column.kind == "time":
        return f"{local_time(value, zone):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return printable(text[:SHOWN_CHARACTERS]) + ("…" if len(text) > SHOWN_CHARACTERS else "")


def plain(column: Column, value: Any, zone: str = "UTC") -> Any:
    """A value as JSON has it: times in ISO 8601, by the clocks of ``zone``, anything else as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return iso_text(local_time(value, zone)) if column.kind == "time" and value is not None else value


def as_csv(columns: Sequence[Column], rows: Iterable[Sequence[Any]], zone: str = "UTC") -> Iterator[str]:
    """Lines of CSV with a header. Cells that a spreadsheet would take for a formula begin with an apostrophe."""
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([_cell(column, value, zone) for column, value in zip(columns, row, strict=True)])
        if line.tell() > 65_536:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


def _cell(column: Column, value: Any, zone: str) -> Any:
    found = plain(column, value, zone)
    if not isinstance(found, str):
        return "" if found is None else found
    text = printable(found)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) or found.startswith(FORMULA) else text
