"""Addresses: the client of a request, and addresses truncated before anything is landed. Pure.

An address may stand in brackets, with a port, as an IPv4 address mapped into IPv6, or in a list: of a list the first counts,
unless proxies are trusted. Truncated, IPv4 is a /24 and IPv6 a /48. Host names stay.
"""

import ipaddress
import re
from collections.abc import Sequence

import polars as pl

from producer.formats.columns import joined_objects, rescued_json

IPV4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
# Whatever stands around it: letters, an underscore or an escape such as \t or %20 do not hide an address.
IPV4_ANYWHERE = r"([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})\.[0-9]{1,3}([^0-9]|$)"
# JSON's escapes such as \u001f are no part of an address.
MAYBE_IPV6 = re.compile(r"(\\u[0-9A-Fa-f]{4})?([0-9A-Fa-f:.]{2,}(?:%\w+)?)", re.ASCII)
IPV6_PREFIX, IPV6_CHARACTERS = 48, 64
# For regular expressions of lines.
ADDRESS = (
    rf"(?:{IPV4}(?::[0-9]+)?"
    r"|\[?[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z]+)?\]?(?::[0-9]+)?)"
)
ADDRESS_LIST = rf'"?(?:(?:unknown|-),[ +]?)*{ADDRESS}(?:,[ +]?(?:{ADDRESS}|unknown|-))*,?"?'

# What may need more than to be landed as it stands: a port, a list, brackets, a mapped address.
_IS_PLAIN = r"^(?:[0-9.]+|[0-9A-Fa-f:]+|[^:,\[\]\"\x00-\x20]+)$"
_IS_MAPPED = r"(?i)^[0:]*:ffff:[0-9a-f:]+$"
# What of it needs more, and blanks and quotes around it: one pass over a block tells that none does, as a rule.
_IS_ODD = r'[,\[\]"\x00-\x20]|:.*[^0-9A-Fa-f:]|[^0-9A-Fa-f:].*:|^[0:]*:[Ff]{4}:'
_WITH_PORT = re.compile(rf"({IPV4}):\d+|\[([0-9A-Fa-f:.%\w]+)\](?::\d+)?", re.ASCII)
# An address in the header Forwarded, its quotes as they are or escaped; and how nginx and HAProxy name a peer behind a socket.
_FORWARDED_FOR = re.compile(r'for=(?:\\?"|\\x22)?(\[[0-9a-f:.]+\]|[^\s",;\\]+)', re.ASCII | re.IGNORECASE)
_SOCKET = r"^unix(?::.*)?$"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


# The client ----------------------------------------------------------------------------------------------------------


def with_client(rows: pl.DataFrame, trusted: Sequence[Network]) -> pl.DataFrame:
    """Rows with the client in ``ip``; what was logged in its place is kept in ``rescued`` as ``remote_addr`` where it says more.

    :param rows: with ``ip`` (as logged), ``forwarded`` and ``rescued``.
    :param trusted: the networks of proxies. The client of what comes through one is the rightmost address of
        ``forwarded`` that is in none of them.
    """
    is_plain = not rows["ip"].str.contains(_IS_ODD).any()
    if not is_plain:
        rows = rows.with_columns(pl.col("ip").str.strip_chars('" '))
        is_plain = rows["ip"].str.contains(_IS_PLAIN).fill_null(value=True).all()
        is_plain = is_plain and not rows["ip"].str.contains(_IS_MAPPED).any()
    has_chain = rows["forwarded"].null_count() < rows.height
    is_missing = (pl.col("ip").is_null() | pl.col("ip").str.starts_with("unix")) & pl.col("forwarded").is_not_null()
    if is_plain and not (has_chain and (trusted or rows.select(is_missing.any()).item())):
        return rows
    pairs = rows.select("ip", "forwarded" if trusted else pl.when(is_missing).then("forwarded").alias("forwarded"))
    distinct = pairs.unique()
    clients = pl.Series(
        "client", [client(logged, chain, trusted) for logged, chain in distinct.iter_rows()], dtype=pl.String
    )
    found = pairs.join(
        distinct.with_columns(clients), on=["ip", "forwarded"], how="left", nulls_equal=True, maintain_order="left"
    )["client"]
    logged = rows.select(pl.when(_says_more(pl.col("ip"), pl.lit(found))).then("ip").alias("remote_addr"))
    is_there = rows["rescued"].str.contains('"remote_addr":', literal=True).fill_null(value=False)
    kept = rescued_json(logged.with_columns(pl.when(~is_there).then("remote_addr")), {"remote_addr": "remote_addr"})
    return rows.with_columns(found.alias("ip"), joined_objects(pl.col("rescued"), pl.lit(kept)).alias("rescued"))


def _says_more(logged: pl.Expr, found: pl.Expr) -> pl.Expr:
    is_mapped = logged.str.to_lowercase().str.starts_with("::ffff:") & logged.str.ends_with(found)
    return (logged != found) & ~is_mapped


def client(logged: str | None, forwarded: str | None, trusted: Sequence[Network]) -> str | None:
    """The client of a request.

    :param logged: what stands in the place of the peer; a list is a chain, the first of it the client. Where a format has no
        peer, what was forwarded is all that is known.
    """
    chain = _addresses(forwarded or "")
    if logged is None:
        return _rightmost(chain, trusted) if trusted else next(iter(chain), None)
    if re.fullmatch(_SOCKET, logged):  # what comes through a socket of the same machine is a proxy's
        return _rightmost(chain, trusted) or logged
    peers = _addresses(logged)
    if not peers:
        return logged
    if trusted and _is_in(peers[-1], trusted):
        return _rightmost([*chain, *peers[:-1]], trusted) or peers[-1]
    return peers[0]


def _rightmost(chain: Sequence[str], trusted: Sequence[Network]) -> str | None:
    return next((address for address in reversed(chain) if not _is_in(address, trusted)), None)


def _addresses(text: str) -> list[str]:
    """The addresses of a chain, be it X-Forwarded-For or Forwarded (RFC 7239); what is none is passed over."""
    items = _FORWARDED_FOR.findall(text) if "for=" in text.lower() else _items(text)
    return [address for item in items if (address := plain_address(item)) is not None]


def plain_address(text: str) -> str | None:
    """An address without port and brackets, IPv4 where it is mapped; ``None`` for what is none."""
    match = _WITH_PORT.fullmatch(text)
    bare = (match[1] or match[2]) if match else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped) if mapped is not None else bare


def _items(text: str) -> list[str]:
    return [
        item.strip(' "+[]') if item.count("[") != 1 or "]:" not in item else item.strip(' "+')
        for item in text.replace("%20", " ").split(",")
    ]


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in networks)


# Truncated -----------------------------------------------------------------------------------------------------------


def truncated_ips(rows: pl.DataFrame) -> pl.DataFrame:
    """Landed rows with the addresses in ``ip``, and wherever they stand in ``raw`` and ``rescued``, truncated."""
    return rows.with_columns(
        _by_distinct_value(pl.col(name).str.replace_all(IPV4_ANYWHERE, "${1}.0${2}"))
        for name in ("ip", "raw", "rescued")
    )


def truncated_ipv6(text: str) -> str:
    """``text`` with the IPv6 addresses in it cut to /48; of one that maps an IPv4 address, that is cut to /24."""
    return MAYBE_IPV6.sub(lambda match: (match[1] or "") + _network(match[2]), text) if text.count(":") > 1 else text


def _by_distinct_value(column: pl.Expr) -> pl.Expr:
    has_ipv6 = column.str.contains(":", literal=True)
    cut = pl.when(has_ipv6).then(column).map_batches(_cut, return_dtype=pl.String)
    return pl.when(has_ipv6).then(cut).otherwise(column)


def _cut(texts: pl.Series) -> pl.Series:
    distinct = texts.drop_nulls().unique()
    if distinct.is_empty():
        return texts
    return texts.replace(distinct, pl.Series([truncated_ipv6(text) for text in distinct], dtype=pl.String))


def _network(text: str) -> str:
    """The address cut, also where a colon or point stands before or behind it, or a port without brackets."""
    if len(text) > IPV6_CHARACTERS or text.count(":") < 2:
        return text
    bare = text.strip(".")
    for part in (text, bare, bare.removeprefix(":"), bare.removesuffix(":"), bare.rpartition(":")[0]):
        cut = _cut_address(part)
        if cut is not None:
            before, _, after = text.partition(part)
            return before + cut + after
    return text


def _cut_address(text: str) -> str | None:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    if address.ipv4_mapped is not None:
        return f"::ffff:{str(address.ipv4_mapped).rpartition('.')[0]}.0"
    return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False).network_address)


def private_share(addresses: pl.Series) -> float:
    """What part of the addresses, as logged, is private: a proxy's of one's own, as a rule."""
    if not addresses.len():
        return 0.0
    return float(addresses.str.contains(_PRIVATE).fill_null(value=False).sum()) / addresses.len()


_PRIVATE = r'^["\[]*(?:::ffff:)?(?:10\.|127\.|192\.168\.|172\.(?:1[6-9]|2[0-9]|3[01])\.|100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|::1\b|f[cd][0-9a-f]{2}:)'
