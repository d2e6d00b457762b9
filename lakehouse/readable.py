"""Figures as a person reads them. Whatever came from a log is made harmless on its way to the terminal."""

from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse.logs import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

CUT_CHARACTERS = 500
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_COUNT_UNITS = ("", "k", "M", "G", "T", "P")
_TIME_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def bytes_text(count: int) -> str:
    """Bytes with three digits and a unit of powers of 1,000: ``1.23 MB``."""
    return _scaled(count, _BYTE_UNITS)


def count_text(count: int) -> str:
    """A count with its thousands apart: ``1,234``."""
    return f"{count:,}"


def counted_text(count: int, what: str) -> str:
    """A count of things: ``1 file``, ``2 files``."""
    return f"{count_text(count)} {what}{'s' * (count != 1)}"


def short_count_text(count: int) -> str:
    """A count in six characters at most, its sign apart: ``1,234``, ``12.3 k``."""
    return count_text(count) if abs(count) < 10_000 else _scaled(count, _COUNT_UNITS)


def duration_text(seconds: float) -> str:
    """A length of time in its largest unit: ``4 s``, ``3 min``, ``5 h``, ``2 d``."""
    for size, unit in _TIME_UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def ago_text(time: datetime | None, now: datetime) -> str:
    """How long ago ``time`` was: ``3 min ago``; nothing for ``None``."""
    return "" if time is None else f"{duration_text((now - time).total_seconds())} ago"


def safe(text: object, style: str = "") -> "Text":
    """``text`` for a terminal: escaped, cut when very long, and never taken for markup."""
    from rich.text import Text

    whole = str(text)
    cut = whole[:CUT_CHARACTERS] + ("…" if len(whole) > CUT_CHARACTERS else "")
    return Text(printable(cut), style=style)


def first_line(error: Exception) -> str:
    """The first line of what ``error`` says, cut when very long, or its kind if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:CUT_CHARACTERS]


def new_table(title: str | None = None) -> "Table":
    """An empty table in the one style of all of them."""
    from rich import box
    from rich.table import Table

    return Table(
        title=title, title_justify="left", title_style="bold", header_style="bold",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip


def _scaled(count: int, units: tuple[str, ...]) -> str:
    value, unit = float(abs(count)), 0
    while value >= 999.5 and unit < len(units) - 1:
        value, unit = value / 1000, unit + 1
    decimals = 0 if unit == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    sign = "-" if count < 0 else ""
    return f"{sign}{value:,.{decimals}f} {units[unit]}"
