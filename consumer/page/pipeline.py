"""How the pipeline is doing, for the page: where every row went, tables, jobs, queries, quarantine, streaming beside exact. I/O."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypeVar

from consumer.components.day_panels import days
from consumer.components.figures import Figures
from consumer.components.filters import EVERYTHING
from consumer.components.health import Status
from consumer.components.identity import Identity, identity
from consumer.components.table_reader import explained, reading
from consumer.monitor import as_json, status
from consumer.report import COUNTED_TABLES, MODES, stored_rows
from lakehouse.errors import PipelineError
from lakehouse.lake import Lake
from lakehouse.ledger import Ledger
from lakehouse.logs import printable
from lakehouse.settings import Settings
from lakehouse.tables import query

QUARANTINED_ROWS = 20
COMPARED_DAYS = 14
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
    """The pipeline now.

    :param days: the last ones: exact figures beside those of the stream, ``None`` where one has none.
    :param problems: by section (``identity``, ``quarantine``, ``days``): what of it cannot be read, and why.
    """

    seen: Status
    identity: Identity
    reasons: Mapping[str, int]
    quarantined: Sequence[Quarantined]
    days: Sequence[tuple[date, Figures | None, Figures | None]]
    problems: Mapping[str, Sequence[str]]

    @property
    def unaccounted(self) -> int:
        """Rows that landed and are neither merged nor duplicates nor in quarantine: there must be none."""
        found = self.identity
        return found.landed - found.merged - found.duplicates - found.quarantined

    def rows(self) -> list[tuple[str, int | None]]:
        """Where the rows of all landed files went, and the rows that the tables have; ``None`` of one that cannot be read."""
        found = self.identity
        counted = {
            "files": found.files, "refused_files": found.refused, "landed": found.landed, "merged": found.merged,
            "duplicates": found.duplicates, "quarantined": found.quarantined, "unaccounted": self.unaccounted,
        }  # fmt: skip
        return [*counted.items(), *((f"rows_of_{name}", found.table_rows.get(name)) for name in COUNTED_TABLES)]

    def json(self) -> dict[str, Any]:
        """All of it in plain values."""
        return {
            "panel": "pipeline",
            "columns": ["what", "rows"],
            "rows": [{"what": what, "rows": rows} for what, rows in self.rows()],
            "identity": dict(self.rows()) | {"holds": self.identity.holds, "problems": list(self.identity.problems)},
            "reasons": dict(self.reasons),
            "problems": {section: list(found) for section, found in self.problems.items()},
            "status": as_json(self.seen),
        }


def pipeline(settings: Settings) -> Pipeline:
    """How the pipeline is doing. A table that cannot be read leaves a gap in its section, and the others as they are.

    :raises PipelineError: the ledger cannot be read.
    """
    ledger, problems = Ledger(settings.lake.ledger), defaultdict[str, list[str]](list)
    return Pipeline(
        seen=status(settings, datetime.now(UTC)),
        identity=_identity(settings.lake, ledger, problems["identity"]),
        reasons=ledger.reasons(),
        quarantined=_or(problems["quarantine"], lambda: _quarantined(settings.lake), []),
        days=_days(settings.lake, problems["days"]),
        problems={section: found for section, found in problems.items() if found},
    )


T = TypeVar("T")


def _or(problems: list[str], read: Callable[[], T], otherwise: T) -> T:
    """What is read; where it cannot be, ``otherwise``, and the reason among the problems."""
    try:
        return read()
    except PipelineError as error:
        problems.append(str(error))
        return otherwise


def _identity(lake: Lake, ledger: Ledger, problems: list[str]) -> Identity:
    rows = {name: _or(problems, partial(stored_rows, lake.tables[name]), None) for name in COUNTED_TABLES}
    known = {name: number for name, number in rows.items() if number is not None}
    found = identity(ledger.totals(), ledger.unbalanced_files(), known)
    return replace(found, problems=(*problems, *found.problems))


def _days(lake: Lake, problems: list[str]) -> list[tuple[date, Figures | None, Figures | None]]:
    with reading(lake) as reader:
        nothing: dict[date, Figures] = {}
        exact, running = (_or(problems, partial(days, reader, mode, EVERYTHING), nothing) for mode in MODES)
    last = sorted({*exact, *running}, reverse=True)[:COMPARED_DAYS]
    return [(day, exact.get(day), running.get(day)) for day in last]


def _quarantined(lake: Lake) -> list[Quarantined]:
    """The rows that were rejected last."""
    with explained(lake.quarantine):
        rows = query(
            lake.quarantine,
            "SELECT quarantined_at, reasons, landed_file, raw, ip, method, path, status FROM t"
            f" ORDER BY quarantined_at DESC, event_id LIMIT {QUARANTINED_ROWS}",
        )
    return [Quarantined(at, ", ".join(why or ()), file or "", _raw(raw, rest)) for at, why, file, raw, *rest in rows]


def _raw(raw: str | None, parts: Sequence[Any]) -> str:
    """The line as it came; where it was parsed, what it says."""
    text = raw if raw is not None else " ".join("-" if part is None else str(part) for part in parts)
    return printable(text[:RAW_CHARACTERS]) + ("…" if len(text) > RAW_CHARACTERS else "")
