"""The streaming tables' sketches of distinct counts: HyperLogLog of Apache DataSketches, as Spark makes them. Pure."""

from datasketches import hll_sketch, hll_union, tgt_hll_type


def estimate(sketch: bytes) -> int:
    """The distinct count that a sketch stands for, as Spark's ``hll_sketch_estimate`` rounds it."""
    return int(hll_sketch.deserialize(sketch).get_estimate() + 0.5)


def united(one: bytes, other: bytes) -> bytes:
    """The sketch of both, as Spark's ``hll_union`` makes it; of two sizes the smaller."""
    first, second = hll_sketch.deserialize(one), hll_sketch.deserialize(other)
    both = hll_union(min(first.lg_config_k, second.lg_config_k))
    both.update(first)
    both.update(second)
    return bytes(both.get_result(tgt_hll_type.HLL_8).serialize_updatable())
