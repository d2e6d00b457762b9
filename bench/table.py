"""The table: its rows in order, each with its goal and what measures it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.measure import Bench
from bench.results import Case
from bench.rows import batch, busy_day, catch_up, first_figures, growth, idle, ingest, latency, memory, merge

Measured = tuple[list[Case], dict[str, str]]


@dataclass(frozen=True)
class Row:
    """A row: its number and words in the table.

    :param figure: what it is about, in the runs: what is drawn, and compared with the peers'.
    :param unit: how that figure is called.
    :param measure: measures its cases, and says which peers were skipped, and why.
    :param is_in_small_form: it is about more than size: the small form has it, and others only by name.
    """

    number: int
    title: str
    goal: str
    figure: str
    unit: str
    measure: Callable[[Bench], Measured]
    is_in_small_form: bool = True


ROWS: Mapping[str, Row] = {
    "ingest": Row(
        1, "Combined lines to landing Parquet", "5 times GoAccess's lines/s; at most 250 MB, flat", "lines/s", "lines/s",
        ingest.measure,
    ),
    "merge": Row(
        2, "One scheduled minute: 20,000 rows, 5% of them duplicates, into history",
        "at most 3 s and 4 core-seconds; 1.5 s on pysail; the plain script left behind by a factor that grows",
        "wall_seconds", "seconds", merge.measure,
    ),
    "growth": Row(
        3, "The same minute, by rows of history; and with one row a year late",
        "no rising trend: the largest within 10% of 1 million", "wall_seconds", "seconds", growth.measure,
        is_in_small_form=False,
    ),
    "idle": Row(
        4, "A minute with nothing to do", "at most 0.3 core-seconds", "processor_seconds", "core-seconds", idle.measure
    ),
    "latency": Row(
        5, "From landing to the figure in metrics/streaming/", "p50 at most 2 s, p99 at most 4 s, the stream at most 0.45 busy cores", "s p50",
        "seconds, median", latency.measure,
    ),
    "catch-up": Row(
        6, "Streaming catch-up on landed rows", "80,000 rows/s, all tables right", "rows/s", "rows/s", catch_up.measure
    ),
    "batch": Row(
        7, "Exact metrics: after a minute's data, by the rows of the day so far, and of all days",
        "the refresh in the largest day within 1.3 times that in the smallest, which takes at most 4.1 s; all days in 30 s",
        "wall_seconds", "seconds", batch.measure,
    ),
    "memory": Row(
        8, "Memory of each program, at rest and under load", "0.9 busy cores and 2.0 GiB together at 1,000 events/s, jobs running; producer 150 MiB",
        "peak_megabytes", "MB together", memory.measure,
    ),
    "busy-day": Row(
        9, "A minute merged into a busy day", "none: what a day of so many rows costs", "wall_seconds", "seconds",
        busy_day.measure, is_in_small_form=False,
    ),
    "default-rate": Row(
        10, "The same as row 8 at 100 events/s, the default", "0.35 busy cores, 1.5 GiB together, figures within 15 s",
        "busy cores under load", "busy cores", memory.measure_default, is_in_small_form=False,
    ),
    "first-figures": Row(
        11, "From the start in an empty lake to figures in all tables", "60 s", first_figures.ALL, "seconds",
        first_figures.measure,
    ),
}  # fmt: skip
