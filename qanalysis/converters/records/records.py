"""What did the converter give?

One captured record from a CSV, WAV, NPY, NPZ or raw file, with width, justification and sign of its codes.

What the file does not say is guessed, and every guess stands in `guesses` with its evidence; all of them can be
overridden.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes
from qanalysis.converters.choices import Justification, Unit
from qanalysis.converters.findings import BITS_GUESSED, Finding
from qanalysis.converters.records.code_words import CODE_NOTES, Resolved, code_range, resolve_codes
from qanalysis.converters.records.even_times import lay_even
from qanalysis.converters.records.formats import OWN_SUFFIXES, RAW_SUFFIXES, find_reader
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError, Samples, keep_whole
from qanalysis.converters.records.source_file import open_source
from qanalysis.converters.records.text.text_file import read_text
from qanalysis.notation import plain, shorten, si
from qanalysis.results.identity import SourceIdentity

__all__ = ["Record", "RecordError", "read_record"]

RECORD_SUFFIXES = (".csv", ".tsv", ".txt", ".asc", ".lvm", *OWN_SUFFIXES, *RAW_SUFFIXES)


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One channel of a capture.

    `values` (samples,) are float64: the codes where the file holds codes, its numbers otherwise.

    `codes` (samples,) are right-justified int64, None for numbers that are no whole ones; then `justification` and
    `signed` are None too, and `bits` is what was stated. `low` and `high` are the ends of the range in units of the
    values, high one LSB above the top code; None where nothing fixes them. `quadrature` (samples,) is the Q rail of
    complex samples, of which `values` and `codes` are the I rail, in the same unit. `inputs` (samples,) is what stood
    at the input, of pairs. `uneven` says that the samples were not taken in even steps, so that no spectrum of them can
    be defended. `channels` says of how many in the file this is one. `unit` is V, mV, code or what else a header says
    of the values. `source` is the file's name, size in bytes
    and digest, "sha256:..." of its content.
    """

    values: NDArray[np.float64]
    codes: Codes | None
    bits: int | None
    justification: Justification | None
    signed: bool | None
    low: float | None
    high: float | None
    fs_hz: float | None
    source: SourceIdentity
    guesses: tuple[Finding, ...]
    quadrature: NDArray[np.float64] | None = None
    inputs: NDArray[np.float64] | None = None
    uneven: bool = False
    channels: int = 1
    unit: str = ""

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self.source.path

    @property
    def is_named_voltage(self) -> bool:
        """Whether a header names the numbers V, mV or another voltage."""
        return _names_voltage(self.unit)


def read_record(path: str | Path, reading: Reading | None = None, **changes: Any) -> Record:
    r"""Read one channel of a capture; the content says what kind of file it is, for raw words the suffix or `dtype`.

    `reading` and `changes` say what is stated, as one value, by its fields (`bits=12, column="code"`), or both: see
    `Reading`. What is stated overrides what the file says and what would be guessed. Raises RecordError, a ValueError,
    for files and choices that give no record; NaN and codes beyond the width are left to the doctor.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "capture.csv")
    ...     _ = file.write_text("time (ms);code\n0,0;0\n0,5;4095\n1,0;2047\n1,5;2048\n")
    ...     record = read_record(file)
    >>> record.codes.tolist(), record.bits, record.signed, record.fs_hz
    ([0, 4095, 2047, 2048], 12, False, 2000.0)
    """
    path, reading = Path(path), replace(reading or Reading(), **changes)
    reading.check_rate(path.name)
    stamp, head = open_source(path)
    samples = _state_unit(_state_rate(_read_samples(path, head, reading), reading.fs_hz), reading.unit, path.name)
    if samples.times is not None and reading.resample and reading.fs_hz is None:
        samples = lay_even(samples, samples.times, path.name)
    rate = reading.fs_hz if reading.fs_hz is not None else samples.fs_hz or None
    if "f" in {rail.dtype.kind for rail in (samples.numbers, samples.quadrature) if rail is not None}:
        return _keep_floats(samples, reading, rate, stamp)
    resolved, quadrature = _resolve_rails(samples, path.name, reading)
    low, high = code_range(resolved.bits, signed=resolved.signed)
    return Record(
        values=resolved.codes.astype(np.float64),
        codes=resolved.codes,
        bits=resolved.bits,
        justification=resolved.justification,
        signed=resolved.signed,
        low=low,
        high=high + 1.0,
        fs_hz=rate,
        source=stamp,
        guesses=(*samples.notes, *_doubt_codes(resolved.notes, samples.unit, reading.unit)),
        quadrature=quadrature,
        inputs=samples.inputs,
        uneven=_is_uneven(samples, reading),
        channels=samples.channels,
        unit=samples.unit or "code",
    )


def read_as_values(record: Record) -> Record:
    """A record of whole numbers that are no codes but values, in volts say: what was guessed of codes goes."""
    guessed = {*CODE_NOTES, BITS_GUESSED}
    kept = tuple(guess for guess in record.guesses if guess.code not in guessed)
    return replace(record, codes=None, justification=None, signed=None, low=None, high=None, guesses=kept)


def _state_unit(samples: Samples, unit: Unit | None, place: str) -> Samples:
    """With `unit` stated the numbers are volts, whole or not, or codes, which are whole; RecordError for others.

    Numbers that carry their unit are in it, whatever is stated. A range that the format fixes, as a WAV of floats does,
    is not in volts.
    """
    if samples.carries_unit:
        if unit == "code":
            raise RecordError(f"{place}: the cells carry the unit {shorten(samples.unit, 80)}: they are no codes")
        return replace(samples, numbers=_widen(samples.numbers))
    if unit is None:
        return samples
    if unit == "code":
        return replace(samples, numbers=_read_whole(samples.numbers, place), unit="code")
    parts = 1000.0 if unit == "mV" else 1.0
    quadrature = None if samples.quadrature is None else _widen(samples.quadrature) / parts
    numbers = _widen(samples.numbers) / parts
    return replace(samples, numbers=numbers, quadrature=quadrature, unit="V", low=None, high=None)


def _read_whole(numbers: NDArray[Any], place: str) -> NDArray[Any]:
    """Numbers (samples,) as integers; those among which some are not finite stay as they are, RecordError for
    fractions.
    """
    if numbers.dtype.kind != "f":
        return numbers
    values = _widen(numbers)
    fractions = np.flatnonzero(np.isfinite(values) & (values != np.rint(values)))
    if fractions.size:
        first = int(fractions[0])
        raise RecordError(
            f"{place} holds fractions, the first is sample {first}, {plain(float(values[first]), digits=7)}, and codes "
            "are whole numbers; state the unit V or mV, or choose the column of the codes"
        )
    return keep_whole(values)


def _widen(numbers: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers as float64; what is beyond it becomes infinite, which the doctor finds, and a NaN a quiet one."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(numbers, np.float64)
    missing = np.isnan(values)
    return np.where(missing, np.nan, values) if missing.any() else values


def _names_voltage(unit: str) -> bool:
    """Whether a unit is volts, with or without a prefix, in any spelling."""
    return unit.casefold().endswith(("v", "volt", "volts"))


def _doubt_codes(notes: tuple[Finding, ...], named: str, unit: Unit | None) -> tuple[Finding, ...]:
    """The notes on codes, with what a header says against codes where the width is guessed and no unit is stated."""
    if unit is not None or not _names_voltage(named):
        return notes
    doubt = f"The header names {shorten(named, 80)}: state the unit, V or mV, where the numbers are no codes."
    return tuple(replace(note, text=f"{note.text} {doubt}") if note.code == BITS_GUESSED else note for note in notes)


def _is_uneven(samples: Samples, reading: Reading) -> bool:
    """Whether the times are uneven and nobody says how to take them; a stated rate says that the steps are even."""
    return samples.times is not None and reading.fs_hz is None and not reading.resample


def _resolve_rails(samples: Samples, place: str, reading: Reading) -> tuple[Resolved, NDArray[np.float64] | None]:
    """The codes, and the Q rail (samples,) of complex ones: both rails have one width, justification and sign."""
    count = len(samples.numbers)
    if samples.quadrature is not None:
        samples = replace(samples, numbers=np.concatenate([samples.numbers, samples.quadrature]))
    justify, signed = reading.justify, reading.signed
    if reading.unit is None and _names_voltage(samples.unit):  # volts have neither low zeros nor a place to wrap at
        justify, signed = justify or "right", bool(samples.numbers.min() < 0) if signed is None else signed
    both = resolve_codes(samples, place, bits=reading.bits, justify=justify, signed=signed, coding=reading.coding)
    if samples.quadrature is None:
        return both, None
    return replace(both, codes=both.codes[:count]), both.codes[count:].astype(np.float64)


def _state_rate(samples: Samples, fs_hz: float | None) -> Samples:
    """With `fs_hz` stated the file's own rate is no longer told as the one in use; that the two differ is."""
    if fs_hz is None:
        return samples
    notes = tuple(note for note in samples.notes if note.code not in {"sample-rate", "no-rate"})
    if samples.fs_hz and not math.isclose(samples.fs_hz, fs_hz, rel_tol=1e-3):
        notes = (
            *notes,
            Finding(
                "sample-rate",
                f"fs is {si(fs_hz, 'Hz', digits=7)}, as stated; the file says {si(samples.fs_hz, 'Hz', digits=7)}.",
                fs_hz,
            ),
        )
    return replace(samples, notes=notes)


def _keep_floats(samples: Samples, reading: Reading, fs_hz: float | None, stamp: SourceIdentity) -> Record:
    if reading.justify is not None or reading.signed is not None or reading.coding is not None:
        why = (
            "is read as volts"
            if reading.unit is not None or samples.carries_unit
            else "holds numbers that are no whole ones"
        )
        raise RecordError(
            f"{stamp.path} {why}: they are neither justified nor signed codes; leave justify, signed and coding out"
        )
    if reading.bits is not None and not 1 <= reading.bits <= 32:
        raise RecordError(f"{stamp.path}: bits {reading.bits} was given; converters have 1 to 32")
    return Record(
        values=_widen(samples.numbers),
        codes=None,
        bits=reading.bits,
        justification=None,
        signed=None,
        low=samples.low,
        high=samples.high,
        fs_hz=fs_hz,
        source=stamp,
        guesses=samples.notes,
        quadrature=None if samples.quadrature is None else _widen(samples.quadrature),
        inputs=samples.inputs,
        uneven=_is_uneven(samples, reading),
        channels=samples.channels,
        unit=samples.unit,
    )


def _read_samples(path: Path, head: bytes, reading: Reading) -> Samples:
    read = find_reader(path, head, reading)
    return read(path, reading) if read else read_text(path, reading)
