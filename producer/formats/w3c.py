"""The extended log format of the W3C (IIS, CloudFront, AWS's network of edges): a header names the columns. Pure.

``#Fields: date time c-ip cs-method ...`` stands before the lines, and again where the columns change. Fields are separated by
blanks or, where the lines have any, by tabs. A value may stand in quotes.
"""

import re
from urllib.parse import unquote

import polars as pl

from producer.formats.columns import no_fields
from producer.formats.options import Options
from producer.formats.text import fields_of
from producer.formats.w3c_days import DATE, HEADER

DIRECTIVES = (HEADER, DATE, "#Software:", "#Version:", "#Start-Date:", "#End-Date:", "#Remark:")

# The fields by our column; of several, the first that the header has.
COLUMNS: dict[str, tuple[str, ...]] = {
    "ip": ("c-ip", "cs-ip", "c-dns"),
    "user": ("cs-username", "sc-username"),
    "method": ("cs-method",),
    "path": ("cs-uri-stem",),
    "target": ("cs-uri",),
    "arguments": ("cs-uri-query",),
    "protocol": ("cs-version", "cs-protocol-version"),
    "status": ("sc-status",),
    "bytes": ("sc-bytes", "bytes"),
    "referer": ("cs(referer)",),
    "agent": ("cs(user-agent)",),
    "site": ("x-host-header", "cs(host)", "cs-host", "s-computername"),
}
_VALUE = r'("[^"]*"|[^ ]*)'


def columns_of(header: str) -> list[str]:
    """The names that a header line gives."""
    return header.removeprefix(HEADER).split()


class W3cFormat:
    """Reads the lines below one header.

    :param header: the line that begins with ``#Fields:``.
    """

    name = "w3c"

    def __init__(self, header: str) -> None:
        self._names = columns_of(header)

    def read(self, lines: pl.Series, options: Options) -> pl.DataFrame:
        """``FIELDS`` for each line, in order."""
        texts = self._texts(lines)
        if texts is None or texts.height == 0:
            return no_fields(lines.len())
        lower = [name.lower() for name in self._names]
        chosen = {c: next((lower.index(n) for n in names if n in lower), None) for c, names in COLUMNS.items()}
        if chosen["path"] is not None:
            chosen["target"] = None
        groups = {texts.columns[place]: column for column, place in chosen.items() if place is not None}
        keys = {texts.columns[n]: name for n, name in enumerate(self._names) if lower[n] not in ("date", "time")}
        fields = texts.rename(groups).with_columns(self._times(texts, lower).alias("time"))
        fields = fields.drop(texts.columns[n] for n, name in enumerate(lower) if name in ("date", "time"))
        fields = self._decoded(fields)
        return fields_of(fields, options, keys=keys, has_url=True)

    def _texts(self, lines: pl.Series) -> pl.DataFrame | None:
        """A column for each name; null where a line has another number of fields."""
        count = len(self._names)
        if not count:
            return None
        texts = [f"x{n}" for n in range(count)]
        is_tabbed = lines.str.contains("\t", literal=True)
        value, blank = (r"([^\t]*)", r"\t") if is_tabbed.any() else (_VALUE, " ")
        found = lines.str.extract_groups(f"^{blank.join([value] * count)}[ \t]*$").struct.unnest()
        found.columns = texts
        return found.with_columns(pl.all().str.strip_chars('"'))

    def _times(self, texts: pl.DataFrame, lower: list[str]) -> pl.Series:
        if "date" in lower and "time" in lower:
            return texts[texts.columns[lower.index("date")]] + " " + texts[texts.columns[lower.index("time")]]
        for name in ("timestamp", "x-timestamp", "time", "date"):
            if name in lower:
                return texts[texts.columns[lower.index(name)]]
        return pl.Series([None] * texts.height, dtype=pl.String)

    def _decoded(self, fields: pl.DataFrame) -> pl.DataFrame:
        """The blanks of agents and of chains of addresses back in their places."""
        names = [name for name in fields.columns if name == "agent" or "forwarded" in name]
        decoded = [_spaced(fields[name]) for name in names if name in fields.columns]
        return fields.with_columns(decoded)


def _spaced(values: pl.Series) -> pl.Series:
    """CloudFront's percent-encoding, else IIS's ``+`` for a blank, undone."""
    if values.str.contains(r"%[0-9A-Fa-f]{2}").any():
        distinct = values.drop_nulls().unique()
        plain = pl.Series(
            [unquote(unquote(v)) if re.search("%25", v) else unquote(v) for v in distinct], dtype=pl.String
        )
        return values.replace_strict(distinct, plain, default=None)
    if values.str.contains(" ", literal=True).any():
        return values
    return values.str.replace_all("+", " ", literal=True)
