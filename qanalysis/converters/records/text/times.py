"""What do the times of a record say? Its rate, and whether its samples were taken in even steps.

A time may be off the straight line through the first and the last one by a unit of the last digit in which the times
are written, and by the rounding of float32 where all of them are such numbers. What is off further was not taken in
even steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import RecordError
from qanalysis.notation import percent, plain, quote, si

_CHUNK = 1 << 20
_DIGITS = re.compile(r"[+-]?(\d*)[.,]?(\d*)(?:e([+-]?\d+))?", re.IGNORECASE)
_LARGEST = 1e150  # of values whose squares are in double precision
_FINE = 0.2  # of a step: digits finer than that show a missing sample as uneven times
_FEW = 1e-3  # of the steps
_DOUBLE, _SINGLE = 2.0**-52, 2.0**-24
_GENERAL = 5  # significant digits of a general format, which drops zeros; six is its default
_COARSE = 1e-3  # of the rate, what times written with few digits leave open
_LONGEST, _SHORTEST = 1e30, 1e-30  # seconds; what lies beyond is no time, and no step of times
_ROUNDING = 8  # roundings of a double that a time has behind it
_ACCUMULATED = 1e-7  # of a step: what adding steps up in double precision leaves


@dataclass(frozen=True, slots=True)
class Timing:
    """`fs_hz` from the mean step, None where the times do not rise; `times` (samples,) in seconds where uneven."""

    fs_hz: float | None
    times: NDArray[np.float64] | None
    notes: tuple[Finding, ...]


def find_last_digit(cells: Sequence[str]) -> float:
    """The unit of the last digit of the coarsest number in some cells.

    Of cells with as many digits after the point it is that digit, scaled by their exponent. Where their number differs,
    zeros at the end were left out: of few significant digits it is that of the most digits after the point, of five and
    more, which are as many as a number of any size has, that of the largest.

    >>> find_last_digit(["0.001", "0.002"]), find_last_digit(["1.000e-03", "-2.000e-02"])
    (0.001, 1e-05)
    >>> find_last_digit(["0.1", "0.10001", "12.3457"]), find_last_digit(["1", "1.25", "1.5"])
    (0.0001, 0.01)
    """
    parts = [match for cell in cells if (match := _DIGITS.fullmatch(cell.strip())) and (match[1] or match[2])]
    if not parts:
        return 0.0
    decimals = {len(match[2]) for match in parts}
    powers = [int(match[3] or 0) for match in parts]
    significant = max(len((match[1] + match[2]).lstrip("0")) for match in parts)
    if len(decimals) == 1 or (significant < _GENERAL and not any(powers)):
        return float(f"1e{max(powers) - max(decimals)}")
    tops = [
        power + (len(match[1].lstrip("0")) or len(match[2].lstrip("0")) - len(match[2]))
        for match, power in zip(parts, powers, strict=True)
        if (match[1] + match[2]).strip("0")
    ]
    return float(f"1e{max(tops, default=1) - significant}")


def measure_times(
    times: NDArray[np.float64],
    last_digit: float,
    name: str,
    find_line: Callable[[int], int],
    *,
    is_guess: bool = False,
) -> Timing:
    """The rate and the evenness of times (samples,) in seconds, written in units of `last_digit` seconds.

    `find_line` says in which line, from 1, a sample stands; `is_guess` that nothing names the column or its seconds.
    """
    if times.size < 2:
        return Timing(None, None, ())
    finite = float(times.min()) > -_LONGEST and float(times.max()) < _LONGEST
    bad = None if finite else find_first(times, lambda part: ~(np.abs(part) < _LONGEST))
    if bad is not None:
        text = f"Column {quote(name)} gives no sample rate: line {find_line(bad)} has no finite time. State fs."
        return Timing(None, None, (Finding("no-rate", text, bad),))
    span = float(times[-1] - times[0])
    step = abs(span) / (times.size - 1)
    late = _find_deviation(times)
    allowed = _find_allowance(times, last_digit, step, late)
    if span <= 0 or step < _SHORTEST:
        fault = "its times do not rise from the first line to the last"
        note = Finding("no-rate", f"Column {quote(name)} gives no sample rate: {fault}. State fs.")
        return Timing(None, times if span == 0 or late > allowed else None, (note,))
    fs_hz = 1 / step
    if late <= allowed:
        coarse = last_digit / span
        within = f", within {percent(coarse)} as its times are written" if coarse > _COARSE else ""
        text = (
            f"fs is {si(fs_hz, 'Hz', digits=7)}, from the mean step of column {quote(name)}"
            f"{', taken as seconds' * is_guess}{within}. State fs where that is wrong."
        )
        missing = _tell_missing(times, name, find_line) if last_digit > _FINE * step else ()
        return Timing(fs_hz, None, (Finding("sample-rate", text, fs_hz), *missing))
    return Timing(fs_hz, times, (_tell_uneven(times, step, late, allowed, name, find_line),))


def scale_times(times: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Times (samples,) in seconds, of times in units of so many; what is none in double precision becomes infinite."""
    with np.errstate(over="ignore"):  # which `measure_times` tells
        return times * unit


def find_first(
    values: NDArray[np.float64], test: Callable[[NDArray[np.float64]], NDArray[np.bool_]], *, overlap: int = 0
) -> int | None:
    """The first place of the values (samples,) where a test of them holds, a part at a time; None for nowhere."""
    for start in range(0, values.size, _CHUNK):
        held = np.flatnonzero(test(values[start : start + _CHUNK + overlap]))
        if held.size:
            return start + int(held[0])
    return None


def _find_deviation(times: NDArray[np.float64]) -> float:
    """How far a time is off the line through the first and the last, in seconds."""
    slope = float(times[-1] - times[0]) / (times.size - 1)
    worst = 0.0
    for start in range(0, times.size, _CHUNK):
        part = times[start : start + _CHUNK] - times[0]
        part -= slope * np.arange(start, start + part.size)
        worst = max(worst, float(part.max()), -float(part.min()))
    return worst


def _find_allowance(times: NDArray[np.float64], last_digit: float, step: float, late: float) -> float:
    """What written digits and the rounding of numbers explain of a deviation, in seconds."""
    largest = max(abs(float(times.max())), abs(float(times.min())))
    # Half a unit at the time itself and half at the ends, between which the line is laid; truncated times the same.
    allowed = last_digit * (1 + 1e-6) + _ROUNDING * _DOUBLE * largest + _ACCUMULATED * step
    if late <= allowed:
        return allowed
    singles = find_first(
        times, lambda part: np.abs(part - part.astype(np.float32)) > 0.5 * last_digit + 2 * _DOUBLE * np.abs(part)
    )
    return allowed + (2 * _SINGLE * largest if singles is None else 0.0)


def _tell_uneven(
    times: NDArray[np.float64],
    step: float,
    late: float,
    allowed: float,
    name: str,
    find_line: Callable[[int], int],
) -> Finding:
    """That the steps are uneven: by how much, how many, where first, and in which way."""
    steps = np.diff(times)
    usual = float(np.median(steps))
    differing = np.flatnonzero(np.abs(steps - usual) > 2 * allowed)
    if not differing.size:
        differing = np.array([int(np.argmax(np.abs(steps - usual)))])
    first = int(differing[0])
    line, found = find_line(first + 1), float(steps[first])
    repeated, falling = np.flatnonzero(np.abs(steps) <= 1e-9 * step), np.flatnonzero(steps < -1e-9 * step)
    if falling.size:
        how = (
            f"times fall back {_times(falling.size)}, first at line {find_line(int(falling[0]) + 1)}: lines out of "
            "order, or several runs after another"
        )
    elif repeated.size:
        how = (
            f"times repeat {_times(repeated.size)}, first at line {find_line(int(repeated[0]) + 1)}: pairs of peaks, "
            "or samples twice"
        )
    elif usual > 0 and found > 1.5 * usual:
        how = f"about {round(found / usual) - 1} sample{'s' * (round(found / usual) > 2)} missing before line {line}"
    else:
        how = "the steps of a simulator or of a clock that jitters"
    text = (
        f"Times of column {quote(name)} are up to {plain(late / step)} samples off even steps of {si(step, 's')}: "
        f"{differing.size} of {steps.size} steps differ from the usual {si(usual, 's')}, the first at line {line} "
        f"({si(found, 's')}); {how}."
    )
    return Finding("uneven-times", text, late / step)


def _tell_missing(times: NDArray[np.float64], name: str, find_line: Callable[[int], int]) -> tuple[Finding, ...]:
    """That a few steps of times in coarse digits are whole multiples of all the others."""
    usual = float(np.median(np.diff(times[:_CHUNK])))
    count = 0
    for start in range(0, times.size - 1, _CHUNK):
        count += int(np.count_nonzero(np.diff(times[start : start + _CHUNK + 1]) > 1.5 * usual))
    first = find_first(times, lambda part: np.diff(part) > 1.5 * usual, overlap=1)
    if first is None or usual <= 0 or count > _FEW * times.size:
        return ()
    text = (
        f"{count} of {times.size - 1} steps of column {quote(name)} {'is' if count == 1 else 'are'} longer than the "
        f"usual {si(usual, 's')}, the first at line {find_line(first + 1)}: samples may be missing there; the times "
        "are written too coarsely to say."
    )
    return (Finding("missing-samples", text, count),)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def resample(times: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Values (samples,) at uneven times (samples,) in seconds, on as many even times of the same span, and their rate.

    By a cubic spline through all of them in order of time; rows that repeat a time with the same value count once.
    Raises RecordError where times do not rise: fewer than four of them differ, or one has two values.

    >>> resample(np.array([0.0, 1.0, 2.5, 3.0, 4.0]), np.array([0.0, 2.0, 5.0, 6.0, 8.0]))[0].round(12).tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    from scipy.interpolate import CubicSpline

    if not bool((np.abs(values) < _LARGEST).all()):
        raise RecordError(
            "the record can not be resampled: it has samples that are not finite, or whose squares are not; "
            "take them out"
        )
    order = np.argsort(times, kind="stable")
    sorted_times, sorted_values = times[order], values[order]
    fresh = np.r_[True, np.diff(sorted_times) > 0]
    clash = np.flatnonzero(~fresh[1:] & (sorted_values[1:] != sorted_values[:-1]))
    if clash.size:
        at = float(sorted_times[clash[0] + 1])
        raise RecordError(
            f"the record can not be resampled: its times do not rise, {si(at, 's', digits=7)} has two values; "
            "take one of each pair, or state fs where the times are wrong"
        )
    if np.count_nonzero(fresh) < 4:
        raise RecordError("the record can not be resampled: fewer than four of its times differ; state fs")
    even = np.linspace(float(sorted_times[0]), float(sorted_times[-1]), times.size)
    close = RecordError("the record can not be resampled: some of its times all but coincide; take one of each pair")
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # of gaps too small to divide by
            laid = np.asarray(CubicSpline(sorted_times[fresh], sorted_values[fresh])(even), np.float64)
    except ValueError:  # a singular matrix, or slopes that are not finite
        raise close from None
    if not bool(np.isfinite(laid).all()):
        raise close
    return laid, (times.size - 1) / float(sorted_times[-1] - sorted_times[0])


def measure_gap(times: NDArray[np.float64]) -> float:
    """The largest gap between neighbours of times (samples,) in mean steps."""
    ordered = np.sort(times)
    span = float(ordered[-1] - ordered[0])
    return float(np.diff(ordered).max()) * (times.size - 1) / span if span else 0.0
