"""One run of the merge: what to do, under which lock, and what is written down of it. I/O; no JVM if there is nothing to do."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from cleaner.retire import retire_files
from lakehouse.errors import IdentityError
from lakehouse.lake import Lake, file_stamp, waiting_files
from lakehouse.ledger import FileFigures, Ledger, Run
from lakehouse.locks import lock
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from cleaner.landing import Delivery

JOB = "merge"

log = logging.getLogger("cleaner.merge")


def merge(settings: Settings, session: "Callable[[], SparkSession]") -> int:
    """Bring everything that has landed into ``merged/``, ``quarantine/`` and ``delta/``, and retire what may go.

    :param session: makes the Spark session; not called when nothing new has landed.
    :return: how many landed files were merged.
    :raises IdentityError: rows are missing or doubled; their files stay where they are.
    :raises LockedError: another run holds the lock for too long.
    """
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    with lock(lake.locks, JOB, wait_seconds=settings.merge.lock_seconds):
        pending = ledger.deliveries(waiting_files(lake.landing))
        with ledger.run(JOB) as run:
            started = time.monotonic()
            figures = _merge_pending(settings, session, ledger, run, pending) if pending else []
            retired = retire_files(lake, ledger)
            run.figures |= _totals(figures) | {"retired": retired, "seconds": round(time.monotonic() - started, 1)}
            _log_run(run)
    return len(figures)


def _merge_pending(
    settings: Settings, session: "Callable[[], SparkSession]", ledger: Ledger, run: Run, pending: dict[str, str]
) -> list[FileFigures]:
    from cleaner.delta_lake import create_tables, merge_deliveries

    create_tables(settings)
    spark = session()
    merged: list[FileFigures] = []
    for deliveries in _passes(settings.lake, pending, settings.merge.max_rows):
        figures = merge_deliveries(spark, settings, deliveries)
        _require_balance(figures)
        ledger.record_files(run, figures)
        merged += figures
        if len(merged) < len(pending):
            log.info("%d of %d landed files merged", len(merged), len(pending))
    return merged


def _passes(lake: Lake, pending: dict[str, str], max_rows: int) -> "Iterator[list[Delivery]]":
    """The pending files, checked, in passes of about ``max_rows`` rows, so that memory stays flat."""
    from cleaner.landing import Delivery
    from lakehouse.landed import check

    batch: list[Delivery] = []
    for name, landed_file in pending.items():
        try:
            stamp = file_stamp(lake.landing / name)
            checked = check(lake.landing / name)
        except OSError as error:
            log.warning("%s cannot be read now and is left for the next run: %s", name, error)
            continue
        if checked.refused:
            log.warning("%s is refused and goes to quarantine/_files/: %s", name, checked.refused)
        batch.append(Delivery(landed_file, checked, stamp or ""))
        if sum(d.file.rows for d in batch) >= max_rows:
            yield batch
            batch = []
    if batch:
        yield batch


def _require_balance(figures: Sequence[FileFigures]) -> None:
    wrong = [f for f in figures if not f.is_balanced]
    if wrong:
        details = "; ".join(
            f"{f.landed_file}: {f.rows} rows, but {f.merged} merged + {f.duplicates} duplicates + {f.quarantined} quarantined"
            for f in wrong[:5]
        )
        raise IdentityError(
            f"rows of {len(wrong)} landed files are not accounted for: {details}. The files stay in logs_to_merge/ and the"
            " next run takes them again; if this comes back, report it with these lines"
        )


def _totals(figures: Sequence[FileFigures]) -> dict[str, object]:
    reasons: Counter[str] = Counter()
    for file in figures:
        reasons.update(file.reasons)
    sums = {name: sum(getattr(f, name) for f in figures) for name in ("rows", "merged", "duplicates", "quarantined")}
    return {"files": len(figures), **sums, "reasons": dict(reasons.most_common())}


def _log_run(run: Run) -> None:
    """One line for each run."""
    f = run.figures
    if not f["files"]:
        log.info("nothing new%s", f", {f['retired']} landed files retired" if f["retired"] else "")
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in f["reasons"].items())
    log.info(
        "%d files, %d rows: %d merged, %d duplicates, %d quarantined%s; %d files retired; %.1f s",
        f["files"], f["rows"], f["merged"], f["duplicates"], f["quarantined"], f" ({reasons})" if reasons else "",
        f["retired"], f["seconds"],
    )  # fmt: skip
