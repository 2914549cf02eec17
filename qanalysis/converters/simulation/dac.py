"""What comes out of a DAC?

Spurs of an ideal n-bit sine, the staircase of the hold, its droop and images.

Notation: fs the rate, f the tone; the hold keeps each value for 1/fs, so every line at frequency v is weighted by
sinc(v/fs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Doubles
from qanalysis.notation import si

MOST_SPUR_BITS = 16


@dataclass(frozen=True, slots=True)
class WorstSpur:
    """The largest harmonic of an ideal n-bit sine:
    its order, its distance below the sine, and the fit 8.07 n + 3.29 dB beside it.
    """

    bits: int
    order: int
    sfdr_db: float
    fit_db: float


@lru_cache(maxsize=32)
def find_worst_spur(bits: int) -> WorstSpur:
    """Exact Fourier sums of a slow full-scale sine, A = (2^n - 1)/2 LSB, on a mid-tread grid,
    all harmonics counted; n = 2 to 16.

    b_m = 4/(m pi) sum cos(m asin((k - 1/2)/A)) over the transitions k. The error is sum over k of J_m(2 pi k A)-like
    terms, largest for k = 1 just below m = 2 pi A: above 8 bits only the low orders and those about there are summed.
    The fit is Pan and Abidi's (2004). ValueError for other widths. 0.1 s at 12 bits, 1 s at 16; kept once found.

    >>> spur = find_worst_spur(8)
    >>> spur.order, round(spur.sfdr_db, 2)
    (793, 67.17)
    """
    if not 2 <= bits <= MOST_SPUR_BITS:
        raise ValueError(f"{bits} bits: exact spurs are summed for 2 to {MOST_SPUR_BITS}")
    amplitude = (2**bits - 1) / 2
    angles = np.arcsin(np.minimum((np.arange(1, 2 ** (bits - 1) + 1) - 0.5) / amplitude, 1.0))
    orders = _list_orders(2 * math.pi * amplitude, every=bits <= 8)
    tone = _sum_cosines(angles, np.array([1]))[0]
    lines = np.abs(_sum_cosines(angles, orders))
    place = int(lines.argmax())
    return WorstSpur(bits, int(orders[place]), 20 * math.log10(tone / lines[place]), 8.07 * bits + 3.29)


def _list_orders(turn: float, *, every: bool) -> NDArray[np.int64]:
    if every:
        return np.arange(3, int(2.2 * turn) + 20, 2)
    # J_m(z) peaks at m = z - 0.81 z^(1/3) and dies within a few z^(1/3) beyond z.
    width = int(6 * turn ** (1 / 3))
    near = np.arange(int(turn) - 2 * width, int(turn) + width)
    return np.concatenate([np.arange(3, 200, 2), near[near % 2 == 1]])


def _sum_cosines(angles: Doubles, orders: NDArray[np.int64]) -> Doubles:
    parts = [
        np.cos(part[:, None] * angles).sum(axis=1)
        for part in np.array_split(orders, -(-orders.size * angles.size // 2_000_000))
    ]
    return np.asarray(4 / (orders * np.pi) * np.concatenate(parts))


def hold_droop_db(frequency_hz: ArrayLike, fs_hz: float) -> Doubles:
    """20 log10 |sinc(f/fs)|: what the hold takes from a line at f; -inf at the multiples of fs.

    >>> hold_droop_db([0.0, 0.5], 1.0).round(2).tolist()
    [0.0, -3.92]
    """
    if not 0 < fs_hz < math.inf:
        raise ValueError(f"fs_hz {fs_hz}: the rate is finite and above 0")
    ratio = np.asarray(frequency_hz, np.float64) / fs_hz
    weight = np.where((ratio != 0) & (ratio == np.rint(ratio)), 0.0, np.abs(np.sinc(ratio)))
    with np.errstate(divide="ignore"):
        return 20 * np.log10(weight)


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a tone: about which multiple of fs it stands, where, and its level under the undrooped tone."""

    multiple: int
    frequency_hz: float
    level_dbc: float


def list_images(frequency_hz: float, fs_hz: float, *, zones: int = 4) -> tuple[Image, ...]:
    """The tone itself (multiple 0) and its images k fs +- f, k to `zones`, by frequency, each with the hold's sinc.

    ValueError unless 0 < f < fs/2.

    >>> [(image.frequency_hz, round(image.level_dbc, 2)) for image in list_images(0.25, 1.0, zones=1)]
    [(0.25, -0.91), (0.75, -10.45), (1.25, -14.89)]
    """
    if not 0 < frequency_hz < fs_hz / 2:
        raise ValueError(
            f"tone at {si(frequency_hz, 'Hz', digits=4)}: a DAC at {si(fs_hz, 'Hz', digits=4)} gives tones "
            "between 0 and half its rate"
        )
    places = [(0, frequency_hz)] + [
        (k, k * fs_hz + side) for k in range(1, zones + 1) for side in (-frequency_hz, frequency_hz)
    ]
    return tuple(Image(k, place, float(hold_droop_db(place, fs_hz))) for k, place in places)


def hold_samples(values: ArrayLike, fs_hz: float) -> tuple[Doubles, Doubles]:
    """Corners of the staircase that a hold makes of `values` (samples,): times in seconds and values, two per sample.

    >>> [part.tolist() for part in hold_samples([1.0, 3.0], 2.0)]
    [[0.0, 0.5, 0.5, 1.0], [1.0, 1.0, 3.0, 3.0]]
    """
    values = np.asarray(values, np.float64)
    if not 0 < fs_hz < math.inf:
        raise ValueError(f"fs_hz {fs_hz}: the rate is finite and above 0")
    edges = np.arange(values.size + 1) / fs_hz
    return np.repeat(edges, 2)[1:-1], np.repeat(values, 2)


@dataclass(frozen=True, slots=True, eq=False)
class OutputSpectrum:
    """Lines of the held output, from DC to zones fs/2:
    frequencies and levels under the largest line beside DC, both (lines,).
    """

    frequencies_hz: Doubles
    level_dbc: Doubles
    droop_db: Doubles


def trace_output(values: ArrayLike, fs_hz: float, *, zones: int = 4) -> OutputSpectrum:
    """The spectrum behind the hold: the record's own, repeated over `zones` halves of fs and weighted with sinc.

    No window. ValueError for fewer than 2 samples or zones below 1. Levels are -inf where there is nothing.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size < 2 or zones < 1:
        raise ValueError(
            f"values of shape {values.shape} over {zones} zones: needs a row of 2 samples at least, and a zone"
        )
    lines = np.arange(values.size * zones // 2 + 1)
    magnitude = np.abs(np.fft.fft(values - values.mean()))[lines % values.size]
    frequencies = lines * fs_hz / values.size
    droop = hold_droop_db(frequencies, fs_hz)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = 20 * np.log10(magnitude / magnitude.max()) if magnitude.max() else np.full(lines.size, -np.inf)
    return OutputSpectrum(frequencies, level + droop, droop)
