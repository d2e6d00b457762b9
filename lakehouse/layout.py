"""Which layout a lake has: a number in ``_ledger/lake.json``, which rises when an older release could not go on with it. I/O.

A layout is brought up to date piece by piece: each program gives its tables the columns they lack as it next writes them.
"""

import json
import logging

from lakehouse.durable import write_durably
from lakehouse.errors import LayoutError
from lakehouse.lake import Lake

# 1: the first release, which writes no number. 2: `rescued`.
LAYOUT = 2

log = logging.getLogger("lakehouse.layout")


def require_known(lake: Lake) -> int | None:
    """The lake's layout; ``None`` where there is no lake yet.

    :raises LayoutError: it is newer than this release knows, or cannot be read.
    """
    try:
        content = lake.layout.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return 1 if any(path.exists() for path in (lake.landing, lake.ledger, lake.merged, lake.logs)) else None
    except OSError as error:
        raise LayoutError(f"{lake.layout}: cannot be read: {error.strerror}; see to its permissions") from None
    try:
        layout = int(json.loads(content)["layout"])
    except (ValueError, TypeError, KeyError):
        raise LayoutError(
            f"{lake.layout}: says no layout; if the lake is of this release, put this into it: {_content()}"
        ) from None
    if layout > LAYOUT:
        raise LayoutError(
            f"{lake.root}: the lake is from a newer release (layout {layout}, this one knows up to {LAYOUT}): "
            "nothing was touched; update this installation, or set paths.data_lake to another folder"
        )
    return layout


def adopt(lake: Lake) -> None:
    """Make the lake one of this release, before anything is written into it.

    A number that cannot be written is a warning: who may write elsewhere in the lake, as a producer may, goes on.

    :raises LayoutError: as ``require_known``.
    """
    layout = require_known(lake)
    if layout == LAYOUT:
        return
    try:
        write_durably(lake.layout, _content() + "\n", has_rivals=True)
    except OSError as error:
        log.warning("%s: cannot be written: %s; free some space or see to its permissions", lake.layout, error.strerror)
        return
    if layout is not None:
        log.info(
            "%s is from an older release (layout %d, now %d): each table gets the columns it lacks when it is next written",
            lake.root, layout, LAYOUT,
        )  # fmt: skip


def _content() -> str:
    return json.dumps({"layout": LAYOUT})
