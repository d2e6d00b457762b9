"""The page of bad input says what the tests test."""

from tests.faults.shapes import SHAPES
from tests.faults.shapes_page import PAGE, page


def test_the_page_is_in_step_with_the_list_of_shapes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.faults.shapes_page"


def test_no_two_shapes_have_one_name() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 100
