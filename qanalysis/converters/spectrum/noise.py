"""What does a record without a tone tell? A notch in its noise, the noise power ratio, and the colour of the noise.

Noise power ratio: mean density of noise beside a notch over that inside it, where only the converter's own noise and
distortion are left. Densities come from segments through a Kaiser window (beta 38), whose side lobes do not fill the
notch; they overlap by 7/8 and are as short as the notch allows, so that all samples weigh the same: overload may come
but once in a record. The ends of the notch come from a Hann window, whose main lobe is narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.row import Interval
from qanalysis.converters.spectrum.windows import make_window
from qanalysis.notation import decibels, plain

_WINDOW = "kaiser-38"
_INSIDE = 60  # bins of a segment that the notch holds
_OVERLAP = 8
_GUARD = 10  # bins at each end of the notch, into which the window's lobe reaches
# Bins looked at together, and the most such blocks: 9 independent bins, of which chance makes a tenth of their mean
# once in 3 million blocks.
_SMALLEST_BLOCK = 32
_MOST_BLOCKS = 256
_FEWEST_BLOCKS = 12
_DEPTH = 0.1  # of the density beside it: what is shallower is no notch
_BESIDE = 0.25  # of the mean density: what lies beside a notch is the noise that drives the converter
_STEEP = 2  # blocks within which the noise has to rise on both sides
_LEAST_TILT, _SURE = 1.0, 5.0  # dB an octave, deviations


@dataclass(frozen=True, slots=True)
class Notch:
    """A notch in noise: its first and last bin, the power ratio in dB and the 95 % interval of that."""

    first: int
    last: int
    npr_db: float
    ci95_db: Interval


def find_notch(channels: Sequence[Doubles], band: tuple[int, int]) -> Notch | None:
    """The notch in the noise of records (samples,), by their mean power within the bins of `band`; None for none.

    A notch lies at least 10 dB below the noise on both sides, rises to it within two blocks of bins and does not reach
    the ends of the band: a filter's slope, coloured noise and a comb are none.
    """
    first, last = band
    power = _mean_power(channels, _WINDOW)[first : last + 1]
    size = max(_SMALLEST_BLOCK, power.size // _MOST_BLOCKS)
    count = power.size // size
    if count < _FEWEST_BLOCKS:
        return None
    blocks = power[: count * size].reshape(count, size).mean(axis=1)
    run = _find_run(blocks)
    if run is None:
        return None
    beside = float(np.median(np.concatenate([blocks[max(run[0] - 4, 0) : run[0]], blocks[run[1] : run[1] + 4]])))
    sharp = _mean_power(channels, "hann")[first : last + 1]
    low = _find_edge(sharp, run[0] * size, beside, reach=2 * size, falling=True)
    high = _find_edge(sharp, run[1] * size, beside, reach=2 * size, falling=False)
    if high - low < 3 * _GUARD:
        return None
    heard = np.repeat(blocks > _DEPTH * np.median(blocks), size)
    heard[max(low - _GUARD, 0) : high + _GUARD] = False
    return _compare(channels, (first + low, first + high), first + np.flatnonzero(heard))


def _mean_power(channels: Sequence[Doubles], name: str) -> Doubles:
    """Mean of |X|^2 by bin (samples // 2 + 1,) of records through a window, less their weighted means."""
    window = make_window(name, channels[0].size)
    total: Doubles = np.zeros(window.size // 2 + 1)
    for values in channels:
        spectrum = np.fft.rfft((values - (window @ values) / window.sum()) * window)
        total += spectrum.real**2 + spectrum.imag**2
    return total


def _find_run(blocks: Doubles) -> tuple[int, int] | None:
    """First block and the one behind the last of the run far below what lies on both sides of it.

    None where there are several, as a comb leaves them, or where little noise lies beside it, as between the side lobes
    of a filter.
    """
    low = blocks < _DEPTH * np.median(blocks)
    edges = np.flatnonzero(np.diff(low, prepend=False, append=False))
    found = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        before, behind = blocks[max(start - _STEEP, 0) : start], blocks[end : end + _STEEP]
        if not before.size or not behind.size:
            continue
        beside = min(before.max(), behind.max())
        if beside > _BESIDE * blocks.mean() and blocks[start:end].min() < _DEPTH * beside:
            found.append((int(start), int(end)))
    return found[0] if len(found) == 1 else None


def _find_edge(power: Doubles, guess: int, beside: float, *, reach: int, falling: bool) -> int:
    """The first bin inside a notch (`falling`) or the first behind it, within `reach` of a guess.

    Where exponential powers of mean `beside` on one side and a twentieth of it on the other are most likely.
    """
    start, end = max(guess - reach, 0), min(guess + reach, power.size)
    ratio = power[start:end] / beside
    gain = ratio * (1 - 20) + np.log(20)  # how much more likely a bin is inside than outside
    inside = np.append(0.0, np.cumsum(gain))
    score = inside[-1] - inside if falling else inside
    return start + int(np.argmax(score))


def _compare(channels: Sequence[Doubles], notch: tuple[int, int], beside: NDArray[np.intp]) -> Notch:
    """The densities inside a notch, apart from its ends, and in the bins `beside` it."""
    low, high = notch
    samples = channels[0].size
    length = min(samples, -(-samples * _INSIDE // (high - low)))
    power, share = _segment_power(channels, length)
    inner = power[-(-low * length // samples) + _GUARD : high * length // samples - _GUARD]
    outer = power[np.unique(beside * length // samples)]
    ratio = float(outer.mean() / inner.mean()) if inner.any() else np.inf
    weight = 2 * share * samples / length * len(channels)
    ends = _bound_ratio(ratio, weight * outer.size, weight * inner.size)
    return Notch(low, high - 1, float(10 * np.log10(ratio)), ends)


def _segment_power(channels: Sequence[Doubles], length: int) -> tuple[Doubles, float]:
    """Mean powers by bin (length // 2 + 1,) of overlapping segments of records (samples,), and the share of the samples
    that they rest on: (sum v)^2 / (N sum v^2) of what each sample weighs, v.
    """
    window, samples = make_window(_WINDOW, length), channels[0].size
    starts = np.unique(np.append(np.arange(0, samples - length + 1, max(length // _OVERLAP, 1)), samples - length))
    total, weights = np.zeros(length // 2 + 1), np.zeros(samples)
    for start in starts:
        weights[start : start + length] += window**2
        for values in channels:
            part = values[start : start + length]
            spectrum = np.fft.rfft((part - (window @ part) / window.sum()) * window)
            total += spectrum.real**2 + spectrum.imag**2
    return total, float(weights.sum() ** 2 / (samples * (weights @ weights)))


def _bound_ratio(ratio: float, above: float, below: float) -> Interval:
    """Where a ratio of noise powers lies (95 %): F distribution of their degrees of freedom."""
    from scipy.special import fdtri

    low, high = (float(10 * np.log10(ratio / fdtri(above, below, share))) for share in (0.975, 0.025))
    return low, high


def judge_notch(notch: Notch, samples: int, place: str) -> Finding:
    """That the record is a test of the noise power ratio; `place` are the notch's ends in words."""
    low, high = notch.ci95_db
    text = (
        f"The noise has a notch of {notch.last - notch.first + 1} of {samples // 2} bins, {place}: noise power ratio "
        f"{decibels(notch.npr_db)} (95 %: {decibels(low)} to {decibels(high)})."
    )
    return Finding("npr", text, notch.npr_db)


def judge_colour(power: Doubles, band: tuple[int, int], records: int = 1) -> tuple[Finding, ...]:
    """How noise falls or rises by octave, where that is beyond chance: from powers by bin without a window.

    A straight line through the mean densities of octaves, weighted by their degrees of freedom.
    """
    first, last = band
    edges = [first]
    while edges[-1] * 2 <= last + 1:
        edges.append(edges[-1] * 2)
    octaves = [power[start:end] for start, end in pairwise(edges)]
    if len(octaves) < 4 or not all(octave.any() for octave in octaves):
        return ()
    sizes = np.array([octave.size * records for octave in octaves], dtype=np.float64)
    levels = 10 * np.log10([octave.mean() for octave in octaves])
    places = np.arange(sizes.size) - np.average(np.arange(sizes.size), weights=sizes)
    spread = float((sizes * places**2).sum())
    tilt = float((sizes * places * levels).sum()) / spread
    deviation = 10 / np.log(10) / np.sqrt(spread)  # of the mean of n exponential powers: 4.34/sqrt n dB
    if abs(tilt) < max(_LEAST_TILT, _SURE * deviation):
        return ()
    way = "falls" if tilt < 0 else "rises"
    text = (
        f"The noise is coloured: its density {way} by about {decibels(abs(tilt), digits=1)} an octave "
        f"({plain(tilt / 3.0103, digits=2)} in powers of the frequency), so that one density stands for no part of it."
    )
    return (Finding("coloured-noise", text, tilt),)
