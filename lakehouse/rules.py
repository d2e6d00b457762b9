"""What a request looks like when clean, and what makes it valid. Stream and batch agree because both apply these.

A rule is a ``Column`` that yields a reason or null; a row's reasons are an array. A row with none is accepted.
"""

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.reasons import BLANK_LINE, UNPARSABLE
from lakehouse.settings import Rules

# What a log's text columns are cleaned of; ids, sources and the raw line stay as they came.
TEXT_COLUMNS = ("ip", "user", "method", "path", "query", "protocol", "referer", "agent", "site")

IN_THE_FUTURE = "timestamp in the future"
BYTES_RANGE = "bytes out of range"

# Beyond these nothing is real, and sums and intervals would overflow.
LATEST = date(2200, 1, 1)
# The day of a time before or after these is that of the limit itself: not every engine has days for all times there are.
FIRST_TIME = "0000-01-01 00:00:00+00:00"
LAST_TIME = "9999-12-31 00:00:00+00:00"
MAX_BYTES = 2**50


def cleaned(text: Column) -> Column:
    """``text`` without blanks around it; null where that leaves nothing or the log's ``-``."""
    trimmed = F.trim(text)
    return F.when(~trimmed.isin("", "-"), trimmed)


def normalised(rows: DataFrame) -> DataFrame:
    """``rows`` with cleaned text columns and their ``event_date`` (UTC); a blank id is none. Every row stays.

    :param rows: columns of LANDED: all, or those that are asked for.
    """
    texts = {name: cleaned(F.col(name)) for name in TEXT_COLUMNS if name in rows.columns}
    event_id = F.when(F.trim("event_id") != "", F.col("event_id"))
    return rows.withColumns(texts | {"event_id": event_id, "event_date": day(F.col("timestamp"))})


def day(time: Column) -> Column:
    """The day (UTC) of a time; for one that no request can have, a day that none can have either."""
    first, last = F.expr(f"TIMESTAMP'{FIRST_TIME}'"), F.expr(f"TIMESTAMP'{LAST_TIME}'")
    return F.to_date(F.when(time < first, first).when(time > last, last).otherwise(time))


def broken_rules(rules: Rules, now: Column | None = None) -> Column:
    """Every reason against a normalised row, as an array of strings: empty for a valid one, never null.

    :param now: when a row that does not say it arrived; by default, when the query runs.
    """
    now = F.current_timestamp() if now is None else now
    return F.array_compact(F.array(_unparsable(), *_missing(rules), *_out_of_range(rules, now)))


def checked(rows: DataFrame, rules: Rules, now: Column | None = None) -> DataFrame:
    """Normalised ``rows`` with ``reasons``: why each is rejected. With a ``now`` it is the same in each query."""
    return rows.withColumn("reasons", broken_rules(rules, now))


def accepted(rows: DataFrame) -> DataFrame:
    """The checked rows that break no rule."""
    return rows.where(F.size("reasons") == 0)


def rejected(rows: DataFrame) -> DataFrame:
    """The checked rows that break a rule: exactly those that ``accepted`` leaves."""
    return rows.where(F.size("reasons") > 0)


def _unparsable() -> Column:
    raw = F.col("raw")
    return F.when(F.trim(raw) == "", BLANK_LINE).when(raw.isNotNull(), UNPARSABLE)


def _missing(rules: Rules) -> list[Column]:
    """One reason for each required column that is null; a line that did not parse has its reason already."""
    is_parsed = F.col("raw").isNull()
    return [F.when(is_parsed & F.col(name).isNull(), f"no {name}") for name in rules.required]


def _out_of_range(rules: Rules, now: Column) -> list[Column]:
    tolerance = F.make_dt_interval(secs=F.lit(float(rules.future_seconds)))
    ingested_at = F.when(day(F.col("ingested_at")) < F.lit(LATEST), F.col("ingested_at"))
    arrived_at = F.coalesce(ingested_at, now)
    is_ahead = (F.col("event_date") >= F.lit(LATEST)) | (F.col("timestamp") > arrived_at + tolerance)
    earliest, status = F.lit(rules.earliest), F.col("status")
    return [
        F.when(is_ahead, IN_THE_FUTURE),
        F.when(F.col("event_date") < earliest, f"timestamp before {rules.earliest}"),
        F.when(
            ~status.between(rules.status_min, rules.status_max), f"status outside {rules.status_min}-{rules.status_max}"
        ),
        F.when(~F.col("bytes").between(0, MAX_BYTES), BYTES_RANGE),
    ]
