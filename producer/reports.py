"""What became of each log's lines, in words. Plain values: nothing is read here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehouse.logs import printable
from lakehouse.readable import count_text, counted_text
from producer.formats.tally import Tally

# A proxy's addresses are taken for the visitors' when so many of the requests with a chain come from private ones.
PROXIED_SHARE = 0.5
SHOWN_FILES = 20


@dataclass(frozen=True)
class LogReport:
    """One log: its name and what its lines were."""

    source: str
    tally: Tally = field(default_factory=Tally)

    @property
    def unparsed(self) -> int:
        """Lines that no format took."""
        return max(0, self.tally.lines - self.tally.parsed)


def report_line(report: LogReport) -> str:
    """``access.log: 1,000 lines: 990 combined, 10 docker+json``, and how many did not parse."""
    kinds = [f"{count_text(count)} {name}" for name, count in report.tally.formats.most_common()]
    if report.unparsed:
        kinds.append(f"{count_text(report.unparsed)} in no known format or no requests")
    text = f"{printable(report.source)}: {counted_text(report.tally.lines, 'line')}"
    return f"{text}: {', '.join(kinds)}" if kinds else text


def worst_first(reports: Sequence[LogReport]) -> list[LogReport]:
    """The reports, those first of which the largest share did not parse."""
    return sorted(reports, key=lambda report: -report.unparsed / max(1, report.tally.lines))


def proxy_hint(tally: Tally, *, is_trusting: bool) -> str | None:
    """The sentence that most visitors are a proxy, or ``None``."""
    if is_trusting or not tally.parsed or tally.private < PROXIED_SHARE * tally.parsed:
        return None
    return (
        "most requests come from private addresses and have a chain of forwarded ones: their visitors are a proxy's; "
        "set ingest.trusted_proxies to the proxy's network, such as [10.0.0.0/8]"
    )


def as_record(reports: Sequence[LogReport], hint: str | None) -> dict[str, Any]:
    """What ``status`` shows later, as plain values: of many files those of which most did not parse."""
    shown = worst_first(reports)[:SHOWN_FILES]
    return {"files": len(reports), "lines": [report_line(report) for report in shown], "hint": hint}


def recorded_lines(record: Mapping[str, Any], ago: str) -> list[str]:
    """The lines of ``status`` from a record."""
    return _lines(f"ingest: read {counted_text(record['files'], 'file')} {ago}", record)


def followed_lines(reports: Sequence[LogReport], *, is_trusting: bool) -> list[str]:
    """The lines of ``status`` about followed logs; none where nothing has been landed of any."""
    if not reports:
        return []
    total = Tally()
    for report in reports:
        total.add(report.tally)
    record = as_record(reports, proxy_hint(total, is_trusting=is_trusting))
    return _lines(f"follow: landed so far of {counted_text(len(reports), 'log')}", record)


def report_json(report: LogReport) -> dict[str, Any]:
    """One log in plain values."""
    tally = report.tally
    return {"source": report.source, "lines": tally.lines, "unparsed": report.unparsed, "formats": dict(tally.formats)}


def _lines(title: str, record: Mapping[str, Any]) -> list[str]:
    count = record["files"]
    lines = [title, *(f"  {line}" for line in record["lines"])]
    if count > len(record["lines"]):
        lines.append(f"  and {count - len(record['lines'])} more, of which a smaller part did not parse")
    return lines + ([f"  {record['hint']}"] if record["hint"] else [])
