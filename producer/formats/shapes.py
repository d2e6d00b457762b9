"""The shape of a JSON line: its objects, lists and values, and the text between the values. Pure.

Only lines that are simple to take apart again have one: no escapes in strings, no key twice in an object, numbers as most loggers write them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from producer.formats.numbers import NUMBER

MOST_VALUES = 80
# Objects and lists within each other.
DEEPEST_SHAPE = 8
STRING = r'[^"\\\x00-\x1f]*'
_KEY = re.compile(rf'"({STRING})"')
_VALUE = re.compile(rf'"(?P<string>{STRING})"|(?P<number>{NUMBER})(?![0-9.eE])|(?P<flag>true|false)|(?P<null>null)')
_BLANKS = re.compile(" *")

Path = tuple[str, ...]


@dataclass(frozen=True)
class Leaf:
    """A value: ``number`` of those in the line, from 0; ``kind`` is ``string``, ``number``, ``flag`` or ``null``; its ``text``."""

    number: int
    kind: str
    text: str


@dataclass
class Members:
    """An object."""

    by_key: dict[str, "Node"] = field(default_factory=dict)


@dataclass
class Items:
    """A list."""

    items: list["Node"] = field(default_factory=list)


Node = Leaf | Members | Items


@dataclass(frozen=True)
class Shape:
    """What a line is made of.

    :param pieces: the line, with leaves in the places of its values.
    """

    root: Members
    pieces: tuple[str | Leaf, ...]

    def nodes(self, deepest: int) -> Iterator[tuple[Path, Node]]:
        """All that is in objects and is no object itself, with its path; an object as deep as ``deepest`` is not looked into."""
        yield from _nodes(self.root, (), deepest)


def _nodes(members: Members, above: Path, deepest: int) -> Iterator[tuple[Path, Node]]:
    for key, node in members.by_key.items():
        path = (*above, key)
        if isinstance(node, Members) and len(path) < deepest:
            yield from _nodes(node, path, deepest)
        else:
            yield path, node


class NoShapeError(Exception):
    """A line is not simple enough."""


def shape_of(line: str) -> Shape | None:
    """The shape of a line that is one object, ``None`` where it is not simple."""
    scanner = _Scanner(line)
    try:
        root = scanner.node(0)
    except NoShapeError:
        return None
    if not isinstance(root, Members) or scanner.place != len(line):
        return None
    return Shape(root, tuple(scanner.pieces))


def plain(node: Node) -> str | None:
    """The text that a column would have: of a string, a number, or a list of one string."""
    if isinstance(node, Items) and len(node.items) == 1:
        (node,) = node.items
        return node.text if isinstance(node, Leaf) and node.kind == "string" else None
    return node.text if isinstance(node, Leaf) and node.kind in ("string", "number") else None


def leaf_of(node: Node) -> Leaf:
    """Where that text stands."""
    if isinstance(node, Items):
        (node,) = node.items
    assert isinstance(node, Leaf)
    return node


class _Scanner:
    def __init__(self, line: str) -> None:
        self._line, self.place, self._count = line, 0, 0
        self.pieces: list[str | Leaf] = []

    def node(self, depth: int) -> Node:
        """What begins here."""
        mark = self._line[self.place : self.place + 1]
        if mark in ("{", "[") and depth < DEEPEST_SHAPE:
            return self._object(depth) if mark == "{" else self._list(depth)
        return self._leaf()

    def _object(self, depth: int) -> Members:
        found = Members()
        self._text("{")
        while not self._is_over("}", has_before=bool(found.by_key)):
            key = self._match(_KEY)
            if key[1] in found.by_key:
                raise NoShapeError
            self._blanks()
            self._text(":")
            self._blanks()
            found.by_key[key[1]] = self.node(depth + 1)
        return found

    def _list(self, depth: int) -> Items:
        found = Items()
        self._text("[")
        while not self._is_over("]", has_before=bool(found.items)):
            found.items.append(self.node(depth + 1))
        return found

    def _is_over(self, end: str, *, has_before: bool) -> bool:
        self._blanks()
        if self._line.startswith(end, self.place):
            self._text(end)
            return True
        if has_before:
            self._text(",")
            self._blanks()
        return False

    def _leaf(self) -> Leaf:
        found = _VALUE.match(self._line, self.place)
        if found is None or self._count == MOST_VALUES:
            raise NoShapeError
        kind = found.lastgroup
        assert kind is not None
        leaf = Leaf(self._count, kind, found[kind])
        self._count += 1
        self.place = found.end()
        self.pieces.append(leaf)
        return leaf

    def _match(self, look: re.Pattern[str]) -> re.Match[str]:
        match = look.match(self._line, self.place)
        if match is None:
            raise NoShapeError
        self._said(match[0])
        return match

    def _text(self, text: str) -> None:
        if not self._line.startswith(text, self.place):
            raise NoShapeError
        self._said(text)

    def _blanks(self) -> None:
        match = _BLANKS.match(self._line, self.place)
        assert match is not None
        self._said(match[0])

    def _said(self, text: str) -> None:
        self.place += len(text)
        if self.pieces and isinstance(self.pieces[-1], str):
            self.pieces[-1] += text
        else:
            self.pieces.append(text)
