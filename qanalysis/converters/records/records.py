"""What did the converter give?

One captured record from a CSV, WAV, NPY, NPZ or raw file, with width, justification and sign of its codes.

What the file does not say is guessed, and every guess stands in `guesses` with its evidence; all of them can be
overridden.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes
from qanalysis.converters.choices import Justification
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.array_file import read_npy, read_npz, read_raw
from qanalysis.converters.records.code_words import code_range, resolve_codes
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError, Samples
from qanalysis.converters.records.text.text_file import read_text
from qanalysis.converters.records.text.times import measure_gap, resample
from qanalysis.converters.records.wav_file import read_wav
from qanalysis.notation import plain, quote, si
from qanalysis.results.identity import SourceIdentity

__all__ = ["Record", "RecordError", "read_record"]

RAW_SUFFIXES = (".bin", ".raw", ".pcm", ".dat")
RECORD_SUFFIXES = (".csv", ".tsv", ".txt", ".wav", ".npy", ".npz", *RAW_SUFFIXES)
_MAGIC = {b"RIFF": read_wav, b"RF64": read_wav, b"\x93NUM": read_npy, b"PK\x03\x04": read_npz}


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
    stamp, head = _stamp(path)
    samples = _state_rate(_read_samples(path, head, reading), reading.fs_hz)
    if samples.times is not None and reading.resample and reading.fs_hz is None:
        samples = _lay_even(samples, path.name)
    rate = reading.fs_hz if reading.fs_hz is not None else samples.fs_hz or None
    if samples.numbers.dtype.kind == "f":
        return _keep_floats(samples, reading, rate, stamp)
    resolved = resolve_codes(samples, path.name, bits=reading.bits, justify=reading.justify, signed=reading.signed)
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
        quadrature=_read_quadrature(samples),
        inputs=samples.inputs,
        uneven=_is_uneven(samples, reading),
        channels=samples.channels,
        unit=samples.unit or "code",
    )


def _lay_even(samples: Samples, place: str) -> Samples:
    """The samples of uneven times on even ones, as numbers, with a note on what that rests on."""
    times = samples.times
    if times is None:
        return samples
    try:
        values, fs_hz = resample(times, np.asarray(samples.numbers, np.float64))
        inputs = None if samples.inputs is None else resample(times, samples.inputs)[0]
    except RecordError as error:
        raise RecordError(f"{place}: {error}") from None
    gap = measure_gap(times)
    text = (
        f"Resampled by a cubic spline to {si(fs_hz, 'Hz', digits=7)}, the mean rate of its uneven times, whose largest "
        f"gap is {plain(gap)} mean steps. Content above half of that rate, {si(fs_hz / 2, 'Hz', digits=7)}, is not "
        "trustworthy, and what lies within a gap is not known."
    )
    return replace(
        samples,
        numbers=values,
        inputs=inputs,
        times=None,
        unit=samples.unit or ("code" if samples.numbers.dtype.kind in "iu" else ""),
        fs_hz=fs_hz,
        notes=(*samples.notes, Finding("resampled", text, gap)),
    )


def _is_uneven(samples: Samples, reading: Reading) -> bool:
    """Whether the times are uneven and nobody says how to take them; a stated rate says that the steps are even."""
    return samples.times is not None and reading.fs_hz is None and not reading.resample


def _read_quadrature(samples: Samples) -> NDArray[np.float64] | None:
    """The Q rail in the unit of the I rail."""
    return None if samples.quadrature is None else np.asarray(samples.quadrature, np.float64)


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
        quadrature=_read_quadrature(samples),
        inputs=samples.inputs,
        uneven=_is_uneven(samples, reading),
        channels=samples.channels,
        unit=samples.unit,
    )


def _stamp(path: Path) -> tuple[SourceIdentity, bytes]:
    """Name, size and digest of a file that is there and holds something, and its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise RecordError(
            f"{quote(str(path))} can not be read: {error.strerror or error}; check the path and its permissions"
        ) from None
    if not size:
        raise RecordError(f"{path.name} is empty (0 bytes); capture or copy it again")
    return SourceIdentity(path.name, size, f"sha256:{digest}"), head


def _read_samples(path: Path, head: bytes, reading: Reading) -> Samples:
    column, channel = reading.column, reading.channel
    if reading.dtype is not None:
        return read_raw(path, dtype=reading.dtype, column=column, channel=channel)
    read = _MAGIC.get(head[:4])
    if read is not None:
        return read(path, column=column, channel=channel)
    suffix = path.suffix.casefold()
    if suffix in (".wav", ".npy", ".npz"):
        raise RecordError(
            f"{path.name} does not start as a {suffix} file does; check that it was saved whole, or name raw words .bin"
        )
    is_text = suffix not in RAW_SUFFIXES or (suffix == ".dat" and b"\0" not in head)
    return read_text(path, reading) if is_text else read_raw(path, column=column, channel=channel)
