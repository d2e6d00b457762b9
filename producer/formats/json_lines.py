r"""Lines of JSON and LTSV, by the usual keys (``producer.formats.keys``) and those that the settings name. Pure.

Values that are objects are looked into by dotted keys; what no column took is kept in ``rescued``, a JSON object, in its place. Of a
key that an object has twice the first value counts, the second is kept as ``key_2``. nginx's default escaping writes ``\xNN``
into what is meant to be JSON: such lines are taken too, and the escape stays in the value as it stays in a Combined line.

Lines of one logger mostly have the same keys in the same order: ``producer.formats.templates`` reads them without Python's
help. All others are read here, one at a time.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import polars as pl

from producer.formats.columns import no_fields, with_all_fields
from producer.formats.json_columns import Columns, Entry, Path
from producer.formats.keys import JSON_KEYS, LTSV_KEYS
from producer.formats.ltsv import entry_of
from producer.formats.odd_values import as_json, decoded, unicode_text, with_clock, without_words
from producer.formats.options import Options
from producer.formats.requests import with_arguments, with_target_split
from producer.formats.text import fields_of

if TYPE_CHECKING:
    from producer.formats.templates import Template

COLUMNS = (*JSON_KEYS, "forwarded", "rescued")
# Templates that a block's lines are read by, the first lines that one is learnt from, and for how many lines it is worth it. The last
# template is one that reads less than one line of so many.
MOST_TEMPLATES, LEARNT_FROM, FEWEST_LINES, LEAST_SHARE = 8, 3, 20, 4
LARGEST_INTEGER = 10**18

_HAS_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:", re.ASCII)
_HAS_TIME = re.compile(r"\d{8}T|\d{9}|\d{4}[-/]\d\d|[/: -]\d{4}|-[A-Z][a-z]{2}-\d\d", re.ASCII)
_IS_NUMBER = re.compile(r"-?\d", re.ASCII)
_URL = re.compile(r"(?:https?|wss?)://([^/?#]*)([^?]*)(\?.*)?", re.DOTALL)
_SMALLEST_EPOCH = 10**8

Texts = tuple[str | None, ...]
NOT_PARSED: Texts = (None,) * len(COLUMNS)


class JsonFormat:
    """Reads a JSON object in each line; a word glued before it, a comma behind it and NULs before it go."""

    name = "json"

    def read(self, lines: pl.Series, options: Options) -> pl.DataFrame:
        """``FIELDS`` for each line, in order."""
        columns = Columns(JSON_KEYS, options)
        left = pl.int_range(lines.len(), eager=True).filter(lines.str.contains("{", literal=True))
        parts: list[tuple[pl.Series, pl.DataFrame]] = []
        for _ in range(MOST_TEMPLATES):
            texts = lines.gather(left)
            template = _learnt(texts, columns) if texts.len() >= FEWEST_LINES else None
            if template is None:
                break
            fields = template.read(texts, options)
            is_read = fields["timestamp"].is_not_null()
            parts.append((left.filter(is_read), fields.filter(is_read)))
            left = left.filter(~is_read)
            if parts[-1][0].len() < texts.len() // LEAST_SHARE:
                break
        if left.len():
            parts.append((left, _read(lines.gather(left), json_object, columns, options)))
        return _in_places(parts, lines.len())


def _in_places(parts: list[tuple[pl.Series, pl.DataFrame]], height: int) -> pl.DataFrame:
    """``FIELDS`` of so many lines, from those of some and their places; null for all others."""
    if len(parts) == 1 and parts[0][1].height == height:
        return parts[0][1]
    if not parts:
        return no_fields(height)
    places = pl.concat(places for places, _ in parts)
    rows = pl.Series([None] * height, dtype=pl.Int64).scatter(places, pl.int_range(places.len(), eager=True))
    return pl.concat(fields for _, fields in parts).select(pl.all().gather(rows))


class LtsvFormat:
    """Reads labelled tab-separated values."""

    name = "ltsv"

    def read(self, lines: pl.Series, options: Options) -> pl.DataFrame:
        """``FIELDS`` for each line, in order."""
        if not lines.str.contains("\t", literal=True).any():
            return no_fields(lines.len())
        return _read(lines, entry_of, Columns(LTSV_KEYS, options), options)


def _learnt(lines: pl.Series, columns: Columns) -> "Template | None":
    from producer.formats.learning import learnt

    for line in lines.head(LEARNT_FROM):
        entry = json_object(line)
        template = None if entry is None else learnt(line, entry, columns)
        if template is not None:
            return template
    return None


def _read(
    lines: pl.Series, entry_of_line: Callable[[str], Entry | None], columns: Columns, options: Options
) -> pl.DataFrame:
    rows = [_texts(entry_of_line(line), columns) for line in lines]
    return fields_from_texts(zip(*rows, strict=True) if rows else ([] for _ in COLUMNS), options)


def fields_from_texts(columns: Iterable[Iterable[str | None]], options: Options) -> pl.DataFrame:
    """``FIELDS`` from the texts of ``COLUMNS``, a series or a tuple for each."""
    texts = pl.DataFrame([pl.Series(n, column, pl.String) for n, column in zip(COLUMNS, columns, strict=True)])
    return fields_from_frame(texts, options)


def fields_from_frame(texts: pl.DataFrame, options: Options) -> pl.DataFrame:
    """``FIELDS`` from a frame with the columns of ``COLUMNS``; a row without time did not parse."""
    if texts["time"].null_count() == texts.height:
        return no_fields(texts.height)
    texts = without_words(texts)
    whole = fields_of(texts.drop("method", "target", "arguments", "protocol", "rescued", "forwarded"), options)
    status = texts["status"].replace(["", "-"], None)
    is_odd = (status.is_not_null() & whole["status"].is_null()) | (whole["status"] < 0).fill_null(value=False)
    if is_odd.any():
        whole = whole.with_columns(pl.when(~is_odd).then("timestamp").alias("timestamp"))
    if texts["target"].null_count() < texts.height:
        whole = whole.with_columns(_parts(texts, whole))
    return with_all_fields(whole.with_columns(texts["rescued"], texts["forwarded"]))


def _parts(texts: pl.DataFrame, whole: pl.DataFrame) -> list[pl.Series]:
    """The parts of requests, where they do not stand in one piece."""
    parts = with_arguments(with_target_split(texts.select("method", "target", "arguments", "protocol")))
    is_whole = texts["request"].is_not_null()
    return [
        parts[name].zip_with(~is_whole, whole[name]).alias(name) for name in ("method", "path", "query", "protocol")
    ]


# One line ------------------------------------------------------------------------------------------------------------


def json_object(line: str) -> Entry | None:
    """The line's JSON object, ``None`` where it has none."""
    start = line.find("{")
    if start < 0 or (start > 0 and line[:start].strip(" \t\x00,[\ufeff") not in ("", "escape=json", "@cee:")):
        return None
    text = line[start:].rstrip(" \t\r,]") if start == 0 or line[:start].strip(" \t\x00") != "[" else line
    try:
        try:
            value = _DECODER.decode(text)
        except ValueError:
            value = _DECODER.decode(as_json(text))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _float(text: str) -> float | str:
    """A number that JSON can write again; one beyond all numbers stays text."""
    number = float(text)
    return number if math.isfinite(number) else text


def _without_doubles(pairs: list[tuple[str, Any]]) -> Entry:
    """An object; of a key that comes twice, the second value has a further name."""
    entry = dict(pairs)
    if len(entry) == len(pairs):
        return entry
    entry = {}
    for key, value in pairs:
        name, count = key, 2
        while name in entry:
            name, count = f"{key}_{count}", count + 1
        entry[name] = value
    return entry


_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=str, object_pairs_hook=_without_doubles)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Value(NamedTuple):
    """The text of a value, and where it stands."""

    path: Path
    text: str


def _texts(entry: Entry | None, columns: Columns) -> Texts:
    """The texts of ``COLUMNS``. A line parses if it has a time and a request, whole or in parts."""
    if entry is None:
        return NOT_PARSED
    try:
        flat = columns.wanted(entry)
        plan = columns.plan(tuple(flat))
        found = chosen_values(flat, plan, columns)
        if "time" not in found or not ("request" in found or "target" in found):
            return NOT_PARSED
        site = _url_taken_apart(found, columns)
        taken = {value.path for column, value in found.items() if is_whole(column, value)}
        forwarded = _first(flat, plan["forwarded"], columns)
        rest = without(entry, taken)
        rescued = unicode_text(_ENCODER.encode(rest)) if rest else None
        if (agent := found.get("agent")) is not None:
            found["agent"] = Value(agent.path, decoded(agent.path[-1], agent.text))
        texts = [found[column].text if column in found else None for column in JSON_KEYS]
    except RecursionError:
        return NOT_PARSED
    if site is not None and "site" not in found:
        texts[-1] = site
    return (*texts, forwarded.text if forwarded else None, rescued)


def chosen_values(flat: Mapping[Path, Any], plan: Mapping[str, list[Path]], columns: Columns) -> dict[str, Value]:
    """Of an object whose values are ``flat``, the value of each column that it has."""
    found: dict[str, Value] = {}
    taken: set[Path] = set()
    for column, paths in plan.items():
        if not paths or column == "forwarded":
            continue
        value = _CHOICES.get(column, _first)(flat, paths, columns)
        if value is not None and value.path not in taken:
            found[column] = value
            taken.add(value.path)
    _settle_request(found, columns)
    if "?" in found.get("target", Value((), "")).text:
        found.pop("arguments", None)
    return found


def _settle_request(found: dict[str, Value], columns: Columns) -> None:
    """Leave the whole request or its parts; what says the same again stays where it was."""
    request = found.get("request")
    if request is None:
        return
    is_target = " " not in request.text and request.text not in ("", "-") and "method" in found
    if columns.has_named_target or (request.text in ("", "-") and "target" in found):
        del found["request"]
    elif is_target:
        found["target"] = found.pop("request")
    else:
        for column in ("method", "target", "arguments", "protocol"):
            found.pop(column, None)


def _first(flat: Mapping[Path, Any], paths: list[Path], _columns: Columns) -> Value | None:
    """The first that has a text; one that says nothing only where no other has any."""
    empty = None
    for path in paths:
        text = _text(flat[path])
        if text is None:
            continue
        if text not in ("", "-"):
            return Value(path, text)
        empty = empty or Value(path, text)
    return empty


def _address(flat: Mapping[Path, Any], paths: list[Path], columns: Columns) -> Value | None:
    """The first that holds an address, else as any other."""
    for path in paths:
        text = _text(flat[path])
        if text is not None and _HAS_ADDRESS.search(text):
            return Value(path, text)
    return _first(flat, paths, columns)


def _time(flat: Mapping[Path, Any], paths: list[Path], _columns: Columns) -> Value | None:
    """The first that may be a time and is no duration."""
    for path in paths:
        value = flat[path]
        text = _text(value)
        if text is None or not _HAS_TIME.search(text) or (isinstance(value, float) and value < _SMALLEST_EPOCH):
            continue
        return Value(path, with_clock(text.strip(), (_text(flat[other]) for other in paths)))
    return None


def _number(flat: Mapping[Path, Any], paths: list[Path], columns: Columns) -> Value | None:
    """The first that begins like a number; one of another kind only where its key leaves no doubt."""
    for path in paths:
        text = _text(flat[path])
        if text is not None and _IS_NUMBER.match(text):
            return Value(path, text)
    return _first(flat, [path for path in paths if columns.is_usual(path)], columns)


_CHOICES = {"ip": _address, "time": _time, "status": _number, "bytes": _number}


def _url_taken_apart(found: dict[str, Value], columns: Columns) -> str | None:
    """Leaves the path and query of a full URL; its host."""
    target = found.get("target")
    if target is None or not columns.is_url(target.path):
        return None
    url = _URL.fullmatch(target.text)
    if url is None:
        return None
    found["target"] = Value(target.path, (url[2] or "/") + (url[3] or ""))
    return url[1]


def is_whole(column: str, value: Value) -> bool:
    """Whether the column says all that the value did: of a list of addresses, or one with a port, it does not."""
    if column == "status":
        return " " not in value.text
    return column != "ip" or ("," not in value.text and not re.search(r"[.\]][^:]*:\d+$", value.text))


def without(entry: Entry, taken: set[Path]) -> Entry:
    """The entry without the values at these paths, nulls, and objects that were emptied by it."""
    rest = {key: value for key, value in entry.items() if value is not None and (key,) not in taken}
    for head in {path[0] for path in taken if len(path) > 1}:
        value = rest.get(head)
        if isinstance(value, dict):
            rest[head] = without(value, {path[1:] for path in taken if path[0] == head})
            if not rest[head]:
                del rest[head]
    return rest


def _text(value: Any) -> str | None:
    """A scalar's text, or that of a list of texts; ``None`` for what no column can take."""
    if type(value) is str:
        return unicode_text(value)
    if type(value) is int:
        return str(value) if abs(value) < LARGEST_INTEGER * 10 else f"{float(value)!r}"
    if type(value) is float:
        return str(int(value)) if value.is_integer() and abs(value) < LARGEST_INTEGER else repr(value)
    if type(value) is list and value and all(type(item) is str for item in value):
        return unicode_text(", ".join(cast("list[str]", value)))
    return None
