"""One run of the replay: quarantined rows before today's rules, under which lock, and what is written down of it. I/O.

The order is what makes it safe to kill: ``merged/``, ``delta/``, a note in the ledger of the duplicates that are about to
leave (afterwards no table could tell), quarantine, the ledger's figures. The next run goes on from whatever stands there.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from cleaner.balance import require_balance
from cleaner.beside_merge import MERGE, beside_merge
from lakehouse.durable import sync_lake
from lakehouse.lake import Lake
from lakehouse.ledger import IN_HAND, FileFigures, Ledger, Run
from lakehouse.locks import lock
from lakehouse.settings import Settings
from lakehouse.tables import ready_for_writing, table_facts, transaction_version

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from cleaner.replay_rows import Group
    from lakehouse.sql import Range

JOB = "replay"

log = logging.getLogger("cleaner.replay")


@dataclass(frozen=True)
class Asked:
    """Which rows go before the rules: all, or those with one of these reasons, quarantined on these days (UTC)."""

    reasons: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None


ALL = Asked()


def replay(
    settings: Settings, session: "Callable[[], SparkSession]", asked: Asked = ALL, *, is_dry_run: bool = False
) -> None:
    """Merge the quarantined rows that pass today's rules, and take out of quarantine what ``merged/`` holds.

    Shares its lock with the merge: the two wait for each other.

    :param session: makes the Spark session; not called when nothing is in quarantine.
    :param is_dry_run: only say what would be done.
    :raises TableError: the log of a table is damaged; nothing is done.
    :raises IdentityError: rows are missing or doubled.
    :raises LockedError: a merge or maintenance holds the lock for too long.
    """
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    if is_dry_run:
        with lock(lake.locks, JOB), lock(lake.locks, MERGE, wait_seconds=settings.merge.lock_seconds):
            started = time.monotonic()
            figures = _replayed(settings, session, ledger, asked, run=None) if _has_rows(lake) else _figures()
            _log(figures | {"seconds": _since(started)}, "would be ")
        return
    with beside_merge(settings, ledger, JOB) as run:
        started = time.monotonic()
        ready_for_writing(lake.merged, lake.quarantine, lake.delta)
        _settle_earlier(lake, ledger, session)
        run.figures |= _replayed(settings, session, ledger, asked, run) if _has_rows(lake) else _figures()
        run.figures["seconds"] = _since(started)
        _log(run.figures)


def _has_rows(lake: Lake) -> bool:
    facts = table_facts(lake.quarantine)
    return facts is not None and facts.rows > 0


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)


def _replayed(
    settings: Settings, session: "Callable[[], SparkSession]", ledger: Ledger, asked: Asked, run: Run | None
) -> dict[str, Any]:
    """Do it and say what was done; without a ``run``, what would be.

    It may make tables that are missing, which are empty then.
    """
    from cleaner.delta_lake import create_tables
    from cleaner.replay_rows import groups, heard, merge_passing, placed, summary
    from lakehouse.sql import hour_ranges

    spark, lake, max_ranges = session(), settings.lake, settings.merge.max_ranges
    create_tables(settings)
    read = spark.read.format("delta")
    rows = heard(read.load(str(lake.quarantine)), settings.rules, asked).persist()
    hearing = summary(rows)
    if run and hearing.passed:
        merge_passing(rows, lake, hour_ranges(hearing.passing_hours, max_ranges))
    ranges = hour_ranges(hearing.hours, max_ranges)
    going = placed(rows, read.load(str(lake.merged)), ranges)
    going = (going.where("is_held") if run else going).persist()
    found = groups(going)
    if run and found:
        _let_go(going, found, ranges, settings, ledger, run)
    going.unpersist()
    rows.unpersist()
    return _figures(hearing.rows, hearing.passed, found)


def _let_go(
    leaving: "DataFrame",
    found: "Sequence[Group]",
    ranges: "Sequence[Range]",
    settings: Settings,
    ledger: Ledger,
    run: Run,
) -> None:
    """Enrich what is merged, take it and the duplicates out of quarantine, and correct the ledger."""
    from cleaner.replay_rows import enrich_placed, recounted, remove

    lake = settings.lake
    enrich_placed(leaving, settings, ranges)
    files = ledger.files(g.landed_file for g in found)
    duplicates = _duplicates(files, found)
    number = transaction_version(lake.quarantine, JOB) + 1
    run.figures[IN_HAND] = {"transaction": number, "duplicates": duplicates}
    sync_lake(lake)  # merged/ must outlast a power cut before quarantine lets go of the rows
    ledger.note(run)
    remove(leaving, lake.quarantine, _commit(run, number, found))
    _settle(lake, ledger, recounted(leaving.sparkSession, lake, files, duplicates))
    del run.figures[IN_HAND]


def _duplicates(files: Sequence[FileFigures], found: "Sequence[Group]") -> dict[str, int]:
    """By delivery: its duplicates once these groups have left quarantine."""
    more = Counter[str]()
    for group in found:
        if not group.is_merged:
            more[group.landed_file] += group.rows
    return {f.landed_file: f.duplicates + more[f.landed_file] for f in files}


def _commit(run: Run, number: int, found: "Sequence[Group]") -> dict[str, str]:
    """What the commit that takes rows out of quarantine carries: who made it, and a number to know it by after a crash."""
    sums = {name: _sum(found, is_merged=name == "merged") for name in ("merged", "duplicates")}
    return {
        "spark.databricks.delta.commitInfo.userMetadata": json.dumps({"job": JOB, "run_id": run.run_id, **sums}),
        "spark.databricks.delta.write.txnAppId": JOB,
        "spark.databricks.delta.write.txnVersion": str(number),
    }


def _settle_earlier(lake: Lake, ledger: Ledger, session: "Callable[[], SparkSession]") -> None:
    """Put the ledger right after a run that was killed when rows had left quarantine."""
    in_hand = ledger.in_hand(JOB)
    if in_hand is None:
        return
    figures: list[FileFigures] = []
    if transaction_version(lake.quarantine, JOB) >= in_hand["transaction"]:
        from cleaner.replay_rows import recounted

        figures = recounted(session(), lake, ledger.files(in_hand["duplicates"]), in_hand["duplicates"])
        log.info("the figures of %d landed files follow a replay that was interrupted", len(figures))
    _settle(lake, ledger, figures)


def _settle(lake: Lake, ledger: Ledger, figures: Sequence[FileFigures]) -> None:
    advice = "The ledger keeps their figures from before; report it with these lines"
    require_balance(figures, advice, when=" after the replay")
    sync_lake(lake)  # the ledger must not outlast a power cut without the tables
    ledger.settle(JOB, figures)


def _figures(rows: int = 0, passed: int = 0, found: "Sequence[Group]" = ()) -> dict[str, Any]:
    reasons = Counter[str]()
    for group in found:
        reasons.update(dict.fromkeys(group.reasons, group.rows))
    return {
        "rows": rows, "passed": passed,
        "merged": _sum(found, is_merged=True), "duplicates": _sum(found, is_merged=False),
        "reasons": dict(reasons.most_common()),
    }  # fmt: skip


def _sum(found: "Iterable[Group]", *, is_merged: bool) -> int:
    return sum(group.rows for group in found if group.is_merged is is_merged)


def _log(figures: dict[str, Any], verb: str = "") -> None:
    """One line for each run. ``verb`` stands before what is done, or only would be."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in figures["reasons"].items())
    log.info(
        "%d quarantined rows looked at, %d pass: %d %smerged, %d %sduplicates%s; %.1f s",
        figures["rows"], figures["passed"], figures["merged"], verb, figures["duplicates"], verb,
        f" (quarantined for: {reasons})" if reasons else "", figures["seconds"],
    )  # fmt: skip
