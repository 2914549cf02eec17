"""Does the noise model hold here?

Error as uniform, white noise of power q^2/12 that knows nothing of the signal: tested, and exact moments.

Notation: r = e/q, error in steps; A the peak of a sine, s the deviation of a Gaussian, both in steps of an endless
grid. The model is exact only if the input's characteristic function vanishes at the multiples of 2 pi/q (Widrow; Sripad
and Snyder 1977); a sine's never does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.simulation.dither import find_dither
from qanalysis.converters.simulation.simulate import SimulatedRecord
from qanalysis.notation import decibels, plain, signed

Verdict = Literal["holds", "power only", "fails"]
# Beyond what chance gives a record of this length: the model may miss the power by 5 %, the others by 0.02, and still
# serve.
POWER_SLACK, OTHER_SLACK = 0.05, 0.02
LARGEST_SINE_LSB = 2**24


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """The meter: what a record of so many samples shows, beside the limits that the model is held to.

    `power_ratio` is error power about the model's mean over q^2/12, `expected_ratio` what the dither makes of it (1, 2,
    3); `correlation` is that of error and signal (None where one is constant); `line_ratio` the largest bin of the
    error's spectrum over the mean bin; `uniformity` the largest distance of the distribution of e/q from the uniform
    one (None with added dither, which bends it). Limits are the slack plus what 1 of 1000 true records passes.
    """

    samples: int
    power_ratio: float
    expected_ratio: float
    correlation: float | None
    line_ratio: float
    uniformity: float | None
    constant: bool
    saturated: int
    shaped: bool

    @property
    def power_limit(self) -> float:
        """Largest distance of power_ratio / expected_ratio from 1: e^2 of a uniform error varies by sqrt(0.8)."""
        return POWER_SLACK + 3.3 * math.sqrt(0.8 / self.samples)

    @property
    def correlation_limit(self) -> float:
        """Largest |correlation|."""
        return OTHER_SLACK + 3.3 / math.sqrt(self.samples)

    @property
    def line_limit(self) -> float:
        """Largest bin over the mean bin: the powers of M/2 bins of white noise are exponential."""
        return math.log(1000 * max(self.samples // 2, 1))

    @property
    def uniformity_limit(self) -> float:
        """Largest distance of the distributions, Kolmogorov and Smirnov's."""
        return OTHER_SLACK + 1.95 / math.sqrt(self.samples)

    @property
    def faults(self) -> tuple[str, ...]:
        """What makes the model's power or its independence of the signal wrong, in words with numbers."""
        loud = abs(self.power_ratio / self.expected_ratio - 1) > self.power_limit
        tied = self.correlation is not None and abs(self.correlation) > self.correlation_limit
        power, expected = plain(self.power_ratio), plain(self.expected_ratio)
        said = (
            (loud, f"the error's power is {power} q²/12 where the model has {expected}"),
            (self.saturated > 0 and (loud or self.shaped), f"{self.saturated} of {self.samples} samples saturate"),
            (self.constant, "the error is constant"),
            (tied, f"error and signal correlate by {signed(self.correlation or 0, '+.3f')}"),
        )
        return tuple(text for holds, text in said if holds)

    @property
    def shape_faults(self) -> tuple[str, ...]:
        """What makes the error other than white and uniform, in words with numbers."""
        said = (
            (
                self.line_ratio > self.line_limit,
                f"its largest line stands {decibels(10 * math.log10(self.line_ratio), digits=1)} above the mean bin",
            ),
            (
                (self.uniformity or 0) > self.uniformity_limit,
                f"its distribution is {self.uniformity or 0:.3f} off the uniform one",
            ),
        )
        return tuple(text for holds, text in said if holds)

    @property
    def verdict(self) -> Verdict:
        """Whether it "holds", gives the "power only" (right, but in lines), or "fails"."""
        return "fails" if self.faults else "power only" if self.shape_faults else "holds"

    @property
    def text(self) -> str:
        """The verdict as a sentence with its reasons."""
        reasons = "; ".join(self.faults + self.shape_faults)
        return {
            "holds": "The noise model holds here: power, correlation, spectrum and distribution are those of uniform "
            "white noise.",
            "power only": f"The model gives the power but not the shape: {reasons}. Do not trust it for spurs.",
            "fails": f"The noise model does not hold here: {reasons}. 6.02 b + 1.76 is not for this signal; "
            "add dither or change the level.",
        }[self.verdict]


def judge_noise_model(record: SimulatedRecord) -> NoiseModel:
    """Hold the quantizer's own error of a record against the model; the error of other sources is no part of it.

    >>> from qanalysis.converters.converter import Converter
    >>> from qanalysis.converters.simulation.simulate import Simulation
    >>> from qanalysis.converters.simulation.waveforms import Gaussian
    >>> judge_noise_model(Simulation(Converter(8, -1, 1), Gaussian(0.2)).run()).verdict
    'holds'
    """
    simulation, r = record.simulation, record.loop_error
    dither = find_dither(simulation.dither)
    centred = r + 0.5 if simulation.converter.transfer == "floor" else r
    # Of an error below 1e-9 steps only the rounding of float64 is seen, and that is no signal's doing.
    constant = float(np.ptp(r)) <= 1e-9
    return NoiseModel(
        samples=r.size,
        power_ratio=float(12 * np.mean(np.square(centred))),
        expected_ratio=dither.power_ratio,
        correlation=None if constant else correlate(r, record.disturbed),
        line_ratio=_find_line(r),
        uniformity=_distance_from_uniform(centred) if dither.subtracted or dither.name == "none" else None,
        constant=constant,
        saturated=record.saturated,
        shaped=simulation.shaping_order > 0,
    )


def correlate(e: Doubles, x: Doubles) -> float | None:
    """Pearson correlation of two rows; None where one of them is constant."""
    if not (np.ptp(e) and np.ptp(x)):
        return None
    e, x = e - e.mean(), x - x.mean()
    # Sums, not products of vectors: for those BLAS starts threads, which cost more than the work on a busy machine.
    scale = math.sqrt(float(np.sum(e * e))) * math.sqrt(float(np.sum(x * x)))
    return max(-1.0, min(1.0, float(np.sum(e * x)) / scale)) if scale else None


def _find_line(r: Doubles) -> float:
    power = np.square(np.abs(np.fft.rfft(r - r.mean())))[1:]
    return float(power.max() / power.mean()) if power.size and power.mean() > 1e-20 else 1.0


def _distance_from_uniform(r: Doubles) -> float:
    """The statistic of Kolmogorov and Smirnov against the uniform distribution of -1/2..1/2."""
    part = np.clip(np.sort(r) + 0.5, 0.0, 1.0)
    places = np.arange(r.size + 1) / r.size
    return float(max(np.max(places[1:] - part), np.max(part - places[:-1])))


@dataclass(frozen=True, slots=True)
class ErrorMoments:
    """What rounding does to a signal, exactly: gain of the signal's own component,
    error power over q^2/12, corr(e, x), SQNR.
    """

    gain: float
    power_ratio: float
    correlation: float
    sqnr_db: float


def sine_moments(amplitude_lsb: float, *, mid_rise: bool = False) -> ErrorMoments:
    """Moments of a slow sine of peak A on an endless mid-tread (or mid-rise) grid;
    ValueError unless A is above 0 and at most 2^24.

    From the angles asin(T/A) at which the sine crosses the transitions T: sums of cosines and of times, exact.

    >>> sine_moments(0.5)
    ErrorMoments(gain=0.0, power_ratio=1.5, correlation=-1.0, sqnr_db=0.0)
    """
    angles, half = _cross(amplitude_lsb, mid_rise=mid_rise)
    first = 4 / math.pi * float(np.cos(angles).sum()) + (2 / math.pi if mid_rise else 0.0)
    k = np.arange(1, angles.size + 1)
    # y^2 grows by (2k - 1) (mid-rise: 2k) at transition k and stays there for the part (pi - 2 angle)/pi of the half
    # period.
    square = float(((2 * k - (0 if mid_rise else 1)) * (1 - 2 * angles / math.pi)).sum()) + half**2
    return _make_moments(first * amplitude_lsb / 2, square, amplitude_lsb**2 / 2)


def gaussian_moments(std_lsb: float) -> ErrorMoments:
    """Moments of a Gaussian of deviation s on an endless mid-tread grid:
    series in exp(-2 pi^2 k^2 s^2); ValueError unless s > 0.

    E[ex] = 2 s^2 sum (-1)^k exp(...), E[e^2] = 1/12 + sum (-1)^k/k^2 exp(...)/pi^2: Widrow's sums.

    >>> round(gaussian_moments(0.3).correlation, 3)
    -0.393
    """
    if not 0 < std_lsb < math.inf:
        raise ValueError(f"deviation {std_lsb} LSB: is finite and above 0")
    if std_lsb < 0.04:  # 1/2 is 12 deviations off: all is rounded to zero, and the series would need hundreds of terms
        return _make_moments(0.0, 0.0, std_lsb**2)
    k = np.arange(1, 4 + math.ceil(1.4 / std_lsb))
    terms = (-1.0) ** k * np.exp(-2 * (math.pi * k * std_lsb) ** 2)
    cross = 2 * std_lsb**2 * float(terms.sum())
    power = 1 / 12 + float((terms / k**2).sum()) / math.pi**2
    return _make_moments(std_lsb**2 + cross, power + 2 * cross + std_lsb**2, std_lsb**2)


def _cross(amplitude_lsb: float, *, mid_rise: bool) -> tuple[Doubles, float]:
    if not 0 < amplitude_lsb <= LARGEST_SINE_LSB:
        raise ValueError(
            f"amplitude {amplitude_lsb} LSB: is above 0, and at most {LARGEST_SINE_LSB} as every crossing is summed"
        )
    half = 0.0 if mid_rise else 0.5
    count = math.ceil(amplitude_lsb + half) - 1  # at A = 0.5 the sine touches the transition and spends no time beyond
    return np.arcsin((np.arange(1, count + 1) - half) / amplitude_lsb), 0.5 - half


def _make_moments(xy: float, yy: float, xx: float) -> ErrorMoments:
    ee = yy - 2 * xy + xx
    return ErrorMoments(xy / xx, 12 * ee, (xy - xx) / math.sqrt(ee * xx), 10 * math.log10(xx / ee))
