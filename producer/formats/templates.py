"""Lines of one JSON logger, which have the same keys in the same order, read at once by an expression learnt from one of them. Pure.

An expression takes only what :mod:`producer.formats.json_lines` would read in the same way: flat objects without escapes, the value of
each column under the first of its keys. All other lines are left to that module, and a test compares the two.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from producer.formats.json_lines import COLUMNS, Columns, Entry, Path, chosen_values, fields_from_frame, is_whole
from producer.formats.keys import JSON_KEYS
from producer.formats.odd_values import W3C_HEADER
from producer.formats.options import Options

MOST_KEYS = 60
_MEMBER = re.compile(r'(\s*)"([^"\\\x00-\x1f]+)"(\s*:\s*)(?:"([^"\\\x00-\x1f]*)"|(-?[0-9.]+)|(true|false|null))(\s*,?)')
_STRING = r'[^"\\\x00-\x1f]*'
# Numbers that Python writes as it read them, but for zeros at the end.
_NUMBER = r"(?:0|-?[1-9][0-9]{0,17})(?:\.[0-9]{1,4})?"
# With a fraction, more characters than this may have digits that no float holds.
_LONGEST_FRACTION = 16
_WORD = "true|false|null"
_ADDRESS = r"^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$|^[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]*$"


@dataclass(frozen=True)
class Template:
    """What was learnt from a line.

    :param kinds: of each value, by its place: ``string``, ``number`` or ``word``.
    :param places: of each column's value.
    :param has_query: whether the query is part of the target; ``None`` where it does not matter.
    """

    expression: str
    keys: tuple[str, ...]
    kinds: tuple[str, ...]
    places: Mapping[str, int]
    forwarded: int | None
    only_keys: frozenset[str]
    has_query: bool | None

    def read(self, lines: pl.Series, options: Options) -> pl.DataFrame:
        """``FIELDS`` for each line; without timestamp where it is not like the template."""
        texts = lines.str.extract_groups(self.expression).struct.unnest()
        columns = [self._column(texts, column) for column in JSON_KEYS]
        is_like = pl.all_horizontal(*self._conditions())
        forwarded = pl.lit(None, pl.String) if self.forwarded is None else pl.col(f"v{self.forwarded}")
        frame = texts.with_columns(is_like.fill_null(value=False).alias("is_like")).select(
            *columns, forwarded.alias("forwarded"), self._rescued().alias("rescued"), "is_like"
        )
        frame = frame.with_columns(pl.when("is_like").then("time").alias("time"))
        return fields_from_frame(frame.select(*COLUMNS), options)

    def _column(self, _texts: pl.DataFrame, column: str) -> pl.Expr:
        place = self.places.get(column)
        return (pl.lit(None, pl.String) if place is None else pl.col(f"v{place}")).alias(column)

    def _conditions(self) -> list[pl.Expr]:
        """That the same keys have the values of the same columns as in the line that this was learnt from."""
        conditions = [pl.col("v0").is_not_null()]
        for column, place in self.places.items():
            value = pl.col(f"v{place}")
            if column == "ip":
                conditions.append(value.str.contains(_ADDRESS))
            elif column == "request":
                conditions.append(value.str.contains(" ", literal=True))
            elif column == "target" and self.has_query is not None:
                conditions.append(value.str.contains("?", literal=True) == self.has_query)
            elif column not in self.only_keys:
                conditions.append(~value.is_in(["", "-"]))
            if column == "status":
                conditions.append(~value.str.contains(" ", literal=True))
        if self.forwarded is not None and "forwarded" not in self.only_keys:
            conditions.append(~pl.col(f"v{self.forwarded}").is_in(["", "-"]))
        for n in set(range(len(self.keys))) - set(self.places.values()):
            if self.kinds[n] == "number":
                value = pl.col(f"v{n}")
                conditions.append((value.str.len_bytes() <= _LONGEST_FRACTION) | ~value.str.contains(".", literal=True))
        return conditions

    def _rescued(self) -> pl.Expr:
        taken = set(self.places.values())
        parts = [self._member(n, key) for n, key in enumerate(self.keys) if n not in taken]
        if not parts:
            return pl.lit(None, pl.String)
        members = pl.concat_str(parts, ignore_nulls=True).str.slice(1)
        return pl.when(members != "").then(pl.concat_str(pl.lit("{"), members, pl.lit("}")))

    def _member(self, place: int, key: str) -> pl.Expr:
        value = pl.col(f"v{place}")
        name = f",{json.dumps(key, ensure_ascii=False)}:"
        if self.kinds[place] == "string":
            return pl.concat_str(pl.lit(name + '"'), value, pl.lit('"'))
        if self.kinds[place] == "number":
            return pl.concat_str(pl.lit(name), value.str.replace(r"(\.[0-9]+?)0+$", "${1}"))
        return pl.when(value != "null").then(pl.concat_str(pl.lit(name), value))


def learnt(line: str, entry: Entry, columns: Columns) -> Template | None:
    """The template of a line and its object, ``None`` where there is none for it."""
    members = _members(line)
    if members is None or [key for _, key, *_ in members] != list(entry) or len(entry) > MOST_KEYS:
        return None
    if any(key.startswith(W3C_HEADER) for key in entry):
        return None
    flat: dict[Path, object] = {(key,): value for key, value in entry.items()}
    plan = columns.plan(tuple(flat))
    found = chosen_values(flat, plan, columns)
    if "time" not in found or not ("request" in found or "target" in found):
        return None
    if any(value.path != plan_first(plan, column) or not is_whole(column, value) for column, value in found.items()):
        return None
    target = found.get("target")
    if target is not None and ".".join(target.path) in columns.url_keys:
        return None
    if "request" in found and " " not in found["request"].text:
        return None
    order: dict[Path, int] = {(key,): n for n, key in enumerate(entry)}
    forwarded = next((order[path] for path in plan["forwarded"] if isinstance(flat[path], str)), None)
    is_split = target is not None and (bool(plan["arguments"]) or bool(plan["request"]))
    return Template(
        _expression(members),
        tuple(entry),
        tuple("string" if s is not None else "number" if n is not None else "word" for *_, s, n, _, _ in members),
        {column: order[value.path] for column, value in found.items()},
        forwarded,
        frozenset(column for column in (*found, "forwarded") if len(plan[column]) == 1),
        ("?" in target.text) if target is not None and is_split else None,
    )


def plan_first(plan: Mapping[str, list[Path]], column: str) -> Path | None:
    """The likeliest path of a column; a target may stand under the request's key."""
    paths = plan["request"] if column == "target" and not plan[column] else plan[column]
    return paths[0] if paths else None


def _members(line: str) -> list[tuple[str, ...]] | None:
    """The members of a flat object: blanks, key, colon, value as string, number or word, comma."""
    if not line.startswith("{") or not line.endswith("}"):
        return None
    members, end = [], 1
    while match := _MEMBER.match(line, end):
        members.append(match.groups())
        end = match.end()
    return members if line[end:].strip() == "}" and members else None


def _expression(members: list[tuple[str, ...]]) -> str:
    pieces = []
    for n, (blanks, key, colon, string, number, _, comma) in enumerate(members):
        look = _STRING if string is not None else _NUMBER if number is not None else _WORD
        value = f'"(?P<v{n}>{look})"' if string is not None else f"(?P<v{n}>{look})"
        pieces.append(f'{re.escape(blanks)}"{re.escape(key)}"{re.escape(colon)}{value}{re.escape(comma)}')
    return rf"^\{{{''.join(pieces)}\s*\}}$"
