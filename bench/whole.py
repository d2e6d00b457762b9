"""Whether a lake that the whole pipeline has filled is right in all its tables. I/O; no JVM.

The archive has every landed line as it came: from it alone, the record is counted here, and from the record the figures.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from bench.figures import exact, exact_visitors, wrong_figures
from bench.lakes import BenchLake
from bench.measure import wrong
from lakehouse.lake import EXACT_GRAINS, GRAINS
from lakehouse.tables import table_facts

REQUIRED = ("event_id", "timestamp", "ip", "status")


def tables_due(lake: BenchLake) -> Mapping[str, Path]:
    """The tables that a running pipeline fills, by name."""
    return lake.settings.tables


def filled(lake: BenchLake) -> set[str]:
    """Those of them that have rows by now."""
    facts = {name: table_facts(path) for name, path in tables_due(lake).items()}
    return {name for name, found in facts.items() if found is not None and found.rows}


def wrong_lake(lake: BenchLake) -> str | None:
    """What is missing or wrong in a lake where all that landed is archived, streamed, merged and counted; ``None`` if nothing."""
    if missing := sorted(set(tables_due(lake)) - filled(lake)):
        return f"no rows in {', '.join(missing)}"
    problems = [wrong_record(lake), *(wrong_metrics(lake, mode) for mode in ("streaming", "batch")), wrong_sums(lake)]
    return "; ".join(filter(None, problems)) or None


def wrong_record(lake: BenchLake) -> str | None:
    """Whether ``merged/``, ``delta/`` or ``quarantine/`` hold other rows than the archive has lines for."""
    folders = lake.settings.lake
    archived = pl.read_parquet([*folders.logs.rglob("*.parquet")], columns=[*REQUIRED, "raw"])
    is_valid = pl.col("raw").is_null() & pl.all_horizontal(pl.col(REQUIRED).is_not_null())
    due = archived.filter(is_valid).select("event_id", "timestamp").unique()
    rejected = archived.filter(~is_valid)["event_id"]
    checks: dict[str, tuple[object, object]] = {
        "rejected rows": (_rows(folders.quarantine), rejected.null_count() + rejected.drop_nulls().n_unique())
    }
    for name, path in {"merged": folders.merged, "delta": folders.delta}.items():
        found = pl.read_delta(str(path), columns=["event_id", "timestamp"])
        checks[f"rows of {name}/"] = (found.height, due.height)
        checks[f"rows missing in {name}/"] = (due.join(found, on=due.columns, how="anti").height, 0)
    return wrong(**checks)


def wrong_metrics(lake: BenchLake, mode: str) -> str | None:
    """Whether the tables of days, IPs and agents hold other figures than those of the requests in ``delta/``.

    :param mode: ``streaming``, whose visitors are estimates and not compared, or ``batch``.
    """
    delta = pl.scan_delta(str(lake.settings.lake.delta))
    due = exact(delta)
    if mode == "batch":
        due |= {"daily": due["daily"].join(exact_visitors(delta), on="event_date")}
    found = {grain: pl.read_delta(str(lake.settings.lake.metrics(mode, grain))) for grain in GRAINS}
    problem = wrong_figures(found, due)
    return problem and f"metrics/{mode}: {problem}"


def wrong_sums(lake: BenchLake) -> str | None:
    """Whether the other exact tables, too, have each request once, and all bytes."""
    requests = pl.scan_delta(str(lake.settings.lake.delta)).select(pl.len().cast(pl.Int64), pl.col("bytes").sum())
    due = requests.collect().row(0)
    others = [name for name in EXACT_GRAINS if name not in GRAINS and f"metrics/batch/{name}" in tables_due(lake)]
    return wrong(**{f"sums of metrics/batch/{name}": (_sums(lake, name), due) for name in others})


def _sums(lake: BenchLake, name: str) -> tuple[int, ...]:
    table = pl.scan_delta(str(lake.settings.lake.metrics("batch", name)))
    if name == "site":  # all sites, and humans and bots, have rows of their own besides
        table = table.filter(pl.col("is_all_sites"), pl.col("is_bot").is_null())
    return table.select(pl.col("requests", "bytes").sum()).collect().row(0)


def _rows(path: Path) -> int:
    return int(pl.scan_delta(str(path)).select(pl.len()).collect().item())
