"""``docs/bad-input.md``, made from the list of shapes: ``python -m tests.faults.shapes_page`` writes it anew."""

from pathlib import Path

from tests.faults.shape import Outcome, Shape
from tests.faults.shapes import KINDS, SHAPES

PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"
HEAD = f"""# Bad input

What becomes of {len(SHAPES)} shapes of bad or odd input. Each is a test: all of them land in one lake, among good files, and go through the
merge and the stream (`tests/faults/test_bad_input.py`). None stops either of them, and everything else flows on. Batch and streaming figures
count exactly the rows that this page calls merged; a further run finds nothing to do.

- **merged**: in `merged/`, `delta/` and the metrics, as it came.
- **quarantined**: in `quarantine/`, with every reason; `consumer report` counts the reasons.
- **refused**: the file is taken not even in part. It is moved to `quarantine/_files/`; its reason stands in `quarantine/`, and in the logs of merge and stream.
- **left alone**: it stays where it is and is never opened. `consumer status` counts what is visible and can be no landed file. A file that
  may not be read is named in the logs, and `status` says that it waits; it is taken once it may be read.

This page is made from the list of shapes, by `python -m tests.faults.shapes_page`.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(kind, shapes) for kind, shapes in KINDS.items())


def _section(kind: str, shapes: list[Shape]) -> str:
    rows = "".join(f"| `{s.name}` | {s.what} | {sees(s.expected)} |\n" for s in shapes)
    return f"\n## {kind}\n\n| shape | what it is | what the user sees |\n| --- | --- | --- |\n{rows}"


def sees(expected: Outcome) -> str:
    """What the user sees of a shape."""
    if expected.is_left_alone:
        return "left alone"
    if expected.refused is not None:
        return f"refused: {expected.refused}…".replace("|", "\\|").removesuffix(": …")
    parts = [f"{len(expected.merged):,} merged"] if expected.merged else []
    if expected.duplicates:
        parts.append(f"{expected.duplicates} duplicate")
    reasons = [", ".join(why) for _, why in expected.quarantined]
    parts += [f"{reasons.count(why)} quarantined: {why}" for why in dict.fromkeys(reasons)]
    return "; ".join(parts) or "nothing: it has no rows"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
