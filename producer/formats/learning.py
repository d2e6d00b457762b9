"""Templates learnt from lines: where a line of a JSON logger has the values of our columns, and what lines like it must have in common. Pure."""

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import polars as pl

from producer.formats.json_columns import DEEPEST, Columns, Entry
from producer.formats.json_lines import Value, chosen_values, is_whole
from producer.formats.numbers import INTEGER, NUMBER, is_exact
from producer.formats.odd_values import is_encoded
from producer.formats.requests import TOKEN
from producer.formats.shapes import STRING, Items, Leaf, Members, Node, Path, leaf_of, plain, shape_of
from producer.formats.stretches import stretches_of
from producer.formats.templates import Template

_SECONDS = r"[1-9][0-9]{8,17}(?:\.[0-9]{1,9})?"
_ADDRESS = r"^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$|^[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]*$"
_IS_NUMBER = "^-?[0-9]"
# What is a time for sure: ISO 8601, Combined's, seconds.
_TIMES = (rf"[0-9]{{4}}[-/][0-9]{{2}}{STRING}", rf"[0-9]{{1,2}}/[A-Za-z]{{3}}/[0-9]{{4}}{STRING}", _SECONDS)
_IN_TARGET, _IN_WORD, _IN_WORD_QUERY = r'[^"\\?\x00-\x1f]', r'[^"\\? \x00-\x1f]', r'[^"\\ \x00-\x1f]*'
_REQUEST = rf"(?P<method>{TOKEN}) (?P<path>{_IN_WORD}*)(?:\?(?P<query>{_IN_WORD_QUERY}))? (?P<protocol>HTTP/[0-9.]+)"
_SITE_OF_URL = r'[^/?#"\\\x00-\x1f]*'
# Columns that may be null in a line like others, if they stand at the top and under one key alone.
_NULLABLE = ("user", "referer", "agent")
_PARTS = ("method", "target", "arguments", "protocol")

Plan = Mapping[str, list[Path]]
Pieces = list[str | Leaf]


class Place(NamedTuple):
    """Where a column has its value.

    :param is_only: whether no other key could have it.
    """

    path: Path
    node: Node
    is_only: bool

    @property
    def leaf(self) -> Leaf:
        """The value itself."""
        return leaf_of(self.node)


def learnt(line: str, entry: Entry, columns: Columns) -> Template | None:
    """The template of a line and its object, ``None`` where there is none for it."""
    shape = shape_of(line)
    if shape is None:
        return None
    nodes = dict(shape.nodes(DEEPEST))
    flat = columns.wanted(entry)
    plan = columns.plan(tuple(flat))
    if any(_is_list_of_texts(nodes[path]) for paths in plan.values() for path in paths):
        return None
    found = chosen_values(flat, plan, columns)
    places = _places(nodes, plan, found)
    if places is None or not _is_settled(nodes, plan, found, columns):
        return None
    looks = _looks(places, plan, found, columns)
    if looks is None:
        return None
    groups = {place.leaf.number: column for column, place in places.items()}
    forwarded = [leaf_of(nodes[path]) for path in plan["forwarded"] if plain(nodes[path]) is not None]
    if any(groups.get(leaf.number) in ("request", "target") for leaf in forwarded):
        return None
    rescued = _joined(_kept(shape.root, (), {place.path for place in places.values()}))
    return Template(
        stretches_of(_look_of(piece, looks) for piece in shape.pieces),
        _conditions(places, plan, columns),
        [pl.lit(piece) if isinstance(piece, str) else pl.col(_group(piece)) for piece in rescued],
        [_group(piece) for piece in rescued if isinstance(piece, Leaf) and piece.kind == "number"],
        [groups.get(leaf.number, _group(leaf)) for leaf in forwarded],
        "target" in found and columns.is_url(found["target"].path),
    )


# The columns ---------------------------------------------------------------------------------------------------------


def _places(nodes: Mapping[Path, Node], plan: Plan, found: Mapping[str, Value]) -> dict[str, Place] | None:
    """Where each column has its value: under the first of its keys that has any, else nothing is learnt."""
    if "time" not in found or not ("request" in found or "target" in found):
        return None
    places = {}
    for column, value in found.items():
        paths = plan["request"] if column == "target" and not plan["target"] else plan[column]
        first = next((path for path in paths if plain(nodes[path]) is not None), None)
        if value.path != first or not is_whole(column, value):
            return None
        if value.text != plain(nodes[value.path]) or is_encoded(value.path[-1]):  # something is made of it
            return None
        places[column] = Place(value.path, nodes[value.path], len(paths) == 1)
    return places


def _is_settled(nodes: Mapping[Path, Node], plan: Plan, found: Mapping[str, Value], columns: Columns) -> bool:
    """Whether a column without value has none in any other line, either: what is only less likely than another key must not count."""
    absent = {
        column for column, paths in plan.items()
        if column not in found and column != "forwarded" and any(plain(nodes[path]) is not None for path in paths)
    }  # fmt: skip
    if "request" in found:
        return absent <= set(_PARTS)
    if "?" in found["target"].text:
        absent.discard("arguments")
    if columns.has_named_target or found["target"].path in plan["request"]:
        absent.discard("request")
    return not absent


def _looks(
    places: Mapping[str, Place], plan: Plan, found: Mapping[str, Value], columns: Columns
) -> dict[int, str] | None:
    """By the number of a column's leaf the expression for its value, ``None`` where the learnt value does not look like it."""
    looks = {}
    for column, place in places.items():
        look = _target_look(place, plan, found, columns) if column == "target" else _look(column, place)
        if re.fullmatch(look, place.leaf.text) is None or (
            place.leaf.kind == "number" and column in ("request", "target")
        ):
            return None
        if place.leaf.kind == "string":
            look = f'"{look}"'
            if column in _NULLABLE and place.is_only and len(place.path) == 1 and isinstance(place.node, Leaf):
                look = f"(?:{look}|null)"
        looks[place.leaf.number] = look
    return looks


def _look(column: str, place: Place) -> str:
    if column == "time":
        usual = _TIMES if place.leaf.kind == "string" else (_SECONDS,)
        return f"(?P<time>{next((look for look in usual if re.fullmatch(look, place.leaf.text)), _SECONDS)})"
    if column == "request":
        return _REQUEST
    return f"(?P<{column}>{STRING if place.leaf.kind == 'string' else INTEGER})"


def _target_look(place: Place, plan: Plan, found: Mapping[str, Value], columns: Columns) -> str:
    """Where a query of its own or a whole request could count, too, a query is there as in the learnt line or it is not."""
    is_request = place.path in plan["request"]
    path, query = (_IN_WORD, _IN_WORD_QUERY) if is_request else (_IN_TARGET, STRING)
    with_query = rf"\?(?P<query>{query})"
    if not plan["arguments"] and not plan["request"]:
        with_query = f"(?:{with_query})?"
    elif "?" not in found["target"].text:
        with_query = ""
    if not columns.is_url(place.path):
        return f"(?P<path>{path}*){with_query}"
    site = _SITE_OF_URL if "site" in found else f"(?P<site>{_SITE_OF_URL})"
    return f"(?:https?|wss?)://{site}(?P<path>(?:[/#]{path}*)?){with_query}"


def _conditions(places: Mapping[str, Place], plan: Plan, columns: Columns) -> list[pl.Expr]:
    """That in other lines, too, the first of a column's keys has a value that says something."""
    conditions = []
    for column, place in places.items():
        value = pl.col("path" if column == "target" else column)
        if column == "ip":
            conditions.append(value.str.contains(_ADDRESS))
        elif column == "time":
            if place.leaf.kind == "number":
                conditions.append(is_exact(value))
        elif column in ("status", "bytes"):
            if not (place.is_only and columns.is_usual(place.path)):
                conditions.append(value.str.contains(_IS_NUMBER))
        elif column != "request" and (not place.is_only or place.path in plan["request"]):
            conditions.append((value != "") & (value != "-"))
    return conditions


# The line ------------------------------------------------------------------------------------------------------------


def _look_of(piece: str | Leaf, looks: Mapping[int, str]) -> str:
    return re.escape(piece) if isinstance(piece, str) else looks.get(piece.number) or _other_look(piece)


def _other_look(leaf: Leaf) -> str:
    looks = {"string": f'"(?P<{_group(leaf)}>{STRING})"', "number": f"(?P<{_group(leaf)}>{NUMBER})"}
    return looks.get(leaf.kind) or (f"(?P<{_group(leaf)}>true|false)" if leaf.kind == "flag" else "null")


def _group(leaf: Leaf) -> str:
    return f"v{leaf.number}"


def _kept(members: Members, above: Path, taken: AbstractSet[Path]) -> Pieces:
    """What ``json_lines.without`` leaves of an object, as it is written; nothing if that is nothing."""
    kept: Pieces = []
    for key, node in members.by_key.items():
        path = (*above, key)
        if path in taken or (isinstance(node, Leaf) and node.kind == "null"):
            continue
        is_around = isinstance(node, Members) and any(other[: len(path)] == path for other in taken)
        pieces = _kept(node, path, taken) if is_around and isinstance(node, Members) else _written(node)
        if pieces:
            kept += [("," if kept else "{") + _key(key), *pieces]
    return [*kept, "}"] if kept else []


def _written(node: Node) -> Pieces:
    if isinstance(node, Leaf):
        return ["null"] if node.kind == "null" else ['"', node, '"'] if node.kind == "string" else [node]
    if isinstance(node, Items):
        items = [piece for n, item in enumerate(node.items) for piece in (["," if n else "", *_written(item)])]
        return ["[", *items, "]"]
    pairs = node.by_key.items()
    return [
        "{",
        *(p for n, (key, child) in enumerate(pairs) for p in (("," if n else "") + _key(key), *_written(child))),
        "}",
    ]


def _key(key: str) -> str:
    return json.dumps(key, ensure_ascii=False) + ":"


def _joined(pieces: Pieces) -> Pieces:
    """Texts that stand side by side in one."""
    joined: Pieces = []
    for piece in pieces:
        if joined and isinstance(piece, str) and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _is_list_of_texts(node: Node) -> bool:
    """A list that is a text for a column, but of several: they are not read here."""
    return (
        isinstance(node, Items) and len(node.items) > 1
        and all(isinstance(item, Leaf) and item.kind == "string" for item in node.items)
    )  # fmt: skip
