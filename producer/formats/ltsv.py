"""Labelled tab-separated values (http://ltsv.org): ``time:...<tab>host:...<tab>req:...``. Pure.

The labels are those of the LTSV page and of nginx. Lines are read label by label, and then as JSON's objects are.
"""

from typing import Any


def entry_of(line: str) -> dict[str, Any] | None:
    """The line's values by their labels; a value of a label that comes twice is kept under a further name."""
    entry: dict[str, Any] = {}
    for item in line.rstrip("\r\n").split("\t"):
        label, colon, value = item.partition(":")
        if not colon or not label or " " in label or '"' in label:
            return None
        name, count = label, 2
        while name in entry:
            name, count = f"{label}_{count}", count + 1
        entry[name] = value
    return entry if len(entry) > 1 else None
