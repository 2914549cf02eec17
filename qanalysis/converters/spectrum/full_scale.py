"""What is full scale, in the record's own unit?

The reference of every dBFS figure, never taken from the record's own maximum.

0 dBFS is the rms of a sine over the whole range ("sine": span / sqrt 8) or of a square over it ("dc": span / 2),
3.01 dB apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.choices import FullScaleWave
from qanalysis.converters.converter import LSB_CONVENTIONS, LsbConvention
from qanalysis.converters.findings import WHOLE_VALUES, Finding
from qanalysis.converters.spectrum.options import NARROWEST, WIDEST, SpectrumOptions
from qanalysis.notation import plain, signed
from qanalysis.quantizers.quantizer import count_steps

_BLOCK = 1 << 14  # samples looked at together, so that the first fraction ends the search
_SLACK = 1e-3  # of the range: by which values may leave it
_MILLI = (30.0, 1000 * 1.5)  # times the end of a range in volts: what values in millivolts reach
_OVERDRIVE = 1.5  # whole numbers that swing further than this many ranges are codes, not volts


@dataclass(frozen=True, slots=True)
class FullScale:
    """Range of a record.

    Parameters
    ----------
    span : high - low in the record's unit (2^bits for codes), None if nothing tells it.
    low, high, lsb : in the user's unit, None where unknown.
    bits : width, None if unknown.
    kind : "sine" or "dc", what 0 dBFS refers to.
    lsb_convention : "fs/2^n" or "fs/(2^n-1)".
    findings : what was assumed.
    """

    span: float | None
    low: float | None
    high: float | None
    lsb: float | None
    bits: int | None
    kind: FullScaleWave
    lsb_convention: LsbConvention
    findings: tuple[Finding, ...]

    @property
    def unit(self) -> float:
        """How much one of the record's unit is in the unit of the range: a step in volts for codes; else 1."""
        if self.span is None or self.low is None or self.high is None:
            return 1.0
        return (self.high - self.low) / self.span

    @property
    def columns(self) -> dict[str, Any]:
        """What a row of a spectrum says of it."""
        return {
            "bits": self.bits,
            "low": self.low,
            "high": self.high,
            "lsb": self.lsb,
            "lsb_convention": self.lsb_convention,
            "full_scale": self.kind,
        }

    @property
    def power(self) -> float | None:
        """Mean square at 0 dBFS, in the square of the record's unit."""
        if self.span is None:
            return None
        return self.span**2 / (8.0 if self.kind == "sine" else 4.0)


def find_full_scale(values: Doubles, options: SpectrumOptions, *, bits: int | None, whole: bool) -> FullScale:
    """The range of a record (samples,) from what the user says; `whole` marks a record of integer type.

    Integers with `bits`, and whole numbers without a range or far beyond it, are codes: their span is 2^bits. Integers
    that `bits` can not hold, and that lie in low..high, are no codes but volts or millivolts, with a finding. Other
    values lie in low..high. Fractions within +-1 without a range are taken as normalised, with a finding. Otherwise the
    full scale stays unknown.

    Raises
    ------
    ValueError : bits outside 1..32, codes that span more than `bits` bits hold, values whose squares leave double
    precision.
    """
    _check_bits(bits)
    low, high, kind = options.low, options.high, options.full_scale
    least, most = float(values.min()), float(values.max())
    _check_reach(max(-least, most))
    findings: tuple[Finding, ...] = ()
    if whole and bits is not None and most - least > 2**bits and lies_within(values, low, high):
        whole = False
        reason = f"no codes of {bits} bits ({2**bits} codes)"
        findings = (tell_whole_values(values, options, reason),)
    convention = LSB_CONVENTIONS[options.fs_over]
    steps = None if bits is None else count_steps(bits, options.fs_over)
    if steps is not None and bits is not None and not findings and _are_codes(values, low, high, whole=whole):
        if most - least > 2**bits:  # one code beyond an end is told by the doctor
            raise ValueError(_refuse_codes(least, most, bits, ranged=low is not None))
        bottom = -(2.0 ** (bits - 1)) if least < 0 else 0.0
        low, high = (bottom, bottom + steps) if low is None or high is None else (low, high)
        return FullScale(float(steps), low, high, (high - low) / steps, bits, kind, convention, ())
    if low is None or high is None:
        if not -1 <= least <= most <= 1 or whole:
            return FullScale(None, None, None, None, bits, kind, convention, (_tell_unknown(),))
        low, high = -1.0, 1.0
        findings = (_tell_normalised(max(-least, most)),)
    span = high - low
    _check_ratio(max(-least, most), span)
    outside = max(most - high, low - least, 0.0)
    if outside > span * _SLACK:
        text = (
            f"The record leaves its range {plain(low, digits=4)} to {plain(high, digits=4)} by {plain(outside)}: "
            f"dBFS figures rest on a wrong range or unit.{_suspect_millivolts(values, low, high)}"
        )
        findings = (*findings, Finding("beyond-range", text, outside))
    return FullScale(span, low, high, None if steps is None else span / steps, bits, kind, convention, findings)


def _tell_unknown() -> Finding:
    text = (
        "Nothing tells the full scale of this record: figures in dBFS and the IEEE ENOB are left out. "
        "Give low and high, or bits for codes."
    )
    return Finding("full-scale-unknown", text)


def _tell_normalised(peak: float) -> Finding:
    text = (
        f"No range was given; the values lie within ±1 (peak {plain(peak, digits=4)}) and are taken as normalised, "
        "full scale −1 to 1."
    )
    return Finding("range-assumed", text, peak)


def _check_reach(reach: float) -> None:
    """ValueError for values whose squares leave double precision; a record of zeros has none."""
    if reach and not NARROWEST <= reach <= WIDEST:
        raise ValueError(
            f"the values reach {plain(reach)}: their squares leave double precision; count in a larger or smaller unit"
        )


def _check_ratio(reach: float, span: float) -> None:
    """ValueError for values and a range whose squares have no ratio in double precision."""
    if reach and not NARROWEST <= reach / span <= WIDEST:
        raise ValueError(
            f"the values reach {plain(reach)} and the range spans {plain(span)}: no level in dBFS lies between them; "
            "state the range in the unit of the values"
        )


def _refuse_codes(least: float, most: float, bits: int, *, ranged: bool) -> str:
    """What is wrong with codes that a width can not hold, and the ways out; `ranged` where a range was given."""
    hint = ", or state the unit, V or mV, of numbers that are no codes" if ranged else ""
    return (
        f"codes reach from {signed(least, '.0f')} to {signed(most, '.0f')}, which {bits} bits can not hold "
        f"({2**bits} codes); raise bits, or shift left-justified words right{hint}"
    )


def lies_within(values: Doubles, low: float | None, high: float | None) -> bool:
    """Whether values (samples,) lie within a range and fill a thousandth of it at least; not without a range."""
    if low is None or high is None:
        return False
    least, most, room = float(values.min()), float(values.max()), (high - low) * _SLACK
    return low - room <= least and most <= high + room and most - least >= room


def tell_whole_values(values: Doubles, options: SpectrumOptions, reason: str) -> Finding:
    """That whole numbers are read as values in the unit of the range in which they lie, and why they are no codes."""
    least, most = float(values.min()), float(values.max())
    span = f"{plain(options.low or 0.0, digits=4)} to {plain(options.high or 0.0, digits=4)}"
    text = (
        f"The whole numbers from {signed(least, '.0f')} to {signed(most, '.0f')} are {reason} and lie within the range "
        f"{span}: they are read as values in its unit. State the unit: V, mV or code."
    )
    return Finding(WHOLE_VALUES, text, most)


def _suspect_millivolts(values: Doubles, low: float, high: float) -> str:
    """The way out where the values (samples,) leave the range as far as millivolts leave one in volts; else nothing."""
    least, most = _MILLI
    end = max(-low, high)
    return " Millivolts beside volts? State the unit mV." if least < float(np.abs(values).max()) / end <= most else ""


def _are_codes(values: Doubles, low: float | None, high: float | None, *, whole: bool) -> bool:
    if whole:
        return True
    fits = low is not None and high is not None and np.ptp(values) <= _OVERDRIVE * (high - low)
    blocks = range(0, values.size, _BLOCK)
    return not fits and all(
        bool((values[start : start + _BLOCK] == np.rint(values[start : start + _BLOCK])).all()) for start in blocks
    )


def _check_bits(bits: int | None) -> None:
    if bits is not None and not (isinstance(bits, int | np.integer) and 1 <= bits <= 32):
        raise ValueError(f"bits {bits}: a converter has 1 to 32 bits")
