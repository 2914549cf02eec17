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
from typing import NamedTuple

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
    samples, clock = values.size, _make_clock(values.size)
    sums = _project(values, clock, omega)
    previous = np.inf
    for _ in range(_MOST_STEPS if free else 0):
        bend = sums.bend
        if abs(bend) >= previous:
            break
        previous = abs(bend)
        omega += float(np.clip(bend, -np.pi, np.pi)) / samples
        sums = _project(values, clock, omega)
        if previous < _SETTLED:
            break
    tone, offset, image = sums.weights
    residual = values - _draw(clock, omega, tone, image) - offset
    start = cmath.exp(1j * omega * clock.rows[0])  # from the middle to the first sample
    turns = omega * samples / (2 * np.pi)
    return Rotation(
        cycles=(turns + samples / 2) % samples - samples / 2,
        tone=tone * start,
        image=image / start if sums.apart else None,
        offset=offset,
        residual_rms=float(np.sqrt(np.vdot(residual, residual).real / samples)),
    ), residual


class _Clock(NamedTuple):
    """Times from the middle of the record: `rows` (R,) plus `columns` (C,) for whole rows, `tail` for the rest."""

    rows: Doubles
    columns: Doubles
    tail: Doubles
    samples: int


def _make_clock(samples: int) -> _Clock:
    columns = 1 << samples.bit_length() // 2
    rows, middle = samples // columns, (samples - 1) / 2
    return _Clock(
        np.arange(rows, dtype=np.float64) * columns - middle,
        np.arange(columns, dtype=np.float64),
        np.arange(rows * columns, samples, dtype=np.float64) - middle,
        samples,
    )


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the fit needs of a record: products of the base functions among themselves (5, 5) and with the record (5,).

    The functions are the tone, 1, the image, and tone and image times u/N; `apart` says whether the image is fitted.
    """

    gram: Phasors
    products: Phasors
    apart: bool

    @property
    def _used(self) -> int:
        return 3 if self.apart else 2

    @property
    def weights(self) -> tuple[complex, complex, complex]:
        """Tone, offset and image by least squares."""
        found = self._solve(self.products[: self._used])
        return complex(found[0]), complex(found[1]), complex(found[2]) if self.apart else 0j

    @property
    def bend(self) -> float:
        """By how many rad over the record the frequency is off: the slope of the model in it, apart from the model."""
        tone, offset, image = self.weights
        slope = np.array([0, 0, 0, 1j * tone, -1j * image])
        rest = self.products - self.gram @ np.array([tone, offset, image, 0, 0])
        across = (self.gram @ slope)[: self._used]
        energy = float((slope.conj() @ self.gram @ slope - across.conj() @ self._solve(across)).real)
        return float((slope.conj() @ rest).real) / energy if energy > 0 else 0.0

    def _solve(self, products: Phasors) -> Phasors:
        """Weights of the functions used, which few and nearly orthogonal ones determine well."""
        used = self.gram[: self._used, : self._used]
        return np.asarray(np.linalg.lstsq(used, products, rcond=1e-13)[0], np.complex128)


def _project(values: Phasors, clock: _Clock, omega: float) -> _Sums:
    """Sums over the record at a frequency: phasors of rows times phasors of columns, so that few are made."""
    samples, whole = clock.samples, clock.rows.size * clock.columns.size
    column, places = np.exp(-1j * omega * clock.columns), clock.columns / samples
    table = np.column_stack([column, places * column, column.conj(), places * column.conj()])
    sums = values[:whole].reshape(clock.rows.size, -1) @ table
    row, tail = np.exp(-1j * omega * clock.rows), np.exp(-1j * omega * clock.tail)
    rest, heights, ends = values[whole:], clock.rows / samples, clock.tail / samples
    products = np.array(
        [
            row @ sums[:, 0] + rest @ tail,
            values.sum(),
            row.conj() @ sums[:, 2] + rest @ tail.conj(),
            row @ (sums[:, 1] + heights * sums[:, 0]) + rest @ (ends * tail),
            row.conj() @ (sums[:, 3] + heights * sums[:, 2]) + rest @ (ends * tail.conj()),
        ]
    )
    turns = {order: _sum_phasors(clock, order * omega) for order in range(-2, 3)}
    orders, powers = (1, 0, -1, 1, -1), (0, 0, 0, 1, 1)
    gram = np.array(
        [[turns[orders[j] - orders[i]][powers[i] + powers[j]] for j in range(5)] for i in range(5)], np.complex128
    )
    gap = (omega * samples / np.pi + samples / 2) % samples - samples / 2
    return _Sums(gram, products, abs(gap) >= _NEAREST_IMAGE)


def _sum_phasors(clock: _Clock, omega: float) -> Phasors:
    """Sums of exp(j w u) (u/N)^k for k = 0, 1, 2, from those of rows and columns."""
    row, column, tail = (
        np.exp(1j * omega * times) @ np.vander(times / clock.samples, 3, increasing=True)
        for times in (clock.rows, clock.columns, clock.tail)
    )
    return np.array(
        [
            row[0] * column[0] + tail[0],
            row[1] * column[0] + row[0] * column[1] + tail[1],
            row[2] * column[0] + 2 * row[1] * column[1] + row[0] * column[2] + tail[2],
        ]
    )


def _draw(clock: _Clock, omega: float, tone: complex, image: complex) -> Phasors:
    """Tone and image (samples,)."""
    turns = np.outer(np.exp(1j * omega * clock.rows), np.exp(1j * omega * clock.columns)).ravel()
    turns = np.append(turns, np.exp(1j * omega * clock.tail))
    drawn: Phasors = tone * turns
    if image:
        drawn += image * turns.conj()
    return drawn


def guess_turns(spectrum: Phasors, peak: int) -> float:
    """Rad per sample of a peak of a spectrum (samples,) from its neighbours (Jacobsen), within half a bin."""
    size = spectrum.size
    left, middle, right = (spectrum[(peak + step) % size] for step in (-1, 0, 1))
    curvature = 2 * middle - left - right
    offset = float(np.clip(((left - right) / curvature).real, -0.5, 0.5)) if curvature else 0.0
    turns = (peak + offset + size / 2) % size - size / 2
    return 2 * math.pi * turns / size
