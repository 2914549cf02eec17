"""What does the textbook answer for n bits over a range?

Step, bounds, relative errors, resolution, noise, SNR, rate; per input the code and its error.

Notation: FS = high - low, LSB = FS/2^n or FS/(2^n-1), x the input, y the level of its code, e = y - x. Relative error
has three meanings, kept apart: LSB/FS, half of it (the largest error of full scale), and |e|/|x| of the reading.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.converters.choices import Transfer
from qanalysis.converters.converter import Converter
from qanalysis.converters.findings import Finding
from qanalysis.converters.noise_limits import NO_NOISE, NoiseSources, combine_snr_db
from qanalysis.converters.posterior import RelativeErrors, measure_relative_errors
from qanalysis.converters.textbook.code_formats import CodeWord, spell_code
from qanalysis.converters.textbook.code_table import CodeTable
from qanalysis.decibels import SINE_DB, enob
from qanalysis.notation import plain, si, true_minus, volts
from qanalysis.quantizers.quantizer import FS_OVERS, FsOver

SHORTEST_CONVERSION_S = 1e-18  # a shorter one has no rate that a number holds


@dataclass(frozen=True, slots=True)
class Conversion:
    """One input put through a converter: its code, the level of the code, and the actual error beside the bound."""

    converter: Converter
    input: float

    @property
    def position_lsb(self) -> float:
        """(x - low)/LSB, what the converter rounds."""
        return (self.input - self.converter.low) / self.converter.lsb

    @property
    def code(self) -> int:
        """The code, 0 to 2^n-1; inputs beyond the range get an end code."""
        return int(self.converter.encode(self.input))

    @property
    def words(self) -> tuple[CodeWord, ...]:
        """The code in all six formats."""
        return spell_code(self.code, self.converter.bits)

    @property
    def reconstructed(self) -> float:
        """The level of the code, in the unit of the range."""
        return float(self.converter.decode(self.code))

    @property
    def actual_error(self) -> float:
        """Level less input: e = y - x."""
        return self.reconstructed - self.input

    @property
    def actual_error_lsb(self) -> float:
        """The same in steps."""
        return self.actual_error / self.converter.lsb

    @property
    def relative_error_percent(self) -> float | None:
        """100 |e|/|x|, the error of the reading, which grows without bound toward zero; None at x = 0."""
        return 100 * abs(self.actual_error / self.input) if self.input else None

    @property
    def clipped(self) -> bool:
        """Whether the input lies outside low..high."""
        return not self.converter.low <= self.input <= self.converter.high

    @property
    def within_bound(self) -> bool:
        """Whether |e| keeps the bound of the transfer: LSB/2, for floor one LSB.

        On a bin's edge x and y are rounded: a few ulp are allowed.
        """
        converter = self.converter
        return bool(
            abs(self.actual_error)
            <= converter.error_bound + 4 * np.spacing(max(abs(converter.low), abs(converter.high)))
        )

    @property
    def finding(self) -> Finding | None:
        """What stands out: an input beyond the range,
        or one so close to the upper end that the top code is too low for it.
        """
        if self.within_bound and not self.clipped:
            return None
        converter, error = self.converter, f"the error is {volts(self.actual_error)}, {lsb_text(self.actual_error_lsb)}"
        if self.clipped:
            span = f"{volts(converter.low)} to {volts(converter.high)}"
            text = (
                f"{volts(self.input)} lies outside the range {span} and clips to code {self.code}: {error}. "
                "Scale the input or widen the range."
            )
            return Finding("clipping", text, self.actual_error_lsb)
        level, last = volts(self.reconstructed), volts(self.reconstructed + converter.error_bound)
        text = (
            f"{volts(self.input)} is in the last half step of the range: "
            f"the top code stands for {level}, so that the bound ends at {last}; {error}."
        )
        return Finding("end-of-range", text, self.actual_error_lsb)


@dataclass(frozen=True, slots=True)
class Textbook:
    """A converter's textbook figures, its inputs' and conversions.

    Everything follows from the four fields; make it by `solve_textbook`.
    """

    converter: Converter
    inputs: tuple[float, ...] = ()
    conversion_time_s: float | None = None
    noise: NoiseSources = NO_NOISE

    @property
    def full_scale(self) -> float:
        """FS = high - low, the nominal range."""
        return self.converter.high - self.converter.low

    @property
    def polarity(self) -> str:
        """Whether zero lies inside the range: "bipolar", else "unipolar"."""
        return "bipolar" if self.converter.low < 0 < self.converter.high else "unipolar"

    @property
    def step(self) -> float:
        """LSB by the stated convention, in the unit of the range."""
        return self.converter.lsb

    @property
    def half_step_bound(self) -> float:
        """LSB/2. What holds for the transfer in use is `converter.error_bound`: for floor a whole LSB."""
        return self.converter.half_step

    @property
    def top_level(self) -> float:
        """What the top code stands for: high - LSB, or high with FS/(2^n-1); half a step more for mid-rise."""
        return float(self.converter.decode(self.converter.codes - 1))

    @property
    def relative_percent(self) -> float:
        """First meaning of the relative error, and the resolution in percent: 100 LSB/FS."""
        return 100 * self.step / self.full_scale

    @property
    def half_relative_percent(self) -> float:
        """Second meaning: half of the first, the largest error in percent of full scale."""
        return self.relative_percent / 2

    @property
    def resolution_ppm(self) -> float:
        """LSB/FS in parts per million."""
        return 1e6 * self.step / self.full_scale

    @property
    def resolution_db(self) -> float:
        """20 log10(LSB/FS), dB of full scale."""
        return 20 * math.log10(self.step / self.full_scale)

    @property
    def rms_error(self) -> float:
        """Root of the mean square of an error spread evenly over one step: LSB/sqrt 12 about zero, and LSB/sqrt 3 for
        floor, whose error has a mean of half a step.
        """
        return math.hypot(self.mean_error, self.error_deviation)

    @property
    def mean_error(self) -> float:
        """Mean of e = y - x between the ends: -LSB/2 for floor, whose levels stand at the lower edges, else 0."""
        return -self.half_step_bound if self.converter.transfer == "floor" else 0.0

    @property
    def error_deviation(self) -> float:
        """LSB/sqrt 12: the deviation of that error about its mean, whatever the transfer."""
        return self.step / math.sqrt(12)

    @property
    def ideal_snr_db(self) -> float:
        """Power of a sine over the whole range over LSB^2/12: 6.02 n + 1.76 dB; with FS/(2^n-1) from that step.

        The mean of the error is DC and no noise: the SNR of floor is the same.
        """
        return SINE_DB - self.resolution_db

    @property
    def conversion_rate_hz(self) -> float | None:
        """1 / time of one conversion; None where no time is given."""
        return None if self.conversion_time_s is None else 1 / self.conversion_time_s

    @property
    def jitter_snr_db(self) -> float | None:
        """The SNR that the stated jitter allows, whatever the level; None without jitter."""
        return self.noise.jitter_snr_db

    @property
    def thermal_noise_rms(self) -> float | None:
        """sqrt(kT/C) of the stated capacitor, in volts; None without one."""
        return self.noise.thermal_noise_rms

    @property
    def thermal_snr_db(self) -> float | None:
        """A sine over the whole range over the kT/C noise; None without a capacitor."""
        return self.noise.thermal_snr_db(self.full_scale)

    @property
    def limited_snr_db(self) -> float | None:
        """A sine over the whole range over its steps, jitter and kT/C together; None where neither is stated."""
        stated = [part for part in (self.jitter_snr_db, self.thermal_snr_db) if part is not None]
        return combine_snr_db(self.ideal_snr_db, *stated) if stated else None

    @property
    def limited_enob(self) -> float | None:
        """The bits that this SNR is worth."""
        return None if self.limited_snr_db is None else enob(self.limited_snr_db)

    @property
    def other_convention(self) -> Textbook:
        """The same problem with the other LSB: every figure of FS/(2^n-1) beside FS/2^n, or the reverse."""
        other = next(word for word in FS_OVERS if word != self.converter.fs_over)
        return replace(self, converter=replace(self.converter, fs_over=other))

    @property
    def conversions(self) -> tuple[Conversion, ...]:
        """One per input, in their order."""
        return tuple(Conversion(self.converter, x) for x in self.inputs)

    @property
    def relative_errors(self) -> RelativeErrors:
        """Mean relative error over the inputs, over |x| and over |y|;
        zeros in the denominator are left out and counted.
        """
        return measure_relative_errors(self.inputs, [conversion.reconstructed for conversion in self.conversions])

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What stands out in the inputs: clipping, the last half step of the range."""
        return tuple(conversion.finding for conversion in self.conversions if conversion.finding)

    @property
    def code_table(self) -> CodeTable:
        """Every code with its edges, its centre and its words."""
        return CodeTable(self.converter)


def solve_textbook(
    bits: int,
    low: float,
    high: float,
    *,
    inputs: ArrayLike = (),
    fs_over: FsOver = "2^n",
    transfer: Transfer = "mid-tread",
    conversion_time_s: float | None = None,
    noise: NoiseSources = NO_NOISE,
) -> Textbook:
    """The textbook's answers for `bits` (1..32) over low..high volts, `inputs` are volts, one or many.

    ValueError for what is no converter (see `Converter`), an input that is not finite, or a conversion time that is not
    above 0.

    >>> problem = solve_textbook(8, 0, 12, inputs=[4.5])
    >>> problem.step, problem.half_step_bound, problem.conversions[0].code, problem.conversions[0].actual_error
    (0.046875, 0.0234375, 96, 0.0)
    """
    converter = Converter(bits, low, high, fs_over=fs_over, transfer=transfer)
    values = tuple(np.asarray(inputs, np.float64).ravel().tolist())
    for value in values:
        if not math.isfinite(value):
            raise ValueError(f"input {value}: has no code; inputs are finite numbers in the unit of the range")
    if conversion_time_s is not None and not SHORTEST_CONVERSION_S <= conversion_time_s < math.inf:
        raise ValueError(
            f"conversion time {si(conversion_time_s, 's', digits=7)}: needs a finite time of "
            f"{si(SHORTEST_CONVERSION_S, 's')} or more"
        )
    return Textbook(converter, values, conversion_time_s, noise)


def tabulate_resolution(
    low: float, high: float, *, bits: Iterable[int] = range(1, 25), fs_over: FsOver = "2^n"
) -> tuple[Textbook, ...]:
    """The resolution table: the figures of each width over one range;
    the other LSB stands in each row's `other_convention`.

    >>> [round(row.ideal_snr_db, 2) for row in tabulate_resolution(0, 10, bits=(8, 12, 16))]
    [49.93, 74.01, 98.09]
    """
    return tuple(solve_textbook(n, low, high, fs_over=fs_over) for n in bits)


def lsb_text(value: float, *, digits: int = 7) -> str:
    """A number of steps with a true minus and `digits` significant digits, never rounded to a power of ten above one.

    >>> lsb_text(-51.7), lsb_text(5.1e-8), lsb_text(1843215.25, digits=10)
    ('−51.7 LSB', '5.1·10⁻⁸ LSB', '1843215.25 LSB')
    """
    small = 0 < abs(value) < 1e-3
    return f"{plain(value, digits=digits) if small else true_minus(f'{value:.{digits}g}')} LSB"


#: Problems as course books set them; the third one's actual error is 0 although its bound is not.
PRESETS = {
    "12 bit, 10 V": solve_textbook(12, 0, 10),
    "8 bit, 0 to 5 V": solve_textbook(8, 0, 5),
    "8 bit, 12 V at 4.5 V": solve_textbook(8, 0, 12, inputs=[4.5]),
}
