import hashlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer import identity
from producer.identity import event_ids, fingerprint, line_hashes, line_spans

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def slow_mix(x: int) -> int:
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def slow_hash(line: bytes) -> int:
    """The hash as its definition has it, one line at a time."""
    total = len(line) * GOLDEN
    for i in range(0, len(line), 8):
        total += slow_mix((int.from_bytes(line[i : i + 8], "little") + (i // 8 + 1) * GOLDEN) & MASK)
    return slow_mix(total & MASK)


def slow_lines(data: bytes) -> list[tuple[int, bytes]]:
    """Offset and content of each line, one at a time."""
    lines, offset = [], 0
    for line in io.BytesIO(data):
        lines.append((offset, line.removesuffix(b"\n").removesuffix(b"\r")))
        offset += len(line)
    return lines


log_bytes = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"GET /index.html", b"\x00", b"\xff", b"\xc3\xa9"]))


@given(log_bytes.map(b"".join))
def test_spans_and_hashes_are_those_of_the_slow_definition(data: bytes) -> None:
    spans = line_spans(data)
    found = [(start, data[start:end]) for start, end in zip(spans.starts.tolist(), spans.ends.tolist(), strict=True)]
    expected = slow_lines(data)
    assert found == expected
    assert line_hashes(data, spans).tolist() == [slow_hash(line) for _, line in expected]


def test_a_line_has_the_same_hash_in_any_chunk_and_at_any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b"x" * n for n in range(40)] + [b"", b"", b"y" * 1000]
    data = b"\n".join(lines) + b"\n"
    expected = [slow_hash(line) for line in lines]
    for chunk_bytes in (1, 7, 64, 1 << 20):
        monkeypatch.setattr(identity, "CHUNK_BYTES", chunk_bytes)
        assert line_hashes(data, line_spans(data)).tolist() == expected


def test_the_hash_never_changes() -> None:
    data = b"\n".join([b"", b"a", b"12345678", b"123456789", b"\x00", b"\x00" * 9]) + b"\n"
    assert [f"{h:016x}" for h in line_hashes(data, line_spans(data)).tolist()] == [
        "0000000000000000",
        "db87c9c9a517a502",
        "ea41a6c5b3025a5a",
        "fdc9f656290bc2e8",
        "a706dd2f4d197e6f",
        "a5aaa3b9403740db",
    ]


def test_lines_that_differ_in_one_byte_or_in_trailing_zeros_have_different_hashes() -> None:
    line = bytearray(b'192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1')
    variants = {bytes(line)}
    for place in range(len(line)):
        for bit in range(8):
            changed = line.copy()
            changed[place] ^= 1 << bit
            variants.add(bytes(changed).replace(b"\n", b"!"))
    variants |= {bytes(line) + bytes(n) for n in range(1, 20)} | {bytes(n) for n in range(20)}
    data = b"\n".join(variants) + b"\n"
    assert len(set(line_hashes(data, line_spans(data)).tolist())) == len(variants)


def test_an_id_names_file_offset_and_line_in_hexadecimal() -> None:
    offsets = np.array([0, 255, 2**47], dtype=np.int64)
    hashes = np.array([0, 0x0123456789ABCDEF, 2**64 - 1], dtype=np.uint64)
    assert event_ids("00ff00ff00ff00ff", offsets, hashes).to_list() == [
        "00ff00ff00ff00ff-000000000000-0000000000000000",
        "00ff00ff00ff00ff-0000000000ff-0123456789abcdef",
        "00ff00ff00ff00ff-800000000000-ffffffffffffffff",
    ]
    assert event_ids("00ff00ff00ff00ff", offsets[:0], hashes[:0]).to_list() == []


def test_a_fingerprint_tells_sites_and_first_lines_apart() -> None:
    assert fingerprint("", b"first line") == hashlib.sha256(b"\0first line").hexdigest()[:16]
    assert fingerprint("a", b"b") == hashlib.sha256(b"a\0b").hexdigest()[:16]
    assert len({fingerprint(site, line) for site in ("", "a", "é") for line in (b"", b"a", b"\xe9")}) == 9
