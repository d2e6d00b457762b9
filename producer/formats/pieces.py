"""Lines that a container runtime has cut in pieces, because they were longer than its buffer: joined again. Pure.

The container runtime interface (CRI) tags each piece but the last with ``P`` instead of ``F``; in Docker's json-file the text of
such a piece has no line end. Pieces of stdout and stderr may stand among each other.
"""

import re

import polars as pl

# Above so many lines a piece is not waited for any longer: what wrote it may have died.
MOST_LINES_WAITED = 200
_CRI = re.compile(rb"\d{4}-\d\d-\d\dT[0-9:.,]{8,20}(?:Z|[+-]\d\d:?\d\d) (stdout|stderr) ([FP]) ")
# Docker cuts at 16 KiB of text. A shorter line without its end comes from an export that has lost all of them.
_DOCKER, _DOCKER_PIECE_BYTES = re.compile(rb'(\\n)?"\s*,\s*"stream"\s*:\s*"(stdout|stderr)"'), 16 << 10
_LONGEST_CRI_PREFIX = 60
_STREAMS = 2


def whole_lines_end(data: bytes | bytearray, end: int) -> int:
    """Before ``end``, where a line ends: where the last line ends that is whole, or whose last piece is there.

    Only the last lines are looked at, and of most logs only the last one's first bytes.
    """
    while (before := _first_open(data, end)) not in (end, 0):
        end = before  # there, another stream's line may go on
    return before


def _first_open(data: bytes | bytearray, end: int) -> int:
    """Where the first line before ``end`` starts whose last piece is not before it; ``end`` where there is none."""
    ended: set[bytes] = set()
    start, whole = end, end
    for _ in range(MOST_LINES_WAITED):
        stop, start = start, data.rfind(b"\n", 0, start - 1) + 1
        piece = _piece(data, start, stop)
        if piece is None and stop == end:
            return end
        if piece is not None:
            stream, goes_on = piece
            if not goes_on:
                ended.add(stream)
            elif stream not in ended:
                whole = start
        if start == 0 or len(ended) == _STREAMS:
            return whole
    return end if whole == start else whole


def _piece(data: bytes | bytearray, start: int, stop: int) -> tuple[bytes, bool] | None:
    """The stream of a line of a container, and whether it goes on in the next; ``None`` for other lines."""
    if data[start : start + 1] == b"{":
        key = data.rfind(b'"stream"', start, stop)
        match = _DOCKER.search(data, max(start, key - 8), stop) if key >= 0 else None
        return None if match is None else (match[2], match[1] is None and stop - start >= _DOCKER_PIECE_BYTES)
    match = _CRI.match(data, start, min(stop, start + _LONGEST_CRI_PREFIX))
    return None if match is None else (match[1], match[2] == b"P")


def joined(lines: pl.Series, streams: pl.Series, is_part: pl.Series) -> tuple[pl.Series, dict[int, list[int]]]:
    """Each part joined with those of its stream behind it, and by the place of the first the places of the others.

    :param lines: null where a line is in no envelope.
    :param streams: the stream of each line.
    """
    texts = lines.to_list()
    followers: dict[int, list[int]] = {}
    firsts: dict[str | None, int] = {}
    for place, (stream, goes_on) in enumerate(zip(streams, is_part, strict=True)):
        if texts[place] is None:
            continue
        first = firsts.get(stream)
        if first is not None:
            followers[first].append(place)
            texts[first] += texts[place]
        if not goes_on:
            firsts.pop(stream, None)
        elif first is None:
            firsts[stream], followers[place] = place, []
    return pl.Series("line", texts, dtype=pl.String), followers
