"""Logs read in blocks of whole lines (I/O): plain files, compressed ones by their magic bytes, pipes. Memory stays flat.

Offsets count bytes of the uncompressed log. A line longer than ``max_line_bytes`` comes as a block of its own, a little
longer than the limit and without newline; the rest of it is passed over. A line that a container runtime has cut comes whole, in one block.
"""

import bz2
import gzip
import lzma
import os
import select
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader, FileIO, RawIOBase
from pathlib import Path
from typing import IO, Any, Self

import zstandard

from lakehouse.errors import InputError, UnreadableError
from producer.formats.pieces import whole_lines_end

BLOCK_BYTES = 1 << 20
STDIN_DESCRIPTOR = 0
GZIP_MAGIC = b"\x1f\x8b"
MAGIC = {
    GZIP_MAGIC: "gzip", b"\xfd7zXZ\x00": "xz", b"\x5d\x00\x00": "lzma", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip
# What opens a compressed log, by its kind; each has read1, seek and tell.
DECOMPRESSORS: dict[str, Callable[[IO[bytes]], Any]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    "xz": lzma.LZMAFile,
    "lzma": lzma.LZMAFile,
    "bzip2": bz2.BZ2File,
    "zstd": lambda file: zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False),
}
# What is compressed or packed in other ways, and the program that unpacks it.
OTHER_MAGIC = {b"PK\x03\x04": "unzip", b"\x04\x22\x4d\x18": "lz4", b"\x1f\x9d": "uncompress", b"7z\xbc\xaf": "7z"}
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257
MAGIC_BYTES = TAR_MAGIC_AT + len(TAR_MAGIC)


@dataclass(frozen=True)
class Block:
    """Lines of a log from that at ``offset`` on. All of them end with a newline, but perhaps the last."""

    offset: int
    data: bytes


class BlockReader:
    """Cuts what ``read`` delivers into blocks.

    :param read: as ``io.RawIOBase.read``: up to so many bytes, none when there is nothing now.
    :param offset: where in the log ``read`` begins.
    """

    def __init__(
        self, read: Callable[[int], bytes], *, max_line_bytes: int, offset: int = 0, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._read = read
        self._block_bytes, self._max_line_bytes = block_bytes, max_line_bytes
        self._buffer = bytearray()
        self._is_passing_over = False
        self.offset = offset
        """Where the first line starts that was not delivered, or only in part."""
        self.position = offset
        """How far the log was read."""

    def next(self) -> Block | None:
        """The next lines, whole ones, or ``None`` when there is no whole line now."""
        while True:
            has_more = self._fill(self._block_bytes)
            if self._is_passing_over and not self._pass_over():
                if has_more:
                    continue
                return None
            end = self._buffer.rfind(b"\n") + 1
            longest = self._max_line_bytes + len(b"\r\n")
            if end:
                whole = self._whole_end(longest if has_more else 0)
                return self._taken(whole) if whole else None
            if len(self._buffer) < longest and has_more:
                has_more = self._fill(longest)
                if self._buffer.find(b"\n") >= 0:
                    continue
            if len(self._buffer) >= longest:
                self._is_passing_over = True
                return Block(self.offset, bytes(self._buffer[:longest]))
            return None

    @property
    def rest(self) -> Block | None:
        """What is left: the last line if it has no end yet, before it a line whose last piece is not there."""
        if not self._buffer or self._is_passing_over:
            return None
        return Block(self.offset, bytes(self._buffer))

    @property
    def held(self) -> Block | None:
        """Lines that were kept back because the last of them goes on, without what has no end yet."""
        end = self._buffer.rfind(b"\n") + 1
        return Block(self.offset, bytes(self._buffer[:end])) if end and not self._is_passing_over else None

    def _whole_end(self, more_bytes: int) -> int:
        """Where the last line ends that is whole; 0 if the last pieces of the first one are still to come.

        :param more_bytes: to read to find them; of a line that has even more, the pieces are lines.
        """
        whole = whole_lines_end(self._buffer, self._buffer.rfind(b"\n") + 1)
        if whole or not more_bytes:
            return whole
        is_too_long = self._fill(self._block_bytes + more_bytes)
        end = self._buffer.rfind(b"\n") + 1
        return whole_lines_end(self._buffer, end) or (end if is_too_long else 0)

    def _fill(self, size: int) -> bool:
        """Read until the buffer holds ``size`` bytes; whether there may be more."""
        while len(self._buffer) < size:
            chunk = self._read(size - len(self._buffer))
            if not chunk:
                return False
            self._buffer += chunk
            self.position += len(chunk)
        return True

    def _pass_over(self) -> bool:
        """Drop the rest of a line that was too long; whether its end was there."""
        end = self._buffer.find(b"\n") + 1
        if not end:
            self._buffer.clear()
            return False
        del self._buffer[:end]
        self.offset = self.position - len(self._buffer)
        self._is_passing_over = False
        return True

    def _taken(self, end: int) -> Block:
        block = Block(self.offset, bytes(memoryview(self._buffer)[:end]))
        self._buffer = self._buffer[end:]
        self.offset += end
        return block


class CompressedFile:
    """What can be read of a compressed log, of one or more members: gzip, xz, bzip2 or zstd.

    :param kind: a key of ``DECOMPRESSORS``.
    """

    def __init__(self, file: IO[bytes], kind: str = "gzip") -> None:
        self.error: str | None = None
        """Why it could not be read to its end."""
        self.is_truncated = False
        """Whether that was because it ends too early: what could be read is right."""
        self._file, self._kind = file, kind
        self._members = DECOMPRESSORS[kind](file)

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the uncompressed log; none at its end, or at an error."""
        if self.error is not None:
            return b""
        try:
            chunk = bytes(self._members.read1(size))
        except EOFError:
            self.is_truncated = True
            self.error = f"the {self._kind} file ends before its end: it is truncated or still being written"
        except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError, ValueError) as error:
            self.error = f"the {self._kind} file is damaged: {error}"
        except OSError as error:
            if error.errno is not None:
                raise
            self.error = f"the {self._kind} file is damaged: {error}"
        else:
            if not self._is_archive(chunk):
                return chunk
            self.error = "it holds an archive of files (tar); unpack it and ingest the logs in it"
        return b""

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes from elsewhere in the uncompressed log, if they can be read; ``seek`` before reading on."""
        self.seek(offset)
        found = bytearray()
        while len(found) < size and (chunk := self.read(size - len(found))):
            found += chunk
        self.error, self.is_truncated = None, False
        return bytes(found)

    def seek(self, offset: int) -> None:
        """Go on reading at ``offset`` of the uncompressed log, or at its end if it is shorter."""
        with suppress(EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError):
            if self._kind == "zstd" and offset < self._members.tell():  # it only goes forward
                self._file.seek(0)
                self._members = DECOMPRESSORS[self._kind](self._file)
            self._members.seek(offset)

    def raw_position(self) -> int:
        """How many bytes were read from the disk."""
        return self._file.tell()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _is_archive(self, chunk: bytes) -> bool:
        return self._members.tell() == len(chunk) and chunk[TAR_MAGIC_AT:].startswith(TAR_MAGIC)


class PlainFile:
    """A log file that is not compressed. It may grow while it is read."""

    def __init__(self, file: FileIO) -> None:
        self.error: str | None = None
        self._file = file

    @classmethod
    @contextmanager
    def at(cls, path: Path) -> Iterator[Self]:
        """The bytes of any file as they are, while the block lasts."""
        opened = cls(FileIO(path))
        try:
            yield opened
        finally:
            opened.close()

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at its end, for now."""
        return self._file.read(size) or b""

    def raw_position(self) -> int:
        """How many bytes were read from the disk."""
        return self._file.tell()

    def status(self) -> os.stat_result:
        """What the kernel says of the open file, whatever its name is now."""
        return os.fstat(self._file.fileno())

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes from elsewhere in the file."""
        return os.pread(self._file.fileno(), size, offset)

    def seek(self, offset: int) -> None:
        """Go on reading at ``offset``."""
        self._file.seek(offset)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Stream:
    """Standard input or a pipe, compressed or not. ``read`` never waits for plain text; ``wait`` does.

    :param is_stopped: asked every ``poll_seconds`` while waiting for more of a compressed log; true ends it there.
    """

    def __init__(self, descriptor: int, *, poll_seconds: float, is_stopped: Callable[[], bool]) -> None:
        self.is_at_end = False
        self._descriptor, self._poll_seconds, self._is_stopped = descriptor, poll_seconds, is_stopped
        self._head: bytes | None = b""
        self._members: CompressedFile | None = None
        self._bytes_read = 0

    @property
    def error(self) -> str | None:
        """Why it could not be read to its end."""
        return None if self._members is None else self._members.error

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to read, its end included, or so long; whether there is."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the uncompressed log; none at its end, and when there is nothing now."""
        if self._members is not None:
            chunk = self._members.read(size)
            self.is_at_end = not chunk
            return chunk
        chunk = self.read_raw(size) if self.wait(0) else b""
        if self._head is None:
            return chunk
        self._head += chunk
        is_undecided = any(magic.startswith(self._head) for magic in MAGIC if len(self._head) < len(magic))
        if is_undecided and not self.is_at_end:
            return b""
        head, self._head = self._head, None
        kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)
        if kind is None:
            return head
        self._members = CompressedFile(BufferedReader(_Waiting(self, head)), kind)
        return self.read(size)

    def read_raw(self, size: int) -> bytes:
        """Bytes as they arrive; waits for them."""
        while not self.wait(self._poll_seconds):
            if self._is_stopped():
                return b""
        chunk = os.read(self._descriptor, size)
        self._bytes_read += len(chunk)
        self.is_at_end = not chunk
        return chunk

    def raw_position(self) -> int:
        """How many bytes came through the pipe."""
        return self._bytes_read

    def close(self) -> None:
        """Let go of the pipe; standard input stays open."""
        if self._descriptor != STDIN_DESCRIPTOR:
            os.close(self._descriptor)


class _Waiting(RawIOBase):
    """A stream as a file object for gzip, with what was read of it already."""

    def __init__(self, stream: Stream, head: bytes) -> None:
        super().__init__()
        self._stream, self._head = stream, head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        chunk = self._head or self._stream.read_raw(len(view))
        chunk, self._head = chunk[: len(view)], chunk[len(view) :]
        view[: len(chunk)] = chunk
        return len(chunk)


def open_file(path: Path) -> PlainFile | CompressedFile:
    """Open a log file.

    :raises UnreadableError: it cannot be opened.
    :raises InputError: it is compressed in a way that is not read, or an archive.
    """
    try:
        file = FileIO(path)
        head = os.pread(file.fileno(), MAGIC_BYTES, 0)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read: {error.strerror}; see to its permissions") from None
    for magic, program in OTHER_MAGIC.items():
        if head.startswith(magic):
            file.close()
            raise InputError(
                f"{path}: is compressed in a way that is not read; decompress it with {program} and ingest the result, "
                "or send it to the standard input of: python -m producer ingest -"
            )
    if head[TAR_MAGIC_AT:].startswith(TAR_MAGIC):
        file.close()
        raise InputError(f"{path}: is an archive of files (tar); unpack it and ingest the logs in it")
    kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)
    return PlainFile(file) if kind is None else CompressedFile(file, kind)


Log = PlainFile | CompressedFile | Stream
