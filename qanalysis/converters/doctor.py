"""What is wrong with a captured record?

Clipping, stuck bits, wrong width, left-justified words, locked period, DC, too little to measure.

Each finding has the number behind it and says what to do. What concerns lines (no tone, two tones, folded harmonics)
are findings of a `Spectrum`. Thresholds are bounds of what a sound record can show: smooth peaks for clipping, chance
for bits and repetition.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes
from qanalysis.converters.findings import BITS_AMBIGUOUS, BITS_GUESSED, Finding
from qanalysis.converters.records.code_words import (
    CHANCE_BITS,
    code_range,
    count_levels,
    count_low_zeros,
    find_edge,
    needed_bits,
    round_up_usual,
)
from qanalysis.converters.records.records import Record
from qanalysis.converters.simulation.waveforms import judge_period
from qanalysis.converters.spectrum.sinefit import SHORTEST
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.notation import count, decibels, in_percent, plain, signed, true_minus

NOTABLE_OFFSET = 0.01  # of the range: beyond what converters are specified to
# A smooth peak spends at most as long in its top cell as in the three below: sqrt(1) against sqrt(4) - sqrt(1).
# Clipping is more than twice that.
_PEAK_RATIO = 2.0
_PEAK_LEVELS = 3
_FEWEST_CLIPPED = 8
_FEWEST_LEVELS = 8  # square waves and records of 2 bits have no shape to judge
_MOST_LEVELS = 2**16
_BLOCK = 64
_FEWEST_FOR_BITS = 32  # levels: a bit rests by chance once in 2^31
_MOST_TRIED = 256
_FEW_STEPS = 8  # peak of a sine in LSB, below which its rounding follows its shape


def examine_record(record: Record, spectrum: Spectrum | None = None) -> tuple[Finding, ...]:
    r"""What stands out in a record, in the order of the checks; empty where nothing does.

    With its `spectrum` also leakage and gcd(J, M) > 1 of the tone, and an ENOB above the width; what its own findings
    say is not said again. NaN and infinities are counted and left out of the other checks.

    >>> from pathlib import Path
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "dead.csv")
    ...     _ = file.write_text("7\n" * 64)
    ...     from qanalysis.converters.records.records import read_record
    ...     examine_record(read_record(file))[0].code
    'constant'
    """
    finite = record.values[np.isfinite(record.values)]
    found = [*_find_non_finite(record.values, finite), *_find_shortness(record.values)]
    if finite.size and finite.min() == finite.max():
        found.append(_describe_constant(record, float(finite[0])))
    elif finite.size:
        found += _find_clipping(finite, record)
        found += [finding for find in _FINDERS if (finding := find(record)) is not None]
    if spectrum is None:
        return tuple(found)
    if spectrum.cycles is not None:
        found = [finding for finding in found if finding.code != "dc-only"] + _find_period_faults(spectrum, found)
    found += _find_flattery(record, spectrum)
    known = {finding.code for finding in spectrum.findings}
    return tuple(finding for finding in found if finding.code not in known)


def _find_period_faults(spectrum: Spectrum, found: list[Finding]) -> list[Finding]:
    """Leakage or a locked period of one tone; `coherent` decides which, since a frequency has rounding errors.

    Two tones lock only together.
    """
    if spectrum.cycles is None or any(finding.code == "two-tone" for finding in spectrum.findings):
        return []
    cycles = round(spectrum.cycles) if spectrum.coherent else spectrum.cycles
    rate = spectrum.fs_hz or 1.0
    fault = judge_period(cycles * rate / spectrum.samples, fs_hz=rate, samples=spectrum.samples)
    return [fault] if fault is not None and all(finding.code != fault.code for finding in found) else []


def _find_flattery(record: Record, spectrum: Spectrum) -> list[Finding]:
    """An ENOB of the whole band beyond the width: no converter has it. A narrower band gains what it leaves out.

    The rounding of a sine without noise is no noise: it leaves up to 0.1 bit more, 0.4 where the sine is a few steps.
    The mean of R records laid in phase has half a bit more for each doubling.
    """
    bits, enob, ci95 = record.bits, spectrum.enob_ieee, spectrum.enob_ci95
    if bits is None or enob is None or ci95 is None or spectrum.band != (0.0, 0.5):
        return []
    steps = 2.0 ** (bits - 1) * 10 ** ((spectrum.level_dbfs or 0.0) / 20)
    gained = math.log2(spectrum.records or 1) / 2 if spectrum.average == "coherent" else 0.0
    if not ci95[0] > bits + gained + (0.1 if steps >= _FEW_STEPS else 0.5):
        return []
    text = (
        f"ENOB is {decibels(enob, 'bit')} (95 %: from {decibels(ci95[0], 'bit')}), more than the {bits} bits of the "
        "converter can give. State the width or the range; were the samples averaged or filtered?"
    )
    return [Finding("enob-above-width", text, enob)]


def _find_non_finite(values: NDArray[np.float64], finite: NDArray[np.float64]) -> list[Finding]:
    """How many samples are NaN or infinite, and where the first stands."""
    bad = values.size - finite.size
    if not bad:
        return []
    first = int(np.flatnonzero(~np.isfinite(values))[0])
    text = (
        f"{bad} of {values.size} samples are NaN or infinite, the first is sample {first}: "
        "a spectrum needs every sample. Cut the record around them."
    )
    return [Finding("non-finite", text, bad)]


def _find_shortness(values: NDArray[np.float64]) -> list[Finding]:
    """Whether there are fewer samples than a sine fit needs."""
    text = f"The record has {values.size} samples; a spectrum and a sine fit need {SHORTEST} at least. Capture more."
    return [Finding("too-short", text, values.size)] if values.size < SHORTEST else []


def _describe_constant(record: Record, value: float) -> Finding:
    """All finite samples are one value: codes do not toggle, numbers carry no signal."""
    if record.codes is not None:
        text = (
            f"All samples are code {signed(value, '.0f')}: nothing toggles. Is the input connected, the clock running, "
            "the right column read?"
        )
        return Finding("constant", text, value)
    return Finding(
        "constant",
        f"All samples are {plain(value, digits=4)}: there is no signal. Is the input connected, the right column read?",
        value,
    )


def _find_clipping(values: NDArray[np.float64], record: Record) -> list[Finding]:
    """An end level that holds more than twice what the next three hold, and 8 samples at least.

    Both ends are judged alone, so that clipping of one end is seen. Records of fewer than 8 levels have no shape to
    judge.
    """
    levels, counts = _tally(values) if record.codes is None else _tally_codes(record.codes)
    if levels.size < _FEWEST_LEVELS:
        return []
    ends = {
        "bottom": (levels[0], counts[0], counts[1 : 1 + _PEAK_LEVELS]),
        "top": (levels[-1], counts[-1], counts[-1 - _PEAK_LEVELS : -1]),
    }
    clipped = {
        end: (level, int(count))
        for end, (level, count, near) in ends.items()
        if count >= max(_FEWEST_CLIPPED, _PEAK_RATIO * near.sum() + 1)
    }
    if not clipped:
        return []
    parts = [
        f"{count} samples at the {end} ({_name_level(level, record)}, longest run {_longest_run(values == level)})"
        for end, (level, count) in clipped.items()
    ]
    share = sum(count for _level, count in clipped.values()) / values.size
    lopsided = f" Only the {next(iter(clipped))} is clipped: move the offset as well." if len(clipped) == 1 else ""
    text = (
        f"Clipped: {' and '.join(parts)}, {in_percent(share, '.3g')} of the record, "
        f"more than twice what the next three levels hold together.{lopsided}"
    )
    return [Finding("clipping", f"{text} Lower the level for a spectrum; a histogram test wants it.", share)]


def _tally(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distinct values, ascending, and how often each occurs, both (levels,)."""
    levels, counts = np.unique(values, return_counts=True)
    return levels, counts


def _tally_codes(codes: Codes) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distinct codes and how often each occurs; by counting where that is cheaper than sorting."""
    low = int(codes.min())
    if int(codes.max()) - low >= 4 * codes.size:
        return _tally(codes.astype(np.float64))
    counts = np.bincount(codes - low)
    hit = np.flatnonzero(counts)
    return (hit + low).astype(np.float64), counts[hit]


def _name_level(level: float, record: Record) -> str:
    """A level as people call it: a code, or a value with six digits."""
    return f"code {signed(level, '.0f')}" if record.codes is not None else f"value {plain(level, digits=4)}"


def _longest_run(held: NDArray[np.bool_]) -> int:
    """Longest stretch of true in (samples,); at least one must be true."""
    edges = np.flatnonzero(np.diff(held, prepend=False, append=False))
    return int((edges[1::2] - edges[::2]).max())


def _find_wrong_width(record: Record) -> Finding | None:
    """Codes outside the range of the width, with the width that would hold them."""
    if record.codes is None or record.bits is None:
        return None
    low, high = code_range(record.bits, signed=bool(record.signed))
    outside = int(np.count_nonzero((record.codes < low) | (record.codes > high)))
    if not outside:
        return None
    most, needed = int(record.codes.max()), needed_bits(record.codes, signed=bool(record.signed))
    span = true_minus(f"{low}..{high} of {record.bits} bits")
    if find_edge(record.codes, signed=bool(record.signed)) == record.bits:
        return _describe_edge(record, most, outside, round_up_usual(needed))
    ends = true_minus(f"from {int(record.codes.min())} to {most}")
    text = f"{count(outside, 'samples')} lie outside the {span}: the codes run {ends}, which takes {needed} bits."
    return Finding("wrong-width", f"{text} State {needed} bits, another sign, or left-justified words.", outside)


def _describe_edge(record: Record, most: int, outside: int, wide: int) -> Finding:
    """Codes that pass the top of the width by exactly one: both readings where the width is a guess."""
    beyond = f"{count(outside, 'samples') if outside > 1 else 'One sample'} at code {most}, one beyond the top of"
    if not _is_width_guessed(record):
        text = f"{beyond} the {record.bits} bits stated: clipping, inverted polarity, or a converter of {wide} bits?"
        return Finding("wrong-width", text, outside)
    text = (
        f"{beyond} {record.bits} bits: as clipping or inverted polarity leave it, or a {wide} bit converter whose "
        f"level ends just there, whose ENOB would read {wide - (record.bits or 0)} more. The smaller width is taken; "
        f"state {record.bits} or {wide} bits."
    )
    return Finding(BITS_AMBIGUOUS, text, wide)


def _find_unused_bits(record: Record) -> Finding | None:
    """Two or more upper bits that no code uses; nothing where the width itself was guessed from the codes."""
    if record.codes is None or record.bits is None:
        return None
    needed = needed_bits(record.codes, signed=bool(record.signed))
    unused = record.bits - needed
    if unused < 2 or _is_width_guessed(record):
        return None
    text = (
        f"The upper {unused} of {record.bits} bits are never used: the codes run "
        f"{true_minus(f'from {record.codes.min()} to {record.codes.max()}')}."
    )
    return Finding("unused-upper-bits", f"{text} The level is low, or the width is {needed} bits: state it.", unused)


def _is_width_guessed(record: Record) -> bool:
    """Whether the width comes from the codes and not from the user or a header."""
    return any(finding.code == BITS_GUESSED for finding in record.guesses)


def _find_left_justified(record: Record) -> Finding | None:
    """Low bits that are zero in every code, where chance would show that once in 2^30 records."""
    if record.codes is None or record.bits is None:
        return None
    zeros = count_low_zeros(record.codes)
    if zeros < 2 or zeros * count_levels(record.codes) < CHANCE_BITS:
        return None
    text = (
        f"The low {zeros} bits are zero in every code: left-justified words of {record.bits - zeros} bits? "
        "Read them with justify left."
    )
    return Finding("left-justified", text, zeros)


def _find_stuck_bits(record: Record) -> Finding | None:
    """Bits that rest, or that go with another: 2^(k+1) codes in a row show every pattern of the bits 0 to k."""
    if record.codes is None:
        return None
    levels = _take_levels(record.codes)
    span = int(levels[-1]) - int(levels[0]) + 1
    if levels.size < _FEWEST_FOR_BITS:
        return None
    places = range(span.bit_length() - 1)
    toggled = int(np.bitwise_or.reduce(levels ^ levels[0]))
    justified = zeros if (zeros := count_low_zeros(record.codes)) >= 2 else 0
    resting = [place for place in places if not toggled >> place & 1 and place >= justified]
    if resting:
        states = ", ".join(f"bit {place} at {int(levels[0]) >> place & 1}" for place in resting)
        text = (
            f"Stuck: {states} (bit 0 is the LSB), while {levels.size} different codes over {span} steps toggle the "
            "others. Check the data lines."
        )
        return Finding("stuck-bits", text, resting[-1])
    return _find_tied_bits(levels, np.array(places[justified:], np.intp))


def _find_tied_bits(levels: Codes, places: NDArray[np.intp]) -> Finding | None:
    """The first two of the bits `places` that are equal, or inverse, in all of the distinct `levels` (levels,)."""
    if places.size < 2:
        return None
    signs = ((levels[:, np.newaxis] >> places & 1) * 2 - 1).astype(np.float32)
    # Sums of 2^16 ones are exact in float32.
    together = np.triu(np.abs(signs.T @ signs) == levels.size, 1)
    pairs = np.argwhere(together)
    if not pairs.size:
        return None
    first, second = (int(places[index]) for index in pairs[0])
    same = "equals" if (int(levels[0]) >> first & 1) == (int(levels[0]) >> second & 1) else "is the inverse of"
    text = (
        f"Bit {second} always {same} bit {first} (bit 0 is the LSB) in {levels.size} different codes: "
        "two data lines are joined, or one is read twice."
    )
    return Finding("tied-bits", text, second)


def _take_levels(codes: Codes) -> Codes:
    """The distinct codes in order, about 2^16 of them at most, the ends among them."""
    levels = _tally_codes(codes)[0].astype(np.int64)
    return (
        levels if levels.size <= _MOST_LEVELS else levels[np.linspace(0, levels.size - 1, _MOST_LEVELS).astype(np.intp)]
    )


def _find_repetition(record: Record) -> Finding | None:
    """A record that repeats itself exactly: its quantization error does so too and is no noise."""
    period = find_period(record.values)
    if period is None:
        return None
    text = (
        f"The record repeats itself exactly every {period} samples: {record.values.size} samples show no more than "
        f"{period} do, and quantization noise"
    )
    return Finding(
        "locked-period",
        f"{text} gathers into lines. Choose a frequency whose number of periods has no divisor in common with the "
        "length.",
        period,
    )


def find_period(values: NDArray[np.float64]) -> int | None:
    """The shortest period after which the record (samples,) repeats exactly, twice at least; None where there is none.

    NaN equals nothing, so a record that holds one has no period.

    >>> find_period(np.tile(np.arange(100.0), 5))
    100
    """
    block = min(_BLOCK, values.size // 2)
    starts = np.arange(1, values.size // 2 + 1) if block else np.arange(0)
    for place in range(block):
        starts = starts[values[starts + place] == values[place]]
    return next((int(start) for start in starts[:_MOST_TRIED] if np.array_equal(values[start:], values[:-start])), None)


def _find_offset(record: Record) -> Finding | None:
    """A mean off the middle of the range by more than 1 % of it; NaN and infinities are left out."""
    if record.low is None or record.high is None or record.values.size < SHORTEST:
        return None
    if _is_width_guessed(record) and np.ptp(record.values) < (record.high - record.low) / 4:
        return None  # a guess from so few codes has no middle
    span = record.high - record.low
    top = record.high - (1.0 if record.codes is not None else 0.0)
    offset = float(np.mean(record.values, where=np.isfinite(record.values))) - (record.low + top) / 2
    if abs(offset) <= NOTABLE_OFFSET * span:
        return None
    unit = "LSB" if record.codes is not None else "of the range −1 to 1"
    side = "top" if offset > 0 else "bottom"
    text = (
        f"The mean lies {plain(abs(offset), digits=4)} {unit} from the middle of the range towards the {side} "
        f"({in_percent(abs(offset) / span, '.3g')} of the range)."
    )
    return Finding("dc-offset", f"{text} DC is left out of the figures, but takes headroom.", offset)


def _find_rest(record: Record) -> Finding | None:
    """DC with noise of a few codes, at most 1.5 LSB rms and an eighth of the range: what a shorted input gives."""
    if record.codes is None or record.bits is None or record.codes.size < SHORTEST:
        return None
    rms = float(record.values.std())
    if rms > 1.5 or 8 * (int(np.ptp(record.values)) + 1) > 1 << record.bits:
        return None
    free = record.bits - max(0.0, math.log2(6.6 * rms))
    text = (
        f"The codes stay within {int(np.ptp(record.values)) + 1} levels, {plain(rms)} LSB rms: "
        "DC, or a tone of a few LSB."
    )
    return Finding("dc-only", f"{text} As noise on DC it leaves {free:.2f} noise-free bits, bits − log2(6.6 rms).", rms)


_FINDERS: tuple[Callable[[Record], Finding | None], ...] = (
    _find_wrong_width,
    _find_unused_bits,
    _find_left_justified,
    _find_stuck_bits,
    _find_repetition,
    _find_offset,
    _find_rest,
)
