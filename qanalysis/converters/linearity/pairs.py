"""Where does each code begin, when the input of every sample is known? DNL and INL from pairs (input, code).

Each sample stands for the inputs half-way to its neighbours; T[k] is the lowest input plus the length of all that gave
codes below k. On even steps that is the ramp histogram; on uneven ones, unsorted ones or several sweeps it still is the
input at which k comes as often as not: noise on both sides of it cancels. Source: IEEE 1241-2010, code transition
levels, whose 50 % point this is for noise that is even about it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.converter import Converter
from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.code_density import CodeDensity, count_pairs, judge_order
from qanalysis.converters.linearity.hysteresis import Lag, judge_lag
from qanalysis.converters.linearity.linearity import (
    Bars,
    Linearity,
    Transitions,
    build_converter,
    compare_transitions,
    find_z,
    withhold_linearity,
    withhold_transitions,
)
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.notation import plain

COARSE_LSB = 0.25
_GAUSSIAN = math.sqrt(0.5)  # spread of a 50 % point over the length that lies on its wrong side, squares of steps
_ROUNDED = 0.02  # what the digits of the inputs make of a step
_EVEN_LSB = 0.5
_LARGEST = 1e150  # of an input whose square is in double precision
_SWEPT = 16  # samples of a sweep at least
_THOUSAND = (700.0, 1400.0)


class Placed(NamedTuple):
    """Samples by rising input: `inputs`, `places` of their codes from 0, the `lengths` of input that each stands for
    (samples,), and the distinct inputs.
    """

    inputs: Doubles
    places: NDArray[np.int64]
    lengths: Doubles
    distinct: Doubles


def measure_pairs(
    inputs: ArrayLike,
    codes: ArrayLike,
    options: LinearityOptions | None = None,
    *,
    bits: int,
    signed: bool | None = None,
    **changes: Any,
) -> Linearity:
    """The static errors of a converter from what stood at its input and what it gave, both (samples,), in any order.

    `options` with `low` and `high` in the unit of the inputs; without them offset, gain error and TUE are None and LSB
    is the step of the end-point line. `signed` as `count_codes` has it. Error bars: a step of the input, uniform, and
    the noise that the pairs show. Raises ValueError for inputs that are not finite, do not go with the codes or do not
    rise with them, a range that is a thousand times off, and as `count_codes` does.

    >>> found = measure_pairs([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9], [0, 0, 1, 1, 2, 2, 2, 3], bits=2)
    >>> found.transitions.round(3).tolist(), found.dnl_lsb.round(3).tolist()
    ([0.15, 0.4, 0.85], [-0.286, 0.286])
    """
    options = replace(options or LinearityOptions(), test="pairs", **changes)
    if options.drive is not None:
        raise ValueError("pairs know the input of each code: leave the ends of the input (drive) out")
    build_converter(bits, options)  # before 2^bits codes are counted
    density, index = count_pairs(codes, bits=bits, signed=signed)
    pairs = _place(_read_inputs(inputs, index.size), index)
    if density.obstacle is not None:
        return withhold_transitions(build_converter(bits, options), options, density, density.obstacle)
    transitions = _locate(pairs, density.hits.size)
    lsb = float(transitions[-1] - transitions[0]) / (transitions.size - 1)
    _check_direction(pairs, lsb)
    density = judge_order(density, pairs.places, pairs.inputs)
    if density.obstacle is not None:
        return withhold_transitions(build_converter(bits, options), options, density, density.obstacle)
    converter = _choose_converter(bits, options, transitions, lsb)
    steps = _find_steps(pairs.distinct, transitions)
    bars = _find_bars(pairs, transitions, steps, find_z(options.confidence) / lsb)
    seen = Transitions(transitions, bars, known=options.low is not None)
    found = compare_transitions(seen, converter, options, density)
    if int(density.hits.max()) == 1:
        return withhold_linearity(found, _describe_levels())
    if float(np.median(steps)) > lsb:
        return withhold_linearity(found, _judge_steps(steps, lsb)[0])
    lag = _compare_sweeps(np.asarray(inputs, np.float64), index, density, lsb)
    judged = (*_judge(options, lsb, converter), *_judge_steps(steps, lsb), *(() if lag is None else (lag,)))
    return replace(found, findings=(*found.findings, *judged))


def judge_evenness(inputs: ArrayLike, bits: int) -> Finding | None:
    """Why a histogram of a ramp with these inputs (samples,) is none: they are not spread evenly; None where they are.

    The number behind it is how far, in LSB of the range swept, an input lies off the one that a ramp would have there:
    an INL of that size would come from the inputs.
    """
    values = np.sort(np.asarray(inputs, np.float64))
    if values.size < 2 or not np.abs(values).max() < _LARGEST or values[0] == values[-1]:
        return None
    even = np.linspace(values[0], values[-1], values.size)
    off = float(np.abs(values - even).max() / (values[-1] - values[0])) * 2.0**bits
    steps = max(1, int(np.count_nonzero(np.diff(values))))
    if off <= _EVEN_LSB + 2.0**bits / steps:  # a step, on which equal inputs stand
        return None
    text = (
        f"The inputs lie up to {plain(off, digits=3)} LSB off even ones: their codes are no histogram of a ramp. The "
        "figures are withheld; test the pairs (--test pairs)."
    )
    return Finding("uneven-input", text, off)


def _read_inputs(inputs: ArrayLike, samples: int) -> Doubles:
    """The inputs as float64; ValueError for another number of them than of codes, and for what is not finite."""
    try:
        values = np.asarray(inputs, np.float64)
    except (TypeError, ValueError):
        raise ValueError("the inputs of pairs are numbers; give the volts beside each code") from None
    if values.shape != (samples,):
        raise ValueError(f"{samples} codes have inputs of shape {values.shape}: one input belongs to each code")
    broken = np.flatnonzero(~np.isfinite(values))
    if broken.size:
        at = int(broken[0])
        raise ValueError(f"input {at} is {values[at]}: an input of pairs is a finite number; leave that pair out")
    reach = float(np.abs(values).max())
    if reach and not 1 / _LARGEST < reach < _LARGEST:
        raise ValueError(
            f"the inputs reach {plain(reach)}: their squares leave double precision; count in a larger or smaller unit"
        )
    return values


def _place(values: Doubles, index: NDArray[np.int64]) -> Placed:
    """The pairs by rising input; those at one input share its length."""
    order = np.argsort(values, kind="stable")
    inputs = values[order]
    starts = np.flatnonzero(np.diff(inputs, prepend=-np.inf))
    distinct, repeats = inputs[starts], np.diff(starts, append=inputs.size)
    if distinct.size < 2:
        raise ValueError(f"all inputs of the pairs are {plain(float(inputs[0]) + 0.0)}: nothing was swept")
    middles = (distinct[1:] + distinct[:-1]) / 2
    lengths = np.diff(np.concatenate((distinct[:1], middles, distinct[-1:])))
    return Placed(inputs, index[order], np.repeat(lengths / repeats, repeats), distinct)


def _locate(pairs: Placed, codes: int) -> Doubles:
    """T[k] (codes - 1,), ascending."""
    lengths = np.bincount(pairs.places, weights=pairs.lengths, minlength=codes)
    located: Doubles = pairs.inputs[0] + np.cumsum(lengths[:-1])
    return located


def _check_direction(pairs: Placed, lsb: float) -> None:
    """ValueError for codes that fall while the input rises."""
    quarter = max(1, pairs.places.size // 4)
    if not lsb > 0 or pairs.places[:quarter].mean() > pairs.places[-quarter:].mean():
        raise ValueError(
            "the codes fall while the input rises: an inverting converter, or columns that are swapped; give the "
            "negative inputs, or state which column is which"
        )


def _choose_converter(bits: int, options: LinearityOptions, transitions: Doubles, lsb: float) -> Converter:
    """The converter of the range, or the one whose transitions are on the line through both ends.

    ValueError for a range that is a thousand times what the inputs say.
    """
    if options.low is None:
        plain_ends = Converter(bits, 0.0, 1.0, fs_over=options.fs_over, transfer=options.transfer)
        first = float(plain_ends.transitions[0]) / plain_ends.lsb
        low = float(transitions[0]) - first * lsb
        high = low + lsb / plain_ends.lsb
        return build_converter(bits, replace(options, low=low, high=high))
    converter = build_converter(bits, options)
    for times, side in ((lsb / converter.lsb, "smaller"), (converter.lsb / lsb, "larger")):
        if _THOUSAND[0] < times < _THOUSAND[1]:
            span = f"{plain(float(transitions[0]))} to {plain(float(transitions[-1]))}"
            stated = f"{plain(converter.low)} to {plain(converter.high)}"
            raise ValueError(
                f"the codes begin at inputs from {span}, the range {stated} is a thousand times {side}; "
                "state the range in the unit of the inputs"
            )
    return converter


def _find_steps(distinct: Doubles, transitions: Doubles) -> Doubles:
    """The step of the input in which each transition lies (transitions,)."""
    behind = np.clip(np.searchsorted(distinct, transitions), 1, distinct.size - 1)
    steps: Doubles = distinct[behind] - distinct[behind - 1]
    return steps


def _find_bars(pairs: Placed, transitions: Doubles, steps: Doubles, z_per_lsb: float) -> Bars:
    """Half-widths in LSB: of each transition its step, uniform, and the samples on its wrong side.

    A 50 % point in Gaussian noise has the variance sqrt(1/2) times the squares of the lengths of those samples.
    """
    variance = steps**2 / 12 + _GAUSSIAN * _sum_disorder(pairs, transitions)
    dnl = z_per_lsb * np.sqrt(variance[1:] + variance[:-1])
    share = np.linspace(0.0, 1.0, transitions.size)
    ends = (1 - share) ** 2 * variance[0] + share**2 * variance[-1]
    inl = z_per_lsb * np.sqrt(variance + ends)
    inl[[0, -1]] = 0.0  # where the line is pinned
    return Bars(dnl, inl)


def _sum_disorder(pairs: Placed, transitions: Doubles) -> Doubles:
    """Squares of the lengths of the samples that lie on the wrong side of each transition, summed (transitions,)."""
    ideal = np.searchsorted(transitions, pairs.inputs, side="right")
    squares = pairs.lengths**2
    least, most = np.minimum(ideal, pairs.places), np.maximum(ideal, pairs.places)
    size = transitions.size + 1
    begins = np.bincount(least, weights=squares, minlength=size)
    ends = np.bincount(most, weights=squares, minlength=size)
    summed: Doubles = np.maximum(np.cumsum(begins - ends)[:-1], 0.0)
    return summed


def _compare_sweeps(values: Doubles, index: NDArray[np.int64], density: CodeDensity, lsb: float) -> Finding | None:
    """Hysteresis between pairs of rising and of falling inputs, where both sweep the whole range."""
    change = np.sign(np.diff(values, prepend=values[0]))
    change[0] = change[1] if change.size > 1 else 0.0
    known = np.where(change != 0, np.arange(change.size), 0)
    way = change[np.maximum.accumulate(known)]
    if np.count_nonzero(way[1:] != way[:-1]) * _SWEPT > way.size:
        return None  # no sweeps, but inputs in any order
    codes, places, resolution = density.hits.size, [], 0.0
    for sign in (1.0, -1.0):
        chosen = way == sign
        if not chosen.any() or np.ptp(index[chosen]) < codes * 3 // 4 or np.ptp(values[chosen]) == 0:
            return None
        pairs = _place(values[chosen], index[chosen])
        transitions = _locate(pairs, codes)
        resolution += float(np.median(_find_steps(pairs.distinct, transitions))) / 2 / lsb
        inside = (transitions > pairs.inputs[0]) & (transitions < pairs.inputs[-1])
        places.append(np.where(inside, transitions, np.nan))
    if np.isfinite(places[0] + places[1]).sum() < 2:
        return None
    return judge_lag(Lag((places[0] - places[1]) / lsb, resolution), density.first_code, visible_turns=True)


def _judge(options: LinearityOptions, lsb: float, converter: Converter) -> tuple[Finding, ...]:
    """What the figures lack without a range, and a range that is not the one of the inputs."""
    if options.low is None:
        text = (
            "Offset, gain error and TUE need the range of the converter (--range), in the unit of the inputs; the step "
            f"of the line through both ends is {plain(lsb, digits=4)}. DNL and INL do not need it."
        )
        return (Finding("unknown-range", text),)
    ratio = lsb / converter.lsb
    if 0.5 <= ratio <= 2.0:
        return ()
    text = (
        f"The codes are {plain(ratio, digits=3)} times as wide as the range says: is the range that of the converter, "
        "and in the unit of the inputs?"
    )
    return (Finding("range-differs", text, ratio),)


def _describe_levels() -> Finding:
    """Why one input to each code tells no transition."""
    text = (
        "Each code has one input only: the levels of a DAC, or an input that moves with the code; where a code begins "
        "is not in them. The figures are withheld; take four inputs or more to each step."
    )
    return Finding("single-inputs", text)


def _judge_steps(steps: Doubles, lsb: float) -> tuple[Finding, ...]:
    """Whether the steps of the input are too coarse to place transitions."""
    coarse = float(steps.max()) / lsb
    if coarse <= COARSE_LSB * (1 + _ROUNDED):
        return ()
    text = (
        f"The input goes in steps of up to {plain(coarse, digits=3)} LSB where codes change: transitions are known no "
        f"better than that. Take steps of {plain(COARSE_LSB)} LSB or less."
    )
    return (Finding("coarse-steps", text, coarse),)
