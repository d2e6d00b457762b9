"""Truncated addresses: IPv4 to /24, IPv6 to /48, before anything is landed. Host names stay."""

import ipaddress
import re

import polars as pl

IPV4 = r"^([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})\.[0-9]{1,3}$"
# An escape of JSON before it, such as \t, is no part of an address.
IPV4_ANYWHERE = r"(\\[bfnrt]|\\u[0-9A-Fa-f]{4}|\b)([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})\.[0-9]{1,3}\b"
# JSON's escapes such as \u001f are no part of an address.
MAYBE_IPV6 = re.compile(r"(\\u[0-9A-Fa-f]{4})?([0-9A-Fa-f:.]{2,}(?:%\w+)?)", re.ASCII)
IPV6_PREFIX, IPV6_CHARACTERS = 48, 64


def truncated_ips(rows: pl.DataFrame) -> pl.DataFrame:
    """Landed rows with the addresses in ``ip``, and wherever they stand in ``raw`` and ``rescued``, truncated."""
    return rows.with_columns(
        _by_distinct_value(pl.col("ip").str.replace(IPV4, "${1}.0")),
        *(_by_distinct_value(pl.col(name).str.replace_all(IPV4_ANYWHERE, "${1}${2}.0")) for name in ("raw", "rescued")),
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
    if len(text) > IPV6_CHARACTERS or text.count(":") < 2:
        return text
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return text
    if address.ipv4_mapped is not None:
        return f"::ffff:{str(address.ipv4_mapped).rpartition('.')[0]}.0"
    return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False).network_address)
