"""How are records of one tone laid in phase, with all that hangs on the tone?

A delay of the input by d of the tone's phase turns its harmonic of order h by h d, wherever that folds to, and the
image of order h beside a fraction of the sample rate, which interleaved converters leave, by h d too; all else keeps
its place. So lines are turned by their orders, not records shifted: no record wraps, and no folded line goes astray.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Phasors
from qanalysis.converters.spectrum.coherence import fold_cycles
from qanalysis.converters.spectrum.sinefit import SineFit, fit_tone

_HIGHEST_ORDER = 50
_HIGHEST_IMAGE = 10
_IMAGES = (0.5, 0.25, 0.75)  # of the sample rate: two and four converters in turn
_APART = 1.5  # bins; closer lines can not be told apart
_ROUNDS = 2
_TONE = (0.0, 1)  # base and order


def lay_coherent(channels: Sequence[Doubles], place: int) -> Doubles:
    """The mean (samples,) of records (samples,) of a tone of `place` whole periods, in the phase of the first one.

    Every bin that a multiple of the tone can fold to is turned by the lowest multiple that does.

    >>> t = np.arange(64) / 64
    >>> mean = lay_coherent([np.cos(2 * np.pi * 5 * t + phase) for phase in (0.0, 1.0, 2.0)], 5)
    >>> bool(np.allclose(mean, np.cos(2 * np.pi * 5 * t)))
    True
    """
    samples = channels[0].size
    orders = _order_bins(samples, place)
    total: Phasors = np.zeros(orders.size, np.complex128)
    first = 0.0
    for index, values in enumerate(channels):
        spectrum = np.fft.rfft(values)
        phase = float(np.angle(spectrum[place]))
        first = first if index else phase
        total += spectrum * np.exp(-1j * (phase - first) * orders)
    mean: Doubles = np.fft.irfft(total / len(channels), samples)
    return mean


def _order_bins(samples: int, place: int) -> NDArray[np.int64]:
    """By how many phases of the tone the bins (samples // 2 + 1,) turn; 0 where none hangs on the tone."""
    divisor = math.gcd(place, samples)
    length = samples // divisor
    orders = np.zeros(samples // 2 + 1, np.int64)
    own = np.arange(0, orders.size, divisor)
    multiples = own // divisor * pow(place // divisor, -1, length) % length
    orders[own] = np.where(multiples > length // 2, multiples - length, multiples)
    for base in _IMAGES:
        if not (base * samples).is_integer():
            continue
        for order in (sign * size for size in range(1, _HIGHEST_IMAGE + 1) for sign in (1, -1)):
            image = int(base * samples + order * place) % samples
            if image < orders.size and not 0 < abs(orders[image]) <= _HIGHEST_ORDER:
                orders[image] = order
    orders[0] = 0
    if samples % 2 == 0:
        orders[-1] = 0  # shows the cosine alone
    return orders


def lay_free(channels: Sequence[Doubles], cycles: Sequence[float]) -> Doubles:
    """The mean (samples,) of records (samples,) of a tone of so many periods each, a whole number or not.

    Tone, harmonics and images are fitted and taken off; the mean of what is left, and the lines by the mean of their
    amplitudes as of one phase of the tone in the middle of the record, make the record.
    """
    samples, count = channels[0].size, len(channels)
    middle = samples // 2
    lines: dict[tuple[float, int], complex] = {}
    mean: Doubles = np.zeros(samples)
    for values, own in zip(channels, cycles, strict=True):
        phasors, rest = _separate_lines(values, own, middle)
        mean += rest / count
        phase = np.angle(phasors[_TONE])
        for (base, order), phasor in phasors.items():
            turned = phasor * np.exp(-1j * order * phase) / count
            lines[base, order] = lines.get((base, order), 0j) + complex(turned)
    share, times = float(np.mean(cycles)) / samples, np.arange(samples) - middle
    for (base, order), phasor in lines.items():
        mean += (phasor * np.exp(2j * np.pi * (base + order * share) * times)).real
    return mean


def _separate_lines(values: Doubles, cycles: float, middle: int) -> tuple[dict[tuple[float, int], complex], Doubles]:
    """What hangs on the tone, as phasors at the sample `middle` by base and order, and the rest (samples,)."""
    places = dict(_list_lines(values.size, cycles))
    parts: dict[tuple[float, int], Doubles] = {}
    fits: dict[tuple[float, int], SineFit] = {}
    rest = values
    for _ in range(_ROUNDS):
        for line, place in places.items():
            target = rest + parts[line] if line in parts else rest
            fits[line], rest = fit_tone(target, 2 * np.pi * place / values.size, free=False)
            parts[line] = target - rest
    phasors = {}
    for (base, order), fit in fits.items():
        phasor = fit.amplitude * np.exp(1j * (fit.phase - np.pi / 2 + 2 * np.pi * fit.frequency_hz * middle))
        folds = (base + order * cycles / values.size) % 1.0 > 0.5
        phasors[base, order] = complex(np.conj(phasor) if folds else phasor)
    return phasors, rest + sum(fit.offset for fit in fits.values())


def _list_lines(samples: int, cycles: float) -> Iterator[tuple[tuple[float, int], float]]:
    """Base and order of what hangs on a tone with its folded place, the tone first, each apart from those before."""
    taken: list[float] = []
    multiples = [(0.0, order) for order in range(1, _HIGHEST_ORDER + 1)]
    halves = [(0.5, order) for order in range(1, _HIGHEST_IMAGE + 1)]
    quarters = [(0.25, sign * order) for order in range(1, _HIGHEST_IMAGE + 1) for sign in (1, -1)]
    for base, order in (*multiples, *halves, *quarters):
        place = fold_cycles(base * samples + order * cycles, samples)
        edge = min(place, samples / 2 - place)
        if (base, order) == _TONE or min([edge, *(abs(place - other) for other in taken)]) > _APART:
            taken.append(place)
            yield (base, order), place
