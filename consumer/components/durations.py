"""How long requests took, as mergeable sketches: KLL of doubles, Apache DataSketches. Pure.

Source: Z. Karnin, K. Lang, E. Liberty, "Optimal Quantile Approximation in Streams", 2016.
"""

from collections.abc import Sequence

import numpy as np
from datasketches import kll_doubles_sketch

# The rank of a quantile is off by 1.33 % at most, 99 times out of 100, in some 2.6 kB.
K = 200


def sketch(durations: Sequence[float] | None) -> bytes | None:
    """The sketch of some durations; ``None`` of none. What is not finite is left out."""
    values = np.asarray(durations or (), dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    found = kll_doubles_sketch(K)
    found.update(values)
    return bytes(found.serialize())


def add_sketches(sketches: Sequence[bytes] | None) -> bytes | None:
    """One sketch for all of them; ``None`` of none."""
    if not sketches:
        return None
    first, *others = sketches
    if not others:
        return first
    found = kll_doubles_sketch.deserialize(first)
    for other in others:
        found.merge(kll_doubles_sketch.deserialize(other))
    return bytes(found.serialize())


def quantiles(sketches: Sequence[bytes], ranks: Sequence[float]) -> list[float] | None:
    """The durations at these ranks (0.5: the median), of all sketches together; ``None`` where there are none."""
    whole = add_sketches(sketches)
    return (
        None if whole is None else [float(q) for q in kll_doubles_sketch.deserialize(whole).get_quantiles(list(ranks))]
    )
