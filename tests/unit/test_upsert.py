"""Running figures: batches added up equal one count, each batch once, whoever else writes. Without a JVM."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from datasketches import hll_sketch, tgt_hll_type
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql.pandas.types import to_arrow_schema

from consumer.components import upsert
from consumer.components.aggregate import SUMS, sketches
from consumer.components.upsert import add_figures, create_metrics_tables, streaming_schema
from consumer.components.visitor_sketches import estimate, united
from lakehouse.lake import GRAINS, Lake
from lakehouse.metric_columns import METRIC_COLUMNS, METRIC_KEYS
from lakehouse.tables import latest_version, replace_days
from tests.requests import NOON
from tests.tables import rows

LG_K = 12
DAYS = (date(2024, 5, 16), date(2024, 5, 17))
Row = dict[str, Any]


class Figures:
    """Figures as a DataFrame gives them to this process: by memory, or as files."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def toArrow(self) -> pa.Table:
        return self.table

    @property
    def write(self) -> "Figures":
        return self

    def parquet(self, path: str) -> None:
        import pyarrow.parquet as pq

        folder = Path(path.removeprefix("file://"))
        folder.mkdir()
        half = self.table.num_rows // 2
        for name, part in (("a", self.table.slice(0, half)), ("b", self.table.slice(half))):
            pq.write_table(part, folder / f"part-{name}.parquet")


def sketch(values: set[Any]) -> hll_sketch:
    made = hll_sketch(LG_K, tgt_hll_type.HLL_8)
    for value in sorted(values, key=repr):
        made.update(repr(value))
    return made


def rolled_up(requests: Sequence[Row], grain: str) -> list[Row]:
    """Requests by the keys of a grain: what Spark makes of a batch."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for r in requests:
        groups[tuple(r[key] for key in METRIC_KEYS[grain])].append(r)
    distinct = {"visitors": ("ip", "agent"), "ips": ("ip",)}
    return [
        dict(zip(METRIC_KEYS[grain], key, strict=True))
        | {name: sum(r[name] for r in members) for name in SUMS}
        | {"first_seen": min(r["first_seen"] for r in members), "last_seen": max(r["last_seen"] for r in members)}
        | {f"{n}_sketch": sketch({tuple(r[c] for c in distinct[n]) for r in members}) for n in sketches(grain)}
        for key, members in groups.items()
    ]


def figures(requests: Sequence[Row], grain: str) -> Any:
    names = [*METRIC_KEYS[grain], *SUMS, "first_seen", "last_seen", *(f"{name}_sketch" for name in sketches(grain))]
    schema = to_arrow_schema(streaming_schema(grain), timezone="UTC")
    plain = [
        row | {name: bytes(row[name].serialize_updatable()) for name in row if name.endswith("_sketch")}
        for row in rolled_up(requests, grain)
    ]
    return Figures(pa.Table.from_pylist(plain, pa.schema([schema.field(name) for name in names])))


def due(requests: Sequence[Row], grain: str) -> list[tuple[Any, ...]]:
    found = []
    for row in rolled_up(requests, grain):
        estimates = {name: round(row[f"{name}_sketch"].get_estimate()) for name in sketches(grain)}
        found.append(tuple((row | estimates)[name] for name in METRIC_COLUMNS[grain]))
    return sorted(found, key=repr)


def stored(lake: Lake, grain: str) -> list[tuple[Any, ...]]:
    return rows(lake.metrics("streaming", grain), *METRIC_COLUMNS[grain])


def add(lake: Lake, requests: Sequence[Row], number: int, *, is_large: bool = False) -> None:
    for grain in GRAINS:
        add_figures(
            figures(requests, grain), lake.metrics("streaming", grain), grain, {r["event_date"] for r in requests},
            application_id="app", batch_id=number, is_large=is_large,
        )  # fmt: skip


def visitor(**fields: Any) -> Row:
    """A visitor of a batch, with its figures."""
    row = {"event_date": DAYS[1], "ip": "192.0.2.1", "agent": None, "first_seen": NOON, "last_seen": NOON}
    return dict.fromkeys(SUMS, 1) | row | fields


@st.composite
def visitors(draw: st.DrawFn) -> Row:
    first = NOON + timedelta(seconds=draw(st.integers(0, 9)))
    return visitor(
        event_date=draw(st.sampled_from(DAYS)), ip=draw(st.sampled_from((None, "192.0.2.1", "'; --"))),
        agent=draw(st.sampled_from((None, "", "curl/8"))), first_seen=first,
        last_seen=first + timedelta(seconds=draw(st.integers(0, 9))),
        **{name: draw(st.sampled_from((0, 1, 2**40))) for name in SUMS},
    )  # fmt: skip


@hypothesis_settings(max_examples=12)
@given(st.lists(st.lists(visitors(), min_size=1, max_size=6), min_size=1, max_size=5), st.booleans())
def test_batches_added_up_equal_one_count(batches: list[list[Row]], is_large: bool) -> None:
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        create_metrics_tables(lake, "app")
        for number, batch in enumerate(batches):
            add(lake, batch, number, is_large=is_large)
            add(lake, batch, number)  # again: it changes nothing
        everything = [row for batch in batches for row in batch]
        assert {grain: stored(lake, grain) for grain in GRAINS} == {grain: due(everything, grain) for grain in GRAINS}


def test_another_writer_is_noticed_and_its_rows_stay(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    create_metrics_tables(lake, "app")
    first, others, last = [visitor()], [visitor(ip="192.0.2.2")], [visitor(agent="curl/8")]
    add(lake, first, 0)
    others_turns = dict.fromkeys((str(lake.metrics("streaming", grain)) for grain in GRAINS), 1)

    def replace_after_another(table: DeltaTable, *args: Any, **named: Any) -> None:
        """Between the reading and the commit of a batch, another process adds one of its own."""
        path = table.table_uri.removeprefix("file://").rstrip("/")
        if others_turns.pop(path, 0):
            (grain,) = (g for g in GRAINS if str(lake.metrics("streaming", g)) == path)
            add_figures(figures(others, grain), Path(path), grain, set(DAYS), application_id="other", batch_id=0)
        replace_days(table, *args, **named)

    monkeypatch.setattr(upsert, "replace_days", replace_after_another)
    add(lake, last, 1)
    assert {grain: stored(lake, grain) for grain in GRAINS} == {
        grain: due([*first, *others, *last], grain) for grain in GRAINS
    }


def test_a_table_that_others_change_time_after_time_is_an_error_and_nothing_is_added(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_metrics_tables(lake, "app")

    def replace_never(*_: Any, **__: Any) -> None:
        raise CommitFailedError("changed")

    monkeypatch.setattr(upsert, "replace_days", replace_never)
    with pytest.raises(CommitFailedError):
        add(lake, [visitor()], 0)
    assert latest_version(lake.metrics("streaming", "daily")) == 0


def test_sketches_of_two_sizes_become_one_of_the_smaller_size() -> None:
    small, large = (hll_sketch(lg_k, tgt_hll_type.HLL_8) for lg_k in (8, 14))
    for number in range(5000):
        small.update(number)
        large.update(number + 2500)
    both = united(bytes(small.serialize_updatable()), bytes(large.serialize_updatable()))
    assert hll_sketch.deserialize(both).lg_config_k == 8
    assert estimate(both) == pytest.approx(7500, rel=0.2)
