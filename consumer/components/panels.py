"""What the exact tables answer: a function for each panel, from filters to rows. Each reads one table, at one version. I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from consumer.components.figures import HourFigures, Ranking, SiteFigures, Value
from consumer.components.filters import Filters
from consumer.components.table_reader import TableReader

# Ranges of so many days or fewer are shown by the hour, longer ones by the hour of the day.
DAYS_BY_HOUR = 2
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECONDS = 3_600_000_000  # of an hour


@dataclass(frozen=True)
class RankingOf:
    """What a ranking ranks.

    :param condition: in SQL, on the table's columns: the requests that it is about.
    :param has_others: the table has a row for the values that have none of their own.
    """

    table: str
    columns: tuple[str, ...]
    condition: str
    has_others: bool = False


# Not sent by the site itself. A referer without a host may be anything, and counts as foreign.
_FOREIGN = "is_own_host IS NOT TRUE AND (referer IS NOT NULL OR is_other)"

RANKINGS: Mapping[str, RankingOf] = {
    "pages": RankingOf("path", ("path",), "NOT is_static", has_others=True),
    "static_files": RankingOf("path", ("path",), "is_static", has_others=True),
    "client_errors": RankingOf("path", ("path",), "status_class = '4xx'", has_others=True),
    "server_errors": RankingOf("path", ("path",), "status_class = '5xx'", has_others=True),
    "referring_hosts": RankingOf("referer", ("referer_host",), _FOREIGN, has_others=True),
    "referers": RankingOf("referer", ("referer",), _FOREIGN, has_others=True),
    "browsers": RankingOf("client", ("browser",), "NOT is_bot"),
    "systems": RankingOf("client", ("os",), "NOT is_bot"),
    "bots": RankingOf("client", ("bot", "bot_class"), "is_bot"),
    "bot_classes": RankingOf("client", ("bot_class",), "is_bot"),
    "countries": RankingOf("country", ("country",), "true"),
}
# The tables that panels are read from.
PANEL_TABLES = ("hourly", "site", "path", "referer", "client", "country")


@dataclass(frozen=True)
class Choice:
    """Which values of a ranking, by their order.

    :param limit: so many at most, of those after the first ``offset``.
    :param search: those alone that contain this, in any case.
    :param by: the column that they are ordered by: a name of our own, for it becomes part of a query.
    :param is_ascending: the least first, and not the most.
    """

    limit: int
    offset: int = 0
    search: str = ""
    by: str = "requests"
    is_ascending: bool = False

    def order(self, *keys: str) -> str:
        """The order in SQL: of equals those with the most requests first, then by ``keys``; what is not there comes last."""
        first = f"{self.by} {'ASC' if self.is_ascending else 'DESC'} NULLS LAST"
        return ", ".join((first, "requests DESC", *(f"{key} NULLS LAST" for key in keys)))


def ranking(reader: TableReader, name: str, filters: Filters, limit: int) -> Ranking | None:
    """The values with the most requests, at most ``limit`` of them; ``None`` where there is no table.

    :param name: one of ``RANKINGS``.
    """
    return ranked(reader, RANKINGS[name], filters, Choice(limit))


def ranked(reader: TableReader, wanted: RankingOf, filters: Filters, choice: Choice) -> Ranking | None:
    """The values that are chosen; ``None`` where there is no table. Sums are of all values, whatever is searched."""
    if not reader.has("batch", wanted.table):
        return None
    keys = ", ".join(wanted.columns)
    is_other = "is_other" if wanted.has_others else "false"
    is_found = " OR ".join(f"contains(lower({column}::VARCHAR), lower($search))" for column in wanted.columns)
    query = f"""
        WITH found AS (
            SELECT {keys}, {is_other} AS is_unnamed, coalesce(sum(requests), 0) AS requests, coalesce(sum(bytes), 0) AS bytes
            FROM t WHERE {wanted.condition} AND {filters.condition} GROUP BY ALL
        ), counted AS (
            SELECT is_unnamed, {keys}, requests, bytes, sum(requests) OVER () AS every,
                coalesce(sum(requests) FILTER (is_unnamed) OVER (), 0) AS unnamed
            FROM found
        )
        SELECT * FROM counted WHERE {is_found if choice.search else "true"}
        ORDER BY is_unnamed, {choice.order(*wanted.columns)} LIMIT {choice.limit} OFFSET {choice.offset}
    """
    parameters = filters.parameters | ({"search": choice.search} if choice.search else {})
    rows = reader.rows("batch", wanted.table, query, parameters)
    values = [Value(row[1:-4], *row[-4:-2]) for row in rows if not row[0]]
    every, unnamed = rows[0][-2:] if rows else (0, 0)
    return Ranking(wanted.columns, values, every, unnamed)


def hours(reader: TableReader, filters: Filters) -> list[HourFigures]:
    """Figures by hour in order: each hour of a short range of days, or hours of the day; those without requests are left out."""
    days = reader.days("batch", "hourly")
    is_short = bool(days) and max(days) - min(days) < timedelta(days=DAYS_BY_HOUR)
    hour = f"epoch_us(hour) // {MICROSECONDS}" if is_short else "hour(make_timestamp(epoch_us(hour)))"
    query = f"""
        SELECT {hour} AS which, sum(requests), coalesce(sum(bytes), 0),
            coalesce(sum(requests) FILTER (status BETWEEN 400 AND 499), 0),
            coalesce(sum(requests) FILTER (status BETWEEN 500 AND 599), 0)
        FROM t WHERE {filters.condition} GROUP BY which ORDER BY which
    """
    return [
        HourFigures(EPOCH + timedelta(hours=which) if is_short else which, *figures)
        for which, *figures in reader.rows("batch", "hourly", query, filters.parameters)
    ]


def sites(reader: TableReader, filters: Filters, choice: Choice) -> list[SiteFigures]:
    """The sites that are chosen. Visitors add up over days, since a visitor is one of a day."""
    query = f"""
        WITH found AS (
            SELECT site, sum(requests) AS requests, sum(visitors) AS visitors, coalesce(sum(bytes), 0) AS bytes,
                sum(client_errors) AS client_errors, sum(server_errors) AS server_errors
            FROM t WHERE NOT is_all_sites AND is_bot IS NOT DISTINCT FROM $is_bot AND {filters.site_condition} GROUP BY site
        )
        SELECT * FROM found WHERE {"contains(lower(site), lower($search))" if choice.search else "true"}
        ORDER BY {choice.order("site")} LIMIT {choice.limit} OFFSET {choice.offset}
    """
    parameters = filters.parameters | {"is_bot": filters.is_bot} | ({"search": choice.search} if choice.search else {})
    return [SiteFigures(*row) for row in reader.rows("batch", "site", query, parameters)]
