"""``producer status``: what the producers of a lake last did, in words. Plain values: nothing is read here."""

from collections.abc import Mapping
from datetime import datetime

from lakehouse.ledger import ENDED, RUNNING
from lakehouse.producers import FOLLOW, SIMULATE, ProducerStatus, stuck
from lakehouse.readable import ago_text, count_text, counted_text

COMMANDS = {SIMULATE: "python -m producer simulate", FOLLOW: "python -m producer ingest --follow PATH..."}


def problems(seen: Mapping[str, ProducerStatus], now: datetime, limit_seconds: float) -> list[str]:
    """A sentence for each thing that is wrong; none where a producer runs and each that does makes progress.

    What does not run is a problem only where nothing does; then the one that ran last is told of.
    """
    running = {name: producer for name, producer in seen.items() if producer.state == RUNNING}
    if running:
        found = [_problem(name, producer, now, limit_seconds) for name, producer in running.items()]
        return [sentence for sentence in found if sentence is not None]
    started = {name: producer.started_at for name, producer in seen.items() if producer.started_at is not None}
    if not started:
        return [f"no producer has been started yet; start one with: {', or: '.join(COMMANDS.values())}"]
    name = max(started, key=started.__getitem__)
    producer = seen[name]
    if producer.state == ENDED:
        return [f"{name}: stopped {ago_text(producer.ended_at, now)}; start it with: {COMMANDS[name]}"]
    last_sign = ago_text(producer.progress_at or producer.started_at, now)
    what = f"it failed or was killed after its last sign of life, {last_sign}"
    return [f"{name}: not running, {what}; see its log, writer/producer.log, and start it with: {COMMANDS[name]}"]


def deeds(seen: Mapping[str, ProducerStatus], now: datetime) -> list[str]:
    """A line for each producer that runs: what it last did."""
    return [_deed(name, producer, now) for name, producer in seen.items() if producer.state == RUNNING]


def _problem(name: str, seen: ProducerStatus, now: datetime, limit_seconds: float) -> str | None:
    sentence = stuck(name, seen, now, limit_seconds)
    if sentence is None and seen.progress_at is None:
        ago = ago_text(seen.started_at, now) or "and not recorded"
        return f"{name}: started {ago}, no progress yet; if it stays so, see its log, writer/producer.log"
    return sentence


def _deed(name: str, seen: ProducerStatus, now: datetime) -> str:
    landed = "nothing landed yet"
    if seen.files:
        counts = f"{counted_text(seen.files, 'file')}, {count_text(seen.rows)} rows landed"
        landed = f"{counts}, the last {ago_text(seen.landed_at, now)}"
    return f"{name}: {landed}" + (f"; looked at the logs {ago_text(seen.progress_at, now)}" if name == FOLLOW else "")
