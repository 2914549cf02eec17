"""Which sine lies in a record, and what is left of the record without it?

IEEE 1057/1241 fits of three and four parameters.

x_t = offset + a cos(w t) + b sin(w t) + residual, least squares. The normal equations need only sums of x, cos and sin
times powers of t; with t = C r + c every phasor is a product of one of r and one of c, so a record of N samples costs
4 sqrt(N) sines and one matrix product. Time is counted from the middle of the record (u = t - (N - 1)/2) and in record
lengths (u/N), which keeps the equations well conditioned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Doubles, Phasors
from qanalysis.decibels import level_db

SHORTEST = 16  # samples; four parameters and a DC bin leave too little of fewer
_MOST_STEPS = 12
_STRAIGHT = 1e-6  # rad over the record: of a step d the slopes leave d^2, whose power is then 1e-25 of the tone
_MOST_ROUNDS = 8
# What a core's cache holds, and too small a product to be shared with another core, which may be busy.
_ROWS_AT_ONCE = 32
_CENTRED = 1e-14  # a mean of a scaled record that is only rounding
_AT_ONCE = 1 << 14  # numbers


@dataclass(frozen=True, slots=True)
class SineFit:
    """offset + amplitude sin(2 pi frequency_hz t / fs_hz + phase), t = 0, 1, ...;
    amplitudes in the record's unit, phase in rad within (-pi, pi].

    `parameters` is 3 where the frequency was given and 4 where it was fitted; `residual_rms` is IEEE 1241's NAD: noise
    and distortion. A sine at fs/2 shows only its cosine: amplitude is then what the samples reach.
    """

    frequency_hz: float
    amplitude: float
    phase: float
    offset: float
    residual_rms: float
    samples: int
    fs_hz: float
    parameters: int

    @property
    def sinad_db(self) -> float:
        """Power of the sine over that of the residual; inf where nothing is left."""
        return level_db(self.power, self.residual_rms**2)

    @property
    def power(self) -> float:
        """Mean square of the sine: amplitude^2 / 2, at fs/2 amplitude^2."""
        return float(self.amplitude**2 * (1.0 if 2 * self.frequency_hz == self.fs_hz else 0.5))

    @property
    def cycles(self) -> float:
        """Periods in the record."""
        return float(self.frequency_hz / self.fs_hz * self.samples)


def read_samples(record: ArrayLike) -> Doubles:
    """The record as float64 (samples,), a copy only where its type or layout asks for one.

    ValueError for complex numbers, what is no number, another shape, fewer than 16 samples, NaN and infinities.
    """
    try:
        values = np.asarray(record)
        if np.iscomplexobj(values):
            raise ValueError(f"the record is complex ({values.dtype}); give its real part")
        values = np.ascontiguousarray(values, dtype=np.float64)
    except TypeError as error:
        raise ValueError(f"the record is not made of numbers: {error}") from error
    if values.ndim != 1:
        raise ValueError(
            f"a record is one channel, one-dimensional; this one has shape {values.shape}: choose a row or column"
        )
    if values.size < SHORTEST:
        raise ValueError(
            f"the record has {values.size} sample{'s' * (values.size != 1)}; a spectrum and a sine fit need at least "
            f"{SHORTEST}: capture more"
        )
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(
            f"{values.size - finite.sum()} of {values.size} samples are not finite (NaN or infinite), the first is "
            f"sample {int(np.argmin(finite))}, counted from 0; cut the record before it, or repair them"
        )
    return values


def check_rate(fs_hz: float) -> None:
    """ValueError unless the sample rate is a positive number."""
    if not (np.isfinite(fs_hz) and fs_hz > 0):
        raise ValueError(f"fs_hz {fs_hz}: the sample rate is a positive number of hertz")


def find_scale(values: Doubles) -> float:
    """The power of two by which a record (samples,) is divided so that squares neither overflow nor vanish.

    Its bits stay the same, except where a value becomes subnormal beside one 2^1022 times as large.
    """
    return float(2.0 ** np.clip(np.frexp(max(values.max(), -values.min()))[1], -1022, 1023))


def centre_record(values: Doubles, scale: float) -> tuple[Doubles, float]:
    """The record (samples,) over `scale` less its mean, and that mean over `scale`."""
    mean, centred = float(values.mean()) / scale, np.empty(values.size)
    for start in range(0, values.size, _AT_ONCE):
        part = centred[start : start + _AT_ONCE]
        np.divide(values[start : start + _AT_ONCE], scale, out=part)
        part -= mean
    return centred, mean


def rescale_fit(fit: SineFit, scale: float, fs_hz: float) -> SineFit:
    """The fit of a scaled record with fs = 1 in the record's unit and in hertz."""
    return replace(
        fit,
        frequency_hz=fit.frequency_hz * fs_hz,
        fs_hz=fs_hz,
        amplitude=fit.amplitude * scale,
        offset=fit.offset * scale,
        residual_rms=fit.residual_rms * scale,
    )


def guess_frequency(spectrum: Phasors, samples: int, peak: int) -> float:
    """Angular frequency, rad per sample, of a peak of a one-sided spectrum (samples // 2 + 1,) from its two neighbours.

    Jacobsen's estimator, held within half a bin; the bin itself at both ends of the spectrum, where a neighbour is
    missing, and where the three lie on a line.
    """
    offset = 0.0
    if 1 < peak < len(spectrum) - 1:
        left, middle, right = spectrum[peak - 1 : peak + 2]
        curvature = 2 * middle - left - right
        offset = float(np.clip(((left - right) / curvature).real, -0.5, 0.5)) if curvature else 0.0
    return float(2 * np.pi * (peak + offset) / samples)


def separate_tones(values: Doubles, omegas: list[float]) -> tuple[list[SineFit], Doubles]:
    """Fit several sines, each to what the others leave, until the residual settles; the fits and the residual, fs = 1.

    `values` (samples,) have no NaN; `omegas` are rad per sample, one start for each sine, the strongest first. At most
    8 rounds, ended by one that takes less than 1e-4 of the residual's power. All fits carry the common residual.
    """
    fit, residual = fit_tone(values, omegas[0], free=True)
    if len(omegas) == 1:
        return [fit], residual
    fits, parts = [fit], [values - residual]
    for omega in omegas[1:]:
        fit, rest = fit_tone(residual, omega, free=True)
        fits, parts, residual = [*fits, fit], [*parts, residual - rest], rest
    for _ in range(_MOST_ROUNDS):
        before = mean_square(residual)
        for index, fit in enumerate(fits):
            target = residual + parts[index]
            fits[index], residual = fit_tone(target, 2 * np.pi * fit.frequency_hz, free=True)
            parts[index] = target - residual
        if mean_square(residual) >= before * (1 - 1e-4):
            break
    rms = float(np.sqrt(mean_square(residual)))
    return [replace(fit, residual_rms=rms) for fit in fits], residual


def fit_tone(values: Doubles, omega: float, *, free: bool) -> tuple[SineFit, Doubles]:
    """One sine near (`free`) or at angular frequency omega, 0 < omega <= pi;
    the fit for fs = 1, the residual (samples,).

    Newton steps on the frequency start from the three-parameter fit; a step is at most half a period over the record.
    Just at fs/2 the residual has no slope in the frequency: a start below it is tried too.
    """
    fit, residual = _fit_from(values, omega, free=free)
    if free and omega > np.pi * (1 - 1 / values.size):
        below = _fit_from(values, np.pi * (1 - 0.8 / values.size), free=True)
        if below[0].residual_rms < fit.residual_rms * (1 - 1e-6):
            fit, residual = below
    return fit, residual


def _fit_from(values: Doubles, omega: float, *, free: bool) -> tuple[SineFit, Doubles]:
    """The fit that Newton steps reach from one start, and its residual (samples,), for fs = 1.

    Steps end with one that moves the sine by less than 1e-6 rad over the record, grows, or leaves 0..pi.
    """
    mean = float(values.mean())
    centred = values - mean if abs(mean) > _CENTRED else values
    clock = _make_clock(values.size)
    sums = _project(centred, clock, omega, slopes=free)
    a, b, offset = _solve(clock, sums, omega)
    previous = np.inf
    for _ in range(_MOST_STEPS if free else 0):
        *straight, bend = _solve_bend(clock, sums, omega, (a, b))
        moved = omega + float(np.clip(bend, -np.pi, np.pi)) / values.size
        if not 0 < moved <= np.pi or abs(bend) >= previous:
            break
        omega, previous = moved, abs(bend)
        if previous < _STRAIGHT:
            a, b, offset = straight
            break
        sums = _project(centred, clock, omega)
        a, b, offset = _solve(clock, sums, omega)
    residual = _leave_sine(centred, clock, omega, (a, b, offset))
    phase = np.pi - (np.pi + omega * clock.middle - np.arctan2(a, b)) % (2 * np.pi)
    fit = SineFit(
        frequency_hz=float(omega / (2 * np.pi)),
        amplitude=float(np.hypot(a, b)),
        phase=float(phase),
        offset=float(mean + offset),
        residual_rms=float(np.sqrt(mean_square(residual))),
        samples=values.size,
        fs_hz=1.0,
        parameters=4 if free else 3,
    )
    return fit, residual


class _Clock(NamedTuple):
    """Sample times from the middle of the record:
    `rows` (R, 1) plus `columns` (C,) for whole rows, `tail` for the rest.
    """

    rows: Doubles
    columns: Doubles
    tail: Doubles
    middle: float
    samples: int


def _make_clock(samples: int) -> _Clock:
    """Columns by a power of two, about as many rows, and the samples left over; for one sample at least."""
    columns = 1 << samples.bit_length() // 2
    rows = samples // columns
    middle = (samples - 1) / 2
    times = np.arange(rows * columns, samples, dtype=np.float64) - middle
    return _Clock(
        np.arange(rows, dtype=np.float64) * columns - middle,
        np.arange(columns, dtype=np.float64),
        times,
        middle,
        samples,
    )


class _Sums(NamedTuple):
    """Sums over the record of y exp(-j w u) (u/N)^k for k = 0, 1, 2."""

    flat: complex
    linear: complex
    square: complex


def _project(values: Doubles, clock: _Clock, omega: float, *, slopes: bool = True) -> _Sums:
    """The record's sums of order 0, and with `slopes` of order 1; order 2 is not needed."""
    whole = clock.rows.size * clock.columns.size
    turns, position = np.exp(-1j * omega * clock.columns), clock.columns / clock.samples
    tables = [turns.real, turns.imag, *([position * turns.real, position * turns.imag] if slopes else [])]
    table, rows = np.column_stack(tables), values[:whole].reshape(clock.rows.size, -1)
    sums = np.concatenate([rows[start : start + _ROWS_AT_ONCE] @ table for start in range(0, len(rows), _ROWS_AT_ONCE)])
    flat, row_turns = sums[:, 0] + 1j * sums[:, 1], np.exp(-1j * omega * clock.rows)
    tail = values[whole:] * np.exp(-1j * omega * clock.tail)
    linear = 0j
    if slopes:
        moments = sums[:, 2] + 1j * sums[:, 3] + clock.rows / clock.samples * flat
        linear = complex(row_turns @ moments + tail @ (clock.tail / clock.samples))
    return _Sums(complex(row_turns @ flat + tail.sum()), linear, 0j)


def _sum_phasors(clock: _Clock, omega: float) -> _Sums:
    """The sums of y = 1, from those of the rows and of the columns (binomial in the power of time)."""
    parts = [
        np.exp(-1j * omega * times) @ np.vander(times / clock.samples, 3, increasing=True)
        for times in (clock.rows, clock.columns, clock.tail)
    ]
    row, column, tail = parts
    return _Sums(
        complex(row[0] * column[0] + tail[0]),
        complex(row[1] * column[0] + row[0] * column[1] + tail[1]),
        complex(row[2] * column[0] + 2 * row[1] * column[1] + row[0] * column[2] + tail[2]),
    )


def _weigh(clock: _Clock, omega: float) -> tuple[Doubles, _Sums, _Sums]:
    """Gram matrix of cos, sin and 1 (3, 3), with the sums at w and 2 w that it is made of."""
    once, twice = _sum_phasors(clock, omega), _sum_phasors(clock, 2 * omega)
    samples, flat = clock.samples, twice.flat
    gram = np.array(
        [
            [(samples + flat.real) / 2, -flat.imag / 2, once.flat.real],
            [-flat.imag / 2, (samples - flat.real) / 2, -once.flat.imag],
            [once.flat.real, -once.flat.imag, samples],
        ]
    )
    return gram, once, twice


def _solve(clock: _Clock, sums: _Sums, omega: float) -> tuple[float, float, float]:
    """Three parameters: cosine, sine and offset of a centred record (its sum is 0);
    least norm where the sine vanishes, at fs/2.
    """
    gram, _, _ = _weigh(clock, omega)
    answer = np.linalg.lstsq(gram, np.array([sums.flat.real, -sums.flat.imag, 0.0]), rcond=1e-13)[0]
    return float(answer[0]), float(answer[1]), float(answer[2])


def _solve_bend(clock: _Clock, sums: _Sums, omega: float, sine: tuple[float, float]) -> list[float]:
    """Four parameters at the point (a, b, w): cosine, sine, offset and the change of w times N, of
    d = (u/N)(b cos - a sin).
    """
    gram, once, twice = _weigh(clock, omega)
    a, b = sine
    flat_square = (clock.samples**2 - 1) / (12 * clock.samples)
    slopes = [
        b * twice.linear.real / 2 + a * twice.linear.imag / 2,
        -b * twice.linear.imag / 2 + a * twice.linear.real / 2,
        b * once.linear.real + a * once.linear.imag,
    ]
    own = (
        b**2 * (flat_square + twice.square.real)
        + 2 * a * b * twice.square.imag
        + a**2 * (flat_square - twice.square.real)
    ) / 2
    full = np.block([[gram, np.array(slopes)[:, None]], [np.array(slopes)[None, :], np.array([[own]])]])
    wanted = np.array([sums.flat.real, -sums.flat.imag, 0.0, b * sums.linear.real + a * sums.linear.imag])
    return [float(number) for number in np.linalg.lstsq(full, wanted, rcond=1e-13)[0]]


def _leave_sine(values: Doubles, clock: _Clock, omega: float, sine: tuple[float, float, float]) -> Doubles:
    """The values less a cos(w u) + b sin(w u) + c = Re (a + j b) exp(-j w u) + c, rows times columns."""
    phasor, rest = sine[0] + 1j * sine[1], np.empty(values.size)
    rows, columns = phasor * np.exp(-1j * omega * clock.rows), np.exp(-1j * omega * clock.columns)
    whole, size = (rows.size, columns.size), rows.size * columns.size
    left = np.column_stack([rows.real, -rows.imag, np.full(rows.size, sine[2])])
    right = np.vstack([columns.real, columns.imag, np.ones(columns.size)])
    seen, kept = values[:size].reshape(whole), rest[:size].reshape(whole)
    for start in range(0, rows.size, _ROWS_AT_ONCE):
        some = kept[start : start + _ROWS_AT_ONCE]
        np.matmul(left[start : start + _ROWS_AT_ONCE], right, out=some)
        np.subtract(seen[start : start + _ROWS_AT_ONCE], some, out=some)
    rest[size:] = values[size:] - (phasor * np.exp(-1j * omega * clock.tail)).real - sine[2]
    return rest


def leave_tone(values: Doubles, fit: SineFit) -> Doubles:
    """What a fit leaves of the record (samples,) that it describes, in the record's unit."""
    clock, omega = _make_clock(values.size), 2 * np.pi * fit.cycles / fit.samples
    turned = fit.amplitude * np.exp(1j * (fit.phase + omega * clock.middle))
    return _leave_sine(values, clock, float(omega), (float(turned.imag), float(turned.real), fit.offset))


def mean_square(values: Doubles) -> float:
    """Mean of the squares; one core is enough, so that short records do not wait for others."""
    return float(np.einsum("i,i", values, values) / values.size)


def measure_line(values: Doubles, cycles: float) -> float:
    """Mean square of the line at so many periods per record, as a bin of the plain DFT of `values` (samples,) has it;
    between bins too.
    """
    sums = _project(values, _make_clock(values.size), 2 * np.pi * cycles / values.size, slopes=False)
    return float(2 * abs(sums.flat) ** 2 / values.size**2)
