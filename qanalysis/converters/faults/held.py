"""Which stretches do not belong to the tone around them: one value held, or samples that are out of place?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.converters.faults.breaks import Break
from qanalysis.converters.faults.sparkles import measure_spread
from qanalysis.converters.faults.tracking import ToneTrack, measure_rest

_APART = 8.0
_STEPS_APART = 3
_SHORTEST = 3  # samples of one value: two may be equal by chance
_SHORTEST_NEAR_END = 8
_FEWEST_AWAY = 2  # of four places
_MOST_RUNS = 2000
_TAIL_SHARE = 16  # of the record, that a held end is at least, in parts
_TAIL_SAMPLES = 32
_NEAR = 16  # samples between two that are out of place within one stretch
_MOST_SHARE = 0.1
# A disturbance that comes and goes smoothly is a feature of the signal.
_SUDDEN = 0.25
_STRONG = 2.0  # times the limit


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples `start` to `stop` - 1, counted from 0."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many samples."""
        return self.stop - self.start


def find_held_end(values: Doubles) -> Stretch | None:
    """One value at the end of a record or at its start, longer than a sixteenth of it and four times longer than
    anywhere else; None where there is none.
    """
    least = max(_TAIL_SAMPLES, values.size // _TAIL_SHARE)
    if not any((part == part[0]).all() for part in (values[:least], values[-least:])):
        return None
    starts, sizes = _find_runs(values)
    if sizes.size < 2:
        return None
    longest = int(np.argmax(sizes))
    others = np.delete(sizes, longest)
    if longest not in (0, sizes.size - 1) or sizes[longest] < least:
        return None
    if sizes[longest] < 4 * others.max() or others.size < _TAIL_SAMPLES:
        return None
    return Stretch(int(starts[longest]), int(starts[longest] + sizes[longest]))


def find_held(track: ToneTrack, step: float) -> list[Stretch]:
    """Runs of one value, three samples at least, in which the tone goes far away from it; in the order of time."""
    starts, sizes = _find_runs(track.values)
    order = np.argsort(-sizes, kind="stable")[:_MOST_RUNS]
    order = np.sort(order[sizes[order] >= _SHORTEST])
    starts, sizes = starts[order], sizes[order]
    if not starts.size:
        return []
    limit = max(_APART * measure_rest(track), _STEPS_APART * step)
    far, seen = np.ones(starts.size, np.bool_), np.zeros(starts.size, np.int64)
    for first in (starts - track.length, starts + sizes):
        inside = (first >= 0) & (first + track.length <= track.values.size)
        seen += inside
        far[inside] &= _count_away(track, first[inside], starts[inside], sizes[inside], limit) >= _FEWEST_AWAY
    # Near the ends there is one window only, in which a break may lie.
    far &= (seen == 2) | ((seen == 1) & (sizes >= _SHORTEST_NEAR_END))
    stretches = zip(starts[far].tolist(), sizes[far].tolist(), strict=True)
    return [Stretch(start, start + size) for start, size in stretches]


def _count_away(track: ToneTrack, windows: Codes, starts: Codes, sizes: Codes, limit: float) -> Codes:
    """At how many of four places in each run the tone of a window beside it is further away than the limit (runs,)."""
    away = np.zeros(starts.size, np.int64)
    if not starts.size:
        return away
    phasors, offsets = track.fit(windows)
    for share in (0.25, 0.5, 0.75, 1.0):
        at = starts + np.rint(share * (sizes - 1)).astype(np.int64)
        drawn = (phasors * np.exp(1j * track.omega * at)).real + offsets
        away += np.abs(drawn - track.values[at]) > limit
    return away


def _find_runs(values: Doubles) -> tuple[Codes, Codes]:
    """Starts (runs,) and lengths (runs,) of the runs of equal values."""
    starts = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])
    return starts, np.diff(np.append(starts, values.size))


def find_bursts(track: ToneTrack, breaks: list[Break], step: float) -> list[Stretch]:
    """Stretches of two samples at least that leave a tone which goes on behind them; none that touch an end or a break.

    Between breaks the tone is the median of its windows. Not where more than a tenth of the record is out of place.
    """
    rest = _leave_tone(track, breaks)
    limit = max(_APART * measure_spread(rest), _STEPS_APART * step, 1e-9 * float(np.abs(track.values).max()))
    outside = np.flatnonzero(np.abs(rest) > limit)
    if outside.size < 2 or outside.size > _MOST_SHARE * rest.size:
        return []
    edges = np.array([0, rest.size, *(one.place for one in breaks)])
    found = []
    for cluster in np.split(outside, np.flatnonzero(np.diff(outside) > _NEAR) + 1):
        sizes = np.abs(rest[cluster])
        first, last = int(cluster[0]), int(cluster[-1])
        sudden = max(sizes[:4].max(), sizes[-4:].max()) > _SUDDEN * sizes.max()
        clear = not ((edges >= first - _NEAR) & (edges <= last + 1 + _NEAR)).any()
        if cluster.size >= 2 and sudden and clear and sizes.max() > _STRONG * limit:
            found.append(Stretch(first, last + 1))
    return found


def _leave_tone(track: ToneTrack, breaks: list[Break]) -> Doubles:
    """What the tone leaves of the record (samples,), piece by piece between the breaks."""
    rest = track.values.copy()
    ends = [0, *(one.place for one in breaks), rest.size]
    for start, stop in pairwise(ends):
        length = min(track.length, stop - start)
        if length < 4:
            rest[start:stop] = 0.0
            continue
        count = max(1, min(256, 2 * (stop - start) // length))
        phasors, offsets = track.fit(np.linspace(start, stop - length, count).astype(np.int64), length)
        middle = complex(float(np.median(phasors.real)), float(np.median(phasors.imag)))
        rest[start:stop] -= track.draw(middle, float(np.median(offsets)), start, stop)
    return rest
