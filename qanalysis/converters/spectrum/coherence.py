"""Do the tones of a record fall on bins?

Judged by the trace that a frequency d bins beside one leaves in the bins around it.

A tone X_J moved by d leaks d G_k,
G_k = (2 pi j/N) (X_J/(exp(-2 pi j (k - J)/N) - 1) - conj(X_J)/(exp(-2 pi j (k + J)/N) - 1)),
about d/(k - J) of it, in all |X_J|^2 (pi d)^2/3. d is fitted to the bins around J, harmonics left out:
strong ones would pass for a leak.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Phasors
from qanalysis.converters.spectrum.windows import LEAK_OF_NOISE

_REACH = 256  # bins to each side: beyond lies 1/400 of the trace
_HIGHEST_HARMONIC = 50
# Times the noise of a bin: a projection on noise gains half a chi-square of one degree of freedom, 99.9 % of it.
_CHANCE = 5.4
_ROUNDING = 1e-24  # of the tone's power: what the rounding of its frequency leaves
_FEWEST_BINS = 4


def fold_cycles(cycles: float, samples: int) -> float:
    """Where a line of so many cycles per record shows: between 0 and samples / 2.

    >>> fold_cycles(3000, 4096), fold_cycles(5000, 4096)
    (1096, 904)
    """
    inside = cycles % samples
    return min(inside, samples - inside)


def is_coherent(spectrum: Phasors, power: NDArray[np.float64], samples: int, places: list[int]) -> bool:
    """Whether the tones at the bins `places` of a one-sided spectrum (samples // 2 + 1,) leak less than 1 % of the
    noise and of themselves, or no more than noise seems to.

    `power` is proportional to the spectrum's squares.

    >>> t = np.arange(256)
    >>> spectra = [np.fft.rfft(np.rint(100 * np.sin(2 * np.pi * cycles * t / 256))) for cycles in (31, 31.1)]
    >>> [is_coherent(spectrum, np.abs(spectrum) ** 2, 256, [31]) for spectrum in spectra]
    [True, False]
    """
    # Of a short record no more than half the bins are left out.
    highest = min(_HIGHEST_HARMONIC, max(spectrum.size // (2 * len(places)), 2))
    lines = {round(fold_cycles(order * place, samples)) for place in places for order in range(1, highest + 1)}
    edges = sorted({0, *lines, power.size})
    tones, rest = power[places], sum(float(power[start + 1 : stop].sum()) for start, stop in pairwise(edges))
    for place, tone in zip(places, tones, strict=True):
        leak = float(tone) * _measure_leak(spectrum, samples, place, lines)
        # A tone far below the rest loses of itself before the rest gains.
        if leak > LEAK_OF_NOISE * min(rest, float(tone)) and leak > _ROUNDING * tone:
            return False
    return True


def _measure_leak(spectrum: Phasors, samples: int, place: int, lines: set[int]) -> float:
    """Share of a tone that leaks from its bin; 0 where it may be chance or nothing is left to judge by."""
    bins = np.arange(max(place - _REACH, 1), min(place + _REACH + 1, spectrum.size))
    bins = bins[~np.isin(bins, list(lines))]
    if bins.size < _FEWEST_BINS:
        return 0.0
    tone, seen = spectrum[place], spectrum[bins]
    turns = -2j * np.pi / samples
    trace = -turns * (tone / np.expm1(turns * (bins - place)) - np.conj(tone) / np.expm1(turns * (bins + place)))
    energy = float(np.vdot(trace, trace).real)
    if energy == 0:
        return 0.0
    offset = float(np.vdot(trace, seen).real) / energy
    gained = offset**2 * energy
    noise = max(float(np.vdot(seen, seen).real) - gained, 0.0) / bins.size
    return (np.pi * offset) ** 2 / 3 if gained > _CHANCE * noise else 0.0
