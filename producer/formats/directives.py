"""Format strings of web servers, nginx's ``log_format`` and Apache's ``LogFormat``, compiled to a ``Pattern``. Pure.

A variable that has a column goes there, all others go to ``rescued``: nginx's under their names without ``$``, Apache's under
the header's name or the directive's letter. A format without a time or a client cannot be used, and says so.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from producer.addresses import ADDRESS_LIST
from producer.formats.combined import LOGGED_TIME, USUAL_REQUEST
from producer.formats.stretches import stretches_of
from producer.formats.text import IN_QUOTES, Pattern

LARGEST_FORMAT = 8192

# nginx's variables by the column that they fill; of several, the first that the format has.
NGINX_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ip": ("remote_addr", "proxy_protocol_addr", "realip_remote_addr", "http_x_real_ip",
           "http_cf_connecting_ip", "http_true_client_ip", "http_x_forwarded_for", "proxy_add_x_forwarded_for"),
    "user": ("remote_user",),
    "time": ("time_local", "time_iso8601", "msec"),
    "request": ("request",),
    "method": ("request_method",),
    "target": ("request_uri",),
    "path": ("uri", "document_uri"),
    "arguments": ("args", "query_string"),
    "protocol": ("server_protocol",),
    "status": ("status",),
    "bytes": ("body_bytes_sent", "bytes_sent"),
    "referer": ("http_referer",),
    "agent": ("http_user_agent",),
    "site": ("host", "http_host", "server_name"),
}  # fmt: skip
# Apache's directives, as named here without modifiers: ``{referer}i`` in small letters.
APACHE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ip": ("a", "h", "{c}a", "{c}h", "{x-forwarded-for}i", "{x-real-ip}i", "{cf-connecting-ip}i", "{true-client-ip}i"),
    "user": ("u",),
    "time": ("t",),
    "request": ("r",),
    "method": ("m",),
    "target": ("U%q",),
    "path": ("U",),
    "arguments": ("q",),
    "protocol": ("H",),
    "status": (">s", "s", "<s"),
    "bytes": ("b", "B", "O"),
    "referer": ("{referer}i", "{referrer}i"),
    "agent": ("{user-agent}i",),
    "site": ("V", "v", "{host}i", "{x-forwarded-host}i"),
}
# A path and its query that nothing separates, and the variable that is the same.
TARGETS: Mapping[tuple[str, ...], str] = {
    ("uri", "is_args", "args"): "request_uri",
    ("uri", "is_args", "query_string"): "request_uri",
    ("document_uri", "is_args", "args"): "request_uri",
    ("U", "q"): "U%q",
}
PATHS = ("request_uri", "uri", "document_uri", "U", "U%q")
SITES = (*NGINX_COLUMNS["site"], *APACHE_COLUMNS["site"])
APACHE_LETTERS = "aABbcCDefhHiIkKlLmnoOpPqrRsStTuUvVxX"
APACHE_WITH_NAMES = "acCeinoptThPx^"
# Those of mod_ssl, such as %{SSL_PROTOCOL}x, that have no meaning without a name.
APACHE_ONLY_WITH_NAMES = "cx"
# Parts of the request that say nothing where the whole request is there.
WITHOUT_REQUEST = ("method", "target", "path", "arguments", "protocol")

_NGINX_VARIABLE = re.compile(r"\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))")
_APACHE_DIRECTIVE = re.compile(
    r"%(?P<percent>%)|%(?P<condition>!?[0-9]{3}(?:,[0-9]{3})*)?(?P<modifier>[<>])?(?:\{(?P<name>[^}]*)\})?"
    r"(?P<modifier2>[<>])?(?P<letter>\^t[io]|\^FB|[A-Za-z])"
)
_QUOTED_PIECE = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*;?\s*""", re.DOTALL)
_WITH_WORDS = re.compile(r"""\s*(?:log_format\s+\S+\s+(?:escape=\w+\s+)?|LogFormat\s+|CustomLog\s+\S+\s+)(?=['"])""")
_APACHE_NAME_BEHIND = re.compile(r"""("(?:[^"\\]|\\.)*")\s+[\w-]+\s*""", re.DOTALL)

# How values look, by column and by name.
_STRICT = {"status": r"[0-9]{3}|[0-]", "bytes": r"[0-9]+|-1?"}
_CLIENT = rf'{ADDRESS_LIST}|[^ \t"\x00]+?'
_LOGGED_TIME = r"[0-9]{1,2}/[A-Za-z]{3}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?: ?[+-][0-9]{2}:?[0-9]{2})?"
_STRICT_TIMES = {"time_local": _LOGGED_TIME, "time_iso8601": r"[0-9T:.,Z+-]{19,40}", "msec": r"[0-9]+[.,]?[0-9]*"}
_LISTS = re.compile(r"upstream_|forwarded[_-]for")


class FormatError(ValueError):
    """A format string that cannot be used. Says what is wrong with it."""


@dataclass(frozen=True)
class Variable:
    """A place in a format where a value stands.

    :param key: the value's key in ``rescued``.
    :param strict: how it looks, where that is known.
    :param strptime: for Apache's times of one's own, how it is read.
    """

    name: str
    key: str
    strict: str | None = None
    strptime: str | None = None


Part = str | Variable
Look = Literal["usual", "quoted", "loose"]


def is_format_string(text: str) -> bool:
    """Whether it is a server's format string, and no name."""
    return "$" in text or "%" in text


def compiled(text: str) -> Pattern:
    """The pattern of nginx's or Apache's format string, as it stands in the server's configuration or by itself.

    :raises FormatError: it has no time or no client, or a directive that does not exist.
    """
    if len(text) > LARGEST_FORMAT:
        raise FormatError(f"it has more than {LARGEST_FORMAT:,} characters")
    plain = _as_logged(text)
    if _NGINX_VARIABLE.search(plain):
        return pattern("format", list(_nginx_parts(plain)), NGINX_COLUMNS)
    return pattern("format", list(_apache_parts(plain)), APACHE_COLUMNS)


def nginx_pattern(name: str, text: str, *, has_tail: bool = False, has_url: bool = False) -> Pattern:
    """A pattern by that name of lines that nginx's syntax can describe; with a tail, more fields may follow."""
    return pattern(
        name, list(_nginx_parts(text)), NGINX_COLUMNS, has_tail=has_tail, has_url=has_url, looks=("usual", "quoted")
    )


# From text to parts --------------------------------------------------------------------------------------------------


def _as_logged(text: str) -> str:
    r"""The format without what a configuration has around it: its words, quotes of pieces, ``\"`` and ``\t``."""
    text = _WITH_WORDS.sub("", text, count=1)
    named = _APACHE_NAME_BEHIND.fullmatch(text.strip())
    text = named[1] if named else text
    pieces, end = [], 0
    while match := _QUOTED_PIECE.match(text, end):
        pieces.append(match[1] if match[1] is not None else match[2])
        end = match.end()
    is_whole = end == len(text) and pieces and (len(pieces) > 1 or not _is_one_value(text))
    plain = "".join(pieces) if is_whole else text.strip("\n")
    return re.sub(r"""\\(["'\\tn])""", lambda m: {"t": "\t", "n": "\n"}.get(m[1], m[1]), plain)


def _is_one_value(text: str) -> bool:
    """Whether the quotes around the format are the log's own, as in ``"$remote_addr"``: no format of use has one value."""
    return len(_NGINX_VARIABLE.findall(text)) + text.count("%") <= 1


def _nginx_parts(text: str) -> Iterator[Part]:
    end = 0
    for match in _NGINX_VARIABLE.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        name = match[1] or match[2]
        yield Variable(name, name, _STRICT_TIMES.get(name))
        end = match.end()
    if end < len(text):
        yield text[end:]


def _apache_parts(text: str) -> Iterator[Part]:
    end = 0
    for match in _APACHE_DIRECTIVE.finditer(text):
        if "%" in text[end : match.start()]:
            break
        if match.start() > end:
            yield text[end : match.start()]
        yield "%" if match["percent"] else _apache_variable(match)
        end = match.end()
    if "%" in text[end:]:
        raise FormatError(f"{text[text.index('%', end) :][:20]!r}: no directive of Apache's LogFormat")
    if end < len(text):
        yield text[end:]


def _apache_variable(match: re.Match[str]) -> Variable:
    letter, name = match["letter"], match["name"]
    if (
        (letter not in APACHE_LETTERS and not letter.startswith("^"))
        or (name is not None and letter[0] not in APACHE_WITH_NAMES)
        or (name is None and letter in APACHE_ONLY_WITH_NAMES)
    ):
        raise FormatError(f"{match[0]}: no directive of Apache's LogFormat")
    if letter == "t":
        return _apache_time(match[0], name)
    modifier = (match["modifier"] or match["modifier2"] or "") if letter == "s" else ""
    plain = f"{modifier}{letter}" if name is None else f"{{{name.lower()}}}{letter}"
    key = plain if name is None else name if letter in "ionCexc" else f"{letter}_{name}"
    return Variable(plain, key)


# Apache's strftime codes that strptime reads too, and how they look.
_STRFTIME = {
    "Y": "[0-9]{4}", "m": "[0-9]{2}", "d": "[0-9]{2}", "H": "[0-9]{2}", "M": "[0-9]{2}", "S": "[0-9]{2}",
    "b": "[A-Za-z]{3}", "B": "[A-Za-z]+", "a": "[A-Za-z]{3}", "A": "[A-Za-z]+", "y": "[0-9]{2}", "j": "[0-9]{3}",
    "z": "[+-][0-9]{4}", "e": "[ 0-9]{2}", "p": "[AP]M", "I": "[0-9]{2}", "f": "[0-9]{1,6}", "%": "%",
}  # fmt: skip
_STRFTIME_SHORT = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "D": "%m/%d/%y", "R": "%H:%M", "h": "%b"}


def _apache_time(directive: str, name: str | None) -> Variable:
    plain = re.sub(r"^(begin|end):?", "", name or "")
    if not plain:
        return Variable("t", "t", rf"\[{_LOGGED_TIME}\]")
    if plain in ("sec", "msec", "usec"):
        return Variable("t", f"t_{plain}", r"[0-9]+")
    if plain in ("msec_frac", "usec_frac"):
        return Variable("t", plain, r"[0-9]+", "%f")
    strptime = re.sub("%([TFDRh])", lambda m: _STRFTIME_SHORT[m[1]], plain)
    codes = re.findall("%(.)", strptime)
    if not codes or any(code not in _STRFTIME for code in codes):
        raise FormatError(f"{directive}: a time that cannot be read back")
    looks = "".join(
        _STRFTIME[piece[1]] if piece.startswith("%") else re.escape(piece) for piece in re.findall("%.|[^%]+", strptime)
    )
    return Variable("t", "t", looks, strptime.replace("%e", "%d"))


# From parts to a pattern ---------------------------------------------------------------------------------------------


def pattern(
    name: str,
    parts: list[Part],
    columns: Mapping[str, tuple[str, ...]],
    *,
    has_tail: bool = False,
    has_url: bool = False,
    looks: Sequence[Look] = ("usual", "quoted", "loose"),
) -> Pattern:
    """The pattern of a format's parts.

    :param looks: ``usual`` takes usual requests apart in one pass; ``quoted`` takes any that stand in quotes; ``loose`` takes values
        as well that their place does not let expect, such as blanks in a user's name or quotes that were not escaped.
    """
    parts, time_format = _with_one_time(_with_one_target(_merged(parts)))
    _check_separated(parts)
    groups = _groups(parts, columns)
    keys = {group: parts[n].key for n, group in groups.items() if isinstance(parts[n], Variable)}  # type: ignore[union-attr]
    expressions = dict.fromkeys(_expression(parts, groups, look, has_tail=has_tail) for look in looks)
    return Pattern(name, tuple(expressions), keys, has_url=has_url, time_format=time_format)


def _merged(parts: list[Part]) -> list[Part]:
    """Neighbouring texts as one."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _with_one_target(parts: list[Part]) -> list[Part]:
    """A path and its query that nothing separates, such as ``%U%q``, as one; a site in front of a path ends at its slash."""
    names = [part.name if isinstance(part, Variable) else None for part in parts]
    for target, whole in TARGETS.items():
        for n in range(len(names) - len(target) + 1):
            if tuple(names[n : n + len(target)]) == target:
                return _with_one_target([*parts[:n], Variable(whole, whole), *parts[n + len(target) :]])
    return [_before_path(part, after) for part, after in itertools.zip_longest(parts, parts[1:])]


def _before_path(part: Part, after: Part | None) -> Part:
    is_path = isinstance(after, Variable) and after.name in PATHS
    is_site = isinstance(part, Variable) and part.name in SITES
    if is_path and is_site and isinstance(part, Variable):
        return replace(part, strict=r'[^/ \t"]+')
    return replace(part, strict=r"\??") if isinstance(part, Variable) and part.name == "is_args" else part


def _with_one_time(parts: list[Part]) -> tuple[list[Part], str | None]:
    """A time that is written in pieces, such as ``%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t``, as one."""
    places = [n for n, part in enumerate(parts) if isinstance(part, Variable) and part.strptime is not None]
    if not places:
        return parts, None
    first = last = places[0]
    while (last + 2 in places and isinstance(parts[last + 1], str)) or last + 1 in places:
        last += 2 if last + 2 in places and isinstance(parts[last + 1], str) else 1
    pieces = parts[first : last + 1]
    looks = "".join(re.escape(p) if isinstance(p, str) else p.strict or "" for p in pieces)
    strptime = "".join(p.replace("%", "%%") if isinstance(p, str) else p.strptime or "" for p in pieces)
    if not ("%Y" in strptime or "%y" in strptime) or not ("%d" in strptime or "%j" in strptime):
        return parts, None
    return [*parts[:first], Variable("t", "t", looks, strptime), *parts[last + 1 :]], strptime


def _check_separated(parts: list[Part]) -> None:
    for before, after in itertools.pairwise(parts):
        if isinstance(before, Variable) and isinstance(after, Variable) and before.strict is None:
            raise FormatError(f"nothing stands between {before.name} and {after.name}: where one ends cannot be told")


def _groups(parts: list[Part], columns: Mapping[str, tuple[str, ...]]) -> dict[int, str]:
    """From a variable's place to its group's name: the column's, or one that stands for its key in ``rescued``."""
    places: dict[str, int] = {}
    for n, part in enumerate(parts):
        if isinstance(part, Variable):
            places.setdefault(part.name, n)
    chosen: dict[str, int] = {}
    for column, names in columns.items():
        found = next((places[name] for name in names if name in places), None)
        if found is not None:
            chosen[column] = found
    if "time" not in chosen:
        raise FormatError(f"it has no time: add {_listed(columns['time'])}")
    if "ip" not in chosen:
        raise FormatError(f"it has no client: add {_listed(columns['ip'])}")
    if "request" in chosen or "target" in chosen:
        taken = WITHOUT_REQUEST if "request" in chosen else ("path",)
        chosen = {column: n for column, n in chosen.items() if column not in taken}
    by_place = {n: column for column, n in chosen.items()}
    return {n: by_place.get(n, f"x{n}") for n, part in enumerate(parts) if isinstance(part, Variable)}


def _listed(names: tuple[str, ...]) -> str:
    return " or ".join(names[:3])


def _expression(parts: list[Part], groups: dict[int, str], look: Look, *, has_tail: bool) -> str | tuple[str, ...]:
    pieces = [r"[\x00]*"]
    for n, part in enumerate(parts):
        if isinstance(part, str):
            pieces.append(_literal(part, look))
        else:
            before, after = _text_at(parts, n - 1), _text_at(parts, n + 1) or (" " if has_tail else "")
            pieces.append(_value(part, groups[n], before, after, look))
    pieces.append(r"(?: (?P<rest>.*))?" if has_tail else r" ?")
    return stretches_of(pieces, "(?s)") if look == "usual" else f"(?s)^{''.join(pieces)}$"


def _text_at(parts: list[Part], place: int) -> str:
    part = parts[place] if 0 <= place < len(parts) else ""
    return part if isinstance(part, str) else "\0"


def _literal(text: str, look: Look) -> str:
    return re.escape(text) if look != "loose" else re.sub(r"(\\ )+", " +", re.escape(text))


def _value(variable: Variable, group: str, before: str, after: str, look: Look) -> str:
    is_quoted = before.endswith('"') and after.startswith('"')
    if group == "request" and look == "usual" and is_quoted:
        return USUAL_REQUEST
    if group == "time" and look == "usual" and variable.strict == rf"\[{_LOGGED_TIME}\]":
        return rf"\[(?P<time>{LOGGED_TIME})\]"
    return f"(?P<{group}>{_looks_like(variable, group, after, look, is_quoted=is_quoted)})"


def _looks_like(variable: Variable, group: str, after: str, look: Look, *, is_quoted: bool) -> str:
    if group in ("status", "bytes"):
        return _STRICT[group]
    if look == "usual":
        return _usual_look(variable, group, after, is_quoted=is_quoted)
    if variable.strict is not None:
        return variable.strict
    if group == "ip" and not is_quoted:
        return _CLIENT
    if is_quoted and look != "loose":
        return IN_QUOTES
    if look == "loose" or not after:
        return ".*?" if after else ".*"
    if _LISTS.search(variable.name):
        return r"\S+(?:(?:,| :) \S+)*"
    if after[0] in " \t|,;])}":
        return f"[^{re.escape(after[0])}]*"
    return r"[^ \t]*?"


def _usual_look(variable: Variable, group: str, after: str, *, is_quoted: bool) -> str:
    """An expression that never has to try twice where the value ends: these are read several times faster."""
    if group == "ip":
        if after.startswith(":"):  # in front of a port; an IPv6 address has colons too
            return r'[^ ,"\x00]+'
        return r"[^ ,\\\"\x00\[\]]+" if is_quoted or after[:1] in " \t" else rf"[^ ,\"\x00{re.escape(after[:1])}]+"
    if variable.name == "time_local" and variable.strict == _LOGGED_TIME:
        return LOGGED_TIME
    if variable.strict is not None:
        return variable.strict
    if is_quoted:
        return IN_QUOTES
    if not after:
        return r"[^ ,]*(?:, [^ ,]+)*" if _LISTS.search(variable.name) else ".*"
    if _LISTS.search(variable.name) and after[0] == " ":
        return r"[^ ,]*(?:, [^ ,]+)*"
    return rf"[^ \t{re.escape(after[0])}]*" if after[0] not in ",|;" else f"[^{re.escape(after[0])}]*"
