"""Duplicates out of a stream, by identity, within the watermark."""

from pyspark.sql import DataFrame

KEY = ("event_id", "timestamp")


def deduplicated(requests: DataFrame, watermark_seconds: float) -> DataFrame:
    """``requests`` without those whose event arrived before, within the last ``watermark_seconds`` of arrivals.

    The clock is ``archived_at``: with event time, last year's log would be dropped as late.
    """
    return requests.withWatermark("archived_at", f"{watermark_seconds} seconds").dropDuplicatesWithinWatermark(
        list(KEY)
    )
