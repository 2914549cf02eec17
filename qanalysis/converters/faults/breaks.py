"""Where does the tone of a record break: in phase, amplitude or offset, and within which sample?

The phasors of two windows that meet at a sample are compared at many samples; where they differ far more than they do
elsewhere, the record may break. It does where two straight pieces (phasor and offset linear in time, 12 numbers) fit
far better than one smooth curve of as many numbers (cubic in time): drift, settling and modulation are smooth. The
sample is where the sum of squares of the two sides' models is least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.converters.faults.sparkles import measure_spread
from qanalysis.converters.faults.tracking import ToneTrack, measure_rest, tune_between

_APART = 8.0  # deviations
_HOPS = 8
_FAR = 8
_MOST_CANDIDATES = 200
_MOST_POINTS = 1024  # of one side of a fit; longer ones are averaged
_EVIDENT = 60.0  # chi-square of the pieces over the curve, beside what the search over places finds by chance
_BETTER = 1.3


class Side(NamedTuple):
    """The tone on one side of a break: phasor a of Re a exp(j w t), and offset."""

    phasor: complex
    offset: float


@dataclass(frozen=True, slots=True)
class Break:
    """A break before sample `place`, counted from 0: the tone `before` and `after` it.

    `phase` is by how much the tone jumps, rad within (-pi, pi], and `phase_error` its standard deviation; `spread` is
    that of a sample about the tone.
    """

    place: int
    before: Side
    after: Side
    phase: float
    phase_error: float
    spread: float


def find_breaks(track: ToneTrack) -> list[Break]:
    """The breaks of a tone, in the order of time."""
    length, hop = track.length, max(1, track.length // _HOPS)
    starts = np.arange(0, track.values.size - 2 * length + 1, hop)
    if starts.size < 8:
        starts = np.arange(0, track.values.size - 2 * length + 1)
    score = _score_places(track, starts)
    found: list[Break] = []
    for index in _pick_peaks(score, max(1, length // max(hop, 1))):
        seen = _examine_place(track, int(starts[index]) + length)
        if (
            seen is not None
            and not _is_passing(track, seen)
            and all(abs(seen.place - other.place) > length // 2 for other in found)
        ):
            found.append(seen)
    if found:
        tuned = tune_between(track, [one.place for one in found])
        again = [(_examine_place(tuned, one.place), one) for one in found] if tuned is not track else []
        found = [new or old for new, old in again] or found
    return sorted(found, key=lambda one: one.place)


def _score_places(track: ToneTrack, starts: Codes) -> Doubles:
    """By how many deviations the windows before and after each place differ, in phasor or offset (places,)."""
    before, low = track.fit(starts)
    after, high = track.fit(starts + track.length)
    size = max(float(np.median(np.abs(before))), 1e-300)
    turn = np.exp(-1j * np.median(np.angle(after * before.conj())))
    change = (after * turn - before) * np.exp(-1j * np.angle(before))
    tiny = 1e-9 * size
    parts = [change.imag, change.real, high - low]
    score: Doubles = np.max(
        [np.abs(part - np.median(part)) / max(measure_spread(part - np.median(part)), tiny) for part in parts], axis=0
    )
    return score


def _pick_peaks(score: Doubles, apart: int) -> list[int]:
    """Indices of the highest scores beyond the limit, at least `apart` from each other."""
    free = score > _APART
    peaks: list[int] = []
    for index in np.argsort(-score):
        if score[index] <= _APART or len(peaks) >= _MOST_CANDIDATES:
            break
        if free[index]:
            peaks.append(int(index))
            free[max(index - apart + 1, 0) : index + apart] = False
    return peaks


def _examine_place(track: ToneTrack, place: int) -> Break | None:
    """The break near a place, where there is one: first the sample, then whether it is abrupt."""
    length, samples = track.length, track.values.size
    guard = length // 4
    for _ in range(4):
        left, right = max(place - guard - length, 0), min(place + guard, samples - length)
        if left + length > right + 1:
            return None
        sides = [Side(complex(a[0]), float(c[0])) for a, c in (track.fit(np.array([at])) for at in (left, right))]
        start, stop = max(place - length // 2, 1), min(place + length // 2 + 1, samples)
        part = track.values[start:stop]
        gains = (part - track.draw(*sides[0], start, stop)) ** 2 - (part - track.draw(*sides[1], start, stop)) ** 2
        moved = start + int(np.argmin(np.concatenate([[0.0], np.cumsum(gains)])))
        if moved == place and guard == 0:
            break
        place, guard = moved, 0
    if not length // 4 <= place <= samples - length // 4:
        return None
    seen = _describe(track, place, sides)
    step = np.hypot(abs(seen.after.phasor - seen.before.phasor), seen.after.offset - seen.before.offset)
    return seen if step > seen.spread and _is_abrupt(track, place) else None


def _describe(track: ToneTrack, place: int, sides: list[Side]) -> Break:
    length = track.length
    rests = [
        track.values[at : at + length] - track.draw(*side, at, at + length)
        for side, at in zip(sides, (max(place - length, 0), min(place, track.values.size - length)), strict=True)
    ]
    spread = float(np.sqrt(np.mean(np.concatenate(rests) ** 2)))
    size = min(abs(sides[0].phasor), abs(sides[1].phasor))
    near = _measure_phase(track, length, spread / max(size, 1e-300), sides)
    far = min(_FAR * length, place, track.values.size - place)
    if far > length:
        starts = np.array([place - far, place])
        phasors, offsets = track.fit(starts, far)
        wide = [Side(complex(a), float(c)) for a, c in zip(phasors, offsets, strict=True)]
        better = _measure_phase(track, far, spread / max(size, 1e-300), wide)
        # Another break within the longer windows shows as a phase that the shorter ones do not see.
        if better[1] < near[1] and abs(better[0] - near[0]) <= 4 * near[1]:
            near = better
    return Break(place, sides[0], sides[1], near[0], near[1], spread)


def _measure_phase(track: ToneTrack, length: int, noise: float, sides: list[Side]) -> tuple[float, float]:
    """The phase from one window to the next and its deviation, that of the frequency counted in; `noise` is a sample's
    over the amplitude.
    """
    phase = float(np.angle(sides[1].phasor * sides[0].phasor.conjugate()))
    return phase, max(float(np.hypot(2 * noise / np.sqrt(length), track.omega_error * length)), 1e-9)


def _is_passing(track: ToneTrack, one: Break) -> bool:
    """Whether the tone is back within two windows as it was before, or comes from what it is after: no jump, but
    samples out of place.
    """
    length = track.length
    for at, side in ((one.place + length, one.before), (one.place - 2 * length, one.after)):
        if 0 <= at <= track.values.size - length:
            phasor, offset = track.fit(np.array([at]))
            size = max(abs(side.phasor), 1e-300)
            off = max(abs(phasor[0] - side.phasor), abs(offset[0] - side.offset)) / size
            if off <= max(_APART * min(one.phase_error, 2 * measure_rest(track) / size / np.sqrt(length)), 1e-6):
                return True
    return False


def _is_abrupt(track: ToneTrack, place: int) -> bool:
    """Whether two straight pieces fit far better than a smooth curve of as many numbers, twelve."""
    start, stop = max(place - track.length, 0), min(place + track.length, track.values.size)
    group = max(1, (stop - start) // (2 * _MOST_POINTS))
    start = place - (place - start) // group * group
    stop = place + (stop - place) // group * group
    part = track.values[start:stop].reshape(-1, group).mean(axis=1)
    times = (np.arange(part.size) + 0.5) * group + start - 0.5
    u = (times - place) / track.length
    turns = np.exp(1j * track.omega * times)
    tone = np.column_stack([turns.real, turns.imag, np.ones_like(u)])
    later = u > -0.5 * group / track.length
    pieces = np.column_stack([tone * side[:, np.newaxis] for side in (later, later * u, ~later, ~later * u)])
    smooth = np.column_stack([tone * (u**power)[:, np.newaxis] for power in range(4)])
    freedom = part.size - 12
    if freedom < 4:
        return False
    straight, curved = (_measure_rest(part, table) for table in (pieces, smooth))
    floor = 1e-18 * float(np.mean(part**2)) * part.size
    straight = max(straight, floor)
    return bool(curved > _BETTER * straight and (curved - straight) / straight * freedom > _EVIDENT)


def _measure_rest(values: Doubles, table: Doubles) -> float:
    """The sum of squares that the best sum of the columns of `table` leaves."""
    answer = np.linalg.lstsq(table, values, rcond=None)[0]
    return float(((values - table @ answer) ** 2).sum())
