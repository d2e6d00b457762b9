"""An expression in stretches reads what it reads in one piece."""

import re

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from producer.formats.stretches import MOST_GROUPS, extracted, stretches_of

COUNT = 40
PIECES = [r"\[(?P<time>[0-9]*)\]", *(rf" (?P<x{n}>[^ ]*)" for n in range(COUNT))]
values = st.text(st.sampled_from("aé€𝄞-\x00"), max_size=3)


def test_no_stretch_has_more_groups_than_one_pass_can_have() -> None:
    stretches = stretches_of(PIECES)
    assert [len(re.findall(r"\(\?P<", stretch)) for stretch in stretches] == [16, 16, 12]
    assert stretches_of(PIECES[:MOST_GROUPS]) == (f"^{''.join(PIECES[:MOST_GROUPS])}$",)


@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "", "x"]), st.lists(values, min_size=COUNT - 1, max_size=COUNT + 1)),
        min_size=1,
        max_size=5,
    )
)
def test_lines_are_read_as_in_one_piece(lines: list[tuple[str, list[str]]]) -> None:
    texts = [f"[{time}] {' '.join(parts)}" for time, parts in lines]
    whole = re.compile("".join(PIECES))
    found = extracted(pl.Series("line", texts), stretches_of(PIECES)).to_dicts()
    for text, row in zip(texts, found, strict=True):
        match = whole.fullmatch(text)
        assert row["time"] is None if match is None else row == match.groupdict()
