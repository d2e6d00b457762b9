"""Where the rows of each delivery went, added up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cleaner.landing import Delivery
from lakehouse.ledger import FileFigures


@dataclass(frozen=True)
class Located:
    """Rows of one delivery that were rejected for the same reasons (none: accepted), as a table has them.

    ``homes``: how many of them it holds from this very delivery; ``duplicates``: the other arrivals of what it holds.
    """

    landed_file: str
    reasons: Sequence[str]
    homes: int
    duplicates: int


def counted(taken: Sequence[Delivery], found: Iterable[Located]) -> list[FileFigures]:
    """The figures of each taken delivery. A row that no table holds is counted nowhere, and shows."""
    figures = {d.landed_file: figures_of(d) for d in taken}
    for rows in found:
        figures[rows.landed_file] = added(figures[rows.landed_file], rows.reasons, rows.homes, rows.duplicates)
    return list(figures.values())


def added(file: FileFigures, reasons: Sequence[str], homes: int, duplicates: int) -> FileFigures:
    """A file's figures and those of its rows with these reasons; none: its accepted rows."""
    counts = dict(file.reasons)
    for reason in reasons:
        if homes:
            counts[reason] = counts.get(reason, 0) + homes
    kind = "quarantined" if reasons else "merged"
    return replace(file, duplicates=file.duplicates + duplicates, reasons=counts, **{kind: getattr(file, kind) + homes})


def figures_of(delivery: Delivery) -> FileFigures:
    """A taken delivery's figures before its rows are found. It has as many as the check read, whatever Spark read."""
    return FileFigures(
        delivery.landed_file, delivery.file.path.name, delivery.file.rows, 0, 0, 0, stamp=delivery.file.stamp
    )


def refused_figures(delivery: Delivery) -> FileFigures:
    """A refused file counts as one row, quarantined."""
    return FileFigures(
        landed_file=delivery.landed_file, name=delivery.file.path.name, rows=1, merged=0, duplicates=0, quarantined=1,
        reasons={delivery.file.reason: 1}, refused=delivery.file.refused, stamp=delivery.file.stamp,
    )  # fmt: skip
