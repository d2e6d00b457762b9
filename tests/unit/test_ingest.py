import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import InputError
from lakehouse.lake import waiting_files
from lakehouse.landed import check
from lakehouse.settings import Ingest
from producer.blocks import BLOCK_BYTES, Block, BlockReader
from producer.identity import event_ids, fingerprint, line_hashes, line_spans
from producer.ingest import Ingestion, Quiet, chosen_files, files_named, results_in_order, source_text
from producer.landing import LANDED, Lander
from producer.rows import LineParser, Reading

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 24, 6, 17, 11, tzinfo=UTC)
LINE = '192.0.2.{n} - - [17/May/2015:10:05:{n:02} +0000] "GET /{n} HTTP/1.1" 200 {n} "-" "a"'
LINES = [LINE.format(n=n).encode() for n in range(9)]
OLD = 1_400_000_000


def ids_of(lines: Sequence[bytes], site: str = "") -> list[str]:
    """The ids of the lines of a log that ends its lines with a newline."""
    data = b"\n".join(lines) + b"\n"
    spans = line_spans(data)
    return event_ids(fingerprint(site, lines[0]), spans.starts, line_hashes(data, spans)).to_list()


def write(path: Path, content: bytes, *, modified_at: float = OLD) -> Path:
    path.write_bytes(content)
    os.utime(path, (modified_at, modified_at))
    return path


def ingested(
    tmp_path: Path, *paths: str | Path, stop: threading.Event | None = None, threads: int = 2, batch_rows: int = 100,
    **settings: Any,
) -> tuple[pl.DataFrame, Ingestion]:  # fmt: skip
    """All rows that one ingest lands, in their order."""
    folder = tmp_path / f"landing{len(list(tmp_path.glob('landing*')))}"
    lander = Lander(folder, "parquet", batch_rows=batch_rows, batch_seconds=5)
    reading = Ingest(quiet_seconds=0.01, poll_seconds=0.001, **settings)
    ingestion = Ingestion(reading, lander, stop or threading.Event(), threads=threads, now=lambda: NOW)
    ingestion.run([str(path) for path in paths])
    batches = [pl.read_parquet(path) for path in waiting_files(folder)]
    return pl.concat(batches) if batches else pl.DataFrame(schema=LANDED), ingestion


def test_each_line_becomes_a_row_with_its_id_source_and_offset(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", LINES[0] + b"\n\nnot a log line\n" + LINES[1] + b"\n")
    rows, ingestion = ingested(tmp_path, path, site="shop")
    ids = ids_of([LINES[0], b"", b"not a log line", LINES[1]], "shop")
    offsets = [0, len(LINES[0]) + 1, len(LINES[0]) + 2, len(LINES[0]) + 17]
    origin = {"site": "shop", "source": str(path), "ingested_at": NOW}
    common = {
        "user": "-", "method": "GET", "query": None, "protocol": "HTTP/1.1", "status": 200, "referer": "-",
        "agent": "a", "raw": None,
    }  # fmt: skip
    request = [
        {"timestamp": datetime(2015, 5, 17, 10, 5, n, tzinfo=UTC), "ip": f"192.0.2.{n}", "path": f"/{n}", "bytes": n}
        for n in (0, 1)
    ]
    expected = [
        origin | common | request[0],
        origin | {"raw": ""},
        origin | {"raw": "not a log line"},
        origin | common | request[1],
    ]
    assert rows.to_dicts() == [
        dict.fromkeys(LANDED) | row | {"event_id": event_id, "source_offset": offset}
        for row, event_id, offset in zip(expected, ids, offsets, strict=True)
    ]
    summary = ingestion.summary
    assert (summary.files, summary.failed, summary.lines, summary.unparsed, summary.is_stopped) == (1, 0, 4, 2, False)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"\r\n\r\n", [b"", b""]),
        (LINES[0], [LINES[0]]),
        (LINES[0] + b"\r\n" + LINES[1] + b"\r\n", [LINES[0], LINES[1]]),
        (LINES[0] + b"\r\n" + LINES[1] + b"\r", [LINES[0], LINES[1]]),
        (LINES[0] + b"\n" + LINES[0] + b"\n", [LINES[0], LINES[0]]),
    ],
)
def test_every_line_lands_once_whatever_ends_it(tmp_path: Path, content: bytes, lines: list[bytes]) -> None:
    rows, _ = ingested(tmp_path, write(tmp_path / "a.log", content))
    assert rows["raw"].count() == lines.count(b"")
    assert [row["path"] for row in rows.to_dicts()] == [line.split()[6].decode() if line else None for line in lines]
    assert rows["event_id"].n_unique() == len(lines)


def test_the_same_log_has_the_same_ids_under_any_name_compressed_and_piped(tmp_path: Path) -> None:
    content = b"\n".join(LINES) + b"\n"
    plain = write(tmp_path / "access.log", content)
    renamed = write(tmp_path / "access.log-20150518", content, modified_at=OLD + 1)
    compressed = write(tmp_path / "access.log.2", gzip.compress(content[:100]) + gzip.compress(content[100:]))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(content,))
    writer.start()
    for path in (plain, renamed, compressed, fifo):
        rows, ingestion = ingested(tmp_path, path)
        assert rows["event_id"].to_list() == ids_of(LINES)
        assert rows["source"].unique().to_list() == [str(path)]
        assert ingestion.summary.failed == 0
    writer.join()


def test_another_site_has_other_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", LINES[0] + b"\n")
    assert ingested(tmp_path, path, site="a")[0]["event_id"].to_list() == ids_of(LINES[:1], "a")
    assert ids_of(LINES[:1], "a") != ids_of(LINES[:1])


def test_a_grown_file_adds_only_its_new_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", b"\n".join(LINES[:5]))
    before, _ = ingested(tmp_path, path)
    write(path, b"\n".join(LINES) + b"\n")
    after, _ = ingested(tmp_path, path)
    assert before["event_id"].to_list() == ids_of(LINES)[:5]
    assert after["event_id"].to_list() == ids_of(LINES)


def test_bytes_that_are_not_utf_8_are_kept_as_escapes_and_offsets_count_bytes(tmp_path: Path) -> None:
    odd = LINES[1].replace(b'"a"', b'"caf\xe9 \xc3\xa9 \xed\xa0\x80 \x00"')
    rows, _ = ingested(tmp_path, write(tmp_path / "a.log", b"\xff\n" + odd + b"\n" + LINES[2] + b"\n"))
    assert rows["raw"].to_list() == ["\\xff", None, None]
    assert rows["agent"].to_list() == [None, "caf\\xe9 é \\xed\\xa0\\x80 \x00", "a"]
    assert rows["source_offset"].to_list() == [0, 2, 2 + len(odd) + 1]
    assert rows["event_id"].to_list() == ids_of([b"\xff", odd, LINES[2]])


def test_a_byte_order_mark_is_part_of_the_id_and_not_of_the_address(tmp_path: Path) -> None:
    rows, _ = ingested(tmp_path, write(tmp_path / "a.log", b"\xef\xbb\xbf" + LINES[0] + b"\n" + LINES[1] + b"\n"))
    assert rows["ip"].to_list() == ["192.0.2.0", "192.0.2.1"]
    assert rows["event_id"].to_list() == ids_of([b"\xef\xbb\xbf" + LINES[0], LINES[1]])


def test_a_line_that_is_too_long_lands_cut_and_unparsed_and_the_next_lines_as_ever(tmp_path: Path) -> None:
    long = LINES[0][:-1] + b"x" * 2000 + b'"'
    rows, _ = ingested(
        tmp_path, write(tmp_path / "a.log", b"\n".join([long, LINES[1], long, b""])), max_line_bytes=1024
    )
    cut = long[:1024]
    assert rows["raw"].to_list() == [cut.decode(), None, cut.decode()]
    assert rows["source_offset"].to_list() == [0, len(long) + 1, len(long) + 1 + len(LINES[1]) + 1]
    assert rows["event_id"].n_unique() == 3
    assert rows["event_id"].str.head(16).unique().to_list() == [fingerprint("", cut)]


@pytest.mark.parametrize("file_format", ["parquet", "json"])
@pytest.mark.parametrize("log_format", ["combined", "json"])
@pytest.mark.parametrize("byte", [b"\xff", b"\0", b'\\"', b"\x1f"])
def test_whatever_a_longest_line_holds_the_file_that_it_lands_in_is_taken(
    tmp_path: Path, byte: bytes, log_format: str, file_format: str
) -> None:
    longest = Ingest().max_line_bytes
    field = b'{"time": "2024-05-17T10:05:03Z", "ip": "192.0.2.1", "uri": "/", "status": 200, "colour": "%s"}'
    filled = (byte * longest)[: longest - len(field)]
    log = write(tmp_path / "a.log", b"\n".join([LINES[0], byte * longest, field % filled, LINES[1], b""]))
    conf = tmp_path / "pipeline.yaml"
    # However long the machine takes, all rows are of one batch.
    paths = f"paths: {{data_lake: {tmp_path / 'lake'}, log: {tmp_path / 'log'}}}"
    conf.write_text(f"{paths}\nlanding: {{batch_seconds: 600}}\n")
    words = ["ingest", str(log), "--format", file_format, "--log-format", log_format, "--conf", str(conf)]
    done = subprocess.run([sys.executable, "-m", "producer", *words], cwd=ROOT, check=False, capture_output=True)
    is_any_parsed = log_format == "combined" or byte in (b"\xff", b'\\"')
    assert done.returncode == (0 if is_any_parsed else 1)
    landed = [check(path) for path in waiting_files(tmp_path / "lake" / "logs_to_merge")]
    assert [(file.refused, file.rows) for file in landed] == [(None, 4)]


def test_a_line_of_a_megabyte_is_no_trouble(tmp_path: Path) -> None:
    long = LINES[0].replace(b"/0", b"/" + b"y" * 1_000_000)
    rows, _ = ingested(tmp_path, write(tmp_path / "a.log", long + b"\n" + LINES[1] + b"\n"))
    assert rows["path"].str.len_bytes().to_list() == [1_000_001, 2]


def test_a_truncated_gzip_lands_its_whole_lines_and_is_a_failure_and_other_files_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = b"".join(os.urandom(40).hex().encode() + b"\n" for _ in range(2000))
    (tmp_path / "logs").mkdir()
    write(tmp_path / "logs" / "a.gz", gzip.compress(content)[:-9000], modified_at=OLD)
    write(tmp_path / "logs" / "b.log", b"\n".join(LINES) + b"\n", modified_at=OLD + 1)
    rows, ingestion = ingested(tmp_path, tmp_path / "logs")
    from_gzip = rows.filter(pl.col("source").str.ends_with("a.gz"))["raw"].to_list()
    assert from_gzip
    assert from_gzip == content.decode().split("\n")[: len(from_gzip)]
    assert rows.filter(pl.col("source").str.ends_with("b.log"))["event_id"].to_list() == ids_of(LINES)
    assert (ingestion.summary.files, ingestion.summary.failed) == (2, 1)
    assert "a.gz: the gzip file ends before its end" in caplog.text


def test_a_file_compressed_otherwise_is_a_failure_and_lands_nothing(tmp_path: Path) -> None:
    rows, ingestion = ingested(tmp_path, write(tmp_path / "a.bz2", b"BZh91AY&SY\n"))
    assert (rows.height, ingestion.summary.failed) == (0, 1)


def test_the_format_is_found_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    write(tmp_path / "logs" / "1", LINES[0] + b"\n", modified_at=OLD)
    write(tmp_path / "logs" / "2", b"www.example.org:80 " + LINES[1] + b"\n")
    write(tmp_path / "logs" / "3", b'{"time": "2015-05-17T10:05:02Z", "remote_addr": "::1", "request": "GET /2"}\n')
    write(tmp_path / "logs" / "4", b"nothing\nthat parses\n", modified_at=OLD + 10**8)
    rows, _ = ingested(tmp_path, tmp_path / "logs", site="s")
    assert rows.select("path", "site", "raw").rows() == [
        ("/0", "s", None),
        ("/1", "www.example.org", None),
        ("/2", "s", None),
        (None, "s", "nothing"),
        (None, "s", "that parses"),
    ]


def test_a_format_that_is_named_holds_for_all_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", LINES[0] + b"\n")
    assert ingested(tmp_path, path, log_format="json")[0]["raw"].to_list() == [LINES[0].decode()]
    for log_format in ("common", "combined", "vhost"):
        assert ingested(tmp_path, path, log_format=log_format)[0]["path"].to_list() == ["/0"]


def test_addresses_are_truncated_before_they_land(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", LINES[7] + b"\n198.51.100.9 is here\n")
    rows, _ = ingested(tmp_path, path, truncate_ips=True)
    assert rows.select("ip", "raw").rows() == [("192.0.2.0", None), (None, "198.51.100.0 is here")]
    assert rows["event_id"].to_list() == ids_of([LINES[7], b"198.51.100.9 is here"])


# Which files ---------------------------------------------------------------------------------------------------------


def test_files_are_read_in_the_order_of_their_first_times_else_of_their_modification(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    (folder / "below").mkdir(parents=True)
    write(folder / "a.log", LINES[5] + b"\n", modified_at=OLD)
    write(folder / "b.log.gz", gzip.compress(b"garbage\n" + LINES[3] + b"\n"), modified_at=OLD + 9)
    write(folder / "c.log", b"garbage\n", modified_at=datetime(2015, 5, 17, 10, 5, 4, tzinfo=UTC).timestamp())
    write(folder / "d.log", b"", modified_at=OLD)
    write(folder / ".hidden", LINES[0] + b"\n")
    write(folder / "below" / "e.log", LINES[0] + b"\n")
    expected = [folder / name for name in ("d.log", "b.log.gz", "c.log", "a.log")]
    assert chosen_files([str(folder)]) == expected
    assert chosen_files([str(folder / "*.log*"), "-", str(folder / "a.log")]) == [*expected, None]
    assert chosen_files([str(folder / "[ab]*")]) == [expected[1], expected[3]]


def test_a_path_that_leads_nowhere_is_an_error_before_anything_lands(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", LINES[0] + b"\n")
    with pytest.raises(InputError, match=r"missing\.log: no such file or folder"):
        ingested(tmp_path, path, tmp_path / "missing.log")
    with pytest.raises(InputError, match="no files there"):
        ingested(tmp_path, tmp_path / "*.gz")
    assert not any(waiting_files(folder) for folder in tmp_path.glob("landing*"))


def test_a_name_with_a_star_in_it_is_that_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a*.log", b"")
    write(tmp_path / "ab.log", b"")
    assert files_named(str(path)) == [path]


def test_a_name_that_is_not_utf_8_is_escaped() -> None:
    assert source_text(Path(os.fsdecode(b"/logs/caf\xe9.log"))) == "/logs/caf\\xe9.log"
    assert source_text("/logs/café.log") == "/logs/café.log"


# The last line -------------------------------------------------------------------------------------------------------


class Times:
    """A wall clock and a monotonic clock that move together when told."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def test_quiet_is_a_file_that_is_old_or_was_seen_unchanged_for_long(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"x", modified_at=1000)
    times = Times(1001.9)
    quiet = Quiet(2, clock=times, wall_clock=times)
    assert not quiet.is_quiet(path.stat())
    times.seconds = 1002
    assert quiet.is_quiet(path.stat())
    future = Quiet(2, clock=times, wall_clock=lambda: 0)
    assert not future.is_quiet(path.stat())
    times.seconds += 1.9
    assert not future.is_quiet(path.stat())
    write(path, b"xy", modified_at=1000)
    times.seconds += 1.9
    assert not future.is_quiet(path.stat())
    times.seconds += 2
    assert future.is_quiet(path.stat())


class Waiting(threading.Event):
    """A stop event that does something instead of waiting."""

    def __init__(self, *actions: Callable[[], object]) -> None:
        super().__init__()
        self.actions = list(actions)

    def wait(self, timeout: float | None = None) -> bool:
        self.actions.pop(0)()
        return self.is_set()


def test_a_line_that_is_being_written_is_not_read_in_half(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", LINES[0] + b"\n" + LINES[1][:50], modified_at=NOW.timestamp() + 10**9)

    def append(content: bytes) -> Callable[[], None]:
        def act() -> None:
            with path.open("ab") as file:
                file.write(content)
            os.utime(path, (NOW.timestamp() + 10**9,) * 2)

        return act

    stop = Waiting(append(LINES[1][50:60]), append(LINES[1][60:] + b"\n" + LINES[2][:9]))
    lander = Lander(tmp_path / "landing", "parquet", batch_rows=100, batch_seconds=5)
    times = Times(0)
    ingestion = Ingestion(Ingest(quiet_seconds=60), lander, stop, clock=times, wall_clock=times)
    ingestion.run([str(path)])
    (batch,) = waiting_files(tmp_path / "landing")
    assert pl.read_parquet(batch)["event_id"].to_list() == ids_of(LINES[:2])
    assert stop.actions == []


def test_a_stop_lands_what_was_read_and_leaves_the_open_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", LINES[0] + b"\n" + LINES[1][:50], modified_at=NOW.timestamp() + 10**9)
    write(tmp_path / "b.log", LINES[2] + b"\n")
    stop = Waiting()
    stop.actions = [stop.set]
    rows, ingestion = ingested(tmp_path, path, tmp_path / "b.log", stop=stop)
    assert rows["event_id"].to_list() == ids_of(LINES[:1])
    assert ingestion.summary.is_stopped


# Order and threads ---------------------------------------------------------------------------------------------------


def test_results_come_in_the_order_of_their_tasks_and_all_before_a_pause() -> None:
    gate = threading.Event()

    def open_gate() -> int:
        gate.set()
        return 2

    tasks: list[Callable[[], int] | None] = [lambda: int(gate.wait(5)), open_gate, None, lambda: 3]
    with ThreadPoolExecutor(2) as pool:
        assert list(results_in_order(pool, tasks, 2)) == [1, 2, None, 3]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_one_task_more_than_there_are_threads_is_taken_ahead(threads: int) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[Callable[[], int]]:
        for number in range(20):
            taken.append(number)
            yield partial(int, number)

    with ThreadPoolExecutor(threads) as pool:
        for number, result in enumerate(results_in_order(pool, tasks(), threads)):
            assert result == number
            assert len(taken) <= number + 1 + threads
    assert taken == list(range(20))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_rows_and_their_order_are_the_same_whatever_the_number_of_threads(tmp_path: Path, threads: int) -> None:
    lines = [LINE.format(n=n % 60).encode() + b"x" * (n % 7) for n in range(40_000)]
    path = write(tmp_path / "a.log", b"\n".join(lines) + b"\n")
    rows, _ = ingested(tmp_path, path, threads=threads, batch_rows=9_999)
    data = path.read_bytes()
    assert len(data) > 2 * BLOCK_BYTES
    reading = Reading(str(path), "", "auto", Ingest().max_line_bytes, truncate_ips=False)
    assert rows.equals(LineParser(reading).task(Block(0, data), NOW)())


def test_a_stop_in_the_middle_of_a_log_lands_whole_blocks_from_its_beginning(tmp_path: Path) -> None:
    class Stopping(threading.Event):
        """Is set once it has been asked so many times."""

        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 6

    lines = [LINE.format(n=n % 60).encode() for n in range(100_000)]
    path = write(tmp_path / "a.log", b"\n".join(lines) + b"\n")
    rows, ingestion = ingested(tmp_path, path, threads=8, batch_rows=9_999, stop=Stopping())
    whole, _ = ingested(tmp_path, path, batch_rows=9_999)
    assert ingestion.summary.is_stopped
    assert 0 < rows.height < len(lines)
    assert rows.equals(whole.head(rows.height))


def test_an_error_in_a_task_comes_out() -> None:
    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        list(results_in_order(pool, [lambda: 1 // 0], 2))


# Properties ----------------------------------------------------------------------------------------------------------

pieces = st.sampled_from([
    *LINES[:3], b"\n", b"\n", b"\r\n", b"\r", b"", b"a:80 ", b"\xff", b"\xc3", b"\xa9", b"\xef\xbb\xbf", b"\x00",
    b'"', b"\\", b'{"ts": 1, "request": "GET /"}', b"x" * 60, "é\u2028".encode(),
])  # fmt: skip


def rows_of(data: bytes, reading: Reading, block_bytes: int) -> pl.DataFrame:
    stream = [data]
    reader = BlockReader(
        lambda size: stream.append(stream[0][size:]) or stream.pop(0)[:size],  # type: ignore[func-returns-value]
        max_line_bytes=reading.max_line_bytes,
        block_bytes=block_bytes,
    )
    parser = LineParser(reading)
    frames = [pl.DataFrame(schema=LANDED)]
    while (block := reader.next()) is not None:
        frames.append(parser.task(block, NOW)())
    if reader.rest is not None:
        frames.append(parser.task(reader.rest, NOW)())
    return pl.concat(frames)


@given(
    st.lists(st.one_of(pieces, st.binary(max_size=5)), max_size=15).map(b"".join),
    st.integers(1, 300),
    st.sampled_from(["combined", "vhost", "json"]),
    st.sampled_from([1, 20, 1000]),
    st.booleans(),
)
def test_no_byte_makes_a_line_get_lost_and_blocks_make_no_difference(
    data: bytes, block_bytes: int, log_format: Any, max_line_bytes: int, truncate_ips: bool
) -> None:
    reading = Reading("x", "", log_format, max_line_bytes, truncate_ips)
    rows = rows_of(data, reading, block_bytes)
    assert rows.rows() == rows_of(data, reading, 1 << 20).rows()
    lines = data.split(b"\n")[: data.count(b"\n") + (not data.endswith(b"\n") and data != b"")]
    contents = [line.removesuffix(b"\r")[:max_line_bytes] for line in lines]
    offsets = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines))]
    assert rows["source_offset"].to_list() == offsets
    assert rows["event_id"].n_unique() == len(lines)
    if truncate_ips:
        return
    texts = [content.decode("utf-8", "backslashreplace") for content in contents]
    texts[:1] = [text.removeprefix("\ufeff") for text in texts[:1]]
    for text, raw, timestamp in zip(texts, rows["raw"], rows["timestamp"], strict=True):
        assert (raw is None) == (timestamp is not None)
        assert raw is None or raw == text


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=4), st.integers(50, 400))
def test_detecting_the_format_anew_for_each_block_ends_with_the_first_that_parses(
    lines: list[bytes], size: int
) -> None:
    reading = Reading("x", "", "auto", 1000, truncate_ips=False)
    data = b"\n\n?\n" + b"\n".join(lines) + b"\n"
    assert rows_of(data, reading, size)["raw"].to_list()[3:] == [None] * len(lines)
    assert rows_of(data, replace(reading, log_format="json"), size)["raw"].null_count() == 0


def test_a_sample_of_nothing_but_long_lines_decides_nothing() -> None:
    parser = LineParser(Reading("x", "", "auto", 10, truncate_ips=False))
    assert parser.task(Block(0, LINES[0] + b"\n"), NOW)()["raw"].to_list() == [LINES[0][:10].decode()]
    assert parser.parser is None
