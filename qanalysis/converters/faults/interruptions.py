"""What broke the tone of a record, and at which sample? Findings of dropped, repeated and held samples, and of jumps.

A tone that jumps by w k rad has lost k samples, or gained -k of them; k is believed where no other k so near 0 fits
and a jump of any size would fit one by chance once in a hundred times at most. A block that equals the samples before
it was written twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.converters.faults.breaks import Break, find_breaks
from qanalysis.converters.faults.held import Stretch, find_bursts, find_held, find_held_end
from qanalysis.converters.faults.levels import find_step, list_some, name_level
from qanalysis.converters.faults.tracking import ToneTrack, track_tone, tune_between
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record
from qanalysis.notation import count, plain, signed

_FEWEST = 64
_SHORT = 2**14
_MOST_SHIFT = 4096
_BY_CHANCE = 0.01
_SURELY = 3.0  # deviations
_SURE_SHIFT = 4  # samples: so few are lost far more often than a phase jumps by just as much
_PROBED = 64
_CHANCE_BITS = 40.0  # one in 2^40, beside 2^12 ways back
_STEPLESS = 2.0**-8  # share of equal pairs among numbers of which most occur once, at most
_SHORTEST_BUFFER = 8
_CERTAIN = 8.0  # deviations
_LEAST_CHANGE = 0.005  # of the amplitude
_COUNTED = "counted from 0"
_ADVICE = {
    "dropped-samples": "The buffer or the link lost them: check for overruns, and capture again.",
    "inserted-samples": "Check for overruns of the buffer, and capture again.",
    "repeated-block-break": "A buffer was read twice (DMA overrun): capture again.",
    "phase-jump": "The source was switched, or two captures were joined: cut the record there.",
    "amplitude-jump": "The level or the gain was switched: cut the record there.",
    "offset-jump": "The offset or the range was switched: cut the record there.",
    "record-break": "Two captures were joined, or the source was switched: cut the record there.",
    "held-samples": "The converter or the link stood still, or the record was padded: cut the record there.",
}


@dataclass(frozen=True, slots=True)
class _Fault:
    """One place with the code of its finding and what happened there, as the end of a sentence."""

    place: int
    code: str
    text: str


def find_interruptions(record: Record, values: Doubles, omega: float, step: float) -> list[Finding]:
    """Where the tone near `omega` (rad per sample) breaks: one finding for each kind, at its first sample.

    `values` (samples,) are those of the record with single wrong samples put right. Their value is the sample's
    number, counted from 0.
    """
    if values.size < _FEWEST:
        return []
    faults, used = [], values
    end = find_held_end(values)
    if end is not None:
        faults.append(_tell_held(record, end))
        used = values[end.stop :] if end.start == 0 else values[: end.start]
    shift = values.size - used.size if end is not None and end.start == 0 else 0
    track = track_tone(used - used.mean(), omega) if used.size >= _FEWEST else None
    if track is not None:
        faults += _examine_tone(record, track, shift, step)
    return _gather(faults)


def _examine_tone(record: Record, track: ToneTrack, shift: int, step: float) -> list[_Fault]:
    """Held samples first, which are filled for what follows; then breaks, and stretches that are out of place."""
    held = find_held(track, step)
    faults = [_tell_held(record, Stretch(one.start + shift, one.stop + shift)) for one in held]
    if held:
        filled = track.values.copy()
        for one in held:
            start = one.start - track.length if one.start >= track.length else one.stop
            phasor, offset = track.fit(np.array([start]))
            filled[one.start : one.stop] = track.draw(complex(phasor[0]), float(offset[0]), one.start, one.stop)
        again = track_tone(filled, track.omega)
        if again is None:
            return faults
        track = again
    breaks = [one for one in find_breaks(track) if any(_name_changes(one))]
    if not breaks and track.values.size <= _SHORT:
        # Half the window sees twice as near to the ends.
        narrow = track_tone(track.values, track.omega, turns=1)
        breaks = [one for one in find_breaks(narrow) if any(_name_changes(one))] if narrow is not None else []
    if breaks:
        track = tune_between(track, [one.place for one in breaks])
    faults += _tell_breaks(record, track, breaks, shift)
    for one in find_bursts(track, breaks, step):
        faults.append(_tell_burst(record, Stretch(one.start + shift, one.stop + shift)))
    return faults


def _gather(faults: list[_Fault]) -> list[Finding]:
    """One finding for each code, in the order of their first places, with how many there are and where."""
    found = []
    for code in dict.fromkeys(fault.code for fault in sorted(faults, key=lambda fault: fault.place)):
        same = sorted((fault for fault in faults if fault.code == code), key=lambda fault: fault.place)
        places = np.array([fault.place for fault in same[1:]], np.int64)
        more = f" {len(same)} such places in all, the others at sample {list_some(places)}." if len(same) > 1 else ""
        found.append(Finding(code, f"{same[0].text}.{more} {_ADVICE[code]}", same[0].place))
    return found


def _tell_held(record: Record, one: Stretch) -> _Fault:
    level = name_level(float(record.values[one.start]), record)
    text = f"Samples {one.start} to {one.stop - 1} ({_COUNTED}) are all {level}, {one.size} of them"
    if one.stop == record.values.size:
        return _Fault(one.start, "held-samples", f"{text}, up to the end of the record")
    return _Fault(one.start, "held-samples", f"{text}, while the tone goes on around them")


def _tell_burst(record: Record, one: Stretch) -> _Fault:
    """Samples that are out of place: a copy of earlier ones where they equal them, four at least."""
    copied = _find_copy(record.values, one.start, one.size) if one.size >= 4 else None
    if copied is not None:
        return _tell_copy(copied)
    text = f"Samples {one.start} to {one.stop - 1} ({_COUNTED}) do not fit the tone, which goes on behind them"
    return _Fault(one.start, "record-break", text)


@dataclass(frozen=True, slots=True)
class _Copy:
    """A block that equals the one `back` samples before it."""

    block: Stretch
    back: int


def _find_copy(values: Doubles, place: int, least: int) -> _Copy | None:
    """The nearest earlier samples that equal those from `place` on, `least` of them at least; None where none do."""
    if place + least > values.size:
        return None
    backs: Codes = np.arange(1, min(place, _MOST_SHIFT) + 1)
    for ahead in range(least):
        backs = backs[values[place + ahead - backs] == values[place + ahead]]
        if not backs.size:
            return None
    back, start, stop = int(backs[0]), place, place + least
    while stop < values.size and values[stop] == values[stop - back] and stop - start < back:
        stop += 1
    while start > back and values[start - 1] == values[start - 1 - back] and stop - start < back:
        start -= 1
    return _Copy(Stretch(start, stop), back)


def _tell_copy(copied: _Copy) -> _Fault:
    one, back = copied.block, copied.back
    source = f"those {count(back, 'samples')} before" if back > 1 else "the one before"
    named = f"Samples {one.start} to {one.stop - 1}" if one.size > 1 else f"Sample {one.start}"
    verb = "repeat" if one.size > 1 else "repeats"
    return _Fault(one.start, "repeated-block-break", f"{named} ({_COUNTED}) {verb} {source}")


def _tell_breaks(record: Record, track: ToneTrack, breaks: list[Break], shift: int) -> list[_Fault]:
    """What each break is; the end of a block that was told to be a copy is no break of its own."""
    faults: list[_Fault] = []
    told = -1
    for index, one in enumerate(breaks):
        place = one.place + shift
        if abs(place - told) <= 2:
            continue
        copied = _find_written_twice(record, track, breaks, index, shift)
        if copied is not None:
            told = copied.block.stop
            faults.append(_tell_copy(copied))
        else:
            faults.append(_tell_break(record, one, place, track.omega))
    return faults


def _find_written_twice(record: Record, track: ToneTrack, breaks: list[Break], index: int, shift: int) -> _Copy | None:
    """The copy that begins at a break: as long as the way back that its phase tells, or up to the next break."""
    one = breaks[index]
    place = one.place + shift
    for start in sorted(range(max(place - 2, 1), place + 3), key=lambda start: abs(start - place)):
        for back in _list_backs(record.values, start):
            if _is_set_back(one, track.omega, back, find_step(record)):
                return _Copy(Stretch(start, start + back), back)
    if index + 1 < len(breaks):
        size = breaks[index + 1].place - one.place
        copied = _find_copy(record.values, place + 2, size - 4) if size >= 8 else None
        if copied is not None and copied.block.stop <= place + size + 2:
            return copied
    return None


def _list_backs(values: Doubles, start: int) -> list[int]:
    """How far back the samples from `start` on equal earlier ones, right up to `start` itself; nearest first."""
    backs: Codes = np.arange(1, min(start, values.size - start, _MOST_SHIFT) + 1)
    for ahead in range(min(_PROBED, values.size - start)):
        far = backs > ahead
        if not far.any():
            break
        near = np.zeros(backs.size, np.bool_)
        near[far] = values[start + ahead - backs[far]] == values[start + ahead]
        backs = backs[near | ~far]
    return [
        back for back in backs.tolist() if np.array_equal(values[start : start + back], values[start - back : start])
    ]


def _is_set_back(one: Break, omega: float, back: int, step: float) -> bool:
    """Whether the tone was set back by as much as the block that repeats is long, surely.

    Surely means: no other whole number is nearer to 0, or noise makes so many equal samples no chance, or it is the
    length of a buffer, a power of two, which a jump of any phase has by chance once in a hundred times at most.
    """
    off = abs(float(np.angle(np.exp(1j * (-omega * back - one.phase)))))
    if off > 2 * _SURELY * one.phase_error + 1e-4:
        return False
    samples = count_samples(one, omega)
    noise = math.sqrt(max(one.spread**2 - step**2 / 12, 0.0))
    # Two roundings of one value with Gaussian noise are equal in 1/(2 sqrt(pi) noise) of all cases, noise in LSB.
    equal = min(1.0, step / (2 * math.sqrt(math.pi) * noise) or _STEPLESS) if noise > 0 else 1.0
    if -math.log2(equal) * back >= _CHANCE_BITS:
        return True
    return samples == -back if samples is not None else back >= _SHORTEST_BUFFER and back & (back - 1) == 0


def count_samples(one: Break, omega: float) -> int | None:
    """How many samples the tone jumped ahead, below 0 for back; None where no whole number explains it surely."""
    if not _is_phase_only(one):
        return None
    tolerance = _SURELY * one.phase_error + 1e-4
    if tolerance > omega / 3 or tolerance > (math.pi - omega) / 3 + 1e-4:
        return None
    most = int(min(_MOST_SHIFT, max(_SURE_SHIFT, _BY_CHANCE * math.pi / tolerance / 2)))
    shifts = np.arange(1, most + 1)
    for sign in (1, -1):
        off = np.abs(np.angle(np.exp(1j * (sign * omega * shifts - one.phase))))
        shifts_found = shifts[off <= tolerance]
        if sign == 1:
            ahead = int(shifts_found[0]) if shifts_found.size else None
        else:
            back = int(shifts_found[0]) if shifts_found.size else None
    if ahead is None or (back is not None and back < ahead):
        return None if back is None else -back
    return ahead


def _is_phase_only(one: Break) -> bool:
    """Whether amplitude and offset stay as they are."""
    _turned, grown, shifted = _name_changes(one)
    return not grown and not shifted


def _name_changes(one: Break) -> tuple[bool, bool, bool]:
    """Whether phase, amplitude and offset change by more than chance, each for itself."""
    least = _least_gain(one)
    moved = abs(one.after.offset - one.before.offset)
    return abs(one.phase) > least, abs(_measure_gain(one)) > least, moved > least * abs(one.before.phasor)


def _measure_gain(one: Break) -> float:
    """The relative change of the amplitude."""
    return abs(one.after.phasor) / max(abs(one.before.phasor), 1e-300) - 1


def _least_gain(one: Break) -> float:
    """The relative change of the amplitude that is no chance; the phase's deviation in rad is that of the amplitude."""
    return max(_CERTAIN * one.phase_error, _LEAST_CHANGE)


def _tell_break(record: Record, one: Break, place: int, omega: float) -> _Fault:
    """A jump by whole samples, of phase, of amplitude, of offset, or of several of these."""
    samples = count_samples(one, omega)
    jump = f"the phase of the tone jumps by {signed(one.phase, '.3g')} rad"
    if samples is not None:
        many = f"{abs(samples)} sample{'s are' if abs(samples) > 1 else ' is'}"
        if samples > 0:
            return _Fault(place, "dropped-samples", f"{many} missing before sample {place} ({_COUNTED}): {jump}")
        text = f"{many} too many before sample {place} ({_COUNTED}): {jump}"
        return _Fault(place, "inserted-samples", text)
    turned, grown, shifted = _name_changes(one)
    gain, moved = _measure_gain(one), one.after.offset - one.before.offset
    parts = [
        *([jump] if turned else []),
        *([f"its amplitude changes by {signed(100 * gain, '.3g')} %"] if grown else []),
        *([f"the offset moves by {plain(moved)}{' LSB' if record.codes is not None else ''}"] if shifted else []),
    ]
    code = "record-break"
    if turned + grown + shifted == 1:
        code = "phase-jump" if turned else "amplitude-jump" if grown else "offset-jump"
    at = f"At sample {place} ({_COUNTED})"
    return _Fault(place, code, f"{at} {' and '.join(parts)}")
