"""Whether a Delta table's log is whole (I/O): asked before anything is read from a table or written into it.

Spark and delta-rs take an empty commit, as a power cut leaves it, for one that changed nothing, and a folder that lost
its log for no table: rows would vanish without a word, and a vacuum would then remove them for good.
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lakehouse.errors import TableError

_COMMIT = re.compile(r"^(\d{20})\.json$")
_CHECKPOINT = re.compile(r"^(\d{20})\.checkpoint.*\.parquet$")
_CHECKSUM = re.compile(r"^\.?(\d{20})(\.json|\.crc)?\.crc$")  # Hadoop's of a file, and Delta's of a version
_PARQUET_END = b"PAR1"
# What a table is made from when it is gone, and by whom. Each by its folder, or the folder it stands in.
_MADE_FROM = {
    "delta": ("merged/", "python -m cleaner merge"),
    "batch": ("delta/", "python -m consumer batch"),
    "streaming": ("logs/", "python -m consumer stream"),
}


# So far back a power cut may have left data files that are not what their commit says: nobody waits for the disk longer.
_RECENT_COMMITS = 10
_LAST_COMMIT = "it and its .crc files"


@dataclass(frozen=True)
class Log:
    """A table's log as it was listed once: commits, checkpoints (each may be of several files) and checksums by version."""

    table: Path
    commits: dict[int, Path] = field(default_factory=dict)
    checkpoints: dict[int, list[Path]] = field(default_factory=dict)
    checksums: list[tuple[int, Path]] = field(default_factory=list)


@dataclass(frozen=True)
class Damage:
    """What is wrong with a log: the file, how, and what to move away if that mends it."""

    file: Path
    what: str
    away: str = ""


def whole_log(table: Path) -> Log:
    """The log of a table, without commits where there is no table.

    :raises TableError: it is damaged; says which file, and what to do about this table.
    """
    log = _listed(table)
    _refuse(table, _damage(log))
    return log


def require_data(log: Log) -> None:
    """See that the data files of the last commits are as long as these say.

    Only for the table's one writer, under its lock: others see files go.

    :raises TableError: one is not, as after a power cut; says what to do.
    """
    added: dict[str, tuple[int, int]] = {}
    for version in sorted(log.commits)[-_RECENT_COMMITS:]:
        for action in _actions(log.commits[version]):
            if "remove" in action:
                added.pop(action["remove"]["path"], None)
            if "add" in action:
                added[action["add"]["path"]] = version, action["add"]["size"]
    for path, (version, size) in sorted(added.items(), key=lambda item: item[1]):
        file = log.table / unquote(path)
        found = file.stat().st_size if file.exists() else 0
        if found != size:
            away = (
                _LAST_COMMIT if version == max(log.commits) else "it and the commits after it, with their .crc files,"
            )
            what = f"{found} bytes of {size} are there of its data file {path}"
            _refuse(log.table, Damage(log.commits[version], what, away))


def forget_checksums(log: Log) -> None:
    """Remove the checksums of commits after the last, and of those before the last checkpoint.

    After the last there is one only if its commit was moved away: the next one takes its number. Those before the checkpoint
    nobody misses; but they are three of a commit's four files, and each query lists the whole log.

    Not beside a writer: it would lose the checksum of the commit that it has just made.
    """
    first, last = max(log.checkpoints, default=-1), max(log.commits, default=-1)
    for version, path in log.checksums:
        if not first <= version <= last:
            path.unlink(missing_ok=True)


def _listed(table: Path) -> Log:
    log, folder = Log(table), table / "_delta_log"
    # By names: a day or two of a merge a minute are thousands of them.
    for name in os.listdir(folder) if folder.is_dir() else ():  # noqa: PTH208
        if found := _COMMIT.match(name):
            log.commits[int(found[1])] = folder / name
        elif found := _CHECKPOINT.match(name):
            log.checkpoints.setdefault(int(found[1]), []).append(folder / name)
        elif found := _CHECKSUM.match(name):
            log.checksums.append((int(found[1]), folder / name))
    return log


def _refuse(table: Path, damage: Damage | None) -> None:
    if damage is not None:
        raise TableError(f"{damage.file}: {damage.what}; {_advice(table, damage)}")


def _damage(log: Log) -> Damage | None:
    table, commits = log.table, log.commits
    if not commits:
        has_data = any(table.glob("part-*.parquet")) or any(table.glob("event_date=*/*.parquet"))
        return Damage(table / "_delta_log", "the table's log is gone, its data is there") if has_data else None
    base = max(log.checkpoints, default=-1)
    for path in log.checkpoints.get(base, ()):
        if not _ends_as_parquet(path):
            return Damage(path, "the checkpoint of the table's log is cut off")
    last = max(commits)
    for version in range(base + 1, last + 1):
        if version not in commits:
            return Damage(table / "_delta_log" / f"{version:020}.json", "this commit is missing from the table's log")
        if not _is_whole(commits[version]):
            away = _LAST_COMMIT if version == last else ""
            return Damage(commits[version], "this commit of the table's log is empty or cut off", away)
    return None


def _is_whole(commit: Path) -> bool:
    """Whether a commit has actions, each a line of JSON. One that is gone by now was made superfluous by a checkpoint."""
    try:
        actions = _actions(commit)
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return bool(actions) and all(isinstance(action, dict) for action in actions)


def _actions(commit: Path) -> list[dict[str, Any]]:
    # Of bytes: in text, characters that a log can bring into a column's statistics would end lines too.
    return [json.loads(line) for line in commit.read_bytes().splitlines()]


def _ends_as_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(_PARQUET_END)))
            return file.read() == _PARQUET_END
    except FileNotFoundError:
        return True  # a newer one has taken its place


def _advice(table: Path, damage: Damage) -> str:
    made_from = _MADE_FROM.get(table.name) or _MADE_FROM.get(table.parent.name)
    if made_from is not None:
        return f"move {table} away: it is made anew from {made_from[0]} by: {made_from[1]}"
    if damage.away:
        return (
            f"move {damage.away} away and run again: what it held and is still landed is merged again. If consumer report then"
            " says that rows are missing, only a backup of it has them"
        )
    return "restore it from a backup; without one, move merged/, quarantine/, delta/ and _ledger/ away and land the logs again"
