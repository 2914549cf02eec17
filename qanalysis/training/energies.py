"""How much would a grid lose of a tensor of which only mean and std of |x| are known? Expected energies per element.

|x| is taken to follow the gamma law with that mean and std [ours]: of shape k = (mean/std)^2 and scale t = std^2/mean;
Laplace data is the case mean = std. Of normal data what lies beyond 1, 2, 3 deviations comes out 0.91, 1.05, 2.5 times
as often, with 1.1, 2.1, 7.9 times its energy: real tails decide. E x^2 = mean^2 + std^2 holds under any law. Beyond an
end the distance to it is clipping, what is left is rounding.

With u = 2 pi / step and the law's characteristic function phi(u) = (1 - i u t)^-k, rounding to nearest costs
step^2/12 + step^2/pi^2 sum_n (-1)^n/n^2 Re phi(n u), the Fourier series of the error. Where a step is coarse for the
law, cells are summed instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammaln

from qanalysis.arrays import Doubles

#: Below this std over mean all |x| count as one value.
_CONSTANT = 1e-4
#: From this many standard deviations on a step is coarse: within, eight cells hold nearly all of the law.
_COARSE = 2.0
_CELLS, _HARMONICS = 8, 8


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """The law of |x| of n tensors: `mean` and `std` of |x|, `absmax` beyond which there is nothing; (n,) each.

    Moments are those of the gamma law; where |x| has one value only (std 0) or all is 0, that value.
    """

    mean: Doubles
    std: Doubles
    absmax: Doubles

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Where both moments are known and E x^2 does not exceed absmax^2, as far as float32 tells; (n,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            known: NDArray[np.bool_] = (self.mean >= 0) & (self.std >= 0) & (self.signal <= 1.001 * self.absmax**2)
        return known

    @property
    def is_constant(self) -> NDArray[np.bool_]:
        """Where |x| has one value; (n,)."""
        return self.std <= _CONSTANT * self.mean

    @property
    def signal(self) -> Doubles:
        """E x^2 = mean^2 + std^2; (n,)."""
        return self.mean**2 + self.std**2

    def take(self, where: NDArray[np.bool_]) -> Law:
        """The law of some of the n."""
        return Law(self.mean[where], self.std[where], self.absmax[where])

    def share(self, beyond: Doubles) -> Doubles:
        """P(|x| > beyond), (n,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = self.std**2 / self.mean
            share = gammaincc(self.mean / scale, np.maximum(beyond, 0) / scale)
        return np.where(self.is_constant, self.mean > beyond, share)

    def tails(self, beyond: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """(P, E |x|, E x^2) of what lies beyond a magnitude, (n,) each.

        >>> laplace = Law(np.array([1.0]), np.array([1.0]), np.array([50.0]))
        >>> [float(one[0].round(8)) for one in laplace.tails(np.array([2.0]))]
        [0.13533528, 0.40600585, 1.35335283]
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = self.std**2 / self.mean
            shape = self.mean / scale
            z = np.maximum(beyond, 0) / scale
            share = gammaincc(shape, z)
            # Q(k+1, z) = Q(k, z) + z^k e^-z / Gamma(k+1), and once more for the square.
            peak = np.where(z > 0, np.exp(shape * np.log(z) - z - gammaln(shape + 1)), 0.0)
            first = self.mean * (share + peak)
            second = self.signal * (share + peak * (1 + z / (shape + 1)))
        flat = self.is_constant
        lies = (self.mean > beyond).astype(np.float64)
        told = (np.where(flat, lies, share), np.where(flat, lies * self.mean, first))
        return (*told, np.where(flat, lies * self.mean**2, second))


def find_clipped_energy(law: Law, end: Doubles, count: Doubles) -> Doubles:
    """E (|x| - end)^2 of what lies between `end` and absmax; (n,). Zero exactly where absmax does not exceed `end`.

    At least one of `count` elements (NaN where unknown) lies at absmax, so it is never below (absmax - end)^2 / count.
    """
    found = np.zeros(end.shape)
    beyond = law.absmax > end
    part, start, top = law.take(beyond), end[beyond], law.absmax[beyond]
    share, first, second = (a - b for a, b in zip(part.tails(start), part.tails(top), strict=True))
    least = np.nan_to_num((top - start) ** 2 / count[beyond])
    found[beyond] = np.maximum(second - 2 * start * first + start**2 * share, least)
    return found


def find_clipped_share(law: Law, end: Doubles, count: Doubles) -> Doubles:
    """The share of elements beyond `end`; (n,). Zero exactly where absmax does not exceed it, else at least 1/count."""
    found = np.zeros(end.shape)
    beyond = law.absmax > end
    part = law.take(beyond)
    share = part.share(end[beyond]) - part.share(law.absmax[beyond])
    found[beyond] = np.maximum(share, np.nan_to_num(1 / count[beyond]))
    return found


def find_rounding_energy(law: Law, step: Doubles, end: Doubles) -> Doubles:
    """E (|x| - Q(|x|))^2 of what lies below `end`, a multiple of `step`, rounded to the nearest multiple; (n,).

    step^2/12 where steps are fine; where they are so coarse that all becomes 0, E x^2.
    """
    found, cut = _sum_harmonics(law, step, squared=True), law.absmax > end
    found[cut] -= step[cut] ** 2 / 12 * law.take(cut).share(end[cut])
    found = np.maximum(found, 0)
    coarse = _is_coarse(law, step, end)
    if coarse.any():
        found[coarse] = _sum_cells(law.take(coarse), step[coarse], end[coarse])[0]
    return _settle_constants(law, step, end, found, squared=True)


def find_mean_quantized(law: Law, step: Doubles, end: Doubles) -> Doubles:
    """E |Q(x)| of rounding to the nearest multiple of `step`, at most `end`; (n,)."""
    found, cut = law.mean + _sum_harmonics(law, step, squared=False), law.absmax > end
    share, first, _ = law.take(cut).tails(end[cut])
    found[cut] -= first - end[cut] * share
    found = np.maximum(found, 0)
    coarse = _is_coarse(law, step, end)
    if coarse.any():
        found[coarse] = _sum_cells(law.take(coarse), step[coarse], end[coarse])[1]
    return _settle_constants(law, step, end, found, squared=False)


def find_level_energy(law: Law, levels: Doubles, scale: Doubles) -> Doubles:
    """As `find_rounding_energy`, for the non-negative `levels` (m,) of a format, ascending, times `scale` (n,).

    Up to 32 levels cell by cell; of more, which lie in octaves of equal steps, gap^2/12 in each of the 16 octaves that
    matter most, and by the smallest step what lies below all.
    """
    if levels.size > 32:
        return _sum_octaves(law, levels, scale)
    edges = np.concatenate([[0.0], (levels[:-1] + levels[1:]) / 2, levels[-1:]])
    energy = np.zeros(scale.shape)
    before = law.tails(np.zeros(scale.shape))
    for level, edge in zip(levels, edges[1:], strict=True):
        after = law.tails(edge * scale)
        energy += _integrate(before, after, level * scale)
        before = after
    constant = law.is_constant
    nearest = levels[np.searchsorted(edges[1:-1], law.mean[constant] / scale[constant])] * scale[constant]
    inside = np.minimum(law.mean[constant], levels[-1] * scale[constant])
    energy[constant] = (inside - nearest) ** 2
    return np.maximum(energy, 0)


def _integrate(before: tuple[Doubles, ...], after: tuple[Doubles, ...], level: Doubles) -> Doubles:
    """E (|x| - level)^2 of what lies between two places, from the tails there."""
    share, first, second = (a - b for a, b in zip(before, after, strict=True))
    return np.maximum(second - 2 * level * first + level**2 * share, 0)


def _is_coarse(law: Law, step: Doubles, end: Doubles) -> NDArray[np.bool_]:
    """Where cells are summed: few hold the law, or few are there and their ends cut it."""
    few = (end <= (_CELLS - 1) * step) & (step > 1e-3 * law.std)
    cut = (law.absmax > end) & (few | (step > law.std / 2))
    return (step > _COARSE * law.std) | cut


def _waves(law: Law, step: Doubles) -> Iterator[tuple[int, Doubles, Doubles]]:
    """(n, modulus, phase) of phi(2 pi n / step); the last counts half, as where a sum alternates on."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = law.std**2 / law.mean
        shape = law.mean / scale
        for n in range(1, _HARMONICS + 1):
            v = 2 * np.pi * n * scale / step
            yield n, np.exp(-shape / 2 * np.log1p(v**2)) * (0.5 if n == _HARMONICS else 1), shape * np.arctan(v)


def _sum_harmonics(law: Law, step: Doubles, *, squared: bool) -> Doubles:
    """E of the squared rounding error of the whole law, or of Q(|x|) - |x|; (n,)."""
    total = np.zeros(step.shape)
    for n, modulus, phase in _waves(law, step):
        sign = -1 if n % 2 else 1
        total += sign / n**2 * modulus * np.cos(phase) if squared else sign / n * modulus * np.sin(phase)
    return step**2 * (1 / 12 + total / np.pi**2) if squared else step / np.pi * total


def _sum_cells(law: Law, step: Doubles, end: Doubles) -> tuple[Doubles, Doubles]:
    """(E of the squared error below `end`, E |Q(x)|) from eight cells around the mean; beyond as of fine steps."""
    first = np.maximum(np.floor(np.minimum(law.mean, end) / step) - _CELLS // 2, 0)
    first = np.where(end <= (_CELLS - 1) * step, 0, first)
    energy, mean = np.zeros(step.shape), np.zeros(step.shape)
    origin = law.tails(np.zeros(step.shape))
    before = start = law.tails(np.minimum(np.maximum(first - 0.5, 0) * step, end))
    for place in range(_CELLS):
        level = np.minimum((first + place) * step, end)
        after = law.tails(np.minimum((first + place + 0.5) * step, end))
        energy += _integrate(before, after, level)
        mean += level * (before[0] - after[0])
        before = after
    beyond = law.tails(end)
    outside = (origin[0] - start[0]) + (before[0] - beyond[0])
    energy += step**2 / 12 * np.maximum(outside, 0)
    return energy, mean + (origin[1] - start[1]) + (before[1] - beyond[1]) + end * beyond[0]


def _settle_constants(law: Law, step: Doubles, end: Doubles, found: Doubles, *, squared: bool) -> Doubles:
    """Where |x| has one value the figure is exact."""
    constant = law.is_constant
    value, width = np.minimum(law.mean[constant], end[constant]), step[constant]
    nearest = np.minimum(np.rint(value / width) * width, end[constant])
    settled = found.copy()
    settled[constant] = (value - nearest) ** 2 if squared else nearest
    return settled


def _sum_octaves(law: Law, levels: Doubles, scale: Doubles) -> Doubles:
    """E of the squared error on many levels: by the octaves in which they lie."""
    gaps = np.diff(levels)
    starts = np.flatnonzero(np.diff(gaps, prepend=gaps[0] / 2) > 0)
    lows, widths = levels[starts], gaps[starts]
    # The octave, counted from the lowest, that holds the end of the law; of those below the last 16 matter.
    top = np.searchsorted(lows, np.minimum(law.absmax / scale, levels[-1]), side="left") - 1
    ends = np.append(lows[1:], levels[-1])
    energy = np.zeros(scale.shape)
    place, cut = np.maximum(top, 0), law.absmax > levels[-1] * scale
    beyond = np.where(cut, law.share(levels[-1] * scale), 0.0)
    for back in range(min(16, lows.size)):
        place = np.maximum(top - back, 0)
        below = law.share(lows[place] * scale)
        # Where the octaves end before the sixteenth, the lowest one is not counted again: its share is then 0.
        energy += (widths[place] * scale) ** 2 / 12 * (below - beyond)
        beyond = below
    lowest = place == 0
    if lowest.any():
        part, floor = law.take(lowest), scale[lowest]
        rough = widths[0] ** 2 * floor**2 / 12 * (1 - part.tails(ends[0] * floor)[0])
        energy[lowest] += find_rounding_energy(part, widths[0] * floor, ends[0] * floor) - rough
    constant = law.is_constant
    if constant.any():
        value = np.minimum(law.mean[constant] / scale[constant], levels[-1])
        nearest = levels[np.searchsorted((levels[:-1] + levels[1:]) / 2, value)]
        energy[constant] = ((value - nearest) * scale[constant]) ** 2
    return np.maximum(energy, 0)
