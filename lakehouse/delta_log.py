"""Whether a Delta table's log is whole (I/O): asked before anything is read from a table or written into it.

Spark and delta-rs take an empty commit, as a power cut leaves it, for one that changed nothing, and a folder that lost
its log for no table: rows would vanish without a word, and a vacuum would then remove them for good.
"""

import json
import re
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Damage:
    """What is wrong with a log: the file, how, and whether that is the last commit alone, or it and those after it."""

    file: Path
    what: str
    is_last_commit: bool = False
    is_from_here: bool = False


def has_log(table: Path) -> bool:
    """Whether there is a Delta table, with a log that is whole.

    :raises TableError: the log is damaged; says which file, and what to do about this table.
    """
    commits, checkpoints = _listed(table / "_delta_log")
    damage = _damage(table, commits, checkpoints)
    if damage is not None:
        raise TableError(f"{damage.file}: {damage.what}; {_advice(table, damage)}")
    return bool(commits)


def require_data(table: Path) -> None:
    """See that the data files of the last commits are as long as these say.

    Only for the table's one writer, under its lock: others see files go.

    :raises TableError: one is not, as after a power cut; says what to do.
    """
    commits, _ = _listed(table / "_delta_log")
    added: dict[str, tuple[int, int]] = {}
    for version in sorted(commits)[-_RECENT_COMMITS:]:
        for action in _actions(commits[version]):
            if "remove" in action:
                added.pop(action["remove"]["path"], None)
            if "add" in action:
                added[action["add"]["path"]] = version, action["add"]["size"]
    for path, (version, size) in sorted(added.items(), key=lambda item: item[1]):
        file = table / unquote(path)
        found = file.stat().st_size if file.exists() else 0
        if found != size:
            damage = Damage(
                commits[version], f"{found} bytes of {size} are there of its data file {path}",
                is_last_commit=version == max(commits), is_from_here=True,
            )  # fmt: skip
            raise TableError(f"{damage.file}: {damage.what}; {_advice(table, damage)}")


def forget_lost_commits(table: Path) -> None:
    """Remove the checksums of commits after the last: of one that was moved away, whose number the next one takes.

    Only for the table's one writer, under its lock.
    """
    log = table / "_delta_log"
    last = max(_listed(log)[0], default=-1)
    for path in list(log.glob("*.crc")) if log.is_dir() else ():
        found = _CHECKSUM.match(path.name)
        if found and int(found[1]) > last:
            path.unlink()


def _listed(log: Path) -> tuple[dict[int, Path], dict[int, list[Path]]]:
    """The commits and the checkpoints (which may be of several files) by version."""
    commits: dict[int, Path] = {}
    checkpoints: dict[int, list[Path]] = {}
    for path in log.iterdir() if log.is_dir() else ():
        if found := _COMMIT.match(path.name):
            commits[int(found[1])] = path
        elif found := _CHECKPOINT.match(path.name):
            checkpoints.setdefault(int(found[1]), []).append(path)
    return commits, checkpoints


def _damage(table: Path, commits: dict[int, Path], checkpoints: dict[int, list[Path]]) -> Damage | None:
    if not commits:
        has_data = any(table.glob("part-*.parquet")) or any(table.glob("event_date=*/*.parquet"))
        return Damage(table / "_delta_log", "the table's log is gone, its data is there") if has_data else None
    base = max(checkpoints, default=-1)
    for path in checkpoints.get(base, ()):
        if not _ends_as_parquet(path):
            return Damage(path, "the checkpoint of the table's log is cut off")
    last = max(commits)
    for version in range(base + 1, last + 1):
        if version not in commits:
            return Damage(table / "_delta_log" / f"{version:020}.json", "this commit is missing from the table's log")
        if not _is_whole(commits[version]):
            return Damage(
                commits[version], "this commit of the table's log is empty or cut off", is_last_commit=version == last
            )
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
    if damage.is_last_commit or damage.is_from_here:
        what = (
            "it and its .crc files" if damage.is_last_commit else "it and the commits after it, with their .crc files,"
        )
        return (
            f"move {what} away and run again: what it held and is still landed is merged again. If consumer report then says"
            " that rows are missing, only a backup of it has them"
        )
    return "restore it from a backup; without one, move merged/, quarantine/, delta/ and _ledger/ away and land the logs again"
