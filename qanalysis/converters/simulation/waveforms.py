"""What stands at the converter's input?

Waveforms as values, their exact samples, and the frequencies that fit a record.

A record of M samples at fs holds J = f M / fs periods. J is taken as whole where it is so to 1e-6; then phases are
computed in whole numbers and do not depend on the label of the sample rate. Angles are degrees, amplitudes are peaks in
the unit of the converter's range.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Doubles
from qanalysis.converters.findings import Finding
from qanalysis.notation import plain, si

Shift = Doubles | float


class Waveform(Protocol):
    """Anything that can be sampled: (samples,) values at the times n/fs + shift,
    the shift in seconds, one or one per sample.
    """

    def sample(self, samples: int, fs_hz: float, *, shift_s: Shift = 0.0) -> Doubles: ...


def _check(place: str, **numbers: float) -> None:
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise ValueError(f"{place}: {name} {value} is not finite")


def check_times(samples: int, fs_hz: float) -> None:
    """ValueError unless there is a sample at least, and a rate above 0."""
    if not (samples >= 1 and 0 < fs_hz < math.inf):
        raise ValueError(f"{samples} samples at {si(fs_hz, 'Hz')}: needs a sample at least and a finite rate above 0")


def count_cycles(frequency_hz: float, *, fs_hz: float, samples: int) -> float:
    """Periods J = f M / fs in the record; a whole number where the record is coherent (to 1e-6 of a period).

    >>> count_cycles(100.0, fs_hz=1000.0, samples=4096), count_cycles(0.3, fs_hz=1.0, samples=10)
    (409.6, 3.0)
    """
    check_times(samples, fs_hz)
    cycles = frequency_hz / fs_hz * samples
    whole = round(cycles)
    return float(whole) if abs(cycles - whole) < 1e-6 else cycles


def _count_turns(frequency_hz: float, samples: int, fs_hz: float, shift_s: Shift) -> Doubles:
    """Phase of every sample in turns, reduced below 1 before the shift is added,
    so that long records keep their digits.
    """
    cycles = count_cycles(frequency_hz, fs_hz=fs_hz, samples=samples)
    n = np.arange(samples)
    turns = (int(cycles) * n % samples) / samples if cycles.is_integer() else cycles / samples * n % 1.0
    return np.asarray(turns + frequency_hz * np.asarray(shift_s))


@dataclass(frozen=True, slots=True)
class Sine:
    """offset + amplitude sin(2 pi f t + phase).

    >>> Sine(2.0, 1.0).sample(4, 4.0).round(12).tolist()
    [0.0, 2.0, 0.0, -2.0]
    """

    amplitude: float
    frequency_hz: float
    _: KW_ONLY
    phase_degrees: float = 0.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        _check(
            "sine",
            amplitude=self.amplitude,
            frequency_hz=self.frequency_hz,
            phase_degrees=self.phase_degrees,
            offset=self.offset,
        )

    def sample(self, samples: int, fs_hz: float, *, shift_s: Shift = 0.0) -> Doubles:
        turns = _count_turns(self.frequency_hz, samples, fs_hz, shift_s) + self.phase_degrees / 360.0
        return np.asarray(self.offset + self.amplitude * np.sin(2 * np.pi * turns))


@dataclass(frozen=True, slots=True)
class TwoTone:
    """offset + amplitude (sin 2 pi f1 t + sin 2 pi f2 t): each tone has the amplitude, the sum peaks at twice it."""

    amplitude: float
    frequency_hz: float
    second_hz: float
    _: KW_ONLY
    offset: float = 0.0

    def __post_init__(self) -> None:
        _check(
            "two tones",
            amplitude=self.amplitude,
            frequency_hz=self.frequency_hz,
            second_hz=self.second_hz,
            offset=self.offset,
        )

    def sample(self, samples: int, fs_hz: float, *, shift_s: Shift = 0.0) -> Doubles:
        first, second = (
            Sine(self.amplitude, f).sample(samples, fs_hz, shift_s=shift_s) for f in (self.frequency_hz, self.second_hz)
        )
        return self.offset + first + second


@dataclass(frozen=True, slots=True)
class Triangle:
    """A triangle of peak `amplitude` about `offset`; rises from the offset at phase 0.

    >>> Triangle(1.0, 1.0).sample(8, 8.0).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0, -0.5, -1.0, -0.5]
    """

    amplitude: float
    frequency_hz: float
    _: KW_ONLY
    phase_degrees: float = 0.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        _check(
            "triangle",
            amplitude=self.amplitude,
            frequency_hz=self.frequency_hz,
            phase_degrees=self.phase_degrees,
            offset=self.offset,
        )

    def sample(self, samples: int, fs_hz: float, *, shift_s: Shift = 0.0) -> Doubles:
        turns = _count_turns(self.frequency_hz, samples, fs_hz, shift_s) + self.phase_degrees / 360.0 + 0.25
        return np.asarray(self.offset + self.amplitude * (1.0 - 4.0 * np.abs(turns % 1.0 - 0.5)))


@dataclass(frozen=True, slots=True)
class Ramp:
    """Straight from `low` to `high` over the record, `sweeps` times;
    samples stand in the middle of their M equal parts.

    >>> Ramp(0.0, 8.0).sample(4, 1.0).tolist()
    [1.0, 3.0, 5.0, 7.0]
    """

    low: float
    high: float
    _: KW_ONLY
    sweeps: int = 1

    def __post_init__(self) -> None:
        _check("ramp", low=self.low, high=self.high)
        if self.sweeps < 1:
            raise ValueError(f"ramp: {self.sweeps} sweeps; a record holds one at least")

    def sample(self, samples: int, fs_hz: float, *, shift_s: Shift = 0.0) -> Doubles:
        check_times(samples, fs_hz)
        part = (np.arange(samples) * self.sweeps % samples + 0.5) / samples
        return np.asarray(
            self.low + (self.high - self.low) * (part + self.sweeps * fs_hz / samples * np.asarray(shift_s))
        )


@dataclass(frozen=True, slots=True)
class Dc:
    """One level for ever."""

    level: float

    def __post_init__(self) -> None:
        _check("dc", level=self.level)

    def sample(self, samples: int, fs_hz: float, *, shift_s: Shift = 0.0) -> Doubles:
        check_times(samples, fs_hz)
        return np.full(samples, float(self.level))


@dataclass(frozen=True, slots=True)
class Gaussian:
    """White Gaussian noise up to fs/2, drawn from `seed`;
    shifted in time as the band-limited wave through its samples.
    """

    std: float
    _: KW_ONLY
    mean: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check("gaussian", std=self.std, mean=self.mean)
        if self.std < 0:
            raise ValueError(f"gaussian: std {self.std} is negative")

    def sample(self, samples: int, fs_hz: float, *, shift_s: Shift = 0.0) -> Doubles:
        check_times(samples, fs_hz)
        return _shift(self.mean + self.std * np.random.default_rng(self.seed).standard_normal(samples), fs_hz, shift_s)


@dataclass(frozen=True, slots=True, eq=False)
class OwnRecord:
    """Samples of the user's own, (N,), in the unit of the range; taken from the first on, as many as asked.

    ValueError for values that are not finite or not a row, and where more samples are asked than there are.
    """

    values: Doubles
    name: str = "record"

    def __post_init__(self) -> None:
        values = np.asarray(self.values, np.float64)
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise ValueError(
                f"{self.name}: needs a row of finite values; has shape {values.shape} with "
                f"{int((~np.isfinite(values)).sum())} not finite"
            )
        object.__setattr__(self, "values", values)

    def sample(self, samples: int, fs_hz: float, *, shift_s: Shift = 0.0) -> Doubles:
        check_times(samples, fs_hz)
        if samples > self.values.size:
            raise ValueError(f"{self.name}: {samples} samples asked, {self.values.size} there; ask for no more")
        return _shift(self.values[:samples], fs_hz, shift_s)


def _shift(values: Doubles, fs_hz: float, shift_s: Shift) -> Doubles:
    """x(t + d) = x + d x'(t), first order in d,
    with the derivative of the periodic band-limited wave through the samples.
    """
    if not np.any(shift_s):
        return values
    spectrum = np.fft.rfft(values)
    slope = np.fft.irfft(spectrum * 2j * np.pi * np.fft.rfftfreq(values.size, 1 / fs_hz), values.size)
    return np.asarray(values + slope * np.asarray(shift_s))


def list_tones(waveform: Waveform) -> tuple[float, ...]:
    """Frequencies that a waveform is made of, in hertz: none for a ramp, noise, a level or a record.

    >>> list_tones(TwoTone(0.5, 100.0, 110.0)), list_tones(Dc(0.0))
    ((100.0, 110.0), ())
    """
    if isinstance(waveform, TwoTone):
        return (waveform.frequency_hz, waveform.second_hz)
    return (waveform.frequency_hz,) if isinstance(waveform, Sine | Triangle) else ()


def find_coherent_hz(fs_hz: float, samples: int, near_hz: float) -> float:
    """The frequency J fs / M nearest to `near_hz` with J and M relatively prime, 1 <= J < M/2:
    all M samples then differ in phase.

    Of two equally near the lower one. ValueError for a frequency outside 0..fs/2 and for fewer than 3 samples.

    >>> find_coherent_hz(4096.0, 4096, 128.2), find_coherent_hz(1000.0, 1000, 100.0)
    (129.0, 99.0)
    """
    check_times(samples, fs_hz)
    if samples < 3 or not 0 <= near_hz <= fs_hz / 2:
        raise ValueError(
            f"{si(near_hz, 'Hz', digits=7)} in {samples} samples at {si(fs_hz, 'Hz', digits=7)}: needs 3 "
            "samples at least and a frequency from 0 to "
            "half the rate"
        )
    wanted = near_hz / fs_hz * samples
    cycles = np.arange(1, (samples + 1) // 2)
    # Runs without a relatively prime number are short (Jacobsthal: below 100 for any M of 40 digits), so the
    # neighbourhood is enough.
    close = cycles[max(0, math.floor(wanted) - 200) : math.floor(wanted) + 200] if samples > 1000 else cycles
    prime = close[np.gcd(close, samples) == 1]
    return float(prime[np.argmin(np.abs(prime - wanted))]) * fs_hz / samples


def judge_period(frequency_hz: float, *, fs_hz: float | None, samples: int) -> Finding | None:
    """What is wrong with the number of periods in the record:
    a common divisor with M ("locked-period"), or no whole number ("leakage").

    None where J is whole and relatively prime to M. The value is the divisor, or the distance to the nearest whole
    number. Without a rate the frequency is a share of it.

    >>> judge_period(128, fs_hz=4096, samples=4096).value
    128.0
    """
    rate = fs_hz or 1.0
    cycles = count_cycles(frequency_hz, fs_hz=rate, samples=samples)
    if samples < 3 or not 0 < frequency_hz <= rate / 2:
        return None
    better = find_coherent_hz(rate, samples, frequency_hz)
    place = "" if fs_hz is None else f"{si(better, 'Hz', digits=9)}, "
    way_out = f"use {place}{round(better / rate * samples)} periods"
    if not cycles.is_integer():
        text = (
            f"{plain(cycles, digits=6)} periods in {samples} samples are no whole number: a plain transform "
            "smears the tone; "
            f"{way_out}, or a window."
        )
        return Finding("leakage", text, abs(cycles - round(cycles)))
    divisor = math.gcd(int(cycles), samples)
    if divisor == 1:
        return None
    text = (
        f"{cycles:.0f} periods in {samples} samples share the divisor {divisor}: "
        f"the record holds only {samples // divisor} phases, each {divisor} times, "
        f"and quantization noise gathers in lines; {way_out}."
    )
    return Finding("locked-period", text, float(divisor))


def sample_phases(samples: int, cycles: int, *, phase_degrees: ArrayLike = 0.0) -> Doubles:
    """A coherent sine of peak 1, one row per start phase:
    shape (phases, samples), its phases computed in whole numbers.

    >>> np.abs(sample_phases(4, 1, phase_degrees=[0, 90])).round(12).tolist()
    [[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]]
    """
    turns = (cycles * np.arange(samples) % samples) / samples
    return np.asarray(
        np.sin(2 * np.pi * (turns + np.atleast_1d(np.asarray(phase_degrees, np.float64))[:, None] / 360.0))
    )
