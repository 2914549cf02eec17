"""Which tone lies in a record of I/Q samples, and what are the rails not in balance?

z_t = a exp(j w t) + b exp(-j w t) + c + residual, least squares: the tone, its image and the offset. A tone of negative
frequency turns clockwise, w < 0.

Imbalance: with I = A cos(w t) and Q = g A sin(w t + phi) the tone is a = (A/2)(1 + G) and the image b, of which
conj(b) = (A/2)(1 - G), with G = g exp(j phi). So G = (1 - r)/(1 + r) of r = conj(b)/a, exactly; for small errors
|b/a| = sqrt((g - 1)^2 + phi^2)/2. g > 1: Q is larger than I; phi > 0: Q is ahead of quadrature, for tones of either
sign.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Doubles, Phasors

_MOST_STEPS = 12
_SETTLED = 1e-9  # rad over the record
_NEAREST_IMAGE = 1.0  # bins between tone and image, below which they are one line


@dataclass(frozen=True, slots=True)
class Rotation:
    """a exp(j w t) + image exp(-j w t) + offset, t = 0, 1, ...; all in the record's unit.

    `cycles` are turns in the record, below 0 for a clockwise one, within +-samples / 2. `image` is None where it lies
    less than a bin from the tone. `residual_rms` is of both rails together.
    """

    cycles: float
    tone: complex
    image: complex | None
    offset: complex
    residual_rms: float

    @property
    def power(self) -> float:
        """Mean square of the tone, both rails together."""
        return abs(self.tone) ** 2

    @property
    def imbalance(self) -> complex | None:
        """The Q rail over the I rail, g exp(j phi), phi beyond quadrature; None without an image or an I rail."""
        if self.image is None or not self.tone:
            return None
        ratio = self.image.conjugate() / self.tone
        return None if ratio == -1 else (1 - ratio) / (1 + ratio)


def tell_imbalance(imbalance: complex) -> tuple[float, float]:
    """Gain error in dB and phase error in degrees of Q over I.

    >>> tell_imbalance(1 + 0j)
    (0.0, 0.0)
    """
    size = abs(imbalance)
    return (20 * math.log10(size) if size else -math.inf), math.degrees(cmath.phase(imbalance))


def fit_rotation(values: Phasors, omega: float, *, free: bool) -> tuple[Rotation, Phasors]:
    """The tone near (`free`) or at omega, rad per sample, of a record (samples,) without NaN, and the residual.

    Gauss-Newton steps on the frequency, of at most half a turn over the record; they end when one moves the tone by
    less than 1e-9 rad over the record, or grows.
    """
    samples = values.size
    times: Doubles = np.arange(samples, dtype=np.float64) - (samples - 1) / 2
    columns, weights = _project(values, times, omega)
    previous = np.inf
    for _ in range(_MOST_STEPS if free else 0):
        residual = values - columns @ weights
        slope = 1j * times * (columns[:, 0] * weights[0])
        if columns.shape[1] > 2:
            slope -= 1j * times * (columns[:, 2] * weights[2])
        slope -= columns @ _solve(columns, slope)
        energy = float(np.vdot(slope, slope).real)
        bend = float(np.vdot(slope, residual).real) / energy * samples if energy else 0.0
        if abs(bend) >= previous:
            break
        previous = abs(bend)
        omega += float(np.clip(bend, -np.pi, np.pi)) / samples
        columns, weights = _project(values, times, omega)
        if previous < _SETTLED:
            break
    residual = values - columns @ weights
    start = cmath.exp(-1j * omega * times[-1])  # from the middle to the first sample
    turns = omega * samples / (2 * np.pi)
    return Rotation(
        cycles=(turns + samples / 2) % samples - samples / 2,
        tone=complex(weights[0]) * start,
        image=complex(weights[2]) / start if len(weights) > 2 else None,
        offset=complex(weights[1]),
        residual_rms=float(np.sqrt(np.vdot(residual, residual).real / samples)),
    ), residual


def _project(values: Phasors, times: Doubles, omega: float) -> tuple[Phasors, Phasors]:
    """Columns (samples, 2 or 3) of tone, offset and, where it is apart, image, and their weights in the record."""
    tone = np.exp(1j * omega * times)
    gap = (omega * values.size / np.pi + values.size / 2) % values.size - values.size / 2
    columns = [tone, np.ones_like(tone), *([tone.conj()] if abs(gap) >= _NEAREST_IMAGE else [])]
    stacked = np.column_stack(columns)
    return stacked, _solve(stacked, values)


def _solve(columns: Phasors, values: Phasors) -> Phasors:
    """Least squares by the normal equations, which few and nearly orthogonal columns keep well conditioned."""
    turned = columns.conj().T
    answer = np.linalg.lstsq(turned @ columns, turned @ values, rcond=1e-13)[0]
    return np.asarray(answer, np.complex128)


def guess_turns(spectrum: Phasors, peak: int) -> float:
    """Rad per sample of a peak of a spectrum (samples,) from its neighbours (Jacobsen), within half a bin."""
    size = spectrum.size
    left, middle, right = (spectrum[(peak + step) % size] for step in (-1, 0, 1))
    curvature = 2 * middle - left - right
    offset = float(np.clip(((left - right) / curvature).real, -0.5, 0.5)) if curvature else 0.0
    turns = (peak + offset + size / 2) % size - size / 2
    return 2 * math.pi * turns / size
