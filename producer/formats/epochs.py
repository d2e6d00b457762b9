"""Times as seconds since 1970, or thousandths to thousand-millionths of them. Pure and vectorised."""

import polars as pl

from producer.formats.columns import TIMESTAMP

# Without what may be a date in digits (of fourteen), and with few enough digits for 64 bits.
EPOCH = r"^(?:[1-9][0-9]{8,12}|[1-9][0-9]{14,17})(?:[.,][0-9]{1,18})?$"
# From so many digits on, they count milliseconds, microseconds, nanoseconds.
_MILLISECONDS, _MICROSECONDS, _NANOSECONDS = 12, 15, 18


def from_epochs(texts: pl.Series) -> pl.Series:
    """The times of texts that look like ``EPOCH``, or are null; digits beyond the microsecond are cut."""
    text = pl.col(texts.name)
    digits = text.str.extract("^([0-9]+)")
    number, count = digits.cast(pl.Int64), digits.str.len_bytes()
    fraction = text.str.extract("[.,]([0-9]+)").fill_null("")
    micros = (
        pl.when(count >= _NANOSECONDS)
        .then(number // 1000)
        .when(count >= _MICROSECONDS)
        .then(number)
        .when(count >= _MILLISECONDS)
        .then(number * 1000 + _first(fraction, 3))
        .otherwise(number * 1_000_000 + _first(fraction, 6))
    )
    return texts.to_frame().select(micros.cast(TIMESTAMP).alias("timestamp")).to_series()


def _first(fraction: pl.Expr, digits: int) -> pl.Expr:
    return fraction.str.slice(0, digits).str.pad_end(digits, "0").cast(pl.Int64)
