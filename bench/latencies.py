"""From landing to the figure: when each landed row was counted in every table. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moment:
    """A time in seconds since the epoch, and a number of rows: those that landed then, or that a table had counted by then."""

    at: float
    rows: int


def latencies(landed: Sequence[Moment], counted: Mapping[str, Sequence[Moment]]) -> list[float]:
    """How long each landed file took until all its rows were counted in the last of the tables.

    :param landed: the files, in the order in which they are counted.
    :param counted: by table, how many rows it had after each commit.
    :return: seconds by file; infinite for one that is not counted.
    """
    found = []
    due = 0
    for file in landed:
        due += file.rows
        found.append(max(_reached(commits, due) for commits in counted.values()) - file.at)
    return found


def percentiles(landed: Sequence[Moment], seconds: Sequence[float], shares: Sequence[int]) -> dict[int, float]:
    """Percentiles over the rows: each row waits as long as its file."""
    by_row = np.repeat(np.asarray(seconds), [file.rows for file in landed])
    return {share: float(np.percentile(by_row, share, method="inverted_cdf")) for share in shares}


def _reached(commits: Sequence[Moment], due: int) -> float:
    return next((commit.at for commit in commits if commit.rows >= due), float("inf"))
