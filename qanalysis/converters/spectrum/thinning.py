"""What is left of a record once its tone is taken away, at a few points: slow content, and content beside the tone?

A residual r_t is averaged over overlapping blocks of Hann shape, which keep lines of other frequencies out by 1/f^3:
z_m of r itself, and of 2 r exp(-j(w t + phase)), whose real part is in quadrature to the tone A sin(w t + phase) and
whose negative imaginary part is in phase with it. Frequencies f are in periods per record throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Phasors
from qanalysis.converters.spectrum.sinefit import SineFit

MOST_BLOCKS = 128
FEWEST_BLOCKS = 64  # fewer leave too few points to tell the noise by
_SHORTEST_BLOCK = 8
_HEAD_BLOCKS = 64
# Numbers in a product of two matrices: as in `sinefit` too few to be shared with another core, which may be busy.
_AT_ONCE, _ROWS_AT_ONCE = 1 << 17, 32
_SLOWEST, _FINENESS = 0.3, 0.05  # of the sines tried, periods per record
WHITE = 0.75  # variance of an average over its noise power at low frequency: 2 sum w^2 / (sum w)^2 of a Hann block

#: Of the energy of a line sixteen periods away or more, between bins, that a slow one seems to have: 2 / (pi 16)^2,
#: and four times as much to be sure.
LEAK = 3e-3


@dataclass(frozen=True, slots=True)
class Thinned:
    """Averages `values` (points,), real or complex, of a residual at `times` (points,).

    `times` and their distance `step` are in record lengths from the start of the record.
    """

    values: NDArray[Any]
    times: Doubles
    step: float

    @property
    def reach(self) -> int:
        """The fastest line looked for, periods per record: well inside what the averages let pass."""
        return max(int(1 / self.step) // 8, 1)

    def respond(self, cycles: float) -> float:
        """What an average leaves of an amplitude at so many periods per record."""
        turns = 2 * cycles * self.step
        return float(np.sinc(turns) / (1 - turns**2)) if abs(turns) != 1 else 0.5

    def rank_line(self, cycles: float) -> float:
        """How strong a line is, to choose the strongest of some near each other."""
        return float(abs(np.exp(-2j * np.pi * cycles * self.times) @ self.values))

    def measure_noise(self) -> tuple[float, float]:
        """Noise power by point as slow lines see it, and the bins it rests on.

        From tapered bins above those looked in; the median where single lines stand in them.
        """
        points = self.values.size
        base = _list_trends(points, 2)
        rest = self.values - base.T @ (base @ self.values)
        taper = np.sin(np.pi * (np.arange(points) + 0.5) / points) ** 2
        spectrum = np.fft.fft(rest * taper)
        bins = np.arange(self.reach + 3, points // 3)
        places = np.concatenate([bins, -bins]) if np.iscomplexobj(self.values) else bins
        turns = 2 * np.abs(places) / points
        response = np.sinc(turns) / (1 - turns**2)  # as `respond`; the bins end below one turn
        powers = np.abs(spectrum[places]) ** 2 / np.sum(taper**2) / response**2
        mean, middle = float(powers.mean()), float(np.median(powers)) / np.log(2)
        return min(mean, 2 * middle), places.size / 1.5  # neighbours of a tapered spectrum share their noise


def thin_residual(residual: Doubles, fit: SineFit, blocks: int) -> tuple[Thinned, Thinned]:
    """Averages of a residual (samples,), and of it turned back by the tone of `fit`, over about so many blocks."""
    length = residual.size // blocks
    omega = 2 * np.pi * fit.cycles / fit.samples
    rise, fall = np.split(np.sin(np.pi * (np.arange(2 * length) + 0.5) / (2 * length)) ** 2, 2)
    turns = np.exp(-1j * omega * np.arange(length))
    table = np.column_stack(
        [rise, fall, rise * turns.real, rise * turns.imag, fall * turns.real, fall * turns.imag],
    )
    sums = _sum_blocks(residual, blocks, table)
    turned = 2 * np.exp(-1j * (omega * length * np.arange(blocks) + fit.phase))
    rising, falling = turned * (sums[:, 2] + 1j * sums[:, 3]), turned * (sums[:, 4] + 1j * sums[:, 5])
    times = (np.arange(1, blocks) * length - 0.5) / residual.size
    step = length / residual.size
    return Thinned(sums[:-1, 0] + sums[1:, 1], times, step), Thinned(rising[:-1] + falling[1:], times, step)


def _sum_blocks(values: Doubles, blocks: int, table: Doubles) -> Doubles:
    """Averages (blocks, columns) of equal blocks of `values` by the weights `table` (length, columns)."""
    length, columns = table.shape
    rows, step = values[: blocks * length].reshape(blocks, length), _AT_ONCE // (_ROWS_AT_ONCE * columns)
    sums: Doubles = np.zeros((blocks, columns))
    for top in range(0, blocks, _ROWS_AT_ONCE):
        some, part = sums[top : top + _ROWS_AT_ONCE], rows[top : top + _ROWS_AT_ONCE]
        for start in range(0, length, step):
            some += part[:, start : start + step] @ table[start : start + step]
    sums /= length
    return sums


def thin_head(head: Doubles) -> Thinned:
    """Averages of the beginning (samples,) of a residual alone, over 64 blocks or, of few samples, blocks of two."""
    blocks = min(_HEAD_BLOCKS, head.size // 2)
    length = head.size // blocks
    rise, fall = np.split(np.sin(np.pi * (np.arange(2 * length) + 0.5) / (2 * length)) ** 2, 2)
    sums = _sum_blocks(head, blocks, np.column_stack([rise, fall]))
    times = (np.arange(1, blocks) * length - 0.5) / head.size
    return Thinned(sums[:-1, 0] + sums[1:, 1], times, length / head.size)


def choose_blocks(samples: int) -> int | None:
    """How many blocks a record is thinned to; None where it is too short to be looked into."""
    blocks = min(samples // _SHORTEST_BLOCK, MOST_BLOCKS)
    return blocks if blocks >= FEWEST_BLOCKS else None


@dataclass(frozen=True, slots=True)
class Line:
    """A sine in averages: periods per record, energy it explains, the fitted values (points,)."""

    cycles: float
    energy: float
    values: Doubles


def fit_slow_sine(thinned: Thinned, values: Doubles, trend: int) -> Line:
    """The sine that explains most of real `values` (points,) beside a polynomial of degree `trend`, to 0.05 periods,
    which costs 0.2 % of its energy.
    """
    turns, bases = _list_sines(values.size, trend, thinned.reach)
    shares = bases @ values
    gains = np.square(shares).sum(axis=1)
    best = int(np.argmax(gains))
    return Line(float(turns[best]) / (values.size * thinned.step), float(gains[best]), shares[best] @ bases[best])


def refine_sine(thinned: Thinned, values: Doubles, trend: int, line: Line) -> Line:
    """A sine as found, to a thousandth of a period."""
    span = values.size * thinned.step
    finest = _refine(values, trend, line.cycles * span)
    return Line(finest.cycles / span, finest.energy, finest.values)


def _refine(values: Doubles, trend: int, turns: float) -> Line:
    """The same at the top of the parabola through three energies, twice, the second time of closer ones."""
    best = _explain(values, trend, turns)
    for width in (_FINENESS, _FINENESS / 8):
        below, above = (_explain(values, trend, best.cycles + side * width) for side in (-1, 1))
        bend = below.energy - 2 * best.energy + above.energy
        offset = (below.energy - above.energy) / (2 * bend) * width if bend < 0 else 0.0
        top = _explain(values, trend, best.cycles + float(np.clip(offset, -width, width)))
        best = max((best, below, above, top), key=lambda line: line.energy)
    return best


def _explain(values: Doubles, trend: int, turns: float) -> Line:
    """The sine of so many turns over the points, not below half of the slowest tried."""
    turns = max(turns, _SLOWEST / 2)
    basis = _make_sine(values.size, trend, turns)
    shares = basis @ values
    return Line(turns, float(shares @ shares), shares @ basis)


@lru_cache(maxsize=8)
def _list_trends(points: int, degree: int) -> Doubles:
    """Orthonormal polynomials of the degrees 0..`degree`, (degree + 1, points)."""
    ramp = np.linspace(-1, 1, points)
    columns: Doubles = np.linalg.qr(np.polynomial.legendre.legvander(ramp, degree))[0].T
    return columns


def project_trends(values: Doubles, degree: int) -> Doubles:
    """Shares (degree + 1,) of the orthonormal polynomials in `values` (points,)."""
    shares: Doubles = _list_trends(values.size, degree) @ values
    return shares


def draw_trend(points: int, shares: Doubles) -> Doubles:
    """The polynomial (points,) of such shares."""
    drawn: Doubles = shares @ _list_trends(points, shares.size - 1)
    return drawn


def _make_sine(points: int, trend: int, turns: float) -> Doubles:
    """Orthonormal (2, points): what cosine and sine of so many turns over the points add to a polynomial."""
    angle = 2 * np.pi * turns * np.arange(points) / points
    base = _list_trends(points, trend)
    waves = np.vstack([np.cos(angle), np.sin(angle)])
    waves = waves - (waves @ base.T) @ base
    columns: Doubles = np.linalg.qr(waves.T)[0].T
    return columns


@lru_cache(maxsize=8)
def _list_sines(points: int, trend: int, reach: int) -> tuple[Doubles, Doubles]:
    """Turns (trials,) over the points and the bases (trials, 2, points) of the sines tried."""
    turns = np.arange(_SLOWEST, reach, _FINENESS)
    return turns, np.stack([_make_sine(points, trend, float(turn)) for turn in turns])


def remove_white(values: NDArray[Any], noise: float, taken: int) -> float:
    """Energy of averages (points,) beyond what noise of such a power by point leaves, `taken` parameters fitted."""
    energy = float(np.vdot(values, values).real)
    return max(energy - WHITE * noise * (values.size - taken), 0.0)


def remove_trend_power(values: Doubles, degree: int) -> float:
    """Variance of `values` (points,) about the best polynomial of that degree, unbiased."""
    rest = values - draw_trend(values.size, project_trends(values, degree))
    return float(rest @ rest) / (values.size - degree - 1)


def is_beyond_chance(energy: float, noise: tuple[float, float], parameters: int, chance: float) -> bool:
    """Whether noise explains so much energy with so many parameters less often than `chance`:
    an F distribution, since the noise power is itself measured.
    """
    from scipy.special import fdtri

    power, bins = noise
    return energy > parameters * power * float(fdtri(parameters, 2 * bins, 1 - chance))


def turn_phasors(values: Phasors, amplitude: float) -> tuple[Doubles, Doubles]:
    """Averages of a turned residual as shares of the tone: in phase (amplitude) and in quadrature (phase, rad)."""
    return -values.imag / amplitude, values.real / amplitude
