"""Who a line is: ``<fingerprint>-<offset>-<line hash>``, three fields of 16, 12 and 16 hexadecimal digits.

* The fingerprint is the start of SHA-256 over the site's name, a NUL and the file's first line.
* The offset is where the line starts in the uncompressed file, in bytes.
* The line hash is a function of the line's bytes alone, without its end-of-line characters, defined here to the bit so
  that no version of any library can change it. All arithmetic is modulo 2^64::

      words  = the line, padded with zero bytes to a multiple of 8, as little-endian 64-bit integers w[0], w[1], ...
      mix(x) = x ^= x >> 30;  x *= BF58476D1CE4E5B9;  x ^= x >> 27;  x *= 94D049BB133111EB;  x ^= x >> 31
      hash   = mix(length * G + sum over i of mix(w[i] + (i + 1) * G))        where G = 9E3779B97F4A7C15

  ``mix`` is the finaliser of SplitMix64. The hash tells lines apart, it does not resist someone who constructs
  collisions; those would have to stand at the same offset of two files with the same first line.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
WORD_BYTES = 8
# Of a line's last word, only so many bytes belong to the line.
LAST_WORD_MASKS = np.array([0, *((1 << 8 * n) - 1 for n in range(1, WORD_BYTES + 1))], dtype=np.uint64)
# Temporary arrays of this size stay in the processor's cache: four times faster than a whole block at once.
CHUNK_BYTES = 1 << 19

FINGERPRINT_DIGITS, OFFSET_DIGITS, HASH_DIGITS = 16, 12, 16
ID_CHARACTERS = FINGERPRINT_DIGITS + OFFSET_DIGITS + HASH_DIGITS + 2
_HEX_PAIRS = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype="V2")


@dataclass(frozen=True)
class Spans:
    """Where lines stand in a block of bytes: from ``starts`` to before ``ends``, end-of-line characters left out."""

    starts: Integers
    ends: Integers


def line_spans(data: bytes) -> Spans:
    r"""The lines of ``data``: each ends with ``\n`` or ``\r\n``, the last perhaps with nothing or ``\r``."""
    content = np.frombuffer(data, dtype=np.uint8)
    newlines = np.flatnonzero(content == ord("\n"))
    is_open = len(data) > 0 and data[-1:] != b"\n"
    ends = np.append(newlines, len(data)) if is_open else newlines
    starts = np.concatenate((np.zeros(1, dtype=np.int64), newlines + 1))[: len(ends)]
    has_return = (ends > starts) & (content[np.maximum(ends - 1, 0)] == ord("\r")) if len(ends) else ends > starts
    return Spans(starts, ends - has_return)


def fingerprint(site: str, first_line: bytes) -> str:
    """The part of an id that all lines of a file share.

    :param first_line: the file's first line without its end-of-line characters.
    """
    content = site.encode("utf-8", "surrogateescape") + b"\0" + first_line
    return hashlib.sha256(content).hexdigest()[:FINGERPRINT_DIGITS]


def line_hashes(data: bytes, spans: Spans) -> Hashes:
    """The hash of each line."""
    hashes = np.empty(len(spans.starts), dtype=np.uint64)
    first = 0
    while first < len(hashes):
        begin = int(spans.starts[first])
        beyond = int(np.searchsorted(spans.ends, begin + CHUNK_BYTES, side="right"))
        last = max(beyond, first + 1)
        chunk = data[begin : int(spans.ends[last - 1])]
        hashes[first:last] = _hashes(chunk, spans.starts[first:last] - begin, spans.ends[first:last] - begin)
        first = last
    return hashes


def event_ids(file_fingerprint: str, offsets: Integers, hashes: Hashes) -> pl.Series:
    """The ids of lines at ``offsets`` of a file, as text."""
    characters = np.empty((len(hashes), ID_CHARACTERS), dtype=np.uint8)
    characters[:, :FINGERPRINT_DIGITS] = np.frombuffer(file_fingerprint.encode(), dtype=np.uint8)
    at = FINGERPRINT_DIGITS
    for numbers, digits in ((offsets, OFFSET_DIGITS), (hashes, HASH_DIGITS)):
        characters[:, at] = ord("-")
        characters[:, at + 1 : at + 1 + digits] = _hexadecimal(numbers, digits)
        at += 1 + digits
    ids = pl.Series("event_id", characters, dtype=pl.Array(pl.UInt8, ID_CHARACTERS))
    return ids.cast(pl.List(pl.UInt8)).cast(pl.Binary).cast(pl.String)


def _hashes(chunk: bytes, starts: Integers, ends: Integers) -> Hashes:
    # Every byte of the chunk as the first of a word.
    words: Hashes = np.ndarray((len(chunk) + 1,), dtype="<u8", buffer=chunk + bytes(WORD_BYTES), strides=(1,))
    lengths = ends - starts
    counts = (lengths + WORD_BYTES - 1) // WORD_BYTES
    after = np.cumsum(counts)
    before = after - counts
    positions = np.arange(after[-1]) - np.repeat(before, counts)
    picked = words[np.repeat(starts, counts) + WORD_BYTES * positions]
    is_filled = counts > 0
    picked[after[is_filled] - 1] &= LAST_WORD_MASKS[(lengths[is_filled] - 1) % WORD_BYTES + 1]
    picked += (positions + 1).astype(np.uint64) * GOLDEN
    sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(_mixed(picked), dtype=np.uint64)))
    return _mixed(lengths.astype(np.uint64) * GOLDEN + (sums[after] - sums[before]))


def _mixed(numbers: Hashes) -> Hashes:
    numbers ^= numbers >> np.uint64(30)
    numbers *= MIX_1
    numbers ^= numbers >> np.uint64(27)
    numbers *= MIX_2
    numbers ^= numbers >> np.uint64(31)
    return numbers


def _hexadecimal(numbers: npt.NDArray[Any], digits: int) -> npt.NDArray[np.uint8]:
    octets = numbers.astype(">u8").view(np.uint8).reshape(-1, WORD_BYTES)[:, WORD_BYTES - digits // 2 :]
    return _HEX_PAIRS[octets].view(np.uint8).reshape(-1, digits)
