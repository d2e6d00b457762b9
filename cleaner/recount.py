"""Ledger and tables brought together after one of them lost something. I/O; no JVM."""

import logging
from collections import Counter
from pathlib import Path

from lakehouse.lake import Lake, file_stamp, waiting_files
from lakehouse.landed import REFUSED
from lakehouse.ledger import FileFigures, Ledger, Run
from lakehouse.tables import latest_version, query

log = logging.getLogger("cleaner.merge")


def recount(lake: Lake, ledger: Ledger, run: Run) -> None:
    """Give a ledger that knows of no delivery those that the tables know of, as retired ones.

    Their duplicates are known no more. A file that is still landed is left out: it is merged again, which counts it.
    """
    if ledger.has_files():
        return
    known = delivered(lake)
    numbers = Counter(file.name for file in known)
    landed = {path.name for path in waiting_files(lake.landing)}
    lost = [f for f in known if not (f.landed_file in landed and numbers[f.name] == 1)]
    if lost:
        log.warning(
            "%s is new: %d deliveries are counted anew from the tables, without their duplicates",
            ledger.path,
            len(lost),
        )
        ledger.record_files(run, lost)
        ledger.retire(file.landed_file for file in lost)


def take_again_what_was_lost(lake: Lake, ledger: Ledger) -> bool:
    """Forget the deliveries that are still landed if a table has lost commits since the last merge: they are merged again.

    What they brought and is still there is counted anew, not doubled. What else ``merged/`` lacks, ``delta/`` may have; what
    neither has is lost with the commits, and the identity that ``consumer report`` looks at says so.

    :return: whether ``merged/`` is such a table.
    """
    lost = [
        name for name, version in record_versions(lake).items() if version < (ledger.last_figure("merge", name) or -1)
    ]
    if not lost:
        return False
    again = [f.landed_file for f in ledger.waiting_to_retire() if file_stamp(lake.landing / f.name) == f.stamp]
    log.warning(
        "the last commits of %s are gone: %d landed files are merged again; consumer report says whether rows are missing",
        " and ".join(f"{name.removesuffix('_version')}/" for name in lost), len(again),
    )  # fmt: skip
    ledger.forget(again)
    return "merged_version" in lost


def record_versions(lake: Lake) -> dict[str, int]:
    """The last version of each table that holds landed rows, as a figure of a merge."""
    return {f"{path.name}_version": latest_version(path) for path in (lake.merged, lake.quarantine)}


def delivered(lake: Lake) -> list[FileFigures]:
    """The deliveries that have rows in ``merged/`` or ``quarantine/``."""
    merged = dict(query(lake.merged, "SELECT landed_file, count(*) FROM t GROUP BY landed_file"))
    rejected: dict[str, Counter[tuple[str, ...]]] = {}
    for landed_file, reasons, rows in query(
        lake.quarantine, "SELECT landed_file, reasons, count(*) FROM t GROUP BY landed_file, reasons"
    ):
        rejected.setdefault(landed_file, Counter())[tuple(reasons)] += rows
    return [_figures(file, merged.get(file, 0), rejected.get(file, Counter())) for file in sorted({*merged, *rejected})]


def _figures(landed_file: str, merged: int, rejected: "Counter[tuple[str, ...]]") -> FileFigures:
    reasons: Counter[str] = Counter()
    for found, rows in rejected.items():
        reasons.update(dict.fromkeys(found, rows))
    refused = next((reason.removeprefix(REFUSED) for reason in reasons if reason.startswith(REFUSED)), None)
    return FileFigures(
        landed_file=landed_file, name=Path(landed_file).parts[0], rows=merged + rejected.total(), merged=merged,
        duplicates=0, quarantined=rejected.total(), reasons=dict(reasons), refused=refused,
    )  # fmt: skip
