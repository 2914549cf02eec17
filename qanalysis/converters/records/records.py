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
from qanalysis.converters.choices import Justification
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.code_words import Resolved, code_range, resolve_codes
from qanalysis.converters.records.formats import RAW_SUFFIXES, find_reader
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError, Samples
from qanalysis.converters.records.source_file import open_source
from qanalysis.converters.records.text_file import read_text
from qanalysis.notation import si
from qanalysis.results.identity import SourceIdentity

__all__ = ["Record", "RecordError", "read_record"]

RECORD_SUFFIXES = (".csv", ".tsv", ".txt", ".asc", ".lvm", ".wav", ".npy", ".npz", *RAW_SUFFIXES)


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
    samples = _state_rate(_read_samples(path, head, reading), reading.fs_hz)
    rate = reading.fs_hz if reading.fs_hz is not None else samples.fs_hz or None
    if samples.numbers.dtype.kind == "f":
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
        guesses=(*samples.notes, *resolved.notes),
        quadrature=quadrature,
        inputs=samples.inputs,
        uneven=_is_uneven(samples, reading),
        channels=samples.channels,
        unit=samples.unit or "code",
    )


def _is_uneven(samples: Samples, reading: Reading) -> bool:
    """Whether the times are uneven and nobody says how to take them; a stated rate says that the steps are even."""
    return samples.times is not None and reading.fs_hz is None and not reading.resample


def _resolve_rails(samples: Samples, place: str, reading: Reading) -> tuple[Resolved, NDArray[np.float64] | None]:
    """The codes, and the Q rail (samples,) of complex ones: both rails have one width, justification and sign."""
    count = len(samples.numbers)
    if samples.quadrature is not None:
        samples = replace(samples, numbers=np.concatenate([samples.numbers, samples.quadrature]))
    both = resolve_codes(samples, place, bits=reading.bits, justify=reading.justify, signed=reading.signed)
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
    if reading.justify is not None or reading.signed is not None:
        raise RecordError(
            f"{stamp.path} holds numbers that are no whole ones: they are neither justified nor signed codes; "
            "leave justify and signed out"
        )
    if reading.bits is not None and not 1 <= reading.bits <= 32:
        raise RecordError(f"{stamp.path}: bits {reading.bits} was given; converters have 1 to 32")
    return Record(
        values=np.asarray(samples.numbers, np.float64),
        codes=None,
        bits=reading.bits,
        justification=None,
        signed=None,
        low=samples.low,
        high=samples.high,
        fs_hz=fs_hz,
        source=stamp,
        guesses=samples.notes,
        quadrature=None if samples.quadrature is None else np.asarray(samples.quadrature, np.float64),
        inputs=samples.inputs,
        uneven=_is_uneven(samples, reading),
        channels=samples.channels,
        unit=samples.unit,
    )


def _read_samples(path: Path, head: bytes, reading: Reading) -> Samples:
    read = find_reader(path, head, reading)
    return read(path, reading) if read else read_text(path, column=reading.column, channel=reading.channel)
