"""Telling logs apart that begin alike (I/O): see ``producer.alike``."""

from dataclasses import replace
from itertools import combinations

from producer.alike import shared_beginning
from producer.open_logs import OpenLogs
from producer.plan import State
from producer.records import Record
from producer.rotated import is_rotation


def tell_apart(logs: OpenLogs) -> None:
    """Give the lines that two logs begin with ids of their own in the later one, once the logs have become different."""
    grown, logs.grown = logs.grown, set()
    alike: dict[str | None, list[Record]] = {}
    for record in sorted(logs.records.are(State.READING), key=lambda record: record.path):
        if record.open_tail.read_up_to is not None:
            alike.setdefault(record.open_tail.parser.fingerprint, []).append(record)
    for records in alike.values():
        for first, second in combinations(records, 2):
            if grown & {first.identity, second.identity}:
                _tell_two_apart(first, second, logs)


def _tell_two_apart(first: Record, second: Record, logs: OpenLogs) -> None:
    if is_rotation(first.path, [second.path]) or is_rotation(second.path, [first.path]):
        return
    tail, place, other = second.open_tail, second.open_tail.read_up_to, first.open_tail.read_up_to
    assert place is not None
    assert other is not None
    try:
        shared = shared_beginning(first.open_tail.opened, tail.opened, min(place.offset, other.offset))
        if shared > place.own_until:
            logs.published.land(tail.own_rows(shared, second.path, logs.reader.now()))
            logs.published.advance(tail, replace(place, own_until=shared))
    except OSError:
        return  # reading it tells why
