"""Do the transitions lie elsewhere on the way down than on the way up? Hysteresis of a record of ramps both ways.

Each direction has a histogram of its own. The place of a transition on a ramp is the share of its samples below it, so
that both are compared at the same inputs, if the ramps begin and end where the input turns. Codes alone can not tell
hysteresis from a delay between generator and samples; where the record begins at a turn there is none.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.ramps import Index, Passes
from qanalysis.notation import plain

HYSTERESIS = "hysteresis"
_SMOOTHED = 9  # transitions
_SURE = 5.0  # standard deviations, of up to thousands of places that are looked at


class Lag(NamedTuple):
    """How far each transition lies higher on the way up than on the way down, in LSB (transitions,), NaN where one of
    the two was not seen; and how far such a difference is known, where nothing but the sampling limits it.
    """

    lsb: Doubles
    resolution_lsb: float


def find_hysteresis(index: Index, passes: Passes, codes: int, first_code: int) -> Finding | None:
    """The difference of both directions, where it is more than chance; None too where there is only one.

    `index` (samples,) counts from 0 to `codes` - 1, `passes` are those of `follow_ramp`.
    """
    lag = compare_directions(index, passes, codes)
    return None if lag is None else judge_lag(lag, first_code)


def compare_directions(index: Index, passes: Passes, codes: int) -> Lag | None:
    """The transitions of both directions side by side; None for a record of one direction."""
    up, down = passes.count()
    if not up or not down:
        return None
    edges, loose = _place_turns(passes, index.size)
    below = []
    for rising in (True, False):
        chosen = np.flatnonzero((passes.rising == rising) & ~passes.flyback)
        hits = np.zeros(codes, np.int64)
        for place in chosen.tolist():
            hits += np.bincount(index[edges[place] : edges[place + 1]], minlength=codes)
        counted, samples = np.cumsum(hits[:-1]), int(hits.sum())
        below.append(np.where((counted > 0) & (counted < samples), counted / samples, np.nan))
    seen = np.flatnonzero(np.isfinite(below[0]) & np.isfinite(below[1]))
    if seen.size < 2:
        return None
    both = (below[0] + below[1]) / 2
    step = float(both[seen[-1]] - both[seen[0]]) / float(seen[-1] - seen[0])
    if step <= 0:
        return None  # nothing but the end codes
    samples_per_lsb = step * index.size / (up + down)
    return Lag((below[0] - below[1]) / step, (1.5 + loose) / samples_per_lsb)


def judge_lag(lag: Lag, first_code: int, *, visible_turns: bool = False) -> Finding | None:
    """The finding of a difference beyond its resolution and beyond its scatter along the range; else None.

    `visible_turns`: the inputs are known, so that a delay is none of the causes.
    """
    seen = np.flatnonzero(np.isfinite(lag.lsb))
    values = lag.lsb[seen]
    mean = float(values.mean())
    smooth = _smooth(values)
    places = seen[(seen.size - smooth.size) // 2 :][: smooth.size]
    worst = int(np.argmax(np.abs(smooth)))
    scatter = _measure_scatter(smooth)
    limits = (
        lag.resolution_lsb + _SURE * scatter * np.sqrt(2 * _SMOOTHED / values.size),
        lag.resolution_lsb + _SURE * scatter,
    )
    if abs(mean) <= limits[0] and abs(float(smooth[worst])) <= limits[1]:
        return None
    told, most = mean if abs(mean) > limits[0] else float(smooth[worst]), abs(float(smooth[worst]))
    cause = "" if visible_turns else ", or a delay where the record does not begin as the input turns"
    text = (
        f"Up and down differ by {plain(abs(mean), digits=3)} LSB in the mean, most at code "
        f"{int(places[worst]) + 1 + first_code} with {plain(most, digits=3)} LSB: transitions lie higher on the way "
        f"{'up' if told > 0 else 'down'}. Hysteresis of the converter{cause}. The other figures are of both directions "
        "together."
    )
    return Finding(HYSTERESIS, text, abs(told))


def _place_turns(passes: Passes, samples: int) -> tuple[NDArray[np.intp], float]:
    """The samples at which the input turned (passes + 1,), and by how many they may be wrong.

    Ramps of one length turn at even parts of the record, where these lie within the turns that are seen. Elsewhere a
    turn lies in the middle of what is seen of it.
    """
    ramps = passes.rising.size
    even = np.rint(np.arange(ramps + 1) * samples / ramps).astype(np.intp)
    inner = slice(1, ramps)
    whole = (passes.first_turns[inner] <= even[inner]) & (even[inner] <= passes.last_turns[inner] + 1)
    if not passes.flyback.any() and whole.all():
        return even, 0.0
    widths = (passes.last_turns - passes.first_turns)[inner]
    return passes.edges, float(np.median(widths)) / 2 if widths.size else 0.0


def _measure_scatter(smooth: Doubles) -> float:
    """Deviation of a running mean by chance: of its values two widths apart, which noise of a few codes does not join.

    From their median, so that hysteresis of a part of the range does not count as scatter.
    """
    apart = min(2 * _SMOOTHED, smooth.size - 1)
    if apart < 1:
        return 0.0
    return 1.4826 * float(np.median(np.abs(smooth[apart:] - smooth[:-apart]))) / math.sqrt(2)


def _smooth(values: Doubles) -> Doubles:
    """Running mean over some neighbours, only where all of them are there."""
    width = min(_SMOOTHED, values.size)
    summed = np.concatenate(([0.0], np.cumsum(values)))
    mean: Doubles = (summed[width:] - summed[:-width]) / width
    return mean
