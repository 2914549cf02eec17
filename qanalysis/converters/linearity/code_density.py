"""How often does each code occur in a record of a ramp or a sine?

The hits behind a linearity test, and whether the record fits it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.choices import Test, check_test
from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.code_order import find_disorder, place_samples
from qanalysis.converters.linearity.hysteresis import find_hysteresis
from qanalysis.converters.linearity.phases import judge_phases
from qanalysis.converters.linearity.ramps import Index, follow_ramp, settle_sign
from qanalysis.converters.linearity.stuck_bits import (
    describe_stuck_bits,
    find_stuck_bits,
    list_barred,
    name_inverse_bits,
)
from qanalysis.notation import true_minus

LARGEST_BITS = 24  # arrays by code: 2^24 of them are 128 MB each
_JUDGED_CODES, _JUDGED_HITS = 16, 100  # fewer say nothing about the shape of a density
_SHORTEST_PERIOD = 8  # samples


@dataclass(frozen=True, slots=True, eq=False)
class CodeDensity:
    """Hits per code, `hits[i]` of code `first_code + i`; every code of the width has its place.

    `largest_step_back` is how far, in codes, a single ramp ever falls behind what it has reached: 0 for one free of
    noise; None for a sine and for a record of several ramps. `samples` may be fewer than were given: a sine is cut to
    whole periods, ramps to whole ones. `clumped` is how many samples of evenly spread phases the largest gap of a sine
    takes, 0 where that is no limit; `steady` how many ramps know each transition to a sample, 0 where noise does not
    let them. `obstacle` says why the hits have no transitions in them, None where they have;
    `barred` are then the codes that can not come, by place from 0, None where that is not known.
    """

    test: Test
    hits: NDArray[np.int64]
    first_code: int
    largest_step_back: int | None
    findings: tuple[Finding, ...] = ()
    clumped: float = 0.0
    steady: int = 0
    obstacle: Finding | None = None
    barred: tuple[int, ...] | None = None

    @property
    def samples(self) -> int:
        """Number of samples counted."""
        return int(self.hits.sum())


def count_codes(codes: ArrayLike, *, bits: int, test: Test = "ramp", signed: bool | None = None) -> CodeDensity:
    """Count the codes of a record, (samples,), after checking that they can serve the test.

    `signed`: two's complement, -2^(bits-1) to 2^(bits-1)-1; None takes negative codes as the sign of it, and the other
    reading where only in that a ramp does not jump. Raises ValueError for what is no list of whole numbers, codes
    outside the width, a single code, too few samples, end codes that never occur, and parts of ramps that are no whole
    one; TypeError for values that are no real numbers.

    >>> count_codes([0, 0, 1, 1, 2, 2, 3, 3], bits=2).hits.tolist()
    [2, 2, 2, 2]
    """
    if check_test(test) == "pairs":
        raise ValueError("test 'pairs' needs the inputs beside the codes: give them to measure_pairs")
    record = _read_codes(codes)
    first_code, index = _place_codes(record, bits, signed=signed)
    if test == "sine":
        return _count_sine(index, first_code, bits)
    return _count_ramp(index, first_code, bits, settle=signed is None)


def count_pairs(codes: ArrayLike, *, bits: int, signed: bool | None = None) -> tuple[CodeDensity, NDArray[np.int64]]:
    """The density of the codes of pairs, and each sample's place from 0, in the order of the record.

    Hits of pairs are what the sweep made them: nothing is judged by their number. Raises as `count_codes` does.
    """
    first_code, index = _place_codes(_read_codes(codes), bits, signed=signed)
    hits = np.bincount(index, minlength=2**bits)
    return _judge_hits(CodeDensity("pairs", hits, first_code, None), bits), index.astype(np.int64)


def _count_ramp(index: Index, first_code: int, bits: int, *, settle: bool) -> CodeDensity:
    """The density of the whole ramps, in the reading in which they do not jump."""
    turned: tuple[Finding, ...] = ()
    if settle:
        index, first_code, turned = settle_sign(index, first_code, bits)
    ramp = follow_ramp(index, 2**bits)
    _check_count(ramp.kept.size, bits, "ramp")
    hits = np.bincount(ramp.kept, minlength=2**bits)
    lag = None if ramp.passes is None else find_hysteresis(ramp.kept, ramp.passes, 2**bits, first_code)
    findings = (*turned, *ramp.findings, *(() if lag is None else (lag,)))
    found = CodeDensity("ramp", hits, first_code, ramp.largest_step_back, findings, steady=ramp.steady)
    return judge_order(_judge_hits(found, bits), *place_samples(ramp.kept, ramp.passes))


def judge_order(density: CodeDensity, index: Index, places: Doubles) -> CodeDensity:
    """With the obstacle of codes (samples,) that do not come in the order of their places on the input."""
    if density.obstacle is not None or density.steady:
        return density
    return replace(density, obstacle=find_disorder(index, places, density.hits.size, density.first_code))


def _count_sine(index: Index, first_code: int, bits: int) -> CodeDensity:
    """The density of whole periods, and whether their phases are many enough."""
    few, clumped = judge_phases(index, 2**bits)
    index, findings = _keep_whole_periods(index, 2**bits)
    _check_count(index.size, bits, "sine")
    hits = np.bincount(index, minlength=2**bits)
    return _judge_hits(CodeDensity("sine", hits, first_code, None, tuple(findings), clumped, obstacle=few), bits)


def _judge_hits(density: CodeDensity, bits: int) -> CodeDensity:
    """With what the hits themselves say: stuck bits, ends that were not reached, the shape of another test."""
    hits, findings = density.hits, density.findings
    if density.obstacle is not None:
        return density
    stuck = find_stuck_bits(hits)
    if stuck:
        barred = tuple(list_barred(stuck, hits.size).tolist())
        return replace(density, obstacle=describe_stuck_bits(stuck, hits.size), barred=barred)
    _check_ends(hits, density.first_code, bits, density.test)
    return replace(density, findings=(*findings, *_judge_shape(hits, density.test)))


def _read_codes(codes: ArrayLike) -> NDArray[np.integer[Any]]:
    """The record (samples,) as integers: as they are, or from floats that are whole.

    ValueError for another shape, no samples, and fractions, NaN and infinities; TypeError for booleans, complex numbers
    and texts.
    """
    record = np.asarray(codes)
    if record.ndim != 1 or record.size == 0:
        raise ValueError(
            f"a record of codes is one list of numbers, found shape {record.shape}; choose one column or channel"
        )
    if record.dtype.kind in "iu":
        return (
            record.astype(np.int64) if record.dtype == np.uint64 else record
        )  # counting takes no unsigned 64-bit index
    if record.dtype.kind != "f":
        raise TypeError(f"codes must be whole numbers, found {record.dtype}; give the integers of the converter")
    broken = np.flatnonzero(~(np.isfinite(record) & (record == np.rint(record))))
    if broken.size:
        at = int(broken[0])
        raise ValueError(
            f"sample {at} is {record[at]!s}, no whole number: a linearity test counts codes, not volts; "
            "give the integers of the converter"
        )
    return record.astype(np.int64)


def _place_codes(
    record: NDArray[np.integer[Any]], bits: int, *, signed: bool | None
) -> tuple[int, NDArray[np.integer[Any]]]:
    """The smallest code of the width, and each sample's place counted from it."""
    least, most = int(record.min()), int(record.max())
    negative = least < 0 if signed is None else signed
    first = -(2 ** (bits - 1)) if negative else 0
    last = first + 2**bits - 1
    if least < first or most > last:
        outside = int(np.count_nonzero((record < first) | (record > last)))
        at = int(np.flatnonzero((record < first) | (record > last))[0])
        needed = max(max(-least - 1, most).bit_length() + 1, 1) if negative else most.bit_length()
        rule = "two's complement" if negative else "unsigned"
        raise ValueError(
            f"{outside} of {record.size} codes lie outside {true_minus(f'{first} to {last}')} ({bits} bits {rule}), "
            f"first sample {at} with {true_minus(str(int(record[at])))}; "
            + (
                f"these codes need {needed} bits"
                if least >= 0 or negative
                else "negative codes are two's complement: leave signed out"
            )
        )
    if least == most:
        raise ValueError(
            f"all {record.size} samples are code {least}: nothing moves; record a ramp or a sine over the whole range"
            if record.size > 1
            else "the record has 1 sample; a linearity test counts many of each code: record a ramp or a sine"
        )
    return first, record - np.asarray(first, np.int64) if first else record


def _keep_whole_periods(index: Index, codes: int) -> tuple[Index, list[Finding]]:
    """A sine without its last part of a period, which would count one side twice;
    a record of whole periods stays as it is.
    """
    edges = _find_edges(index, codes)
    if edges.size < 2:
        text = (
            "The record holds less than two rising edges of the sine: it can not be told whether its periods are "
            "whole; record more of them."
        )
        return index, [Finding("few-periods", text, float(edges.size))]
    gaps = np.diff(edges)
    period = (edges[-1] - edges[0]) / gaps.size
    rest = abs(index.size - round(index.size / period) * period)
    # Each of the two edges is known to a sample. Short periods, and the beats of a tone near half the sample rate, have
    # no edges to cut at; a part of theirs is a few samples.
    if rest <= 2 or period < _SHORTEST_PERIOD or gaps.max() > 1.5 * gaps.min():
        return index, []
    kept = index[edges[0] : edges[-1]]
    text = (
        f"{index.size - kept.size} of {index.size} samples are left out: "
        f"they are no whole period ({index.size / period:.2f} periods)."
    )
    return kept, [Finding("partial-period", text, index.size - kept.size)]


def _find_edges(index: Index, codes: int) -> NDArray[np.intp]:
    """First sample of each upper quarter that follows a lower quarter: one per period, whatever the noise between."""
    ends = np.flatnonzero((index < codes // 4) | (index >= codes - codes // 4))
    high = index[ends] >= codes // 2
    return ends[1:][high[1:] & ~high[:-1]]


def _check_count(samples: int, bits: int, test: Test) -> None:
    """At least one hit is expected in each code; a sine spends 2/pi of the mean on those of the middle."""
    least = 2**bits if test == "ramp" else math.ceil(math.pi * 2 ** (bits - 1))
    if samples < least:
        raise ValueError(
            f"{samples} samples are too few for the {2**bits} codes of {bits} bits: "
            f"a {test} needs at least {least:,} to meet each once, better 16 times as many"
        )


def _check_ends(hits: NDArray[np.int64], first_code: int, bits: int, test: Test) -> None:
    """ValueError where an end code never occurs, or nothing else does: the input did not sweep the whole range."""
    if hits[0] and hits[-1]:
        if not hits[1:-1].any():
            raise ValueError(
                f"only the end codes {first_code} and {first_code + 2**bits - 1} occur: "
                f"a {test} has to pass through those between; lower its amplitude"
            )
        return
    met = np.flatnonzero(hits)
    least, most = int(met[0]) + first_code, int(met[-1]) + first_code
    if inverse := name_inverse_bits(hits):
        raise ValueError(f"the end codes {first_code} and {first_code + 2**bits - 1} can not occur: {inverse}")
    verb = "does not overdrive the converter" if test == "sine" else "does not cover the range"
    name = "sweep of the pairs" if test == "pairs" else test
    width = max(most, -least - 1).bit_length() + (first_code < 0)
    hint = f", or state the width: these codes fit in {width} bits" if width < bits else ""
    if met[0] >= hits.size // 2 or met[-1] < hits.size // 2:
        hint += f", or look whether bit {bits - 1} is stuck"
    raise ValueError(
        f"the {name} {verb}: its codes are {least} to {most}, both {first_code} and {first_code + 2**bits - 1} must "
        f"occur ({bits} bits); "
        f"raise its amplitude a little beyond the range{hint}"
    )


def _judge_shape(hits: NDArray[np.int64], test: Test) -> list[Finding]:
    """Whether the density is the one of the test:
    hits per code in the outer quarter over those in the middle quarter.
    """
    eighth = hits.size // 8
    inner = hits[3 * eighth : 5 * eighth]
    outer = np.concatenate((hits[1 : 1 + eighth], hits[-1 - eighth : -1]))
    if hits.size < _JUDGED_CODES or min(inner.sum(), outer.sum()) < _JUDGED_HITS:
        return []
    ratio = float(outer.mean() / inner.mean())
    expected = _expect_ratio(hits) if test == "sine" else 1.0
    if test == "ramp" and not 0.75 < ratio < 1.3:
        text = (
            f"The outer codes are met {ratio:.2f} times as often as those in the middle: no ramp. "
            "A sine would give up to 2.8: test it as one, or known inputs as pairs."
        )
        return [Finding("not-a-ramp", text, ratio)]
    if test == "sine" and ratio < math.sqrt(expected):
        text = (
            f"The outer codes are met {ratio:.2f} times as often as those in the middle, "
            f"a sine of this size gives {expected:.2f}: test it as a ramp."
        )
        return [Finding("not-a-sine", text, ratio)]
    return []


def _expect_ratio(hits: NDArray[np.int64]) -> float:
    """The ratio of `_judge_shape` for a true sine that clips as often as this one:
    density 1/sqrt(A^2 - x^2), range -1 to 1.
    """
    clipped = float(hits[0] + hits[-1]) / 2 / float(hits.sum())
    size = 1 / math.cos(math.pi * min(clipped, 0.49))
    outer = math.asin(1 / size) - math.asin(0.75 / size)
    return outer / math.asin(0.25 / size)
