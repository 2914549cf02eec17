"""Which range does a rule choose where values are known by a streamed histogram alone?

Extremes, means and deviations are exact; percentiles, least squared errors and divergences are those of the histogram,
each bin standing at the mean of what fell in it. Grids and codes are the quantizer's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.kernels.searches import divergence_clips_of_counts
from qanalysis.models.activations.histograms import StreamedHistogram
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.ranges import MeanStd, MinMax, Percentile, SquaredError
from qanalysis.quantizers.scales import FLOAT32
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import TERNARY_THRESHOLD, MeanMagnitude, Range, Statistic, Threshold

#: A range is at least so wide: values that were all zero must not have a grid of step 1.
NARROWEST = np.float32(1e-8)


def find_static(scheme: Scheme, seen: StreamedHistogram, *, ends: Range | None = None) -> Statistic:
    """What the scheme's grids are laid over, one group for each histogram; `ends` take the place of the exact
    extremes where the rule is minmax.

    Raises ValueError where nothing finite was seen, and for a format that asks for something else of its groups.
    """
    if not seen.count.all():
        raise ValueError("calibration holds no finite value of it; there is no range to take")
    statistic = scheme.format.statistic
    if statistic is MeanMagnitude:
        return MeanMagnitude(seen.mean_magnitude.astype(np.float32))
    if statistic is Threshold:
        return _find_threshold(seen)
    takes_range = issubclass(statistic, Range)
    if not takes_range:
        raise ValueError(f"{scheme.format} has no static range; its scales are made when it runs, in its own blocks")
    return scheme.settle(_widen(_find_range(scheme, seen, ends)))


def needs_histogram(scheme: Scheme) -> bool:
    """Whether extremes, means and deviations are not enough to lay its static grids."""
    statistic = scheme.format.statistic
    if statistic is Threshold:
        return True
    return statistic is Range and not isinstance(scheme.range, MinMax | MeanStd)


def _find_range(scheme: Scheme, seen: StreamedHistogram, ends: Range | None) -> Range:
    rule, symmetric = scheme.range, scheme.symmetry.signed
    extremes = Range(seen.low.astype(np.float32), seen.high.astype(np.float32))
    if scheme.takes_extremes or scheme.format.statistic is not Range:
        return ends or extremes
    if isinstance(rule, Percentile):
        return _find_percentile(rule.percent, seen, symmetric=symmetric)
    if isinstance(rule, MeanStd):
        edge = np.minimum(seen.mean_magnitude + rule.factor * seen.magnitude_std, np.finfo(np.float32).max)
        return _clip_at(edge.astype(np.float32), extremes, symmetric=symmetric)
    # A rule that searches asks for extremes and for the search; of the values it needs no more than how many there are.
    length = int(min(max(int(seen.count.max()), 2), 4 * seen.bins))
    values = np.tile(np.stack([extremes.low, extremes.high], axis=1), (1, -(-length // 2)))[:, :length]
    return rule(np.ascontiguousarray(values), symmetric=symmetric, search=HistogramSearch(scheme, seen))


@dataclass(frozen=True, slots=True)
class HistogramSearch:
    """What a rule that searches may ask of the grid, answered from histograms instead of the values that it has."""

    scheme: Scheme
    seen: StreamedHistogram

    def squared_error(self, _values: Floats) -> SquaredError:
        """A function of candidate ranges to sum e² of each group, (groups,)."""
        filled = self.seen.weights.any(axis=0)
        points, weights = self.seen.points[:, filled].astype(np.float32), self.seen.weights[:, filled]
        layout = Grouping(1).lay_out(points.shape)
        # How scales are stored in the end depends on those of all groups, which a search in one does not know.
        judge = replace(self.scheme, scale=FLOAT32) if self.scheme.scale.is_double else self.scheme

        def squared_error(found: Range) -> Doubles:
            passed = pass_through(points, judge.lay_grid(found), layout, judge.rounding)
            error: Doubles = (np.square(passed.y - points, dtype=np.float64) * weights).sum(axis=1)
            return error

        return squared_error

    def divergence_clip(self, _values: Floats, bins: int) -> Floats:
        """The clip edge of each group with the least Kullback-Leibler divergence of a histogram of so many bins, or of
        as many as the streamed one has below the group's largest magnitude.
        """
        edges = self.seen.largest.astype(np.float32)
        points, weights = np.abs(self.seen.points), self.seen.weights
        for group in np.flatnonzero(edges):
            top = self.seen.largest[group]
            kept = min(bins, max(int(top * self.seen.bins_per_unit[group]), 1))
            places = np.minimum(points[group] * (kept / top), kept - 1).astype(np.int64)
            counts = np.bincount(places, weights[group], minlength=kept)[np.newaxis]
            place = slice(group, group + 1)
            divergence_clips_of_counts(counts, edges[place], self.scheme.format.largest_code, edges[place])
        return edges


def _find_percentile(percent: float, seen: StreamedHistogram, *, symmetric: bool) -> Range:
    """Interpolated between the means of bins; an end that collapses to 0 keeps the extremes, as with whole tensors."""
    low, high = np.zeros((2, seen.groups), np.float32)
    points, weights = seen.points, seen.weights
    for group in range(seen.groups):
        values = np.abs(points[group]) if symmetric else points[group]
        order = np.argsort(values, kind="stable")
        values, counts = values[order], weights[group][order]
        values, counts = values[counts > 0], counts[counts > 0]
        high[group] = _pick(values, counts, percent)
        low[group] = -high[group] if symmetric else _pick(values, counts, 100 - percent)
    low, high = np.maximum(low, -seen.largest), np.minimum(high, seen.largest)
    collapsed = (low == 0) & (high == 0)
    return Range(
        np.where(collapsed, seen.low, low).astype(np.float32), np.where(collapsed, seen.high, high).astype(np.float32)
    )


def _pick(values: Doubles, counts: Doubles, percent: float) -> float:
    """The percentile of ascending values that occur `counts` times, by numpy's linear interpolation of ranks."""
    last = np.cumsum(counts) - 1
    rank = percent / 100 * last[-1]
    below, above = np.searchsorted(last, [np.floor(rank), np.ceil(rank)])
    return float(values[below] + (values[above] - values[below]) * (rank - np.floor(rank)))


def _find_threshold(seen: StreamedHistogram) -> Threshold:
    """0.7 mean |x|, and the mean of the bins above it."""
    threshold = TERNARY_THRESHOLD * seen.mean_magnitude.astype(np.float32)
    magnitudes, weights = np.abs(seen.points), seen.weights * (np.abs(seen.points) > threshold[:, np.newaxis])
    count = weights.sum(axis=1)
    mean = np.divide((magnitudes * weights).sum(axis=1), count, out=np.zeros(seen.groups), where=count > 0)
    return Threshold(threshold, mean.astype(np.float32))


def _clip_at(edge: Floats, ends: Range, *, symmetric: bool) -> Range:
    if symmetric:
        return Range(-edge, edge)
    return Range(np.maximum(ends.low, -edge), np.minimum(ends.high, edge))


def _widen(found: Range) -> Range:
    """Values that were all zero get a range of the least width."""
    nothing = np.maximum(-found.low, found.high) < NARROWEST
    return type(found)(found.low, np.where(nothing, NARROWEST, found.high).astype(np.float32))
