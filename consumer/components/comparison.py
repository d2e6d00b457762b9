"""A full count of days compared with what was added up, as SQL for DuckDB."""

from consumer.components.count_sql import INVENTED, OF_THE_VALUE
from lakehouse.metric_columns import EXACT_TABLES

# Sketches of the same durations differ by the order in which they came.
NOT_COMPARED = {"duration_sketch"}


def unequal_rows(name: str, stored: str) -> str:
    """How many rows of a table are stored and not counted, or counted and not stored.

    :param stored: a query for its stored rows.
    """
    return _unequal(_columns(name), f"({stored})", name)


def wrong_rows(name: str, stored: str) -> str:
    """How many rows are stored wrongly, by day: ``event_date``, ``rows``.

    Of paths and referers it is no fault which of them have rows of their own: a full count chooses those with the most requests,
    and adding up those that came first. But what both have must be equal, and so must the sums of all.
    """
    value = INVENTED.get(name)
    if value is None:
        return _wrong_by_day(_columns(name), f"({stored})", name)
    kept = [key for key in EXACT_TABLES[name].keys if key not in {value, "is_other", *OF_THE_VALUE[name]}]
    sums = "sum(requests) AS requests, sum(bytes) AS bytes"
    totals = f"SELECT {', '.join(kept)}, {sums} FROM {{}} GROUP BY {', '.join(kept)}"
    same = f"a.event_date = b.event_date AND a.site IS NOT DISTINCT FROM b.site AND a.{value} IS NOT DISTINCT FROM b.{value}"
    both = f"SELECT a.* FROM {{}} AS a SEMI JOIN (SELECT * FROM {{}} WHERE NOT is_other) AS b ON {same} WHERE NOT a.is_other"
    return f"""
        SELECT event_date, sum(rows) AS rows FROM (
            {_wrong_by_day([*kept, "requests", "bytes"], f"({totals.format(f'({stored})')})", f"({totals.format(name)})")}
            UNION ALL
            {_wrong_by_day(_columns(name), f"({both.format(f'({stored})', name)})", f"({both.format(name, f'({stored})')})")}
        ) GROUP BY event_date
    """


def _columns(name: str) -> list[str]:
    return [column for column in EXACT_TABLES[name].columns if column not in NOT_COMPARED]


def _unequal(columns: list[str], some: str, others: str) -> str:
    return f"SELECT count(*) FROM ({_difference(columns, some, others)})"


def _wrong_by_day(columns: list[str], some: str, others: str) -> str:
    return f"SELECT event_date, count(*) AS rows FROM ({_difference(columns, some, others)}) GROUP BY event_date"


def _difference(columns: list[str], some: str, others: str) -> str:
    names = ", ".join(columns)
    one, other = f"SELECT {names} FROM {some}", f"SELECT {names} FROM {others}"
    return f"(({one}) EXCEPT ALL ({other})) UNION ALL (({other}) EXCEPT ALL ({one}))"
