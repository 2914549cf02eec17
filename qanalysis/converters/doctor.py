"""What is wrong with a captured record?

Clipping, stuck bits, wrong width, left-justified words, locked period, DC, too little to measure.

Each finding has the number behind it and says what to do. What concerns lines (no tone, two tones, folded harmonics)
are findings of a `Spectrum`. Thresholds are bounds of what a sound record can show: smooth peaks for clipping, chance
for bits and repetition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.faults.bits import (
    find_left_justified,
    find_stuck_bits,
    find_unused_bits,
    find_wrong_width,
    is_width_guessed,
)
from qanalysis.converters.faults.clipping import find_clipping
from qanalysis.converters.faults.flattery import find_flattery
from qanalysis.converters.faults.interruptions import find_interruptions
from qanalysis.converters.faults.levels import find_step, tally_codes, tally_values
from qanalysis.converters.faults.quiet import judge_rest
from qanalysis.converters.faults.repetition import find_repetition
from qanalysis.converters.faults.saturation import find_saturation
from qanalysis.converters.faults.sparkles import find_sparkles, tell_sparkles
from qanalysis.converters.faults.swaps import find_swapped_bits
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record
from qanalysis.converters.simulation.waveforms import judge_period
from qanalysis.converters.spectrum.sinefit import SHORTEST
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.notation import in_percent, plain, signed

NOTABLE_OFFSET = 0.01  # of the range: beyond what converters are specified to
_LEAST_SINAD_DB = -6.0  # a tone over a fifth of the record
_LINE_FAULTS = {"stuck-bits", "tied-bits", "swapped-bits", "wrong-width"}


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
    sound = np.isfinite(record.values)
    finite = record.values if sound.all() else record.values[sound]
    found = [*_find_non_finite(record.values, finite), *_find_shortness(record.values)]
    if finite.size and finite.min() == finite.max():
        found.append(_describe_constant(record, float(finite[0])))
    elif finite.size:
        found += _find_faults(record, finite)
        if finite.size == record.values.size:
            found += _find_breaks(record, spectrum, found)
    if spectrum is None:
        return tuple(found)
    if spectrum.cycles is not None:
        found = [finding for finding in found if finding.code != "dc-only"] + _find_period_faults(spectrum, found)
    found += find_flattery(record, spectrum)
    known = {finding.code for finding in spectrum.findings}
    return tuple(finding for finding in found if finding.code not in known)


def _find_faults(record: Record, finite: NDArray[np.float64]) -> list[Finding]:
    """What levels and codes show, whatever the signal is; `finite` are the values that are."""
    tally = tally_values(finite) if record.codes is None else tally_codes(record.codes)
    found = find_clipping(finite, record, tally)
    finders: list[Callable[[Record], Finding | None]] = [*_FINDERS]
    finders.insert(finders.index(find_swapped_bits), partial(find_stuck_bits, levels=tally[0]))
    return found + [finding for find in finders if (finding := find(record)) is not None]


def _find_period_faults(spectrum: Spectrum, found: list[Finding]) -> list[Finding]:
    """Leakage or a locked period of one tone; `coherent` decides which, since a frequency has rounding errors.

    Two tones lock only together.
    """
    if spectrum.cycles is None or any(finding.code == "two-tone" for finding in spectrum.findings):
        return []
    cycles = abs(round(spectrum.cycles) if spectrum.coherent else spectrum.cycles)
    rate = spectrum.fs_hz or 1.0
    fault = judge_period(cycles * rate / spectrum.samples, fs_hz=spectrum.fs_hz, samples=spectrum.samples)
    return [fault] if fault is not None and all(finding.code != fault.code for finding in found) else []


def _find_breaks(record: Record, spectrum: Spectrum | None, found: list[Finding]) -> list[Finding]:
    """Single samples that are wrong; with the spectrum of one tone also where it breaks, or how it saturates.

    Where data lines are wrong, what they do to single samples is no finding of its own.
    """
    if {finding.code for finding in found} & _LINE_FAULTS:
        return []
    step = find_step(record)
    fit = spectrum.sinefit if spectrum is not None and spectrum.samples == record.values.size else None
    if spectrum is None or fit is None:
        return tell_sparkles(record, find_sparkles(record.values, step))
    quiet, told = judge_rest(record.values, fit, step), list[Finding]()
    if not quiet.sound:
        sparkles = find_sparkles(record.values, step)
        told = tell_sparkles(record, sparkles)
        omega = 2 * math.pi * _find_cycles(spectrum, fit.cycles) / spectrum.samples
        if not 0 < omega < math.pi:
            return told
        told += [
            finding
            for finding in find_interruptions(record, sparkles.healed, omega, step)
            if finding.code == "held-samples" or not _is_other_signal(spectrum)
        ]
    known = {finding.code for finding in (*found, *told, *spectrum.findings)}
    if not quiet.straight and not known & {"clipping", "two-tone"} and not told:
        saturation = find_saturation(record, fit, spectrum.fs_hz or 1.0, step)
        told += [saturation] if saturation is not None else []
    return told


def _is_other_signal(spectrum: Spectrum) -> bool:
    """Whether the tone is so small a part that the record is no tone that breaks but another signal, such as pulses.

    A tone over the part f of a record, or with its phase turned in mid-record, has 10 log10(f / (1 - f)) or more.
    """
    return spectrum.sinad_db is not None and spectrum.sinad_db < _LEAST_SINAD_DB


def _find_cycles(spectrum: Spectrum, fitted: float) -> float:
    """The periods of the tone as fitted, or of the highest bin where the fit went elsewhere, as breaks can make it."""
    if spectrum.power.size > spectrum.samples // 2 + 1:  # I/Q samples, of which the record holds the I rail
        return abs(fitted)
    highest = int(np.argmax(spectrum.power))
    return fitted if abs(fitted - highest) < 2 else float(highest)


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


def _find_offset(record: Record) -> Finding | None:
    """A mean off the middle of the range by more than 1 % of it; NaN and infinities are left out."""
    if record.low is None or record.high is None or record.values.size < SHORTEST:
        return None
    if is_width_guessed(record) and np.ptp(record.values) < (record.high - record.low) / 4:
        return None  # a guess from so few codes has no middle
    span = record.high - record.low
    top = record.high - (1.0 if record.codes is not None else 0.0)
    mean = float(np.mean(record.values))
    if not math.isfinite(mean):
        mean = float(np.mean(record.values, where=np.isfinite(record.values)))
    offset = mean - (record.low + top) / 2
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
    levels = int(np.ptp(record.codes)) + 1
    if 8 * levels > 1 << record.bits or (rms := float(record.values.std())) > 1.5:
        return None
    free = record.bits - max(0.0, math.log2(6.6 * rms))
    text = f"The codes stay within {levels} levels, {plain(rms)} LSB rms: DC, or a tone of a few LSB."
    return Finding("dc-only", f"{text} As noise on DC it leaves {free:.2f} noise-free bits, bits − log2(6.6 rms).", rms)


_FINDERS: tuple[Callable[[Record], Finding | None], ...] = (
    find_wrong_width,
    find_unused_bits,
    find_left_justified,
    find_swapped_bits,
    find_repetition,
    _find_offset,
    _find_rest,
)
