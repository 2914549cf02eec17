"""Are single samples wrong, as late data lines and metastable comparators make them?

A sample is foretold from eight neighbours on either side, with the weights that do so best in this record: tones, hum,
drift and ramps leave their noise, a wrong sample stands out and spoils its neighbours' foretelling in a known pattern.
It is a sparkle where putting it right heals them all; a jump or a pulse does not heal.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.converters.faults.levels import list_some, name_level
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record
from qanalysis.converters.records.samples import QUANTIZATION_RMS

SIDE = 8
FEWEST = 64  # samples that tell weights from noise
_LOOK, _GLANCE = 2**12, 2**10
OUTLYING = 8.0  # deviations: of 2^26 samples of Gaussian noise one is so far out once in ten million records
_HEALED = 4.5
# Corners of a triangle and edges of a square are as large as one another, wrong samples are larger than either.
_BEYOND_USUAL, _BEYOND_REFUSED = 1.8, 2.0
LIMIT_STEPS = 3  # LSB, of records without noise
_AROUND = 64
_MOST_IN_ONE = 2
_MOST_SHARE = 100  # one sample in so many: more are a signal of their own


@dataclass(frozen=True, slots=True, eq=False)
class Sparkles:
    """Wrong samples: `places` (wrong,) counted from 0, and `healed` (samples,), the record with them put right."""

    places: Codes
    healed: Doubles


def find_sparkles(values: Doubles, step: float) -> Sparkles:
    """The single samples of finite `values` (samples,) that no neighbour explains; `step` is the LSB, 0 without one.

    None within 8 samples of the ends, and none where more than one in a hundred would be.
    """
    nothing = Sparkles(np.zeros(0, np.int64), values)
    if values.size < FEWEST or np.ptp(values) <= LIMIT_STEPS * step:
        return nothing
    taps = _fit_taps(values)
    errors = np.convolve(values - values.mean(), taps, mode="valid")
    spread = max(measure_spread(errors), step * QUANTIZATION_RMS, 1e-12 * float(np.ptp(values)))
    limit = max(OUTLYING * spread, LIMIT_STEPS * step)
    outside = np.flatnonzero(np.abs(errors) > limit)
    if not outside.size or outside.size > values.size * (2 * SIDE + 1) // _MOST_SHARE:
        return nothing
    wrong, refused = _heal_clusters(errors, taps, outside, spread)
    usual = np.abs(errors)
    usual[outside] = 0.0
    least = max(_BEYOND_USUAL * float(usual.max()), _BEYOND_REFUSED * float(np.median(refused or [0.0])))
    healed, places = values.copy(), []
    ends = values.min(), values.max()
    for place, excess in sorted(wrong.items()):
        beyond = (excess < 0 and values[place] == ends[0]) or (excess > 0 and values[place] == ends[1])
        cut = not beyond and values[place] in ends
        if abs(excess) > least and not cut:
            healed[place] -= excess
            places.append(place)
    if len(places) > max(1, values.size // _MOST_SHARE):
        return nothing
    return Sparkles(np.array(places, np.int64), healed)


def _heal_clusters(
    errors: Doubles, taps: Doubles, outside: NDArray[np.intp], spread: float
) -> tuple[dict[int, float], list[float]]:
    """The wrong samples with their excess, and the largest errors of the clusters that no such sample explains."""
    wrong, refused = dict[int, float](), list[float]()
    for cluster in np.split(outside, np.flatnonzero(np.diff(outside) > 2 * SIDE) + 1):
        found = _heal(errors, taps, (int(cluster[0]), int(cluster[-1])), spread)
        wrong |= {place + SIDE: excess for place, excess in found.items()}
        if not found:
            refused.append(float(np.abs(errors[cluster]).max()))
    return wrong, refused


def _fit_taps(values: Doubles) -> Doubles:
    """The filter (17,) whose output is what eight neighbours on either side leave of a sample.

    By least squares over the first 2^12, twice: the second time without the samples that stand out, which else spoil
    the weights.
    """
    part = values[:_LOOK] - values[:_LOOK].mean()
    length = part.size - 2 * SIDE
    sums = np.column_stack(
        [part[SIDE - lag : SIDE - lag + length] + part[SIDE + lag : SIDE + lag + length] for lag in range(1, SIDE + 1)]
    )
    target = part[SIDE : SIDE + length]
    kept = np.ones(length, np.bool_)
    taps = np.zeros(2 * SIDE + 1)
    for _ in range(2):
        weights = np.linalg.lstsq(sums[kept], target[kept], rcond=1e-10)[0]
        taps = np.concatenate([-weights[::-1], [1.0], -weights])
        errors = target - sums @ weights
        bad = np.abs(errors) > OUTLYING * measure_spread(errors)
        near = np.convolve(bad, np.ones(2 * SIDE + 1), mode="same") > 0
        if not bad.any() or near.mean() > 0.5:
            break
        kept = ~near
    return taps


def _heal(errors: Doubles, taps: Doubles, ends: tuple[int, int], spread: float) -> dict[int, float]:
    """By how much which samples of one cluster are wrong; empty where two of them do not explain it all."""
    start, stop = max(ends[0] - SIDE, 0), min(ends[1] + SIDE + 1, errors.size)
    near = np.concatenate([errors[max(start - _AROUND, 0) : start], errors[stop : stop + _AROUND]])
    usual = max(spread, measure_spread(near)) if near.size >= _AROUND // 2 else spread
    left, wrong = errors[start:stop].copy(), dict[int, float]()
    for _ in range(_MOST_IN_ONE):
        worst = int(np.argmax(np.abs(left)))
        excess = float(left[worst])
        if abs(excess) <= OUTLYING * usual:
            break
        first, last = max(worst - SIDE, 0), min(worst + SIDE + 1, left.size)
        left[first:last] -= excess * taps[SIDE - (worst - first) : SIDE + last - worst]
        wrong[start + worst] = wrong.get(start + worst, 0.0) + excess
    places = sorted(wrong)
    adjacent = any(after - before == 1 for before, after in pairwise(places))
    return {} if adjacent or np.abs(left).max() > _HEALED * usual else wrong


def measure_spread(values: Doubles) -> float:
    """The standard deviation of Gaussian `values` (samples,) by their median, which a few outliers do not move."""
    some = np.abs(values[:: max(1, values.size >> 14)])
    return 1.4826 * float(np.median(some)) if some.size else 0.0


def foretell_spread(values: Doubles, step: float) -> float:
    """The deviation of what neighbours leave of a sample, over the first 2^10 of `values` (samples,), 64 at least."""
    part = values[:_GLANCE]
    errors = np.convolve(part - part.mean(), _fit_taps(part), mode="valid")
    return max(measure_spread(errors), step * QUANTIZATION_RMS)


def tell_sparkles(record: Record, found: Sparkles) -> list[Finding]:
    """The finding of the wrong samples: how many, the first with its code, and the bit where one explains them all."""
    if not found.places.size:
        return []
    first = int(found.places[0])
    seen, expected = float(record.values[first]), float(found.healed[first])
    many = found.places.size
    bit = _explain_bit(record, found)
    text = (
        f"{f'{many} samples do' if many > 1 else 'One sample does'} not fit between the neighbours (sparkle codes): "
        f"sample {list_some(found.places)} (counted from 0). "
        f"Sample {first} is {name_level(seen, record)} where about "
        f"{name_level(round(expected) if record.codes is not None else expected, record)} was due"
    )
    why = f": bit {bit} is wrong (bit 0 is the LSB)" if bit is not None else ""
    return [
        Finding(
            "sparkle-codes",
            f"{text}{why}. Check the timing of the data lines and the clock that reads them; capture again.",
            many,
        )
    ]


def _explain_bit(record: Record, found: Sparkles) -> int | None:
    """The one bit whose flip turns every wrong code into what was due, within a quarter of its weight."""
    if record.codes is None or record.bits is None:
        return None
    wrong, due = record.codes[found.places], found.healed[found.places]
    for bit in range(record.bits):
        flipped = _flip_signed(wrong, bit, record.bits) if record.signed else wrong ^ 1 << bit
        if (np.abs(flipped - due) <= (1 << bit) / 4).all():
            return bit
    return None


def _flip_signed(codes: Codes, bit: int, bits: int) -> Codes:
    """Two's complement codes of `bits` bits with one bit the other way round."""
    half = 1 << bits - 1
    flipped: Codes = ((codes ^ 1 << bit) + half & (1 << bits) - 1) - half
    return flipped
