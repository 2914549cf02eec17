"""How sure is a high quantile over positions, when samples are drawn and positions come with them?"""

from __future__ import annotations

import numpy as np

from qanalysis.arrays import Codes, Doubles, Reals
from qanalysis.models.sensitivity.intervals import LEVEL, Estimate, Resampling

#: A draw's quantile is looked for among the positions within so many standard errors of the share.
_REACH = 5.0
_LEAST = 16


def estimate_quantile(positions: Reals, groups: Codes, share: float, resampling: Resampling) -> Estimate:
    """The quantile of `positions` (count,), of which position i lies in group `groups[i]`, with the ends between which
    those of the draws lie.

    The high end is at most the largest position: among fewer than log(0.025) / log(share) independent ones, 367 for
    0.99, the quantile may lie above all of them. Measured coverage of 95 % at 0.99: 0.94 of 1000 positions of a sample
    each, 0.93 of 100 samples of 20 positions, 0.88 of 30 such, 0.60 of 100 alone. `damage` is the logarithm.
    """
    value = float(np.quantile(positions, share))
    found = np.clip(_find_draws(positions, groups, share, resampling), 0, None)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    with np.errstate(divide="ignore"):
        return Estimate(
            value, min(float(low), value), max(float(high), value), float(np.log(max(value, 0.0))), np.log(found)
        )


def _find_draws(positions: Reals, groups: Codes, share: float, resampling: Resampling) -> Doubles:
    """The largest position of each draw that no more than 1 - share of its weight lies above, (draws,).

    Only positions near the quantile are sorted; those above count by their group.
    """
    many = resampling.groups
    first, last = _choose_window(positions, groups, share, many)
    ordered = np.partition(positions, [first, last])
    inside = (positions >= ordered[first]) & (positions <= ordered[last])
    above = np.bincount(groups[positions > ordered[last]], minlength=many)
    both = np.stack([above, np.bincount(groups, minlength=many)], axis=1).astype(np.float64)
    near = np.flatnonzero(inside)[np.argsort(-positions[inside], kind="stable")]
    values, of = positions[near].astype(np.float64), groups[near]
    found = np.empty(len(resampling.weights))
    step = max(1, (1 << 22) // max(len(near), 1))
    for start in range(0, len(found), step):
        weights = resampling.weights[start : start + step]
        outside, drawn = (weights @ both).T
        passed = outside[:, None] + np.cumsum(np.take(weights, of, axis=1), axis=1)
        reached = passed > ((1 - share) * drawn)[:, None] * (1 + 1e-12)
        places = np.where(reached.any(axis=1), reached.argmax(axis=1), len(near) - 1)
        found[start : start + step] = values[places]
    return found


def _choose_window(positions: Reals, groups: Codes, share: float, many: int) -> tuple[int, int]:
    """Places among the sorted positions, between which the quantile of nearly every draw lies."""
    count = positions.size
    place = min(int(share * count), count - 1)
    hits = np.bincount(groups[positions <= np.partition(positions, place)[place]], minlength=many)
    rests = hits - share * np.bincount(groups, minlength=many)
    reach = int(_REACH * np.sqrt((rests**2).sum() + 1)) + _LEAST
    return max(place - reach, 0), min(place + reach, count - 1)
