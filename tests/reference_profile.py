"""A profile by plain numpy on whole arrays, in the order of its definitions; y and the clipped are the quantizer's own word."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from qanalysis.diagnosis.profile import ERROR_BINS, ERROR_REACH, MAX_LEVELS, LayerProfile
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sums import Histogram

# Sums of the same float64 terms in another order: n 2^-53, for the sizes of these tests below this.
SUMS = dict.fromkeys(("channel_error", "channel_power", "group_mse"), 1e-12)


def describe_profile(x: NDArray[np.float32], scheme: Scheme, *, bins: int, axis: int = 0) -> dict[str, object]:
    """Every field of the profile by its name."""
    fitted = scheme.fit(x, axis=axis)
    layout, matrix = fitted.layout, fitted.layout.to_matrix(x)
    finite = np.isfinite(matrix)
    y = layout.to_matrix(fitted.round_trip(x))[finite]
    known, outside = matrix[finite], _mark_outside(fitted, matrix)[finite]
    steps = layout.spread(np.where(fitted.step > 0, fitted.step, np.float32(1)))
    in_steps = (y - known) / np.broadcast_to(steps, matrix.shape)[finite]
    zeroed = (y == 0) & (known != 0) & ~outside
    exact = np.where(finite, matrix, 0).astype(np.float64)
    squares = np.zeros(matrix.shape)
    squares[finite] = (y.astype(np.float64) - exact[finite]) ** 2
    starts, count = np.arange(0, layout.columns, layout.block_columns), finite.sum(axis=1)
    reach = float(np.abs(exact).max()) or 1.0
    steps = np.where(fitted.grid.idle, np.nan, fitted.step) if not fitted.grid.idle.all() else np.ones(1)
    levels = fitted.grid.levels(int(np.nanargmax(steps)))
    coder = fitted.grid.coder
    with np.errstate(invalid="ignore"):
        return {
            "scheme": scheme,
            "groups": layout.groups,
            "non_finite": int((~finite).sum()),
            "in_range": _count_values(known[~outside & ~zeroed], reach, bins),
            "clipped": _count_values(known[outside], reach, bins),
            "zeroed": _count_values(known[zeroed], reach, bins),
            "error_in_steps": _count_errors(in_steps),
            "beyond_bound": int(
                (np.abs(in_steps) > 0.5 + 2.0**-22 * (coder.high - coder.low) / coder.widest_gap).sum()
            ),
            "step_min": float(np.nanmin(steps)),
            "step_max": float(np.nanmax(steps)),
            "level_low": float(levels[0]),
            "level_high": float(levels[-1]),
            "level_count": levels.size,
            "levels": levels if levels.size <= MAX_LEVELS else None,
            "channel_error": squares.sum(axis=1) / count,
            "channel_power": (exact**2).sum(axis=1) / count,
            "channel_absmax": np.abs(exact).max(axis=1),
            "channel_count": count,
            "group_mse": np.add.reduceat(squares, starts, axis=1)
            / np.add.reduceat(finite, starts, axis=1, dtype=np.int64),
        }


def _mark_outside(fitted: LevelQuantizer, matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Elements whose rounded code lies outside the codes; lists of numbers say from which value on that is so."""
    kept, wanted = fitted._code(matrix)
    edges = fitted.grid.coder.edges
    if edges is None:
        return kept != wanted
    level = fitted.layout.spread(np.where(fitted.scale == 0, np.float32(np.inf), np.abs(fitted.scale)))
    with np.errstate(over="ignore"):
        return (matrix < np.float32(edges[0]) * level) | (matrix > np.float32(edges[1]) * level)


def _count_values(values: NDArray[np.float32], reach: float, bins: int) -> Histogram:
    # The last bin holds its upper border, which is +reach.
    place = (values.astype(np.float64) + reach) * (bins * (1 - 2.0**-50) / (2 * reach))
    return Histogram(-reach, reach, np.bincount(place.astype(np.int64), minlength=bins))


def _count_errors(in_steps: NDArray[np.float32]) -> Histogram:
    with np.errstate(over="ignore"):
        place = np.floor(in_steps * np.float32(ERROR_BINS / (2 * ERROR_REACH)) + np.float32(ERROR_BINS / 2 + 1)) - 1
    inside = place[(place >= 0) & (place < ERROR_BINS)]
    counts = np.bincount(inside.astype(np.int64), minlength=ERROR_BINS)
    return Histogram(-ERROR_REACH, ERROR_REACH, counts, int((place < 0).sum()), int((place >= ERROR_BINS).sum()))


def check_profile(profile: LayerProfile, truth: dict[str, object], place: object) -> None:
    """Assert that a profile is the truth: sums within rounding, all else exactly."""
    assert set(truth) == {entry.name for entry in fields(profile)} - {"name"}
    for name, true in truth.items():
        found = getattr(profile, name)
        if name in SUMS:
            np.testing.assert_allclose(found, true, rtol=SUMS[name], err_msg=f"{place}: {name}")
        elif isinstance(true, Histogram):
            same = (found.low, found.high, found.below, found.above) == (true.low, true.high, true.below, true.above)
            assert same, f"{place}: {name}"
            assert found.counts.tolist() == true.counts.tolist(), f"{place}: {name}"
        else:
            assert np.array_equal(found, true) if isinstance(true, np.ndarray) else found == true, f"{place}: {name}"
