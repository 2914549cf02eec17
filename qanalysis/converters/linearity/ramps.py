"""How does the input run in a record of ramps: up, down, both ways, in which numbers?

A ramp is followed between the lower and the upper quarter of its codes: what lies between two such crossings is a turn.
A crossing that takes an eighth of the time of those the other way is the flyback of a saw-tooth. Ramps that the record
only begins or ends are left out, since they would count one side of the range more often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.notation import true_minus

Index = NDArray[np.integer[Any]]
_FLYBACK = 8  # times faster than the other way
_GLITCH = 64  # times shorter than the longest stay in a quarter
_LOOK = 2**16
_SAME_LENGTH = 0.01  # of a ramp


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """The whole ramps of a record.

    `edges` (passes + 1,) are the samples at which they begin and the last ends; `rising` (passes,) tells their
    direction, `flyback` (passes,) which of them only return. `first_turns`, `last_turns` (passes + 1,) are the first
    and the last sample of the extreme code at each edge, between which the input turned.
    """

    edges: NDArray[np.intp]
    rising: NDArray[np.bool_]
    flyback: NDArray[np.bool_]
    first_turns: NDArray[np.intp]
    last_turns: NDArray[np.intp]

    def count(self) -> tuple[int, int]:
        """How many ramps rise and how many fall, flybacks left out."""
        ramps = ~self.flyback
        return int((ramps & self.rising).sum()), int((ramps & ~self.rising).sum())


class FollowedRamp(NamedTuple):
    """The samples that count (samples,), how far a single ramp steps back (None for several), the passes of several
    (None for a single one), what stands out, and how many ramps know each transition to a sample: all where none steps
    back, else 0.
    """

    kept: Index
    largest_step_back: int | None
    passes: Passes | None
    findings: tuple[Finding, ...]
    steady: int = 0


def settle_sign(index: Index, first_code: int, bits: int) -> tuple[Index, int, tuple[Finding, ...]]:
    """The reading, two's complement or straight binary, in which a ramp does not jump across the range.

    `index` (samples,) counts from `first_code`; both are given back, in the other reading where that is the continuous
    one. Ramps that fly back jump in either: they are turned only where they begin and end at the ends of the other.
    """
    half = 1 << bits - 1
    jumps = _count_jumps(index, half)
    if not jumps:
        return index, first_code, ()
    other = index ^ np.asarray(half, index.dtype)
    others, near = _count_jumps(other, half), max(1, half // 128)
    ends = sorted((int(other[0]), int(other[-1])))
    whole = others < jumps and ends[0] < near and ends[1] >= 2 * half - near
    if not (whole or 8 * others < jumps):
        return index, first_code, ()
    taken = "offset binary" if first_code else "two's complement"
    turned = 0 if first_code else -half
    times = "once" if jumps == 1 else f"{jumps} times"
    text = (
        f"Read as {taken} of {bits} bits, {true_minus(f'{turned} to {turned + 2 * half - 1}')}: as the codes stand "
        f"they jump across the range in mid-ramp, {times}. Where the input itself flies back there, state the sign."
    )
    return other, turned, (Finding("wrapped-codes", text, jumps),)


def follow_ramp(index: Index, codes: int) -> FollowedRamp:
    """The whole ramps among the codes (samples,), numbered 0 to `codes` - 1, and how they run.

    ValueError for a record of a flyback between two parts of ramps that are no whole one together.
    """
    crossings = _find_crossings(index, codes)
    if crossings is None:
        return _follow_single(index)
    flyback = _find_flybacks(crossings, index.size)
    if flyback.all():
        return _join_halves(index, codes, rising=not bool(crossings.rising[0]))
    passes = _cut_passes(index, crossings, flyback)
    if passes is None:
        return _follow_single(index)
    start, stop = int(passes.edges[0]), int(passes.edges[-1])
    left_out = index.size - (stop - start)
    findings: list[Finding] = []
    if left_out:
        text = f"{left_out} of {index.size} samples are left out: they are parts of ramps that are not whole."
        findings.append(Finding("partial-ramp", text, left_out))
    kept = index[start:stop]
    up, down = passes.count()
    if up + down == 1:
        single = _follow_single(kept)
        return single._replace(findings=(*findings, *single.findings))
    text = f"{up + down} ramps, {up} up and {down} down: one histogram of all of them."
    moved = Passes(
        passes.edges - start, passes.rising, passes.flyback, passes.first_turns - start, passes.last_turns - start
    )
    steady = up + down if _is_steady(kept, moved) else 0
    return FollowedRamp(kept, None, moved, (*findings, Finding("several-ramps", text, up + down)), steady)


def _is_steady(kept: Index, passes: Passes) -> bool:
    """Whether no ramp steps back, from its first turn to its next."""
    rising = np.repeat(passes.rising, np.diff(passes.edges))[1:]
    ahead, behind = kept[1:], kept[:-1]
    against = np.where(rising, ahead < behind, ahead > behind)
    against[passes.edges[1:-1] - 1] = False
    for first, last in zip(passes.first_turns[1:-1].tolist(), passes.last_turns[1:-1].tolist(), strict=True):
        against[max(first - 1, 0) : last + 1] = False
    return not against.any()


def _count_jumps(index: Index, half: int) -> int:
    """How often neighbours differ by more than half the range."""
    ahead, behind = index[1:], index[:-1]
    return int(np.count_nonzero((ahead > behind + half) | (behind > ahead + half)))


def _follow_single(index: Index) -> FollowedRamp:
    """A single ramp of either direction: how far it ever falls behind what it has reached."""
    quarter = max(1, index.size // 4)
    falls = float(index[:quarter].mean()) > float(index[-quarter:].mean())
    forward = index[::-1] if falls else index
    step_back = int((np.maximum.accumulate(forward) - forward).max())
    findings = []
    if falls:
        text = "The codes fall along the record: taken as a ramp that runs from its highest to its lowest input."
        findings.append(Finding("falling-ramp", text))
    if step_back:
        text = f"The codes step back by up to {step_back} on the way: noise, or a converter that is not monotonic."
        findings.append(Finding("step-back", text, step_back))
    return FollowedRamp(index, step_back, None, tuple(findings), int(step_back == 0))


class _Crossings(NamedTuple):
    """Where the record goes from one outer quarter to the other: its last sample in the one (crossings,), its first in
    the other, and whether it rises.
    """

    leaves: NDArray[np.intp]
    enters: NDArray[np.intp]
    rising: NDArray[np.bool_]


def _find_crossings(index: Index, codes: int) -> _Crossings | None:
    """All crossings of the middle half; stays in a quarter that are far too short for a ramp are glitches and do not
    count. None where there is no crossing.
    """
    places = np.flatnonzero((index < codes // 4) | (index >= codes - codes // 4))
    high = index[places] >= codes // 2
    while True:  # each round takes the glitches out that the one before has left
        changes = np.flatnonzero(high[1:] != high[:-1])
        if not changes.size:
            return None
        stays = np.diff(changes, prepend=-1, append=places.size - 1)
        short = stays * _GLITCH < stays.max()
        if not short.any():
            break
        kept = np.repeat(~short, stays)
        places, high = places[kept], high[kept]
    return _Crossings(places[changes], places[changes + 1], high[changes + 1])


def _cut_passes(index: Index, crossings: _Crossings, flyback: NDArray[np.bool_]) -> Passes | None:
    """The whole ramps; None where there is none."""
    first, last = _find_turns(index, crossings)
    edges = (first + last + 1) // 2
    # A flyback takes no part of the turns: these belong to the ramps at its sides.
    edges[:-1][flyback] = last[:-1][flyback] + 1
    edges[1:][flyback] = first[1:][flyback]
    near = _find_nearness(index)
    lead, tail = int(index[0]), int(index[-1])
    if abs(lead - int(index[first[0]])) <= near:
        edges[0] = first[0] = 0
    if abs(tail - int(index[last[-1]])) <= near:
        edges[-1], last[-1] = index.size, index.size - 1
    passes = Passes(edges, crossings.rising, flyback, first, last)
    return _keep_whole(passes, index, near)


def _find_turns(index: Index, crossings: _Crossings) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last sample of the extreme code before, between and after the crossings, both (crossings + 1,)."""
    starts = np.concatenate(([0], crossings.enters))
    stops = np.concatenate((crossings.leaves + 1, [index.size]))
    low = np.concatenate((crossings.rising, [not crossings.rising[-1]]))
    bounds = np.ravel(np.column_stack((starts, stops)))[:-1]
    least, most = np.minimum.reduceat(index, bounds)[::2], np.maximum.reduceat(index, bounds)[::2]
    extremes = np.where(low, least, most)
    lengths = np.diff(bounds, append=index.size)
    spread = np.full(bounds.size, -1, index.dtype)
    spread[::2] = extremes
    places = np.flatnonzero(index == np.repeat(spread, lengths))
    return places[np.searchsorted(places, starts)], places[np.searchsorted(places, stops) - 1]


def _find_flybacks(crossings: _Crossings, samples: int) -> NDArray[np.bool_]:
    """Which crossings only return: those of the direction that is far the faster one, or a single one of no length."""
    taken, rising = crossings.enters - crossings.leaves, crossings.rising
    if rising.size == 1:
        return np.array([int(taken[0]) * 256 < samples and int(taken[0]) <= 2])
    up, down = float(np.median(taken[rising])), float(np.median(taken[~rising]))
    if up * _FLYBACK < down:
        return rising
    return ~rising if down * _FLYBACK < up else np.zeros(rising.size, np.bool_)


def _find_nearness(index: Index) -> int:
    """Codes that two samples in a row may lie apart, noise included, with room for its extremes."""
    start = index[:_LOOK].astype(np.int64)
    return 2 + 4 * int(np.percentile(np.abs(np.diff(start)), 90))


def _join_halves(index: Index, codes: int, *, rising: bool) -> FollowedRamp:
    """The only ramp of a record that begins and ends in the middle of it; ValueError unless its parts go on from each
    other.
    """
    first, last, near = int(index[0]), int(index[-1]), _find_nearness(index)
    apart = first - last if rising else last - first
    if not -near <= apart - 1 <= near:
        raise ValueError(
            f"the record holds no whole ramp of the {codes} codes: it begins at code {first} of its range, flies back "
            f"and ends at code {last}, counted from 0; record one ramp from end to end"
        )
    text = (
        f"One ramp in two parts: the record begins at code {first} of its range, flies back and ends at code {last}, "
        "counted from 0."
    )
    halves = np.abs(index[1:].astype(np.int64) - index[:-1])
    whole = np.roll(index, -(int(np.argmax(halves)) + 1))
    single = _follow_single(whole)
    return single._replace(findings=(Finding("several-ramps", text, 1), *single.findings))


def _keep_whole(passes: Passes, index: Index, near: int) -> Passes | None:
    """Without a first or last ramp that does not reach as far as the others, nor takes their time; None without any."""
    lengths = np.diff(passes.edges)
    ends = index[passes.first_turns].astype(np.int64)
    first, last = 0, lengths.size
    if lengths.size > 1:
        first += not _is_whole(0, 0, ends, lengths, passes, near)
        last -= not _is_whole(last - 1, last, ends, lengths, passes, near)
    while first < last and passes.flyback[first]:
        first += 1
    while last > first and passes.flyback[last - 1]:
        last -= 1
    if first >= last:
        return None
    here, turns = slice(first, last), slice(first, last + 1)
    return Passes(
        passes.edges[turns],
        passes.rising[here],
        passes.flyback[here],
        passes.first_turns[turns],
        passes.last_turns[turns],
    )


def _is_whole(
    place: int, edge: int, ends: NDArray[np.int64], lengths: NDArray[np.intp], passes: Passes, near: int
) -> bool:
    """Whether the ramp at `place` reaches, at its outer `edge`, the code of the other turns of that side, or takes as
    long as the others do.
    """
    if passes.flyback[place]:
        return True
    edge_is_high = bool(passes.rising[place]) == (edge == place + 1)
    side = np.arange(edge % 2, ends.size, 2)
    inner = ends[side[(side > 0) & (side < ends.size - 1)]]
    others = inner if inner.size else ends[side[side != edge]]
    outward = 1 if edge_is_high else -1
    if others.size and outward * (float(np.median(others)) - float(ends[edge])) <= near:
        return True
    alike = np.flatnonzero((passes.rising == passes.rising[place]) & ~passes.flyback)
    alike = alike[alike != place]
    if not alike.size:
        alike = np.flatnonzero(~passes.flyback & (np.arange(lengths.size) != place))
    if not alike.size:
        return True
    # A turn is known within the stay at its extreme code, which hysteresis makes longer.
    usual, turn = float(np.median(lengths[alike])), place + 1 if edge == place else place
    loose = float(passes.last_turns[turn] - passes.first_turns[turn])
    return abs(float(lengths[place]) - usual) <= max(2.0, _SAME_LENGTH * usual) + loose
