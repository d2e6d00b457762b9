"""What is at the paths that ``--follow`` was given (I/O): looked at once for each plan.

What cannot be looked at stops nothing: it is known as such, and what was there counts as still there.
"""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import InputError
from producer.ingest import STANDARD_INPUT, source_text
from producer.plan import Disk, Status

GONE = (FileNotFoundError, NotADirectoryError)


@dataclass
class Look:
    """What was found.

    :param empty: folders and globs without a file.
    :param failures: by the paths that could not be looked at: what the system said.
    """

    files: dict[Path, Status] = field(default_factory=dict)
    named: set[Path] = field(default_factory=set)
    missing: set[Path] = field(default_factory=set)
    links: set[Path] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)
    failures: dict[Path, str] = field(default_factory=dict)

    @property
    def disk(self) -> Disk:
        """As it is planned with, without the open files."""
        return Disk(
            files=self.files,
            named=frozenset(self.named),
            missing=frozenset(self.missing),
            unknown=frozenset(self.failures),
            links=frozenset(self.links),
        )


def look_at(paths: Sequence[str]) -> Look:
    """All files that the paths mean: themselves, those in a folder (not below it, no hidden ones), those of a glob."""
    look = Look()
    for named in paths:
        is_folder, found = _files_of(named, look)
        if not found and not look.failures.get(Path(named)):
            look.empty.add(named)
        if not is_folder:
            look.named.update(found)
        for path in found:
            _look_at_file(path, look)
    return look


def check_followable(path: str) -> None:
    """See to it that there may be logs at ``path``, now or later.

    :raises InputError: it is standard input, or leads nowhere.
    """
    if path == STANDARD_INPUT:
        raise InputError("standard input cannot be followed: it is read to its end without --follow")
    if not glob.has_magic(path) and not os.path.lexists(path) and _is_no_folder(Path(path).parent):
        raise InputError(f"{source_text(path)}: no folder there to wait for a log in; name logs, or folders of logs")


def _is_no_folder(path: Path) -> bool:
    """Whether that is known: a folder that cannot be looked at may be one."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except GONE:
        return True
    except OSError:
        return False


def _files_of(named: str, look: Look) -> tuple[bool, list[Path]]:
    """Whether that is a folder, for all we know, and the paths that it means."""
    path = Path(named)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
        if is_folder:
            return True, sorted(_visible_files(path, look))
    except GONE:
        if glob.has_magic(named):
            found = sorted(p for p in map(Path, glob.glob(named)) if _is_file(p, look))  # noqa: PTH207
            look.links.update(filter(Path.is_symlink, found))
            return False, found
    except OSError as error:
        look.failures[path] = error.strerror or str(error)
        return True, []
    if path.is_symlink():
        look.links.add(path)
    return False, [path]


def _visible_files(folder: Path, look: Look) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            try:
                is_file = not entry.name.startswith(".") and entry.is_file()
            except OSError as error:
                look.failures[path] = error.strerror or str(error)
                continue
            if is_file:
                if entry.is_symlink():
                    look.links.add(path)
                yield path


def _is_file(path: Path, look: Look) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except GONE:
        return False
    except OSError as error:
        look.failures[path] = error.strerror or str(error)
        return False


def _look_at_file(path: Path, look: Look) -> None:
    try:
        status = path.stat()
    except GONE:
        look.missing.add(path)
    except OSError as error:
        look.failures[path] = error.strerror or str(error)
    else:
        if stat.S_ISREG(status.st_mode):
            look.files[path] = Status.of(status)
