"""Landed files go away when their rows are in the tables and in ``logs/``; refused ones move into quarantine. I/O."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from lakehouse.arrivals import Arrivals
from lakehouse.lake import Lake, waiting_files
from lakehouse.ledger import FileFigures, Ledger

log = logging.getLogger("cleaner.retire")


def retire_files(lake: Lake, ledger: Ledger) -> int:
    """Retire every merged landed file that may go.

    A file goes when ``logs/`` has its rows too, which is what the streaming metrics read. A refused file need not be
    there: it is moved to ``quarantine/_files/``.

    :return: how many went.
    """
    waiting = ledger.waiting_to_retire()
    if not waiting:
        return 0
    present = {path.name for path in waiting_files(lake.landing)}
    archived = Arrivals(lake.checkpoint("archive")).archived_names(lake.landing)
    gone = [f for f in waiting if f.refused or f.name in archived or f.name not in present]
    return _retire(lake, ledger, gone)


def retire_old_files(lake: Lake, ledger: Ledger, *, days: int, now: datetime) -> int:
    """Retire merged landed files older than ``days`` even if no stream has archived them.

    :return: how many went.
    """
    old = [f for f in ledger.waiting_to_retire() if _age_days(lake.landing / f.name, now) > days]
    return _retire(lake, ledger, old)


def _retire(lake: Lake, ledger: Ledger, files: list[FileFigures]) -> int:
    if not files:
        return 0
    ledger.retire(f.landed_file for f in files)
    for file in files:
        path = lake.landing / file.name
        if file.refused:
            _keep_aside(path, lake.refused_files / file.landed_file)
        else:
            path.unlink(missing_ok=True)
    log.debug("retired %d landed files", len(files))
    return len(files)


def _keep_aside(path: Path, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(kept)


def _age_days(path: Path, now: datetime) -> float:
    try:
        landed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return 0
    return (now - landed_at).total_seconds() / 86_400
