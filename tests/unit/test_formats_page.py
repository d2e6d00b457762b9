"""docs/formats.md says what the code does."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from producer.formats.detection import NAMES
from producer.formats.directives import APACHE_COLUMNS, APACHE_LETTERS, APACHE_WITH_NAMES, NGINX_COLUMNS
from producer.formats.envelopes import ENVELOPE_NAMES, LINE_KEYS
from producer.formats.keys import JSON_KEYS, LTSV_KEYS, NESTING_KEYS
from producer.formats.w3c import COLUMNS
from producer.formats.zones import NAMED_HOURS

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
COLUMN_NAMES = {
    "time": "`timestamp`",
    "request": "the whole request",
    "target": "`path` and `query`",
    "arguments": "`query`",
}


def section(title: str) -> str:
    return re.split(r"^#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str) -> list[tuple[str, str]]:
    """The rows of the section's table."""
    found = re.findall(r"^\| (.+?) \| (.+) \|$", section(title), re.MULTILINE)
    return [(left, right) for left, right in found if left not in ("---", "name", "column", "envelope")]


def quoted(names: Iterable[str], mark: str = "") -> str:
    return ", ".join(f"`{mark}{name}`" for name in names)


@pytest.mark.parametrize(("title", "names"), [("Formats", NAMES), ("Envelopes", ENVELOPE_NAMES)])
def test_each_name_has_its_row(title: str, names: Iterable[str]) -> None:
    assert sorted(left for left, _ in rows(title)) == sorted(f"`{name}`" for name in names)


@pytest.mark.parametrize(
    ("title", "mark", "columns"),
    [
        ("nginx", "$", NGINX_COLUMNS),
        ("Apache", "%", APACHE_COLUMNS),
        ("Keys of JSON", "", JSON_KEYS),
        ("Fields of W3C logs", "", COLUMNS),
    ],
)
def test_each_column_has_its_row(title: str, mark: str, columns: Mapping[str, tuple[str, ...]]) -> None:
    expected = [(COLUMN_NAMES.get(column, f"`{column}`"), quoted(names, mark)) for column, names in columns.items()]
    assert rows(title) == expected


def test_what_stands_in_the_text_is_so() -> None:
    assert f"{quoted(LTSV_KEYS['ip'])} (`ip`) and {quoted(LTSV_KEYS['site'])} (`site`)" in section("Keys of JSON")
    assert quoted(NESTING_KEYS) in section("Keys of JSON")
    lines = [key for key, name in LINE_KEYS.items() if name == "message" and key != name]
    assert f"so with {quoted(lines)}, also" in section("Envelopes")
    assert f"one meaning: {quoted(NAMED_HOURS)}." in section("Times")
    assert f"the letters {quoted(APACHE_LETTERS)}, those among {quoted(APACHE_WITH_NAMES)}" in section("Apache")
