"""Where a JSON object has the values of our columns, by the keys that it has. Pure but for what is remembered of the keys seen."""

from collections.abc import Mapping, Sequence
from typing import Any

from producer.formats.keys import NESTING_KEYS, URL_KEYS, Keys, loose_name
from producer.formats.options import Options

# Deeper objects are kept whole.
DEEPEST = 4
SHAPES_KNOWN, KEYS_KNOWN = 200, 5_000

Entry = dict[str, Any]
Path = tuple[str, ...]


class _Key:
    """A key of objects that were seen: its path, whether a column may have its value, and the keys below it."""

    __slots__ = ("below", "is_wanted", "path")

    def __init__(self, path: Path, *, is_wanted: bool) -> None:
        self.path, self.is_wanted = path, is_wanted
        self.below: dict[str, _Key] = {}


class Columns:
    """Where an object has the values of our columns, by the keys that it has."""

    def __init__(self, keys: Keys, options: Options) -> None:
        named = {"timestamp": "time", "path": "target", "query": "arguments"}
        chosen = {named.get(column, column): path for column, path in options.json_fields.items()}
        self._keys = {column: ((chosen.get(column), *keys[column])) for column in keys}
        self._url_keys = URL_KEYS | ({chosen["target"]} if "target" in chosen else set())
        self._named = frozenset(chosen.values())
        self.has_named_target = "target" in chosen
        self._options = options
        self._names = {key for keys_of in self._keys.values() for key in keys_of if key is not None}
        self._loose_names = {loose_name(name) for name in self._names}
        self._plans: dict[tuple[Path, ...], Mapping[str, list[Path]]] = {}
        self._keys_seen, self._root = 0, _Key((), is_wanted=False)

    def wanted(self, entry: Entry) -> dict[Path, Any]:
        """The values of an object that a column may have, by their paths."""
        if self._keys_seen > KEYS_KNOWN:
            self._keys_seen, self._root = 0, _Key((), is_wanted=False)
        found: dict[Path, Any] = {}
        self._look(entry, self._root, found)
        return found

    def _look(self, entry: Entry, above: "_Key", found: dict[Path, Any]) -> None:
        below, is_deepest = above.below, len(above.path) + 1 >= DEEPEST
        for name, value in entry.items():
            key = below.get(name)
            if key is None:
                key = below[name] = self._known((*above.path, name))
            if type(value) is dict and not is_deepest:
                self._look(value, key, found)
            elif key.is_wanted:
                found[key.path] = value

    def _known(self, path: Path) -> "_Key":
        self._keys_seen += 1
        is_named = any(self._is_name(name) for name in _names_of(path))
        return _Key(path, is_wanted=is_named or self._options.is_forwarded(path[-1]))

    def _is_name(self, name: str) -> bool:
        return name in self._names or ("." not in name and loose_name(name) in self._loose_names)

    def is_usual(self, path: Path) -> bool:
        """Whether the key is ours as it stands, not in other letters or below a key that only holds a request together."""
        return ".".join(path) in self._names

    def is_url(self, path: Path) -> bool:
        """Whether the target that stands there is a full URL as a rule."""
        return any(name in self._url_keys for name in _names_of(path))

    def plan(self, shape: tuple[Path, ...]) -> Mapping[str, list[Path]]:
        """For each column the paths that may have its value, the likeliest first, of an object with these."""
        plan = self._plans.get(shape)
        if plan is None:
            if len(self._plans) >= SHAPES_KNOWN:
                self._plans.clear()
            plan = self._plans[shape] = self._found(shape)
        return plan

    def _found(self, shape: tuple[Path, ...]) -> Mapping[str, list[Path]]:
        top = {".".join(path): path for path in reversed(shape)}
        below = {} if self._has_request(top) else self._below(shape)
        found = {
            column: self._paths(below, (None, *keys[1:]))
            + [path for path in self._paths(top, keys) if path not in below.values()]
            for column, keys in self._keys.items()
        }
        found["forwarded"] = [path for path in shape if self._options.is_forwarded(path[-1])]
        return found

    def _below(self, shape: tuple[Path, ...]) -> Mapping[str, Path]:
        """Of the first object that has a request in it the names of its values, as if they stood at the top."""
        for outer in dict.fromkeys(path[0] for path in shape if len(path) > 1 and path[0] in NESTING_KEYS):
            names = {".".join(path[1:]): path for path in reversed(shape) if path[0] == outer and len(path) > 1}
            if self._has_request(names):
                return names
        return {}

    def _has_request(self, names: Mapping[str, Path]) -> bool:
        return any(self._paths(names, self._keys[column]) for column in ("request", "target"))

    def _paths(self, names: Mapping[str, Path], keys: Sequence[str | None]) -> list[Path]:
        """The paths of the first keys that are there; if none is, of those that differ in letters and joints alone."""
        exact = [
            names[key]
            for n, key in enumerate(keys)
            if key is not None and key in names and (n == 0 or key not in self._named)
        ]
        if exact:
            return exact
        loose = {loose_name(name): path for name, path in names.items() if "." not in name and name not in self._named}
        return [loose[name] for name in dict.fromkeys(loose_name(key) for key in keys if key) if name in loose]


def _names_of(path: Path) -> list[str]:
    """What the keys may look for: a path's keys with dots, and those below one that only holds a request together."""
    return [".".join(path), ".".join(path[1:])] if path[0] in NESTING_KEYS else [".".join(path)]
