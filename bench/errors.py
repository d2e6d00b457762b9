"""What can go wrong with a measurement."""

from lakehouse.errors import PipelineError


class BenchError(PipelineError):
    """Something that a measurement needs is missing, or did not work; says what to do."""
