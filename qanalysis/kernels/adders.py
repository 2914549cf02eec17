"""How does an error enter the sums of its grid?

A grid has one line of `sums`, (grids, SUMS) float64, in the order of `codes.SUMS`.

Tiles are added in float32 lanes and come here as their partial sums; what lanes can not hold comes element by element.
"""

from __future__ import annotations

import numpy as np

from qanalysis.kernels.codes import (
    CLIPPED,
    CLIPPED_E2,
    MAX_ABS_E,
    SUM_ABS_E,
    SUM_E,
    SUM_E2,
    SUM_E2_IN_STEPS,
    SUM_RELATIVE,
    SUM_XE,
    ZEROED,
)
from qanalysis.kernels.lanes import inner


@inner()
def add_sums(sums, grid, e_sum, e2_sum, abs_sum, relative, in_steps, xe_sum, zeros, largest):
    """Add the partial sums of a tile or run to line `grid` of `sums`, all but the clipping sums.

    The sums of e, e^2, |e|, |e|/|x|, (e/step)^2 and x e, then the number of y = 0 and the largest |e|, float32 each but
    for `in_steps`, which may be float64. What they are of is at most TILE elements.
    """
    sums[grid, SUM_E] += e_sum
    sums[grid, SUM_E2] += e2_sum
    sums[grid, SUM_ABS_E] += abs_sum
    sums[grid, SUM_RELATIVE] += relative
    sums[grid, SUM_E2_IN_STEPS] += in_steps
    sums[grid, SUM_XE] += xe_sum
    sums[grid, ZEROED] += zeros
    sums[grid, MAX_ABS_E] = max(sums[grid, MAX_ABS_E], np.float64(largest))


@inner()
def add_exactly(sums, grid, value, error, step, outside, past, is_zero):
    """Add one element to line `grid` of `sums`.

    Value, error and step are float64, of any size whose square float64 holds. `outside` (1 or 0) tells whether the code
    was clipped, `past` whether x lies beyond the end levels, `is_zero` whether y counts as 0. An x of 0 has no relative
    error, a step of 0 is none: both add nothing.
    """
    square = error * error
    sums[grid, SUM_E] += error
    sums[grid, SUM_E2] += square
    sums[grid, SUM_ABS_E] += abs(error)
    sums[grid, SUM_RELATIVE] += abs(error) / abs(value) if value != 0 else 0.0
    sums[grid, SUM_E2_IN_STEPS] += (error / step) ** 2 if step > 0 else 0.0
    sums[grid, SUM_XE] += value * error
    sums[grid, CLIPPED_E2] += square * past
    sums[grid, CLIPPED] += outside
    sums[grid, ZEROED] += is_zero
    sums[grid, MAX_ABS_E] = max(sums[grid, MAX_ABS_E], abs(error))
