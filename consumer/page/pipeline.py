"""How the pipeline is doing, for the page: where every row went, tables, jobs, queries, quarantine, streaming beside exact. I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from consumer.components.figures import Figures
from consumer.components.health import Status
from consumer.components.identity import Identity
from consumer.monitor import as_json, status
from consumer.report import counted_rows
from lakehouse.ledger import Ledger
from lakehouse.logs import printable
from lakehouse.settings import Settings
from lakehouse.tables import query

QUARANTINED_ROWS = 20
RAW_CHARACTERS = 300


@dataclass(frozen=True)
class Quarantined:
    """A rejected row: when, why, from where, and what there is of it."""

    at: datetime | None
    reasons: str
    landed_file: str
    raw: str


@dataclass(frozen=True)
class Pipeline:
    """The pipeline now. ``days`` are the last ones: streaming beside exact figures, ``None`` where one has none."""

    seen: Status
    identity: Identity
    reasons: Mapping[str, int]
    quarantined: Sequence[Quarantined]
    days: Sequence[tuple[date, Figures | None, Figures | None]] = ()

    @property
    def unaccounted(self) -> int:
        """Rows that landed and are neither merged nor duplicates nor in quarantine: there must be none."""
        found = self.identity
        return found.landed - found.merged - found.duplicates - found.quarantined

    def rows(self) -> list[tuple[str, int]]:
        """Where the rows of all landed files went, and the rows that the tables have."""
        found = self.identity
        counted = {
            "files": found.files, "refused_files": found.refused, "landed": found.landed, "merged": found.merged,
            "duplicates": found.duplicates, "quarantined": found.quarantined, "unaccounted": self.unaccounted,
        }  # fmt: skip
        return [*counted.items(), *((f"rows_of_{name}", rows) for name, rows in found.table_rows.items())]

    def json(self) -> dict[str, Any]:
        """All of it in plain values."""
        return {
            "panel": "pipeline",
            "columns": ["what", "rows"],
            "rows": [{"what": what, "rows": rows} for what, rows in self.rows()],
            "identity": dict(self.rows()) | {"holds": self.identity.holds, "problems": list(self.identity.problems)},
            "reasons": dict(self.reasons),
            "status": as_json(self.seen),
        }


def pipeline(settings: Settings, days: Sequence[tuple[date, Figures | None, Figures | None]] = ()) -> Pipeline:
    """How the pipeline is doing.

    :raises PipelineError: the ledger or a table cannot be read.
    """
    ledger = Ledger(settings.lake.ledger)
    return Pipeline(
        seen=status(settings, datetime.now(UTC)),
        identity=counted_rows(settings.lake, ledger),
        reasons=ledger.reasons(),
        quarantined=_quarantined(settings),
        days=days,
    )


def _quarantined(settings: Settings) -> list[Quarantined]:
    """The rows that were rejected last."""
    rows = query(
        settings.lake.quarantine,
        "SELECT quarantined_at, reasons, landed_file, raw, ip, method, path, status FROM t"
        f" ORDER BY quarantined_at DESC, event_id LIMIT {QUARANTINED_ROWS}",
    )
    return [Quarantined(at, ", ".join(why or ()), file or "", _raw(raw, rest)) for at, why, file, raw, *rest in rows]


def _raw(raw: str | None, parts: Sequence[Any]) -> str:
    """The line as it came; where it was parsed, what it says."""
    text = raw if raw is not None else " ".join("-" if part is None else str(part) for part in parts)
    return printable(text[:RAW_CHARACTERS]) + ("…" if len(text) > RAW_CHARACTERS else "")
