"""Into which bins do values fall? Counts and sums of magnitudes, of either sign, for each column of a matrix."""

from __future__ import annotations

import numpy as np

from qanalysis.kernels.lanes import compiled


@compiled()
def tally(matrix, factors, counts, sums):
    """Add the finite values of each column of `matrix`, (rows, groups) float32, to its histograms.

    Parameters
    ----------
    factors : (groups,) float64, bins per unit: |x| times its factor, rounded down, is the bin; it lies below the bins.
    counts : (groups, 2, bins) int64, of the values below 0 and of the others.
    sums : the same of |x|, float64.
    """
    for row in range(matrix.shape[0]):
        for group in range(matrix.shape[1]):
            value = matrix[row, group]
            if np.isfinite(value):
                magnitude = np.float64(abs(value))
                place = int(magnitude * factors[group])
                sign = 0 if value < 0 else 1
                counts[group, sign, place] += 1
                sums[group, sign, place] += magnitude
