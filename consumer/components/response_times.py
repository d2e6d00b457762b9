"""How long requests took, from the sketches of each hour: quantiles of all sites and of the busiest ones. I/O."""

from typing import TYPE_CHECKING

from consumer.components.figures import ResponseTimes
from consumer.components.filters import Filters
from consumer.components.table_reader import TableReader

if TYPE_CHECKING:
    from datasketches import kll_doubles_sketch

RANKS = [0.5, 0.95, 0.99]


def response_times(reader: TableReader, filters: Filters, limit: int) -> list[ResponseTimes]:
    """Those of all sites and, of several, of those with the most timed requests; by filter those of one. None without durations."""
    condition = f"duration_sketch IS NOT NULL AND {filters.condition}"
    counts = reader.rows(
        "batch", "hourly",
        f"""SELECT site, sum(durations) AS timed, sum(sum(durations)) OVER (), count(*) OVER () FROM t WHERE {condition}
            GROUP BY site ORDER BY timed DESC, site NULLS LAST LIMIT {limit}""",
        filters.parameters,
    )  # fmt: skip
    if not counts:
        return []
    whole, by_site = _merged(reader, condition, filters, {site for site, *_ in counts})
    site, _, every, number_of_sites = counts[0]
    if filters.site is not None:
        return [ResponseTimes(site, False, int(every), *whole.get_quantiles(RANKS))]
    found = [ResponseTimes(None, True, int(every), *whole.get_quantiles(RANKS))]
    if number_of_sites > 1:
        found += [ResponseTimes(site, False, int(n), *by_site[site].get_quantiles(RANKS)) for site, n, *_ in counts]
    return found


def _merged(
    reader: TableReader, condition: str, filters: Filters, wanted: set[str | None]
) -> "tuple[kll_doubles_sketch, dict[str | None, kll_doubles_sketch]]":
    """The sketch of all sites, and that of each one that is wanted. A year has too many sketches to hold them all."""
    from datasketches import kll_doubles_sketch

    from consumer.components.durations import K

    whole = kll_doubles_sketch(K)
    by_site = {site: kll_doubles_sketch(K) for site in wanted}
    query = f"SELECT site, duration_sketch FROM t WHERE {condition}"
    for site, serialised in reader.stream("batch", "hourly", query, filters.parameters):
        sketch = kll_doubles_sketch.deserialize(serialised)
        whole.merge(sketch)
        if site in by_site:
            by_site[site].merge(sketch)
    return whole, by_site
