"""Reasons for which rows are rejected, as they stand in ``quarantine/``: those that not only the rules know. No pyspark."""

BLANK_LINE = "blank line"
UNPARSABLE = "line does not parse"
