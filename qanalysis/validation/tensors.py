"""On which tensors are peers compared? Seeded ones that hold what goes wrong: outliers, tiny rows, zeros, exact ties,
ragged rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.quantizers.scheme import Scheme


@cache
def make_weights() -> Floats:
    """256x512 from N(0, 0.02): one column 8 times as large, one row a millionth as large."""
    x = np.random.default_rng(2).normal(0, 0.02, (256, 512)).astype(np.float32)
    x[:, 100] *= 8
    x[3] *= np.float32(1e-6)
    return _freeze(x)


@cache
def make_tensors() -> dict[str, Floats]:
    """Tensors by what is special about them; all rows but the ragged one's divide into blocks of 256."""
    rng = np.random.default_rng(7)
    sparse = np.where(rng.random((16, 256)) < 0.9, 0, rng.normal(size=(16, 256))).astype(np.float32)
    sparse[:4] = 0
    sparse[4, ::2] = -0.0
    spread = rng.normal(size=(61, 256)) * np.exp2(np.arange(-60, 61, 2))[:, np.newaxis]
    return {
        "weights": make_weights(),
        "heavy tails": _freeze(0.01 * rng.standard_t(3, (32, 256))),
        "zeros": _freeze(sparse),
        "ties": _freeze(rng.integers(-64, 65, (32, 256)) / 8),
        "magnitudes": _freeze(spread),
        "ragged": _freeze(rng.normal(0, 0.02, (48, 100))),
    }


def whole_tensors() -> dict[str, Floats]:
    """Those whose rows divide into the blocks of every format."""
    return {name: x for name, x in make_tensors().items() if name != "ragged"}


def probe_levels(levels: Floats) -> Floats:
    """One row: every level, every midpoint between neighbours, and the float32 numbers on both sides of each."""
    ascending = np.unique(np.asarray(levels, np.float32))
    middles = ((ascending[1:].astype(np.float64) + ascending[:-1]) / 2).astype(np.float32)
    inside = np.concatenate([ascending[1:-1], middles])
    above, below = np.nextafter(inside, np.float32(np.inf)), np.nextafter(inside, np.float32(-np.inf))
    return _freeze(np.unique(np.concatenate([ascending, inside, above, below]))[np.newaxis])


def draw_bit_patterns(count: int) -> Floats:
    """Finite float32 numbers of every exponent alike, subnormals included."""
    patterns = np.random.default_rng(11).integers(0, 2**32, count, dtype=np.uint32).view(np.float32)
    return _freeze(patterns[np.isfinite(patterns)])


def _freeze(x: np.ndarray) -> Floats:
    frozen: Floats = np.array(x, np.float32)
    frozen.flags.writeable = False
    return frozen


def round_trip(x: Floats, scheme: str) -> Floats:
    """What the scheme makes of the tensor, rows being its channels."""
    restored: Floats = Scheme.parse(scheme).fit(x).round_trip(x)
    return restored


def fit_zero_points(x: Floats, scheme: str) -> Floats:
    """The zero points of an asymmetric integer scheme, one per group."""
    zero_points = Scheme.parse(scheme).fit(x).grid.zero_points
    if zero_points is None:
        raise ValueError(f"{scheme} has no zero points; use an integer format with asym")
    return zero_points


def map_groups(x: Floats, length: int | None, quantize: Callable[[Floats], Floats]) -> Floats:
    """`quantize`, which takes (groups, length) and keeps the shape, over groups along the rows; the shorter last ones
    on their own.

    None makes the tensor one group.
    """
    if length is None:
        return quantize(x.reshape(1, -1)).reshape(x.shape)
    whole = x.shape[1] // length * length
    parts = [quantize(np.ascontiguousarray(x[:, :whole]).reshape(-1, length)).reshape(len(x), whole)] if whole else []
    parts += [quantize(np.ascontiguousarray(x[:, whole:]))] if whole < x.shape[1] else []
    return np.concatenate(parts, axis=1)
