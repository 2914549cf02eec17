"""At how many phases of its period does a record show a sine?

The phases n f of N samples leave gaps of at most three sizes. Where f is close to a fraction p/q of the sample rate the
samples fall on q phases, over and over, and codes between them never come, whatever the converter does. Source: the
three-distance theorem of Steinhaus; N. B. Slater, "Gaps and steps for the sequence n theta mod 1", 1967.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.sinefit import SHORTEST, fit_tone, guess_frequency
from qanalysis.notation import plain

FEW_PHASES = "few-phases"
_LONGEST_FIT = 2**18
_CLUMPED = 4.0  # times the mean gap; a frequency that is no simple fraction leaves less


class Gaps(NamedTuple):
    """The largest gap of the phases, in periods, and the lag in samples after which they come nearest to themselves."""

    largest: float
    lag: int
    nearest: float


def measure_gaps(frequency: float, samples: int) -> Gaps:
    """The gaps of the phases n f, n = 0..samples - 1, of a frequency f in cycles per sample, 0 < f < 1.

    >>> round(measure_gaps(0.25, 1000).largest, 9), measure_gaps(0.25, 1000).lag
    (0.25, 4)
    """
    # The nearest phases above and below that of sample 0, and the samples that have them: Euclid's algorithm.
    above, below = frequency, 1.0 - frequency
    first, second = 1, 1
    while first + second < samples:
        if above > below:
            times = min(int(above / below), (samples - 1 - first) // second) if below > 0 else 0
            above, first = above - times * below, first + times * second
        else:
            times = min(int(below / above), (samples - 1 - second) // first) if above > 0 else 0
            below, second = below - times * above, second + times * first
        if times == 0 or min(above, below) <= 0:
            break
    largest = above + below if first + second > samples else max(above, below)
    lag, nearest = (first, above) if above < below else (second, below)
    return Gaps(largest, lag, max(nearest, 0.0))


def find_frequency(record: NDArray[Any]) -> float | None:
    """Cycles per sample of the strongest tone of a record (samples,); None where there is none.

    Of a long record its first and last 2^18 samples are fitted: their phases give the frequency as the whole would.
    """
    head = record[:_LONGEST_FIT].astype(np.float64)
    if head.size < SHORTEST:
        return None
    spectrum = np.fft.rfft(head - head.mean())
    peak = int(np.argmax(np.abs(spectrum[1:]))) + 1
    omega = guess_frequency(spectrum, head.size, peak)
    if not 0 < omega < np.pi:
        return None
    fit, _ = fit_tone(head, omega, free=True)
    apart = record.size - head.size
    if not apart:
        return fit.frequency_hz
    late, _ = fit_tone(record[apart:].astype(np.float64), 2 * np.pi * fit.frequency_hz, free=False)
    turned = (late.phase - fit.phase) / (2 * np.pi) - fit.frequency_hz * apart
    return fit.frequency_hz + (turned - round(turned)) / apart


def judge_phases(index: NDArray[np.integer[Any]], codes: int) -> tuple[Finding | None, float]:
    """Whether the phases of a sine record (samples,) leave gaps that hide codes, and the largest gap in samples of
    evenly spread ones; 0 where noise fills the gaps, or where nothing can be said.

    At mid-scale a code of a full-scale sine is 1/(pi codes) of a period wide.
    """
    frequency = find_frequency(index)
    if frequency is None or frequency * index.size < 2:
        return None, 0.0
    gaps = measure_gaps(frequency, index.size)
    clumped = gaps.largest * index.size
    hidden = gaps.largest * math.pi * codes  # in codes of mid-scale
    if clumped <= _CLUMPED or _measure_noise(index, gaps.lag, codes) >= hidden / 2:
        return None, 0.0
    if hidden <= 1:
        return None, clumped
    turns = round(frequency * gaps.lag)
    off = abs(frequency - turns / gaps.lag)
    near = f"fs · {turns}/{gaps.lag}" + (f" within {plain(off, digits=2)} of fs" if off * index.size > 1e-6 else "")
    text = (
        f"The sine shows only {gaps.lag} phases of its period, at {near}: gaps of up to {plain(hidden, digits=2)} "
        "codes between them, where codes stay away whatever the converter does. DNL, INL and missing codes are "
        "withheld; take a frequency whose cycles and samples in the record have no common factor."
    )
    return Finding(FEW_PHASES, text, gaps.lag), clumped


def _measure_noise(index: NDArray[np.integer[Any]], lag: int, codes: int) -> float:
    """Noise in codes, rms, from samples of nearly the same phase, in the middle half; their rounding is taken off."""
    pairs = min(index.size - lag, _LONGEST_FIT)
    if pairs < 1:
        return 0.0
    here, there = (index[start : start + pairs].astype(np.float64) for start in (0, lag))
    middle = (here >= codes // 4) & (here < codes - codes // 4)
    if int(middle.sum()) < SHORTEST:
        return 0.0
    return math.sqrt(max(0.0, float(np.var(there[middle] - here[middle])) / 2 - 1 / 12))
