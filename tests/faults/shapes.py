"""Every shape of bad or odd input, each with what becomes of it. ``docs/bad-input.md`` lists them."""

from tests.faults.shape import Shape
from tests.faults.shapes_of_json import JSON
from tests.faults.shapes_of_lines import LINES
from tests.faults.shapes_of_moments import MOMENTS
from tests.faults.shapes_of_names import NAMES
from tests.faults.shapes_of_parquet import PARQUET
from tests.faults.shapes_of_values import VALUES

KINDS: dict[str, list[Shape]] = {
    "What lies in the folder": NAMES,
    "Parquet files": PARQUET,
    "NDJSON files": JSON,
    "Rows": VALUES,
    "Log lines, through the producer": LINES,
    "Files that change under the reader": MOMENTS,
}
SHAPES = [shape for shapes in KINDS.values() for shape in shapes]
