"""Numbers of JSON as Python's own module writes what it has read. Pure and vectorised."""

from collections.abc import Sequence

import polars as pl

INTEGER = r"(?:0|-?[1-9][0-9]{0,17})"
# As most loggers write numbers.
NUMBER = rf"{INTEGER}(?:\.[0-9]{{1,20}})?(?:e-[0-9]{{2}})?"
# So many characters have fifteen digits at most, which a float keeps.
_KEPT_CHARACTERS = 16
_SMALL = "0.0000"
_IS_ODD = r"e|^-?0\.0000|^.{17}"
_WITH_EXPONENT = r"^-?[1-9](?:\.[0-9]{0,13}[1-9])?e-(?:0[5-9]|[1-9][0-9])$"


def as_python_writes(texts: pl.DataFrame, names: Sequence[str]) -> list[pl.Expr]:
    """``0.250`` is ``0.25`` and ``0.00002`` is ``2e-05``; null where this function does not know.

    :param names: columns that look like ``NUMBER``. Those that change come back.
    """
    looks = texts.select(
        pl.col(name).str.contains(look).any().alias(f"{name}{n}")
        for name in names
        for n, look in enumerate((r"[.e]", _IS_ODD))
    )
    found = looks.row(0, named=True) if names else {}
    return [
        (_any_number(pl.col(name)) if found[f"{name}1"] else _trimmed(pl.col(name))).alias(name)
        for name in names if found[f"{name}0"]
    ]  # fmt: skip


def is_exact(text: pl.Expr) -> pl.Expr:
    """Whether a float keeps all digits of a number that is written without exponent."""
    is_short = (text.str.len_bytes() <= _KEPT_CHARACTERS) | ~text.str.contains(".", literal=True)
    return is_short | (text.cast(pl.Float64, strict=False).cast(pl.String) == text)


def _trimmed(text: pl.Expr) -> pl.Expr:
    trimmed = text.str.strip_chars_end("0")
    has_fraction = text.str.contains(".", literal=True)
    return pl.when(~has_fraction).then(text).when(trimmed.str.ends_with(".")).then(trimmed + "0").otherwise(trimmed)


def _any_number(text: pl.Expr) -> pl.Expr:
    is_known = is_exact(text) & ~text.str.starts_with("-" + _SMALL) & ~text.str.contains("e", literal=True)
    written = (
        pl.when(text.str.starts_with(_SMALL)).then(_small(text.str.strip_chars_end("0"))).otherwise(_trimmed(text))
    )
    return pl.when(is_known).then(written).when(text.str.contains(_WITH_EXPONENT)).then(text)


def _small(trimmed: pl.Expr) -> pl.Expr:
    """Of numbers below 0.0001, without zeros at their ends."""
    fraction = trimmed.str.slice(len("0."))
    digits = fraction.str.strip_chars_start("0")
    power = fraction.str.len_bytes() - digits.str.len_bytes() + 1
    more = pl.when(digits.str.len_bytes() > 1).then("." + digits.str.slice(1)).otherwise(pl.lit(""))
    written = pl.concat_str(digits.str.slice(0, 1), more, pl.lit("e-"), power.cast(pl.String).str.zfill(2))
    return pl.when(digits == "").then(pl.lit("0.0")).otherwise(written)
