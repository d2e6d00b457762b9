"""One run of the merge: what to do, under which lock, and what is written down of it. I/O; no JVM if there is nothing to do."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cleaner.balance import require_balance
from cleaner.maintain import join
from cleaner.recount import record_versions, recount, take_again_what_was_lost
from cleaner.retire import retire_files
from lakehouse.durable import sync_lake
from lakehouse.lake import Lake, file_stamp, waiting_files
from lakehouse.ledger import FileFigures, Ledger, Run
from lakehouse.locks import lock
from lakehouse.readable import first_line
from lakehouse.settings import Settings
from lakehouse.tables import ready_for_writing, table_facts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from cleaner.landing import Delivery

JOB = "merge"
# Each file's name stands in a pass's queries.
PASS_FILES = 2000

log = logging.getLogger("cleaner.merge")


def merge(settings: Settings, session: "Callable[[], SparkSession]") -> int:
    """Bring everything that has landed into ``merged/``, ``quarantine/`` and ``delta/``, and retire what may go.

    :param session: makes the Spark session; not called when nothing new has landed.
    :return: how many landed files were merged.
    :raises TableError: the log of a table is damaged; nothing is done.
    :raises IdentityError: rows are missing or doubled; their files stay where they are.
    :raises LockedError: another run holds the lock for too long.
    """
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    with lock(lake.locks, JOB, wait_seconds=settings.merge.lock_seconds), ledger.run(JOB) as run:
        started = time.monotonic()
        has_merged, _, has_delta = ready_for_writing(lake.merged, lake.quarantine, lake.delta)
        recount(lake, ledger, run)
        if take_again_what_was_lost(lake, ledger) and _has_less(lake.merged, lake.delta):
            from cleaner.delta_lake import complete_merged

            complete_merged(session(), lake)
        pending = ledger.deliveries(waiting_files(lake.landing))
        has_work = pending or (has_merged and not has_delta)
        figures = _merge_pending(settings, session, ledger, run, pending) if has_work else []
        if figures:
            join(lake, settings.merge.small_files)
        retired = retire_files(lake, ledger)
        run.figures |= (
            _totals(figures)
            | record_versions(lake)
            | {"retired": retired, "seconds": round(time.monotonic() - started, 1)}
        )
        _log_run(run)
    return len(figures)


def _merge_pending(
    settings: Settings, session: "Callable[[], SparkSession]", ledger: Ledger, run: Run, pending: dict[str, str]
) -> list[FileFigures]:
    from cleaner.delta_lake import complete_delta, create_tables

    merged: list[FileFigures] = []
    for deliveries in _passes(settings.lake, pending, settings.merge.max_rows):
        create_tables(settings)
        spark = session()  # not before there is a file that can be read
        figures = _merged(spark, settings, deliveries)
        sync_lake(settings.lake)  # the ledger must not outlast a power cut without the tables
        ledger.record_files(run, figures)
        merged += figures
        if len(merged) < len(pending):
            log.info("%d of %d landed files merged", len(merged), len(pending))
    if lacks_rows(settings.lake):
        complete_delta(session(), settings)
    return merged


def lacks_rows(lake: Lake) -> bool:
    """Whether ``delta/`` has not all that ``merged/`` has: everything, once it was moved away. No, as a rule."""
    merged = _rows(lake.merged)
    return merged is not None and merged != _rows(lake.delta)


def _has_less(some: Path, other: Path) -> bool:
    less, more = _rows(some), _rows(other)
    return more is not None and (less is None or less < more)


def _rows(table: Path) -> int | None:
    facts = table_facts(table)
    return None if facts is None else facts.rows


def work_bytes(lake: Lake) -> int | None:
    """How much a merge has to read of what has landed; ``None`` where it has to fill a table from the other, too."""
    return pending_bytes(lake) if _rows(lake.merged) == _rows(lake.delta) else None


def pending_bytes(lake: Lake) -> int:
    """The size of the landed files that are not merged yet; of those that go while they are looked at, none."""
    found = 0
    for name in Ledger(lake.ledger).deliveries(waiting_files(lake.landing)):
        with suppress(OSError):
            found += (lake.landing / name).stat().st_size
    return found


def _merged(spark: "SparkSession", settings: Settings, deliveries: "Sequence[Delivery]") -> list[FileFigures]:
    """Merge one pass. Files that vanish or change under it hold up neither the others nor a later run.

    What was read of a file that has changed since is counted as it was read; the file as it is now is another delivery.

    :raises IdentityError: rows of files that have not changed are missing or doubled.
    """
    from cleaner.delta_lake import merge_deliveries
    from cleaner.landing import forget_staged

    try:
        figures = merge_deliveries(spark, settings, deliveries)
    except Exception as error:
        unchanged = [d for d in deliveries if not _has_changed(settings.lake, d.file.path.name, d.file.stamp)]
        if len(unchanged) == len(deliveries):
            raise
        gone = {d.file.path.name for d in deliveries} - {d.file.path.name for d in unchanged}
        log.warning(
            "vanished or changed while they were read, and left for the next run: %s (%s)",
            ", ".join(sorted(gone)), first_line(error),
        )  # fmt: skip
        return _merged(spark, settings, unchanged) if unchanged else []
    finally:
        forget_staged(settings.lake.landing)
    figures = [
        _as_read(f) if not f.is_balanced and _has_changed(settings.lake, f.name, f.stamp) else f for f in figures
    ]
    require_balance(
        figures,
        "The files stay in logs_to_merge/ and the next run takes them again; if this comes back, report it with these lines",
    )
    return figures


def _has_changed(lake: Lake, name: str, stamp: str) -> bool:
    return file_stamp(lake.landing / name) != stamp


def _as_read(file: FileFigures) -> FileFigures:
    log.warning("%s changed while it was read: what is in it now is taken by the next run", file.landed_file)
    return replace(file, rows=file.merged + file.duplicates + file.quarantined)


def _passes(lake: Lake, pending: dict[str, str], max_rows: int) -> "Iterator[list[Delivery]]":
    """The pending files, checked, in passes of about ``max_rows`` rows and no more than ``PASS_FILES`` files.

    So memory stays flat.
    """
    from cleaner.landing import Delivery
    from lakehouse.landed import check

    batch: list[Delivery] = []
    rows = 0
    for name, landed_file in pending.items():
        try:
            checked = check(lake.landing / name)
        except OSError as error:
            log.warning("%s cannot be read now and is left for the next run: %s; see to its permissions", name, error)
            continue
        if checked.refused:
            log.warning("%s is refused and goes to quarantine/_files/: %s", name, checked.refused)
        batch.append(Delivery(landed_file, checked))
        rows += checked.rows
        if rows >= max_rows or len(batch) == PASS_FILES:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


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
