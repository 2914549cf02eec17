"""What does a real converter make of a waveform?

The chain from input to codes, every imperfection switchable, the same draw every time.

Chain: waveform (at jittered instants) -> low + (x - low)(1 + gain) + offset + noise -> dither -> quantizer (with INL,
in a noise-shaping loop of order L) -> codes, clipped at the ends -> levels (less a subtractive dither). `fs_hz` is the
converter's own rate; oversampling by R leaves the record as it is and makes 0..fs/(2R) the band that counts.
e = values - ideal input. Gain and offset as in IEEE 1241: G x + V.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.converters.choices import DitherName, check_dither
from qanalysis.converters.converter import Converter
from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.inl import STRAIGHT, Inl, bend_transitions
from qanalysis.converters.simulation.dither import find_dither
from qanalysis.converters.simulation.waveforms import Waveform, judge_period, list_tones
from qanalysis.decibels import ratio_db
from qanalysis.notation import in_percent, si
from qanalysis.quantizers.rounding import Rounding
from qanalysis.sums import ErrorStats, measure

MOST_SAMPLES = 2**22
MOST_SHAPING = 5
MOST_INL_BITS = 20
# Each source of chance has a stream of its own, so that switching one on leaves the draws of the others as they were.
NOISE, JITTER, DITHER = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Simulation:
    """A converter, what stands at its input, and what is wrong with it; `run()` gives the record.

    `gain_error_percent` and `offset_lsb` act about the low end; `noise_lsb` is rms; `jitter_s` rms; `osr` the
    oversampling ratio. With noise shaping an INL is that of the feedback DAC and acts on the input. ValueError for
    whatever can not be.

    >>> from qanalysis.converters.simulation.waveforms import Sine
    >>> record = Simulation(Converter(8, -1, 1), Sine(127 / 128, 127.0), samples=4096, fs_hz=4096.0).run()
    >>> round(record.stats.sqnr_db, 2), int(record.codes.max())
    (49.95, 255)
    """

    converter: Converter
    waveform: Waveform
    _: KW_ONLY
    samples: int = 16384
    fs_hz: float = 1.0
    offset_lsb: float = 0.0
    gain_error_percent: float = 0.0
    inl: Inl = STRAIGHT
    noise_lsb: float = 0.0
    jitter_s: float = 0.0
    dither: DitherName = "none"
    osr: int = 1
    shaping_order: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_dither(self.dither)
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise ValueError(f"samples {self.samples}: a simulated record has 1 to {MOST_SAMPLES}")
        if not 0 < self.fs_hz < math.inf:
            raise ValueError(f"fs_hz {self.fs_hz}: the rate is finite and above 0")
        for name in ("noise_lsb", "jitter_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} {getattr(self, name)}: an rms value is finite and 0 or more")
        if not (math.isfinite(self.offset_lsb) and -100 < self.gain_error_percent < math.inf):
            raise ValueError(
                f"offset {self.offset_lsb} LSB, gain error {self.gain_error_percent} %: "
                "both are finite, the gain stays above 0"
            )
        if self.osr < 1 or not 0 <= self.shaping_order <= MOST_SHAPING:
            raise ValueError(
                f"oversampling {self.osr}, shaping order {self.shaping_order}: needs 1 or more, and 0 to {MOST_SHAPING}"
            )
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is negative")
        if self.inl and self.converter.bits > MOST_INL_BITS:
            raise ValueError(f"INL goes code by code, to {MOST_INL_BITS} bits; the converter has {self.converter.bits}")

    @property
    def band_hz(self) -> float:
        """Upper end of the band that counts, fs / (2 osr)."""
        return self.fs_hz / 2 / self.osr

    @property
    def transitions(self) -> Doubles:
        """Transition levels of codes 1..2^n-1 at the input, with offset, gain and INL: the truth for a linearity test.

        To 24 bits.
        """
        return self._refer_to_input(
            bend_transitions(self.converter, self.inl)[1:-1] if self.inl else self.converter.transitions
        )

    def locate_transitions(self, codes: Codes) -> Doubles:
        """Those of some codes, at any width."""
        return self._refer_to_input(
            bend_transitions(self.converter, self.inl)[codes] if self.inl else self.converter.locate_transitions(codes)
        )

    def _refer_to_input(self, levels: Doubles) -> Doubles:
        low = self.converter.low
        return low + (levels - low - self.offset_lsb * self.converter.lsb) / (1 + self.gain_error_percent / 100)

    def run(self) -> SimulatedRecord:
        """Sample the waveform, disturb it, quantize it: a few milliseconds for 16k samples."""
        ideal = self.waveform.sample(self.samples, self.fs_hz)
        disturbed = self.disturb(ideal)
        quantized = quantize(self, disturbed)
        return SimulatedRecord(
            self, ideal, disturbed, quantized.codes, quantized.values, quantized.loop_error, quantized.saturated
        )

    def disturb(self, ideal: Doubles) -> Doubles:
        """What reaches the quantizer in place of `ideal` (samples,):
        jitter, gain, offset and noise, as far as they are on.
        """
        step, low = self.converter.lsb, self.converter.low
        x = ideal
        if self.jitter_s:
            x = self.waveform.sample(
                self.samples, self.fs_hz, shift_s=self.jitter_s * self._stream(JITTER).standard_normal(self.samples)
            )
        if self.gain_error_percent or self.offset_lsb:
            x = x + (x - low) * (self.gain_error_percent / 100) + self.offset_lsb * step
        return x + self.noise_lsb * step * self._stream(NOISE).standard_normal(self.samples) if self.noise_lsb else x

    def draw_dither(self) -> Doubles:
        """The dither of every sample, in LSB."""
        return find_dither(self.dither).draw(self._stream(DITHER), (self.samples,))

    def _stream(self, source: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, source))


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedRecord:
    """A simulated record: all arrays (samples,). `disturbed` is what the quantizer saw, `values` what the codes say.

    `loop_error` is the quantizer's own error in LSB, ends included; in a shaping loop it is the error before shaping,
    on an endless grid. `saturated` counts the samples beyond the end codes.
    """

    simulation: Simulation
    ideal: Doubles
    disturbed: Doubles
    codes: Codes
    values: Doubles
    loop_error: Doubles
    saturated: int

    @property
    def errors(self) -> Doubles:
        """E = values - ideal input, in the unit of the range."""
        return self.values - self.ideal

    @property
    def stats(self) -> ErrorStats:
        """The error sums of the core: bias, SQNR, correlation, largest error, over the whole band."""
        return measure(self.ideal, self.values)

    @property
    def in_band_snr_db(self) -> float | None:
        """AC power of the ideal input over the error's, DC aside, both in 0..fs/(2 osr):
        what an ideal decimator would leave.
        """
        if np.ptp(self.ideal) == 0:
            return None
        signal, noise = (band_power(x - x.mean(), self.simulation.osr) for x in (self.ideal, self.errors))
        return ratio_db(signal, noise)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What to know before believing the figures:
        samples beyond the ends, a locked or broken period, a tone outside the band.
        """
        simulation = self.simulation
        found = []
        if self.saturated:
            share = self.saturated / self.codes.size
            text = (
                f"{self.saturated} of {self.codes.size} samples ({in_percent(share, '.3g')}) "
                "lie beyond the end codes and saturate; lower the level."
            )
            found.append(Finding("clipping", text, share))
        for frequency in list_tones(simulation.waveform):
            locked = judge_period(frequency, fs_hz=simulation.fs_hz, samples=simulation.samples)
            found += [locked] if locked else []
            if abs(frequency) > simulation.band_hz:
                text = (
                    f"The tone at {si(frequency, 'Hz', digits=4)} lies outside the band to "
                    f"{si(simulation.band_hz, 'Hz', digits=4)}; lower it or the oversampling."
                )
                found.append(Finding("out-of-band", text, frequency))
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """What the quantizer made of its input: codes, their values, its own error in LSB,
    and how many samples saturated.
    """

    codes: Codes
    values: Doubles
    loop_error: Doubles
    saturated: int


def quantize(simulation: Simulation, disturbed: Doubles) -> Quantized:
    """Dither, round and clip `disturbed` (samples,) as the simulation says."""
    converter, inl, order = simulation.converter, simulation.inl, simulation.shaping_order
    kind = find_dither(simulation.dither)
    grid, step = converter.quantizer, converter.lsb
    dither = simulation.draw_dither() if simulation.dither != "none" else np.zeros(simulation.samples)
    added = dither if kind.subtracted else np.zeros(1)
    inside = np.zeros(1) if kind.subtracted else dither
    if inl and order:
        disturbed = disturbed - step * inl.displace(disturbed, converter)
    scaled = (disturbed - grid.offset) / step + added
    loop_error = None
    if order:
        wanted, loop_error = shape_noise(scaled, inside, order=order, rounding=grid.rounding)
    elif inl:
        # The first entry is the transition of code 0, so the count of transitions passed is one more than the code.
        passed = np.searchsorted(bend_transitions(converter, inl), disturbed + step * dither, side="right")
        wanted = passed.astype(np.float64) - 1
    else:
        wanted = np.asarray(grid.rounding(scaled + inside))
    codes = np.clip(wanted, 0, grid.code_max)
    saturated = int(np.count_nonzero(codes != wanted))
    return Quantized(
        codes.astype(np.int64),
        grid.decode(codes) - step * added,
        codes - scaled if loop_error is None else loop_error,
        saturated,
    )


def shape_noise(scaled: Doubles, dither: Doubles, *, order: int, rounding: Rounding) -> tuple[Doubles, Doubles]:
    """Error feedback of order L without a loop: whole codes y = x + (1 - 1/z)^L e, and e, for x in LSB (samples,).

    The L-fold running sum of y is the rounded L-fold running sum of x, and only its fraction decides the rounding: sums
    wrap exactly in whole 2^-64 LSB. The loop is in its steady state, the end of the record running into its beginning,
    or the window would smear the shaped noise into the band; that costs less than 1/M LSB of DC. Holds while no code
    saturates; the caller clips what comes out.

    >>> shape_noise(np.full(8, 0.25), np.zeros(8), order=1, rounding=Rounding("half-up"))[0].tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    """
    # 2^53 times a fraction is a whole number that float64 holds; the remaining 11 bits are the sums' own.
    sums = ((scaled - np.floor(scaled)) * 2.0**53).astype(np.uint64) << np.uint64(11)
    for _ in range(order):
        missing = -int(np.sum(sums, dtype=np.uint64)) % 2**64
        sums = np.cumsum(sums + np.uint64(missing // sums.size), dtype=np.uint64)
    fraction = (sums >> np.uint64(11)).astype(np.float64) * 2.0**-53
    error = np.asarray(rounding(fraction + dither) - fraction)
    return np.rint(scaled + difference(error, order)), error


def difference(x: Doubles, order: int) -> Doubles:
    """(1 - 1/z)^L of a periodic record (samples,)."""
    for _ in range(order):
        x = x - np.roll(x, 1)
    return x


def count_bins(samples: int, osr: int) -> int:
    """Bins 0..fs/(2 osr) of a record's one-sided spectrum."""
    return samples // (2 * osr) + 1


def band_power(x: Doubles, osr: int) -> float:
    """Mean square of what of `x` (samples,) lies in 0..fs/(2 osr), by Parseval; the plain mean square for osr = 1."""
    if osr == 1:
        return float(np.mean(np.square(x)))
    power = np.square(np.abs(np.fft.rfft(x)[: count_bins(x.size, osr)]))
    return float(2 * np.sum(power) - power[0]) / x.size**2
