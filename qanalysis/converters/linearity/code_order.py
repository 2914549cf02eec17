"""Do the codes come in their order while the input rises? A histogram looks perfect where they do not.

Swapped data lines, codes in another coding and converters that are not monotonic give each code its hits, at another
place of the ramp. The mean place of each code tells: it has to rise with the code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.ramps import Index, Passes
from qanalysis.notation import plain

OUT_OF_ORDER = "codes-out-of-order"
_SURE = 6.0  # standard errors of a difference of two means
_DOUBTFUL, _DOUBTFUL_SHARE, _SEVERAL = 3.0, 0.1, 4
_FEWEST_FREE = 8  # hits beyond the first of each code, from which a spread can be told
_LEAST_LSB = 0.75  # neighbours that change places are 1 LSB the wrong way
_FAR_LSB = 4.0  # beyond what a single carry of a converter does
_SHARE = 0.03  # of the neighbours, beyond what a few carries are


def place_samples(index: Index, passes: Passes | None) -> tuple[Index, Doubles]:
    """The samples of ramps and how far up its ramp each lies, 0 to 1, both (samples,); flybacks are left out.

    A single ramp that falls is seen from its end.
    """
    if passes is None:
        quarter = max(1, index.size // 4)
        falls = float(index[:quarter].mean()) > float(index[-quarter:].mean())
        up = np.linspace(0.0, 1.0, index.size)
        return index, up[::-1] if falls else up
    lengths = np.diff(passes.edges)
    within = np.arange(index.size) - np.repeat(passes.edges[:-1], lengths)
    share = (within + 0.5) / np.repeat(lengths, lengths)
    share = np.where(np.repeat(passes.rising, lengths), share, 1.0 - share)
    ramps = np.repeat(~passes.flyback, lengths)
    return index[ramps], share[ramps]


def find_disorder(index: Index, places: Doubles, codes: int, first_code: int) -> Finding | None:
    """Why the histogram of these codes (samples,), 0 to `codes` - 1, at these places of the input is no transfer; None
    where the codes come in order, but for chance and a carry or two.
    """
    hits = np.bincount(index, minlength=codes).astype(np.float64)
    met = np.flatnonzero(hits)
    if met.size < 3:
        return None
    centred = places - places.mean()
    count = hits[met]
    mean = np.bincount(index, weights=centred, minlength=codes)[met] / count
    square = np.bincount(index, weights=centred**2, minlength=codes)[met] / count
    step, spread = float(np.ptp(places)) / codes, np.maximum(square - mean**2, 0.0)
    # A few hits tell little of their own spread; that of all codes but the ends, where the input may rest, is common.
    free = float((count[1:-1] - 1).sum())
    if free < _FEWEST_FREE:
        return None
    common = float((count[1:-1] * spread[1:-1]).sum()) / free
    error = (np.maximum(spread, common) + step**2 / 12) / count
    back, error = mean[:-1] - mean[1:], np.sqrt(error[:-1] + error[1:])
    doubtful = (back > _DOUBTFUL * error) & (back > _LEAST_LSB * step)
    wrong = doubtful & (back > _SURE * error)
    if doubtful.mean() > _DOUBTFUL_SHARE and doubtful.sum() >= _SEVERAL:
        wrong = doubtful  # chance would show one in seven hundred
    if not wrong.any():
        return None
    worst = int(np.argmax(np.where(wrong, back, -np.inf)))
    many = wrong.mean() > _SHARE and (wrong.sum() >= _SEVERAL or codes <= 16)
    far = float(back[worst]) / step
    if far < _FAR_LSB and not many:
        return None
    return _describe(met[worst : worst + 2] + first_code, far, int(wrong.sum()))


def _describe(pair: NDArray[np.int64], far_lsb: float, count: int) -> Finding:
    """The finding of two neighbours that come the wrong way round, the furthest of `count` such pairs."""
    others = "" if count == 1 else f", and so do {count - 1} other pairs of neighbours"
    text = (
        f"The codes come out of order: code {int(pair[1])} lies {plain(far_lsb, digits=3)} LSB before code "
        f"{int(pair[0])}{others}, which a histogram can not see. Swapped data lines, another coding (Gray), a "
        "converter that is not monotonic, or an input that steps back. The figures are withheld."
    )
    return Finding(OUT_OF_ORDER, text, far_lsb)
