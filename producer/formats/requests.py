"""Requests taken apart: a line such as ``GET /a?b HTTP/1.1``, a target, a URL. Pure and vectorised."""

import polars as pl

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110
_REQUEST = rf"(?s)^(?P<method>{TOKEN}) (?P<target>.*?)(?: (?P<protocol>HTTP/[0-9.]+))?$"
# What load balancers log of a connection without a request: its three parts, and of a broken one what they made of its target.
_NO_REQUEST = r"^- (?:- - ?|[a-z]+://(?P<site>[^ /]*?)-? -)$"
_URL = r"(?s)^(?:https?|wss?)://(?P<site>[^/?#]*)(?P<path>[^?]*)(?:\?(?P<query>.*))?$"


def with_request_split(fields: pl.DataFrame) -> pl.DataFrame:
    """``method``, ``path``, ``query`` and ``protocol`` from ``request``; what is none stands in ``path`` whole."""
    parts = fields.with_columns(fields["request"].str.extract_groups(_REQUEST).struct.unnest())
    target = pl.col("target").str.splitn("?", 2)
    return parts.with_columns(
        pl.when(pl.col("method").is_null()).then("request").otherwise(target.struct.field("field_0")).alias("path"),
        target.struct.field("field_1").alias("query"),
    )


def with_full_request_split(fields: pl.DataFrame) -> pl.DataFrame:
    """As ``with_request_split`` and ``with_url_split``; a connection without a request has ``-`` in ``path``."""
    none = fields["request"].str.extract_groups(_NO_REQUEST).struct.field("site")
    is_none = fields["request"].str.contains(_NO_REQUEST)
    request = pl.when(is_none).then(pl.lit("-")).otherwise("request").alias("request")
    return with_url_split(with_request_split(fields.with_columns(request)).with_columns(none.alias("site")))


def with_target_split(fields: pl.DataFrame) -> pl.DataFrame:
    """``path`` and ``query`` from ``target``."""
    parts = pl.col("target").str.splitn("?", 2)
    return fields.with_columns(
        parts.struct.field("field_0").alias("path"), parts.struct.field("field_1").alias("query")
    )


def with_arguments(fields: pl.DataFrame) -> pl.DataFrame:
    """``query`` from ``arguments``, a query that was logged by itself, where there is none yet."""
    plain = pl.col("arguments").str.strip_prefix("?").str.strip_chars_end(" ").replace(["", "-"], None)
    known = [pl.col("query")] if "query" in fields.columns else []
    return fields.with_columns(pl.coalesce(*known, plain).alias("query"))


def with_url_split(fields: pl.DataFrame) -> pl.DataFrame:
    """Where ``path`` is a full URL, its path in ``path`` and its host in ``site``, if that is null."""
    parts = fields["path"].str.extract_groups(_URL).struct.unnest().rename(lambda name: f"url_{name}")
    if parts["url_site"].null_count() == fields.height:
        return fields
    is_url = pl.col("url_site").is_not_null()
    path = pl.when(pl.col("url_path") == "").then(pl.lit("/")).otherwise("url_path")
    site = pl.coalesce("site", "url_site") if "site" in fields.columns else pl.col("url_site")
    return fields.with_columns(parts).with_columns(
        pl.when(is_url).then(path).otherwise("path").alias("path"),
        pl.coalesce("query", "url_query").alias("query")
        if "query" in fields.columns
        else pl.col("url_query").alias("query"),
        site.alias("site"),
    )
