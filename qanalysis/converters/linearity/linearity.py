"""Where does each code begin, and how far is that from where it should? Ramp and sine histogram tests of IEEE 1241.

T[k] is the input where code k begins, k = 1..2^n-1. DNL[k] = (T[k+1] - T[k])/Q - 1 for the codes 1..2^n-2, with Q the
mean width between the first and the last transition. INL[k] is what a line leaves of T[k], in steps of that line:
through both ends (end-point) or by least squares (best-fit). Codes are numbered from 0 here and in the record's own
numbers in `missing_codes`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.choices import InlReference, Test, check_test
from qanalysis.converters.converter import Converter
from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.code_density import LARGEST_BITS, CodeDensity, count_codes
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.notation import in_percent, plain

MISSING_DNL_LSB = -0.9  # IEEE 1241: a code this narrow counts as missing


@dataclass(frozen=True, slots=True, eq=False)
class Linearity:
    """A converter's transitions and what is wrong with them, in LSB; the error bars are half-widths at `confidence`.

    `transitions`, `inl_lsb`, `inl_bar_lsb`: (2^n-1,), item i for transition i+1; `dnl_lsb`, `dnl_bar_lsb`: (2^n-2,),
    item i for code i+1. `offset_lsb`, `gain_error_percent` and `tue_max_lsb` are None where the input is unknown: a
    sine without `drive`, pairs without a range; the transitions are then placed so that the reference line is the ideal
    one. A gain error above 0 means transitions too far apart. Where no transition can be defended (see `withheld`) all
    arrays but `hits` are empty and all figures None; `missing_codes` are then the codes that can not come, None where
    that is not known.
    """

    converter: Converter
    test: Test
    inl_reference: InlReference
    samples: int
    confidence: float
    first_code: int
    hits: NDArray[np.int64]
    transitions: Doubles
    dnl_lsb: Doubles
    inl_lsb: Doubles
    dnl_bar_lsb: Doubles
    inl_bar_lsb: Doubles
    offset_lsb: float | None
    gain_error_percent: float | None
    tue_max_lsb: float | None
    missing_codes: tuple[int, ...] | None
    largest_step_back: int | None
    dnl_within_lsb: float
    samples_needed: int
    findings: tuple[Finding, ...]

    @property
    def withheld(self) -> bool:
        """Whether the record has no transitions to defend: its findings say why."""
        return not self.transitions.size

    @property
    def dnl_codes(self) -> NDArray[np.int64]:
        """The record's own number of the code of each item of `dnl_lsb`."""
        return np.arange(1, 1 + self.dnl_lsb.size) + self.first_code

    @property
    def inl_codes(self) -> NDArray[np.int64]:
        """The record's own number of the code that each transition of `inl_lsb` begins."""
        return np.arange(1, 1 + self.inl_lsb.size) + self.first_code

    @property
    def dnl_min_lsb(self) -> float | None:
        """The narrowest code."""
        return None if self.withheld else float(self.dnl_lsb.min())

    @property
    def dnl_max_lsb(self) -> float | None:
        """The widest code."""
        return None if self.withheld else float(self.dnl_lsb.max())

    @property
    def inl_min_lsb(self) -> float | None:
        """The transition furthest below the reference line."""
        return None if self.withheld else float(self.inl_lsb.min())

    @property
    def inl_max_lsb(self) -> float | None:
        """The transition furthest above the reference line."""
        return None if self.withheld else float(self.inl_lsb.max())

    @property
    def monotonic(self) -> bool | None:
        """Whether no code ever came after a higher one in a single rising ramp; None where the record can not tell."""
        return None if self.largest_step_back is None else self.largest_step_back == 0


def measure_linearity(
    codes: ArrayLike, options: LinearityOptions | None = None, *, bits: int, signed: bool | None = None, **changes: Any
) -> Linearity:
    """The static errors of a converter from the codes it gave, (samples,), to a ramp or to a sine that overdrives it.

    `options` and `changes` say what is asked, as one value, by its fields (`test="sine"`), or both: see
    `LinearityOptions`. `signed` as `count_codes` has it. A sine is cut to whole periods. Error bars: binomial counts,
    as for random phases (a coherent record is surer), or one sample for a single ramp that never steps back. Raises
    ValueError for bad options and as `count_codes` does. Source: IEEE 1241-2010, ramp and sine histograms,
    terminal-based and independently based INL.

    >>> found = measure_linearity(np.repeat([0, 1, 2, 3], [10, 30, 15, 25]), bits=2, transfer="floor")
    >>> found.dnl_lsb.round(2).tolist(), found.inl_lsb.round(2).tolist(), found.missing_codes
    ([0.33, -0.33], [0.0, 0.33, 0.0], ())
    """
    options = replace(options or LinearityOptions(), **changes)
    converter = build_converter(bits, options)
    limits = options.drive or ((converter.low, converter.high) if options.test == "ramp" else None)
    density = count_codes(codes, bits=bits, test=options.test, signed=signed)
    if density.obstacle is not None:
        return withhold_transitions(converter, options, density, density.obstacle)
    place = _place_transitions(density)
    ideal = converter.transitions
    transitions = limits[0] + (limits[1] - limits[0]) * place if limits else _fit_to(ideal, place, options.reference)
    found = compare_transitions(
        Transitions(transitions, _find_bars(density, place, options.confidence), known=limits is not None),
        converter,
        options,
        density,
    )
    return replace(found, findings=_judge(found, drive=options.drive))


class Bars(NamedTuple):
    """Half-widths in LSB of DNL (2^n-2,) and INL (2^n-1,)."""

    dnl: Doubles
    inl: Doubles


class Transitions(NamedTuple):
    """Where each code begins (2^n-1,), how well that is known, and whether the places are those of the input: offset,
    gain and TUE need it.
    """

    places: Doubles
    bars: Bars
    known: bool


def compare_transitions(
    seen: Transitions, converter: Converter, options: LinearityOptions, density: CodeDensity
) -> Linearity:
    """The errors of transitions that were seen, against the line of the options and the ideal ones of the converter."""
    transitions, ideal = seen.places, converter.transitions
    dnl = np.diff(transitions) / np.mean(np.diff(transitions)) - 1
    line = _draw_line(transitions, options.reference)
    return Linearity(
        **_list_givens(converter, options, density),
        transitions=transitions,
        dnl_lsb=dnl,
        inl_lsb=(transitions - line.start - line.step * np.arange(ideal.size)) / line.step,
        dnl_bar_lsb=seen.bars.dnl,
        inl_bar_lsb=seen.bars.inl,
        offset_lsb=(line.start - float(ideal[0])) / converter.lsb if seen.known else None,
        gain_error_percent=100 * (line.step / converter.lsb - 1) if seen.known else None,
        tue_max_lsb=float(np.abs(transitions - ideal).max()) / converter.lsb if seen.known else None,
        missing_codes=tuple((np.flatnonzero(dnl <= MISSING_DNL_LSB) + 1 + density.first_code).tolist()),
        findings=density.findings,
    )


def withhold_transitions(
    converter: Converter, options: LinearityOptions, density: CodeDensity, obstacle: Finding
) -> Linearity:
    """What is left where no transition can be defended: the hits, the codes that can not come, and why."""
    none = np.empty(0)
    barred = density.barred
    return Linearity(
        **_list_givens(converter, options, density),
        transitions=none,
        dnl_lsb=none,
        inl_lsb=none,
        dnl_bar_lsb=none,
        inl_bar_lsb=none,
        offset_lsb=None,
        gain_error_percent=None,
        tue_max_lsb=None,
        missing_codes=None if barred is None else tuple(code + density.first_code for code in barred),
        findings=(obstacle, *density.findings),
    )


def _list_givens(converter: Converter, options: LinearityOptions, density: CodeDensity) -> dict[str, Any]:
    """What stands before any transition is looked at: the converter, what was asked, and what was counted."""
    return {
        "converter": converter,
        "test": options.test,
        "inl_reference": options.reference,
        "samples": density.samples,
        "confidence": options.confidence,
        "first_code": density.first_code,
        "hits": density.hits,
        "largest_step_back": density.largest_step_back,
        "dnl_within_lsb": options.dnl_within_lsb,
        "samples_needed": _count_needed(converter, options, density),
    }


def withhold_linearity(found: Linearity, finding: Finding) -> Linearity:
    """The linearity without its figures, which `finding`, now the first, does not let one defend; the hits stay."""
    none = np.empty(0)
    return replace(
        found,
        transitions=none,
        dnl_lsb=none,
        inl_lsb=none,
        dnl_bar_lsb=none,
        inl_bar_lsb=none,
        offset_lsb=None,
        gain_error_percent=None,
        tue_max_lsb=None,
        missing_codes=None,
        findings=(finding, *found.findings),
    )


def _count_needed(converter: Converter, options: LinearityOptions, density: CodeDensity) -> int:
    """Samples for the DNL that was asked for; of several ramps that never step back each has to be as long."""
    bits, dnl, sure = converter.bits, options.dnl_within_lsb, options.confidence
    needed = samples_needed(bits, dnl, sure, test=options.test)
    ordered = samples_needed(bits, dnl, sure, test=options.test, ordered=True)
    return min(needed, density.steady * ordered) if density.steady else needed


def samples_needed(
    bits: int, dnl_lsb: float, confidence: float = 0.95, *, test: Test = "sine", ordered: bool = False
) -> int:
    """Samples for which every DNL is known within +-`dnl_lsb` at the two-sided `confidence`.

    A sine needs pi 2^(n-1) (z/b)^2, a noisy ramp 2^n (z/b)^2, a single ramp that never steps back (`ordered`), and
    pairs free of noise, 2^n/b: each of its transitions is known to a sample. Source: IEEE 1241-2010, sine histogram.
    Raises ValueError for what is out of range.

    >>> samples_needed(8, 0.1), samples_needed(12, 0.1), samples_needed(12, 0.25)
    (154475, 2471588, 395455)
    """
    check_test(test)
    if not dnl_lsb > 0 or math.isinf(dnl_lsb):
        raise ValueError(f"a DNL error of {dnl_lsb} LSB can not be asked for; give a number above 0, such as 0.1")
    if bits < 1:
        raise ValueError(f"bits is {bits}, must be at least 1")
    z = find_z(confidence)
    if (ordered and test == "ramp") or test == "pairs":
        return math.ceil((1 << bits) / dnl_lsb)
    return math.ceil((math.pi / 2 if test == "sine" else 1) * (1 << bits) * (z / dnl_lsb) ** 2)


class _Line(NamedTuple):
    """Where the first transition should be, and the step from one to the next."""

    start: float
    step: float


def build_converter(bits: int, options: LinearityOptions) -> Converter:
    """The converter that is tested, over 0 to 1 where no range was given; ValueError outside 2 to 24 bits."""
    low, high = (0.0, 1.0) if options.low is None or options.high is None else (options.low, options.high)
    converter = Converter(bits, low, high, fs_over=options.fs_over, transfer=options.transfer)
    if not 2 <= converter.bits <= LARGEST_BITS:
        raise ValueError(f"bits is {converter.bits}; a linearity test takes 2 to {LARGEST_BITS}")
    return converter


def find_z(confidence: float) -> float:
    """The two-sided quantile of the normal distribution."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, must lie between 0 and 1, such as 0.95")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _place_transitions(density: CodeDensity) -> Doubles:
    """Each transition between the lowest input, 0, and the highest, 1."""
    below = np.cumsum(density.hits[:-1])
    if density.test == "ramp":
        return (below - 0.5) / (density.samples - 1)  # half-way between the samples on both sides of it
    return np.sin(np.pi / 2 * below / density.samples) ** 2  # (1 - cos)/2 without its loss of digits near 0


def _draw_line(transitions: Doubles, reference: InlReference) -> _Line:
    """The line through both end transitions, or the least-squares line through all (2^n-1,) of them."""
    if reference == "end-point":
        return _Line(float(transitions[0]), float(transitions[-1] - transitions[0]) / (transitions.size - 1))
    index = np.arange(transitions.size) - (transitions.size - 1) / 2
    step = float((index * transitions).sum() / (index * index).sum())  # no BLAS: its threads cost more than they bring
    return _Line(float(transitions.mean() + index[0] * step), step)


def _fit_to(ideal: Doubles, place: Doubles, reference: InlReference) -> Doubles:
    """The transitions where their line is the ideal one: all that can be said while the input is unknown."""
    line, step = _draw_line(place, reference), float(ideal[1] - ideal[0])
    placed: Doubles = ideal[0] + (place - line.start) * (step / line.step)
    return placed


def _find_bars(density: CodeDensity, place: Doubles, confidence: float) -> Bars:
    """Half-widths in LSB: the error of counts times the input per hit.

    Counts have Wilson's interval, which a code without hits has too.
    """
    z, samples, hits = find_z(confidence), density.samples, density.hits[1:-1]
    inside = int(hits.sum())
    counted = np.concatenate(([0], np.cumsum(hits)))
    dnl_hits = z / (1 + z * z / samples) * np.sqrt(hits * (1 - hits / samples) + z * z / 4)
    inl_hits = z * np.sqrt(counted * (1 - counted / inside))  # 0 at both ends, where the line is pinned
    if density.steady:
        dnl_hits, inl_hits = np.minimum(dnl_hits, density.steady), np.minimum(inl_hits, density.steady)
    dnl_hits, inl_hits = np.maximum(dnl_hits, density.clumped), np.maximum(inl_hits, density.clumped)
    step = (place[-1] - place[0]) / hits.size
    if density.test == "ramp":
        return Bars(dnl_hits / samples / step, inl_hits / samples / step)
    slope = np.pi * np.sqrt(place * (1 - place)) / samples  # derivative of the sine's place by the count
    middle = np.sqrt((slope[1:] ** 2 + slope[:-1] ** 2) / 2)
    return Bars(dnl_hits * middle / step, inl_hits * slope / step)


def _judge(found: Linearity, *, drive: tuple[float, float] | None) -> tuple[Finding, ...]:
    """What the record showed, and what its figures rest on: too few samples, ends of the input that were not stated."""
    findings = []
    widest = float(found.dnl_bar_lsb.max())
    if widest > found.dnl_within_lsb:
        text = (
            f"DNL is known within {plain(widest, digits=2)} LSB at {in_percent(found.confidence, 'g')} where "
            "the phases are random, "
            "as in an asynchronous record; "
            f"within {plain(found.dnl_within_lsb)} LSB it takes {found.samples_needed:,} samples, "
            f"here are {found.samples:,}."
        )
        findings.append(Finding("few-samples", text, found.samples_needed))
    if drive is None and found.test == "ramp":
        text = (
            f"Offset, gain error and TUE take the ramp to run from {plain(found.converter.low, digits=4)} to "
            f"{plain(found.converter.high, digits=4)}; state its ends (drive) if it does not."
        )
        findings.append(Finding("assumed-drive", text))
    elif drive is None:
        text = (
            "Offset, gain error and TUE need the lowest and the highest input of the sine (drive); DNL and INL do not."
        )
        findings.append(Finding("unknown-drive", text))
    return (*found.findings, *findings)
