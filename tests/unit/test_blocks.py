import bz2
import gzip
import io
import lzma
import os
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import InputError
from producer.blocks import Block, BlockReader, CompressedFile, PlainFile, Stream, open_file


def blocks_of(data: bytes, *, block_bytes: int, max_line_bytes: int, chunk_bytes: int = 1 << 20) -> list[Block]:
    """All blocks of ``data``, delivered in chunks, and its open last line."""
    source = io.BytesIO(data)
    reader = BlockReader(
        lambda size: source.read(min(size, chunk_bytes)), max_line_bytes=max_line_bytes, block_bytes=block_bytes
    )
    blocks = []
    while (block := reader.next()) is not None:
        blocks.append(block)
    return [*blocks, *([reader.rest] if reader.rest else [])]


def expected_lines(data: bytes, max_line_bytes: int) -> list[tuple[int, bytes]]:
    """Offset and content of each line, cut where it is too long."""
    lines, offset = [], 0
    for line in io.BytesIO(data):
        lines.append((offset, line.removesuffix(b"\n").removesuffix(b"\r")[:max_line_bytes]))
        offset += len(line)
    return lines


def found_lines(blocks: list[Block], max_line_bytes: int) -> list[tuple[int, bytes]]:
    return [
        (block.offset + offset, line) for block in blocks for offset, line in expected_lines(block.data, max_line_bytes)
    ]


some_lines = st.lists(
    st.one_of(st.just(b"\n"), st.just(b"\r\n"), st.just(b"\r"), st.binary(max_size=30), st.just(b"x" * 40))
).map(b"".join)


@given(some_lines, st.integers(1, 40), st.integers(1, 40), st.integers(1, 50))
def test_no_line_is_lost_or_split_however_it_falls(data: bytes, block: int, longest: int, chunk: int) -> None:
    blocks = blocks_of(data, block_bytes=block, max_line_bytes=longest, chunk_bytes=chunk)
    assert found_lines(blocks, longest) == expected_lines(data, longest)
    assert all(len(b.data) <= max(block, longest + 2) for b in blocks)


def test_blocks_begin_at_lines_and_are_as_large_as_allowed() -> None:
    data = b"aaa\nbb\ncccc\nd"
    assert blocks_of(data, block_bytes=8, max_line_bytes=100) == [
        Block(0, b"aaa\nbb\n"),
        Block(7, b"cccc\n"),
        Block(12, b"d"),
    ]
    assert blocks_of(b"", block_bytes=8, max_line_bytes=100) == []


def test_the_rest_of_a_line_that_is_too_long_is_passed_over_and_counts() -> None:
    assert blocks_of(b"a\n" + b"x" * 100 + b"\nb\n", block_bytes=4, max_line_bytes=10) == [
        Block(0, b"a\n"),
        Block(2, b"x" * 12),
        Block(103, b"b\n"),
    ]


def test_a_log_that_grows_is_read_on_and_an_open_line_waits() -> None:
    chunks = [b"one\ntw", b"", b"o", b"", b"\nthree\n", b""]
    reader = BlockReader(lambda _size: chunks.pop(0), max_line_bytes=100)
    assert (reader.next(), reader.rest, reader.offset, reader.position) == (Block(0, b"one\n"), Block(4, b"tw"), 4, 6)
    assert (reader.next(), reader.rest, reader.offset, reader.position) == (None, Block(4, b"two"), 4, 7)
    assert (reader.next(), reader.rest, reader.offset) == (Block(4, b"two\nthree\n"), None, 14)


def test_while_a_long_line_goes_on_the_reader_stays_at_its_start() -> None:
    chunks = [b"x" * 20, b"", b"xxx", b"", b"x\ny\n", b""]
    reader = BlockReader(lambda _size: chunks.pop(0), max_line_bytes=10, block_bytes=5)
    assert (reader.next(), reader.rest, reader.offset) == (Block(0, b"x" * 12), None, 0)
    assert (reader.next(), reader.rest, reader.offset) == (None, None, 0)
    assert (reader.next(), reader.rest, reader.offset) == (None, None, 0)
    assert (reader.next(), reader.offset) == (Block(25, b"y\n"), 27)


# Files ---------------------------------------------------------------------------------------------------------------

TEXT = b"".join(b"line %d\n" % number for number in range(20_000))


def read_all(opened: PlainFile | CompressedFile) -> bytes:
    content = b""
    while chunk := opened.read(1 << 16):
        content += chunk
    return content


def test_gzip_is_known_by_its_first_bytes_and_may_have_several_members(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(gzip.compress(TEXT[:1000]) + gzip.compress(b"") + gzip.compress(TEXT[1000:]))
    opened = open_file(path)
    assert isinstance(opened, CompressedFile)
    assert read_all(opened) == TEXT
    assert (opened.error, opened.raw_position()) == (None, path.stat().st_size)
    assert opened.read_at(5, 10) == TEXT[5:15]
    assert opened.read_at(len(TEXT) - 3, 10) == TEXT[-3:]
    opened.seek(1000)
    assert read_all(opened) == TEXT[1000:]
    opened.close()


def test_a_plain_file_called_gz_is_plain(tmp_path: Path) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(TEXT)
    opened = open_file(path)
    assert isinstance(opened, PlainFile)
    assert (read_all(opened), opened.read_at(3, 4), opened.error) == (TEXT, TEXT[3:7], None)
    opened.close()


def test_what_can_be_read_of_a_truncated_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(TEXT)[:-2000])
    opened = open_file(path)
    content = read_all(opened)
    assert content
    assert TEXT.startswith(content)
    assert opened.error is not None
    assert "truncated" in opened.error
    assert opened.read(10) == b""
    opened.close()


@pytest.mark.parametrize("damage", [b"rubbish after the end", b"\x1f\x8b\x08"])
def test_a_damaged_gzip_says_so_after_what_can_be_read(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(TEXT) + damage)
    opened = open_file(path)
    assert read_all(opened) == TEXT
    assert opened.error is not None
    opened.close()


def test_a_gzip_with_a_flipped_byte_says_so(tmp_path: Path) -> None:
    compressed = bytearray(gzip.compress(TEXT))
    compressed[len(compressed) // 2] ^= 0xFF
    path = tmp_path / "a.gz"
    path.write_bytes(compressed)
    opened = open_file(path)
    assert read_all(opened) != TEXT
    assert opened.error is not None
    assert "damaged" in opened.error
    opened.close()


@pytest.mark.parametrize(
    ("magic", "program"), [(b"\x04\x22\x4d\x18", "lz4"), (b"\x1f\x9d\x90", "uncompress"), (b"PK\x03\x04", "unzip")]
)
def test_other_compression_is_refused_with_the_way_out(tmp_path: Path, magic: bytes, program: str) -> None:
    (tmp_path / "a").write_bytes(magic)
    with pytest.raises(InputError, match=f"decompress it with {program}"):
        open_file(tmp_path / "a")


COMPRESSIONS = {
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_other_compressed_logs_are_read_like_gzip(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(COMPRESSIONS[kind](TEXT))
    opened = open_file(path)
    assert isinstance(opened, CompressedFile)
    assert (read_all(opened), opened.error) == (TEXT, None)
    assert opened.read_at(3, 5) == TEXT[3:8]
    opened.seek(7)
    assert read_all(opened) == TEXT[7:]
    opened.close()


@pytest.mark.parametrize("kind", [kind for kind in COMPRESSIONS if kind != "lzma"])
def test_members_that_follow_each_other_are_one_log(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(COMPRESSIONS[kind](b"a\n") + COMPRESSIONS[kind](b"b\n"))
    opened = open_file(tmp_path / "a")
    assert read_all(opened) == b"a\nb\n"
    opened.close()


@pytest.mark.parametrize("kind", ["xz", "bzip2"])
def test_a_truncated_compressed_log_says_so(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(COMPRESSIONS[kind](os.urandom(50_000))[:-9])
    opened = open_file(tmp_path / "a")
    read_all(opened)
    assert opened.error == f"the {kind} file ends before its end: it is truncated or still being written"
    opened.close()


@pytest.mark.parametrize("is_compressed", [False, True])
def test_an_archive_of_files_is_no_log(tmp_path: Path, is_compressed: bool) -> None:
    (tmp_path / "a.log").write_bytes(TEXT)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w:gz" if is_compressed else "w") as archive:
        archive.add(tmp_path / "a.log", "a.log")
    if not is_compressed:
        with pytest.raises(InputError, match="is an archive of files"):
            open_file(path)
        return
    opened = open_file(path)
    assert (read_all(opened), opened.error) == (
        b"",
        "it holds an archive of files (tar); unpack it and ingest the logs in it",
    )
    opened.close()


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_a_compressed_log_comes_through_a_pipe(kind: str) -> None:
    stream = piped(COMPRESSIONS[kind](TEXT[:60]))
    assert stream.read(1000) == TEXT[:60]
    stream.close()


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing: cannot be read: No such file"):
        open_file(tmp_path / "missing")


# Pipes ---------------------------------------------------------------------------------------------------------------


def piped(content: bytes, *, is_closed: bool = True) -> Stream:
    """A pipe with ``content`` in it."""
    read_end, write_end = os.pipe()
    os.write(write_end, content)
    if is_closed:
        os.close(write_end)
    return Stream(read_end, poll_seconds=0.001, is_stopped=lambda: True)


def test_a_pipe_gives_what_is_there_and_never_waits() -> None:
    read_end, write_end = os.pipe()
    stream = Stream(read_end, poll_seconds=0.001, is_stopped=lambda: False)
    assert (stream.read(100), stream.is_at_end) == (b"", False)
    os.write(write_end, b"B")
    assert (stream.read(100), stream.is_at_end) == (b"", False)  # it could become bzip2
    os.write(write_end, b"bc")
    assert (stream.read(100), stream.read(100), stream.is_at_end) == (b"Bbc", b"", False)
    os.write(write_end, b"d")
    os.close(write_end)
    assert (stream.read(100), stream.read(100), stream.is_at_end) == (b"d", b"", True)
    assert (stream.error, stream.raw_position()) == (None, 4)
    stream.close()


@pytest.mark.parametrize("content", [b"", b"\x1f", b"x", b"x\ny\n"])
def test_short_pipes_are_read_to_their_end(content: bytes) -> None:
    stream = piped(content)
    read = b""
    while not stream.is_at_end:
        read += stream.read(100)
    assert (read, stream.error) == (content, None)
    stream.close()


def test_gzip_comes_through_a_pipe_too() -> None:
    stream = piped(gzip.compress(TEXT[:9000]))
    read = b""
    while not stream.is_at_end:
        read += stream.read(1000)
    assert (read, stream.error) == (TEXT[:9000], None)
    stream.close()


def test_waiting_for_the_rest_of_a_gzip_ends_when_we_are_stopped() -> None:
    stream = piped(gzip.compress(TEXT)[:500], is_closed=False)
    read = b""
    while not stream.is_at_end:
        read += stream.read(1000)
    assert TEXT.startswith(read)
    stream.close()
