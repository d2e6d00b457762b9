"""A writer of small MaxMind DB files (https://maxmind.github.io/MaxMind-DB/): IPv6 trees of 24-bit records, IPv4 within."""

from collections.abc import Mapping
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

MARKER = b"\xab\xcd\xefMaxMind.com"
SEPARATOR = bytes(16)
TEXT, UINT16, UINT32, MAP, UINT64, ARRAY = 2, 5, 6, 7, 9, 11
Node = list[Any]  # two of: a node, a record's place in the data, None


def write_database(path: Path, records: Mapping[str, Any], database_type: str = "Test-Country") -> Path:
    """A database of what is known of each network, at ``path``; networks do not overlap.

    :param records: by network, such as ``192.0.2.0/24`` or ``2001:db8::/32``: dicts, lists, texts and numbers.
    """
    root: Node = [None, None]
    data = b""
    for network, record in records.items():
        _insert(root, _bits(network), len(data))
        data += _encoded(record)
    nodes = _numbered(root)
    numbers = {identity: number for number, identity in enumerate(nodes)}
    tree = b"".join(_number(numbers, child).to_bytes(3, "big") for node in nodes.values() for child in node)
    metadata = {
        "binary_format_major_version": (UINT16, 2), "binary_format_minor_version": (UINT16, 0),
        "build_epoch": (UINT64, 1_700_000_000), "database_type": database_type, "description": {"en": "a test's"},
        "ip_version": (UINT16, 6), "languages": ["en"], "node_count": (UINT32, len(nodes)), "record_size": (UINT16, 24),
    }  # fmt: skip
    path.write_bytes(tree + SEPARATOR + data + MARKER + _encoded(metadata))
    return path


def write_countries(path: Path, **networks: str) -> Path:
    """A database of countries, as MaxMind makes them: by code, one network of each."""
    return write_database(path, {network: {"country": {"iso_code": code}} for code, network in networks.items()})


def _bits(network: str) -> str:
    """The network's prefix in the IPv6 tree, where IPv4 is ``::/96``."""
    found = ip_network(network)
    prefix = format(int(found.network_address), f"0{found.max_prefixlen}b")[: found.prefixlen]
    return "0" * 96 + prefix if isinstance(found, IPv4Network) else prefix


def _insert(root: Node, bits: str, place: int) -> None:
    node = root
    for bit in map(int, bits[:-1]):
        if node[bit] is None:
            node[bit] = [None, None]
        node = node[bit]
    node[int(bits[-1])] = place


def _numbered(root: Node) -> dict[int, Node]:
    """All nodes by identity, the root first."""
    nodes = {id(root): root}
    waiting = [root]
    while waiting:
        children = [child for child in waiting.pop() if isinstance(child, list)]
        nodes |= {id(child): child for child in children}
        waiting += children
    return nodes


def _number(numbers: dict[int, int], child: Any) -> int:
    """What a record of the tree says: a node's number, nothing known, or a place in the data."""
    if child is None:
        return len(numbers)
    return numbers[id(child)] if isinstance(child, list) else len(numbers) + len(SEPARATOR) + child


def _encoded(value: Any) -> bytes:
    match value:
        case str():
            return _control(TEXT, len(value.encode())) + value.encode()
        case dict():
            pairs = b"".join(_encoded(key) + _encoded(item) for key, item in value.items())
            return _control(MAP, len(value)) + pairs
        case list():
            return _control(ARRAY, len(value)) + b"".join(map(_encoded, value))
        case (kind, number):
            size = (int(number).bit_length() + 7) // 8
            return _control(kind, size) + int(number).to_bytes(size, "big")
    raise TypeError(type(value))


def _control(kind: int, size: int) -> bytes:
    """Type and size; types above 7 have a byte of their own, sizes from 29 on too."""
    first, rest = (kind << 5, b"") if kind <= 7 else (0, bytes([kind - 7]))
    return bytes([first | size]) + rest if size < 29 else bytes([first | 29]) + rest + bytes([size - 29])
