"""What does a scheme cost that a file has not measured? Damage over bits per weight, between and beyond its points.

Noise of a quantizer falls by 6.02 dB, a factor of four in energy, with each bit, so damages are straight lines in their
logarithm over bits. Among schemes of the same bits the error energy of the weights decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.plans.candidates import Candidates, Options

_PER_BIT = 4.0


def interpolate(bits: Doubles, points: Doubles, damages: Doubles) -> Doubles:
    """The damage at some bits per weight, from that at `points`, which ascend.

    Damages never rise with bits: each point is at most the one before. Between two points the logarithm is a straight
    line, or the damage itself where one of them is 0; below the first and above the last it changes by a factor of 4
    for each bit.

    >>> interpolate(np.array([3.0, 4.5, 6.0]), np.array([4.0, 5.0]), np.array([4.0, 1.0])).round(6).tolist()
    [16.0, 2.0, 0.25]
    """
    levels = np.minimum.accumulate(damages)
    at = np.clip(bits, points[0], points[-1])
    inner = np.interp(at, points, levels)
    if len(points) > 1:
        right = np.clip(np.searchsorted(points, at, side="left"), 1, len(points) - 1)
        low, high = levels[right - 1], levels[right]
        share = (at - points[right - 1]) / (points[right] - points[right - 1])
        is_log = (low > 0) & (high > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            straight = np.exp((1 - share) * np.log(low) + share * np.log(high))
        inner = np.where(is_log, straight, inner)
    found: Doubles = inner * _PER_BIT ** (at - bits)
    return found


def price(options: Options, errors: Doubles, points: Doubles, damages: Doubles) -> Doubles:
    """The cost of each candidate: the damage at its bits per weight, times its error energy over the least of all
    candidates of no more bits; 0 for one without any error.
    """
    bits = options.bits / max(options.tensor.numel, 1)
    costs: Doubles = interpolate(bits, points, damages) * _compare(bits, errors)
    return costs


def _compare(bits: Doubles, errors: Doubles) -> Doubles:
    best = np.array([np.nanmin(np.where(bits <= own, errors, np.inf)) for own in bits])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(best > 0, errors / best, np.where(errors > 0, 1.0, 0.0))
    return np.where(np.isfinite(ratio), ratio, 1.0)


def trace_errors(options: Options, errors: Doubles, bits: Sequence[float]) -> Doubles:
    """The least error energy that the candidates have at some bits per weight, between and beyond them."""
    own = options.bits / max(options.tensor.numel, 1)
    points = np.unique(own)
    least = np.array([errors[own == point].min() for point in points])
    return interpolate(np.asarray(bits, np.float64), points, least)


def read_errors(candidates: Candidates) -> list[Doubles]:
    """The error energy of each tensor's candidates as a share of the tensor's: of the weights, or, for rows of a
    sensitivity, of the model's outputs. Only ratios within a tensor and its place among others are made of it.
    """
    names = {column.name for column in candidates.rows.columns}
    outputs = candidates.rows.column("output_nsr") if "output_nsr" in names else None
    found = []
    for one in candidates.options:
        if outputs is None:
            found.append(one.errors / one.signal if one.signal > 0 else np.zeros_like(one.errors))
        else:
            found.append(np.nan_to_num(np.asarray(outputs[list(one.places)], np.float64)))
    return found
