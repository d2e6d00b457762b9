"""Landed files go away when their rows are in the tables and in ``logs/``; refused ones move into quarantine. I/O."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from lakehouse.arrivals import Arrivals
from lakehouse.durable import sync_lake
from lakehouse.errors import CheckpointError
from lakehouse.lake import Lake, file_stamp
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
    try:
        archived = Arrivals(lake.checkpoint("archive")).archived_names(lake.landing)
    except CheckpointError as error:
        log.warning("landed files stay until the stream has made its checkpoint anew: %s", error)
        archived = set()
    return _retire(lake, ledger, [f for f in waiting if f.refused or f.name in archived or not _is_there(lake, f)])


def retire_old_files(lake: Lake, ledger: Ledger, *, days: int, now: datetime) -> int:
    """Retire merged landed files older than ``days`` even if no stream has archived them.

    :return: how many went.
    """
    old = [f for f in ledger.waiting_to_retire() if _age_days(lake.landing / f.name, now) > days]
    return _retire(lake, ledger, old)


def _retire(lake: Lake, ledger: Ledger, files: list[FileFigures]) -> int:
    """Remove the files, then record it: what a crash between the two leaves is recorded by the next run, as gone."""
    if not files:
        return 0
    sync_lake(lake)  # what they became must outlast a power cut before they go
    for file in files:
        if _is_there(lake, file):
            _remove(lake, file)
    ledger.retire(f.landed_file for f in files)
    log.debug("retired %d landed files", len(files))
    return len(files)


def _is_there(lake: Lake, file: FileFigures) -> bool:
    """Whether the very file that was merged is still in the landing folder, and not another under its name."""
    return file_stamp(lake.landing / file.name) == file.stamp


def _remove(lake: Lake, file: FileFigures) -> None:
    path = lake.landing / file.name
    if not file.refused:
        path.unlink()
        return
    # In a folder, not in the name: that may be as long as a name can be. No landed file's name begins with "_".
    delivery = file.landed_file.removeprefix(file.name).removeprefix("/")
    folder = lake.refused_files / f"_delivery-{delivery}" if delivery else lake.refused_files
    folder.mkdir(parents=True, exist_ok=True)
    path.replace(folder / file.name)


def _age_days(path: Path, now: datetime) -> float:
    """How long the file has been here: by its change time, for a moved or copied file may keep an old modification time."""
    try:
        landed_at = datetime.fromtimestamp(path.stat().st_ctime, UTC)
    except FileNotFoundError:
        return 0
    return (now - landed_at).total_seconds() / 86_400
