"""Shapes of what lies in the landing folder: names, kinds, times and what is no file."""

import os
import stat
from pathlib import Path

from tests.faults.shape import (
    LEFT_ALONE,
    UNKNOWN_KIND,
    Build,
    Shape,
    called,
    content,
    line,
    merged,
    modified_at,
    ndjson,
    parquet,
    refused,
    row,
)

BAD_NAME = "a colon or backslash in its name"
LONG_AGO, FAR_AHEAD = 1.0, 4_102_444_800.0


def node(kind: int) -> Build:
    def build(landing: Path, shape: str) -> list[Path]:
        path = landing / f"{shape}.json"
        os.mknod(path, kind | 0o600)
        return [path]

    return build


def folder(landing: Path, shape: str) -> list[Path]:
    (landing / shape).mkdir()
    ndjson(line(1))(landing / shape, "inside")
    return [landing / shape]


def folder_called_parquet(landing: Path, shape: str) -> list[Path]:
    (landing / f"{shape}.parquet").mkdir()
    parquet(row(1))(landing / f"{shape}.parquet", "part-00000")
    return [landing / f"{shape}.parquet"]


def link(target: str) -> Build:
    def build(landing: Path, shape: str) -> list[Path]:
        path = landing / f"{shape}.json"
        path.symlink_to(target.format(path.name))
        return [path]

    return build


def link_to_a_good_file(landing: Path, shape: str) -> list[Path]:
    ndjson(line(1))(landing.parent, shape)
    return link(f"../{shape}.json")(landing, shape)


def name_twice(landing: Path, shape: str) -> list[Path]:
    """One name in Unicode's composed and in its decomposed form."""
    first = called("caf\u00e9.json")(landing, shape)
    return first + called("cafe\u0301.json", ndjson(line(2)))(landing, shape)


def with_stale_checksum(build: Build) -> Build:
    def made(landing: Path, shape: str) -> list[Path]:
        files = build(landing, shape)
        for path in files:
            (landing / f".{path.name}.crc").write_bytes(b"crc\0\0\0\2\0" + b"\1\2\3\4" * 20)
        return files

    return made


NAMES = [
    Shape("name-blanks", "The name has blanks, at its front too.", called("  a b .json"), merged(1)),
    Shape("name-percent", "The name has per cent signs, some of them as in a URL.", called("100%25 %zz%.json"), merged(1)),
    Shape("name-plus", "The name has plus signs and a hash.", called("#1 a+b +.json"), merged(1)),
    Shape("name-quotes", "The name has all kinds of quotes.", called("\"it's\" `so`.json"), merged(1)),
    Shape("name-glob", "The name is a pattern of a shell.", called("[a-z]{b,c}*?.json"), merged(1)),
    Shape("name-shell", "The name is a shell's command.", called("$(reboot); x && y | z > w.json"), merged(1)),
    Shape("name-sql", "The name is SQL.", called("'; DROP TABLE merged; --.json"), merged(1)),
    Shape("name-partition", "The name looks like a partition's.", called("day=1,x;y.json"), merged(1)),
    Shape("name-unicode", "The name has letters of other alphabets, and an emoji.", called("журнал-é-🦎.json"), merged(1)),
    Shape("name-composed", "Two names look alike: composed and decomposed letters.", name_twice, merged(1, 2)),
    Shape("name-newline", "The name has a newline and a tab.", called("a\nb\tc.json"), merged(1)),
    Shape("name-ansi", "The name has an escape sequence, which would clear a terminal.", called("\x1b[2J\x07.json"), merged(1)),
    Shape("name-right-to-left", "The name pretends to be another, by a right-to-left mark.", called("\u202egpj.json"), merged(1)),
    Shape("name-option", "The name looks like a program's option.", called("--help.json"), merged(1)),
    Shape("name-255", "The name is as long as a name can be.", called("n" * 250 + ".json"), merged(1)),
    Shape("name-255-refused", "The name is that long, and the file is refused.", called("n" * 251 + ".csv"), refused(UNKNOWN_KIND)),
    Shape("name-colon", "The name has a colon, which Spark cannot open.", called("12:00.json"), refused(BAD_NAME)),
    Shape("name-backslash", "The name has a backslash, which Spark cannot open.", called("a\\b.json"), refused(BAD_NAME)),
    Shape("name-not-utf8", "The name is not UTF-8, so that no table can hold it.", called(b"latin-\xe9.json"), LEFT_ALONE),
    Shape("name-hidden", "The name begins with a dot: still being written.", called(".hidden.json"), LEFT_ALONE),
    Shape("name-underscore", "The name begins with an underscore, as of Spark's own files.", called("_SUCCESS.json"), LEFT_ALONE),
    Shape("kind-csv", "A file of another kind.", content(b"a,b\n1,2\n", ".csv"), refused(UNKNOWN_KIND)),
    Shape("kind-none", "A file without a suffix.", content(b"x", ""), refused(UNKNOWN_KIND)),
    Shape("kind-capitals", "The suffix in capitals.", called("CAPITALS.JSON"), refused(UNKNOWN_KIND)),
    Shape("kind-gzip", "Compressed NDJSON.", content(b"\x1f\x8b\x08", ".json.gz"), refused(UNKNOWN_KIND)),
    Shape("kind-blank-after-it", "A blank after the suffix.", called("blank.parquet "), refused(UNKNOWN_KIND)),
    Shape("kind-jsonl", "The other usual suffixes of NDJSON.", called("other.jsonl"), merged(1)),
    Shape("no-file-folder", "A folder with a good file in it: subfolders are not looked into.", folder, LEFT_ALONE),
    Shape("no-file-folder-parquet", "A folder that is called like a file, as Spark writes them.", folder_called_parquet, LEFT_ALONE),
    Shape("no-file-pipe", "A named pipe: to read it would be to wait for ever.", node(stat.S_IFIFO), LEFT_ALONE),
    Shape("no-file-socket", "A socket.", node(stat.S_IFSOCK), LEFT_ALONE),
    Shape("no-file-link", "A symbolic link, even to a good file: it may lead anywhere.", link_to_a_good_file, LEFT_ALONE),
    Shape("no-file-link-dangling", "A link to nothing.", link("../nothing-there.json"), LEFT_ALONE),
    Shape("no-file-link-to-itself", "A link to itself.", link("{}"), LEFT_ALONE),
    Shape("no-file-link-endless", "A link to a device that never ends.", link("/dev/zero"), LEFT_ALONE),
    Shape("time-equal", "Two files with the same modification time.", modified_at(ndjson(line(1)), 1e9, 1e9), merged(1, 2)),
    Shape("time-oldest", "A file that is decades older than all others.", modified_at(ndjson(line(1)), LONG_AGO), merged(1)),
    Shape("time-future", "A file from the future.", modified_at(ndjson(line(1)), FAR_AHEAD), merged(1)),
    Shape("stale-checksum-parquet", "Beside it lies a hidden checksum that is not its own, as copying from Hadoop leaves.",
          with_stale_checksum(parquet(row(1))), merged(1)),
    Shape("stale-checksum-json", "The same beside NDJSON.", with_stale_checksum(ndjson(line(1))), merged(1)),
]  # fmt: skip
