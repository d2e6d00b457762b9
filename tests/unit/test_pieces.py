"""Lines that a container runtime has cut come together again, wherever a block ends and whatever stands between."""

import io
import json
from pathlib import Path
from random import Random
from threading import Event

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.settings import Ingest
from producer.blocks import Block, BlockReader
from producer.formats.detection import parse
from producer.formats.pieces import whole_lines_end
from producer.ingest import Ingestion
from producer.landing import Lander

T = "2026-11-27T10:01:00.1Z"
LINE = '192.0.2.1 - - [27/Nov/2026:10:01:00 +0000] "GET /{} HTTP/1.1" 200 5 "-" "{}"'
AGENT = "x" * 20_000


def line(number: int, agent: str = "curl/8") -> str:
    return LINE.format(number, agent)


def docker(text: str, stream: str = "stdout") -> str:
    return json.dumps({"log": text, "stream": stream, "time": T}, separators=(",", ":"))


LONG = 16 << 10
ENDS = [
    # lines, and how many of them come before what has to wait
    ([], 0),
    ([line(1)], 1),
    ([f"{T} stdout F a"], 1),
    ([f"{T} stdout P a"], 0),
    ([f"{T} stdout F a", f"{T} stdout P b", f"{T} stdout P c"], 1),
    ([f"{T} stdout P b", f"{T} stdout F c"], 2),
    ([f"{T} stderr F x", f"{T} stdout P a", f"{T} stderr F b", f"{T} stderr F c"], 1),
    ([f"{T} stdout P a", f"{T} stderr P b", f"{T} stdout F c"], 0),
    ([f"{T} stdout F x", f"{T} stdout P a", f"{T} stderr F b", f"{T} stderr P c", f"{T} stdout F d"], 1),
    ([f"{T} stdout P a", "no container's line"], 2),
    ([f"{T} stdout P a", *[f"{T} stderr F b"] * 300], 301),
    ([f"{T} stdout P a"] * 300, 300),
    ([docker("a\n"), docker("x" * LONG)], 1),
    ([docker("a\n"), docker("x" * LONG), docker("y\n", "stderr")], 1),
    ([docker("x" * LONG), docker("y\n")], 2),
    ([docker("a"), docker("b")], 2),
    (['{"a":1}', '{"stream":"stdout"}'], 2),
]


@pytest.mark.parametrize(("lines", "whole"), ENDS)
def test_a_block_ends_before_what_goes_on(lines: list[str], whole: int) -> None:
    data = "".join(text + "\n" for text in lines).encode()
    assert data[: whole_lines_end(data, len(data))].decode().splitlines() == lines[:whole]


def test_the_reader_keeps_pieces_until_the_last_is_there() -> None:
    first, last = f"{T} stdout P a\n".encode(), f"{T} stdout F b\n".encode()
    chunks = [b"x\n" + first, b"", b"", last, b"", b""]
    reader = BlockReader(lambda _size: chunks.pop(0), max_line_bytes=1000)
    assert (reader.next(), reader.rest, reader.held) == (Block(0, b"x\n"), Block(2, first), Block(2, first))
    assert (reader.next(), reader.offset) == (None, 2)
    assert (reader.next(), reader.rest) == (Block(2, first + last), None)


def test_a_line_of_more_pieces_than_a_line_may_have_bytes_comes_in_pieces() -> None:
    data = f"{T} stdout P {'x' * 100}\n".encode() * 20
    source = io.BytesIO(data)
    reader = BlockReader(source.read, max_line_bytes=200, block_bytes=300)
    found = []
    while (block := reader.next()) is not None:
        found.append(block)
    assert b"".join(block.data for block in [*found, *([reader.rest] if reader.rest else [])]) == data
    assert max(len(block.data) for block in found) <= 502


streams = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.integers(1, 4)), max_size=12)


@settings(max_examples=20)
@given(streams, st.randoms(use_true_random=False), st.integers(300, 1500))
def test_no_line_is_lost_doubled_or_glued_to_another_streams(
    lines: list[tuple[str, int]], random: Random, block_bytes: int
) -> None:
    queues: dict[str, list[str]] = {"stdout": [], "stderr": []}
    for number, (stream, count) in enumerate(lines):
        text = line(number)
        cuts = sorted(random.sample(range(1, len(text)), count - 1))
        parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        queues[stream] += [f"{T} {stream} {'F' if n == count - 1 else 'P'} {part}\n" for n, part in enumerate(parts)]
    mixed = []
    while any(queues.values()):
        mixed.append(queues[random.choice([stream for stream, queue in queues.items() if queue])].pop(0))
    reader = BlockReader(io.BytesIO("".join(mixed).encode()).read, max_line_bytes=10_000, block_bytes=block_bytes)
    paths = []
    while (block := reader.next()) is not None or (block := reader.rest) is not None:
        found = parse(pl.Series(block.data.decode().splitlines()))
        rows = found.rows if found.is_row is None else found.rows.filter(found.is_row)
        assert rows["raw"].null_count() == rows.height
        paths += rows.select("path", pl.col("rescued").str.json_path_match("$.envelope.stream")).rows()
        if block == reader.rest:
            break
    assert sorted(paths) == sorted((f"/{number}", stream) for number, (stream, _) in enumerate(lines))


@pytest.mark.parametrize("kind", ["cri", "docker"])
def test_a_long_log_in_pieces_lands_each_line_once(kind: str, tmp_path: Path) -> None:
    texts = [line(number, AGENT) for number in range(120)]
    halves = [(text[:LONG], text[LONG:]) for text in texts]
    if kind == "cri":
        lines = [
            piece for a, b in halves for piece in (f"{T} stdout P {a}", f"{T} stderr F noise", f"{T} stdout F {b}")
        ]
    else:
        lines = [piece for a, b in halves for piece in (docker(a), docker("noise\n", "stderr"), docker(b + "\n"))]
    log = tmp_path / "0.log"
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    lander = Lander(tmp_path / "landed", "parquet", batch_rows=1_000_000, batch_seconds=1000)
    summary = Ingestion(Ingest(), lander, Event()).run([str(log)])
    rows = pl.concat([pl.read_parquet(path) for path in sorted((tmp_path / "landed").iterdir())])
    read = rows.filter(pl.col("timestamp").is_not_null())
    assert (summary.unparsed, rows.height) == (120, 240)
    assert read.select("path", "agent").rows() == [(f"/{number}", AGENT) for number in range(120)]
    assert all("noise" in raw for raw in rows["raw"].drop_nulls())
