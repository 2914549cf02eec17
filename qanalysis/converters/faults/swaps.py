"""Are two data lines swapped? All codes are there then, but neighbours foretell a sample badly.

Every pair of bits is swapped back in turn; the swap that lets eight neighbours on either side foretell a sample far
better is the one that was made.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.converters.faults.sparkles import measure_spread
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record
from qanalysis.notation import plain

_LOOK = 2**11
_FEWEST = 256  # samples: fewer leave the two variances too uncertain to be compared
_FEWEST_LEVELS = 32
_SIDE = 8
# Two variances of 2^11 samples scatter by 4.4 %, so that a quarter is more than five deviations; a swap that was not
# made only adds to what is not foretold.
_BETTER = 1.25
_MOST_UNFORETOLD, _MOST_OUTLYING = 0.004, 4.0
_MOST_LEFT = 16.0  # times what is left: the part of the toggles that neighbours may foretell
_EXACT = 1 / 12  # LSB^2: what rounding leaves


def find_swapped_bits(record: Record) -> Finding | None:
    """Two bits whose exchange makes the codes foretell each other a quarter better in variance; None otherwise."""
    if record.codes is None or record.bits is None or record.codes.size < _FEWEST:
        return None
    bits, half = record.bits, (1 << record.bits - 1) if record.signed else 0
    words = record.codes[:_LOOK]
    if int(words.min()) < -half or int(words.max()) >= (1 << bits) - half or np.unique(words).size < _FEWEST_LEVELS:
        return None
    toggled = int(np.bitwise_or.reduce(words ^ words[0]))
    places = [place for place in range(bits) if toggled >> place & 1]
    before, core = _measure_misfit(words)
    best, pair, after = before, (0, 0), words
    toggles = [int(np.count_nonzero(np.diff(words >> place & 1))) for place in range(bits)]
    for lower, upper in combinations(places, 2):
        # Had these two been swapped, their toggles would leave more.
        if (2**upper - 2**lower) ** 2 * min(toggles[lower], toggles[upper]) > _MOST_LEFT * before * words.size:
            continue
        swapped = swap_bits(words, (lower, upper), half)
        misfit, middle = _measure_misfit(swapped)
        if misfit < best:
            best, core, pair, after = misfit, middle, (lower, upper), swapped
    # A swap that gathers a few far levels has only made the record small: beside its power it foretells no better.
    if before <= _BETTER * max(best, _EXACT) or before * after.var() <= _BETTER * best * words.var():
        return None
    # Edges and single wrong samples that a swap makes smaller are outliers still.
    if best > _MOST_OUTLYING * max(core, _EXACT) or best > _MOST_UNFORETOLD * after.var():
        return None
    text = (
        f"Bits {pair[0]} and {pair[1]} are swapped (bit 0 is the LSB): with the two exchanged, neighbours foretell a "
        f"sample {plain(float(np.sqrt(before / max(best, _EXACT))))} times better. Check the order of the data lines."
    )
    return Finding("swapped-bits", text, pair[1])


def swap_bits(codes: Codes, pair: tuple[int, int], half: int) -> Codes:
    """The codes (samples,) with two bits exchanged; `half` is that of the range of two's complement, 0 for unsigned.

    >>> swap_bits(np.array([0b0001, 0b1000]), (0, 3), 0).tolist(), swap_bits(np.array([-8]), (0, 3), 8).tolist()
    ([8, 1], [1])
    """
    lower, upper = pair
    differ = (codes >> lower ^ codes >> upper) & 1
    swapped: Codes = codes ^ (differ << lower | differ << upper)
    if not half:
        return swapped
    wrapped: Codes = (swapped + half & 2 * half - 1) - half
    return wrapped


def _measure_misfit(words: NDArray[np.int64]) -> tuple[float, float]:
    """The mean square of what eight neighbours on either side do not foretell of a sample of `words` (samples,), and
    the same by the median, which outliers do not move.
    """
    values = words - words.mean()
    length = values.size - 2 * _SIDE
    table: Doubles = np.empty((_SIDE + 1, length))
    for lag in range(1, _SIDE + 1):
        np.add(
            values[_SIDE - lag : _SIDE - lag + length],
            values[_SIDE + lag : _SIDE + lag + length],
            out=table[lag - 1],
        )
    table[-1] = values[_SIDE : _SIDE + length]
    gram = table @ table.T
    weights = np.linalg.lstsq(gram[:-1, :-1], gram[:-1, -1], rcond=1e-13)[0]
    errors = table[-1] - weights @ table[:-1]
    return float(np.mean(errors**2)), measure_spread(errors) ** 2
