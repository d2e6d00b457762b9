"""Tables of requests for tests of the exact metrics: ``delta/`` as the cleaner writes it, but without a JVM."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Schema, write_deltalake

from lakehouse.lake import Lake
from lakehouse.schema import DELTA
from lakehouse.tables import create_table

NOON = datetime(2024, 5, 17, 12, 0, 0, tzinfo=UTC)

REQUEST: dict[str, Any] = {
    "timestamp": NOON, "ip": "192.0.2.1", "method": "GET", "path": "/", "status": 200, "bytes": 100,
    "referer": None, "agent": "curl/8", "site": None, "browser": "curl", "os": None, "device": None, "is_bot": False,
    "bot": None, "bot_class": None,
}  # fmt: skip
_ids = count()


def request(**fields: Any) -> dict[str, Any]:
    """A row of ``delta/``; ``request(status=404)`` differs from the default in its status."""
    row = REQUEST | {"event_id": f"e{next(_ids)}"} | fields
    status = row["status"]
    return row | {
        "event_date": row["timestamp"].date(),
        "status_class": None if status is None else f"{status // 100}xx",
    }


def append(lake: Lake, requests: Iterable[dict[str, Any]], *, extra: dict[str, pa.DataType] | None = None) -> None:
    """Add requests to ``delta/``, in one commit that only inserts. The table is made if there is none."""
    _write(lake, requests, "append", extra or {})


def replace_all(lake: Lake, requests: Iterable[dict[str, Any]], *, extra: dict[str, pa.DataType] | None = None) -> None:
    """Replace all of ``delta/`` by these, in one commit, as ``cleaner rebuild`` does."""
    _write(lake, requests, "overwrite", extra or {})


def _write(lake: Lake, requests: Iterable[dict[str, Any]], mode: Any, extra: dict[str, pa.DataType]) -> None:
    create_table(lake.delta, DELTA, partition_by=("event_date",), description="one row per request, enriched")
    kinds = pa.schema(Schema.from_json(DELTA.json()).to_arrow())
    for name, kind in extra.items():
        kinds = kinds.append(pa.field(name, kind))
    table = pa.Table.from_pylist([{k: v for k, v in r.items() if k in kinds.names} for r in requests], kinds)
    write_deltalake(DeltaTable(str(lake.delta)), table, mode=mode, schema_mode="merge" if extra else None)
