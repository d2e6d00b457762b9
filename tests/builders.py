"""Test data: a row with every field defaulted, of which a test names only those that it is about."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

T0 = datetime(2024, 5, 17, 10, 5, 3, tzinfo=UTC)

LANDED_DEFAULTS: dict[str, Any] = {
    "event_id": "e1", "timestamp": T0, "ip": "192.0.2.1", "user": "-", "method": "GET", "path": "/", "query": None,
    "protocol": "HTTP/1.1", "status": 200, "bytes": 100, "referer": "-", "agent": "curl/7.68.0", "site": None,
    "source": "access.log", "source_offset": 0, "ingested_at": T0, "raw": None,
    "rescued": None,
}  # fmt: skip

# Names that are a pattern, an escape or the start of something else to some reader of paths.
ODD_NAMES = ("a b.parquet", "[x].parquet", "{y,z}.parquet", "x.parquet", "50%25.parquet", "q?*.parquet")


def landed(event_id: str | None = "e1", **fields: Any) -> dict[str, Any]:
    """A landed row; ``landed("e2", status=404)`` differs from the default in its id and status."""
    unknown = set(fields) - set(LANDED_DEFAULTS)
    assert not unknown, unknown
    return LANDED_DEFAULTS | {"event_id": event_id} | fields


def unparsed(event_id: str, raw: str, **fields: Any) -> dict[str, Any]:
    """The row of a line that did not parse."""
    empty = dict.fromkeys(LANDED_DEFAULTS)
    return (
        empty
        | {"event_id": event_id, "raw": raw, "source": "access.log", "source_offset": 0, "ingested_at": T0}
        | fields
    )


def land_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write ``rows`` as a landed Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyspark.sql.pandas.types import to_arrow_schema

    from lakehouse.schema import LANDED

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), to_arrow_schema(LANDED, timezone="UTC")), path)
    return path


def land_json(path: Path, rows: Iterable[dict[str, Any] | str]) -> Path:
    """Write ``rows`` as a landed NDJSON file; a string is a line as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row, default=_iso) for row in rows)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def _iso(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
