"""What a range rule asks about candidates: the squared error of groups on a grid, the clip edge of least divergence."""

from __future__ import annotations

import numpy as np

from qanalysis.kernels.codes import NEAREST_EVEN, STOCHASTIC
from qanalysis.kernels.lanes import REORDER, ZERO, compiled, inner, maximum, minimum, rint, round_one


@compiled()
def squared_errors(groups, step, inverse, low_code, high_code, mode, out):
    """Sum e^2 of each group under its own uniform grid.

    Parameters
    ----------
    groups : (groups, length) float32, finite.
    step, inverse : (groups,) float32.
    low_code, high_code : (groups,) float32, relative to the zero point, or (1,) where one pair serves all.
    mode : a rounding; a stochastic one is judged by nearest-even, as the draws belong to places that a search does not
        know.
    out : (groups,) float64, overwritten.
    """
    for group in range(groups.shape[0]):
        pair = group if low_code.size > 1 else 0
        if mode in (NEAREST_EVEN, STOCHASTIC):
            out[group] = _squared_error_run(groups[group], step[group], inverse[group], low_code[pair], high_code[pair])
        else:
            out[group] = 0.0
            for value in groups[group]:
                kept = min(max(round_one(value * inverse[group], mode, 0, 0), low_code[pair]), high_code[pair])
                out[group] += np.float64(kept * step[group] - value) ** 2


@inner(fastmath=REORDER)
def _squared_error_run(x, step, inverse, low_code, high_code):
    """Sum e^2, float64, of one group on one grid by nearest-even; the terms are squares of float32 errors."""
    total = 0.0
    for i in range(x.size):
        error = np.float64(minimum(maximum(rint(x[i] * inverse), low_code), high_code) * step - x[i])
        total += error * error
    return total


@compiled()
def divergence_clips(groups, bins, levels, out):
    """Clip edge of |x| for each row of `groups`, (groups, length) float32 and finite, by least KL divergence, into
    `out` (groups,) float32.

    Candidates are the upper borders of the histogram's bins, from `levels` on, that leave at least half of the elements
    unclipped (a histogram clipped to one bin fits any Q). A candidate's P is the clipped histogram with
    the tail in its last non-empty bin; its Q spreads each of `levels` merged cells, without the tail, over the cell's
    non-empty bins. A tie keeps the wider range.
    """
    counts = np.zeros(bins + 1)
    # The search takes logarithms of small counts by the million; below this many they come from a table.
    logs = np.log(np.maximum(np.arange(1 << 14), 1.0))
    for group in range(groups.shape[0]):
        top = ZERO
        for value in groups[group]:
            top = max(top, abs(value))
        if top == 0 or levels >= bins:
            out[group] = top
            continue
        counts[:] = 0
        for value in groups[group]:
            counts[1 + min(bins - 1, int(np.float64(abs(value)) / np.float64(top) * bins))] += 1
        out[group] = np.float32(top * np.float64(_best_edge(counts, bins, levels, logs)) / bins)


@compiled()
def divergence_clips_of_counts(counts, tops, levels, out):
    """The same for magnitudes that were counted before: `counts`, (groups, bins) float64 over 0 to `tops`, (groups,)
    float32, into `out` (groups,) float32.
    """
    bins = counts.shape[1]
    shifted = np.zeros(bins + 1)
    logs = np.log(np.maximum(np.arange(1 << 14), 1.0))
    for group in range(counts.shape[0]):
        if tops[group] == 0 or levels >= bins:
            out[group] = tops[group]
            continue
        shifted[1:] = counts[group]
        out[group] = np.float32(tops[group] * np.float64(_best_edge(shifted, bins, levels, logs)) / bins)


@inner()
def _best_edge(counts, bins, levels, logs):
    """The number of bins that the best clip edge keeps, levels..bins, for `counts` (bins + 1,) with bin i at place i.

    Running sums make a candidate cost `levels` steps, not `bins`; `logs` are logarithms of whole numbers.
    """
    below, filled, own = np.zeros(bins + 1), np.zeros(bins + 1), np.zeros(bins + 1)
    last_filled = np.zeros(bins + 1, np.int64)
    for i in range(1, bins + 1):
        is_filled = counts[i] > 0
        below[i] = below[i - 1] + counts[i]
        filled[i] = filled[i - 1] + (1 if is_filled else 0)
        own[i] = own[i - 1] + (counts[i] * np.log(counts[i]) if is_filled else 0.0)
        last_filled[i] = i if is_filled else last_filled[i - 1]
    best, least = bins, np.inf
    for edge in range(bins, levels - 1, -1):
        end_bin = last_filled[edge]
        if 2 * below[edge] < below[bins]:
            break
        divergence = _divergence(counts, below, filled, own, bins, levels, edge, end_bin, logs)
        if divergence < least - 1e-12:
            best, least = edge, divergence
    return best


@inner()
def _divergence(counts, below, filled, own, bins, levels, edge, end_bin, logs):
    """KL(P, Q) in nats where the first `edge` bins are kept, the last non-empty of which is `end_bin`."""
    tail = below[bins] - below[edge]
    last = counts[end_bin] + tail
    total = own[end_bin - 1] + last * np.log(last)
    width, rest = edge // levels, edge % levels
    end = carry = 0
    for _cell in range(levels):
        # Borders at cell * edge // levels, stepped without a division.
        begin = end
        carry += rest
        end += width + (1 if carry >= levels else 0)
        carry -= levels if carry >= levels else 0
        mass = below[end] - below[begin]
        if mass > 0:
            reference = mass + (tail if begin < end_bin <= end else 0.0)
            spread = filled[end] - filled[begin]
            total -= reference * (
                logs[int(mass)] - logs[int(spread)]
                if mass < logs.size and spread < logs.size
                else np.log(mass / spread)
            )
    # P is normalised by N, Q by N - tail.
    return total / below[bins] + np.log((below[bins] - tail) / below[bins])
