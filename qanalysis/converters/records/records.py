"""What did the converter give? One captured record from a CSV, WAV, NPY, NPZ or raw file, with width, justification and sign of its codes.

What the file does not say is guessed, and every guess stands in `guesses` with its evidence; all of them can be overridden.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.array_file import read_npy, read_npz, read_raw
from qanalysis.converters.records.code_words import Justification, code_range, resolve_codes
from qanalysis.converters.records.samples import RecordError, Samples
from qanalysis.converters.records.text_file import read_text
from qanalysis.converters.records.wav_file import read_wav

__all__ = ["Record", "RecordError", "read_record"]

RAW_SUFFIXES = (".bin", ".raw", ".pcm", ".dat")
RECORD_SUFFIXES = (".csv", ".tsv", ".txt", ".wav", ".npy", ".npz", *RAW_SUFFIXES)
_MAGIC = {b"RIFF": read_wav, b"RF64": read_wav, b"\x93NUM": read_npy, b"PK\x03\x04": read_npz}


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One channel of a capture. `values` (samples,) are float64: the codes where the file holds codes, its numbers otherwise.

    `codes` (samples,) are right-justified int64, None for numbers that are no whole ones; then `justification` and `signed` are None too,
    and `bits` is what was stated. `low` and `high` are the ends of the range in units of the values, high one LSB above the top code;
    None where nothing fixes them. `size` is the file's in bytes, `digest` "sha256:..." of its content.
    """

    values: NDArray[np.float64]
    codes: Codes | None
    bits: int | None
    justification: Justification | None
    signed: bool | None
    low: float | None
    high: float | None
    fs_hz: float | None
    name: str
    size: int
    digest: str
    guesses: tuple[Finding, ...]

    def spread(self, low: float, high: float) -> NDArray[np.float64]:
        """The codes as values of a converter from `low` to `high`: code c stands c - (lowest code) steps of (high - low) / 2^bits above low.

        Numbers that are no codes are returned as they are. Raises ValueError for a reversed range.
        """
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"the range {low}:{high} was given; the low end must lie below the high end, both finite")
        if self.codes is None or self.low is None or self.high is None:
            return self.values
        return low + (self.values - self.low) * ((high - low) / (self.high - self.low))


def read_record(
    path: str | Path,
    *,
    column: str | int | None = None,
    channel: int | None = None,
    bits: int | None = None,
    justify: Justification | None = None,
    signed: bool | None = None,
    fs_hz: float | None = None,
    dtype: str | None = None,
) -> Record:
    r"""Read one channel of a capture; the content says what kind of file it is, for raw words the suffix or `dtype`.

    `column` is a column of text or an array of an archive, `channel` one of a WAV, NPY or raw file, both by number from 1 or by name.
    `bits`, `justify` ("left", "right"), `signed`, `fs_hz` override what the file says or what is guessed; `dtype` names raw words (i16le).
    Raises RecordError, a ValueError, for files and choices that give no record; NaN and codes beyond the width are left to the doctor.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "capture.csv")
    ...     _ = file.write_text("time (ms);code\n0,0;0\n0,5;4095\n1,0;2047\n1,5;2048\n")
    ...     record = read_record(file)
    >>> record.codes.tolist(), record.bits, record.signed, record.fs_hz
    ([0, 4095, 2047, 2048], 12, False, 2000.0)
    """
    path = Path(path)
    if fs_hz is not None and not (math.isfinite(fs_hz) and fs_hz > 0):
        raise RecordError(f"{path.name}: fs {fs_hz} Hz was given; a sample rate is finite and above zero")
    size, digest, head = _stamp(path)
    samples = _state_rate(_read_samples(path, head, column=column, channel=channel, dtype=dtype), fs_hz)
    rate = fs_hz if fs_hz is not None else samples.fs_hz or None
    identity = (rate, path.name, size, digest)
    if samples.numbers.dtype.kind == "f":
        return _keep_floats(samples, identity, bits=bits, justify=justify, signed=signed)
    resolved = resolve_codes(samples, path.name, bits=bits, justify=justify, signed=signed)
    low, high = code_range(resolved.bits, signed=resolved.signed)
    notes = (*samples.notes, *resolved.notes)
    values = resolved.codes.astype(np.float64)
    return Record(values, resolved.codes, resolved.bits, resolved.justification, resolved.signed, low, high + 1.0, *identity, notes)


def _state_rate(samples: Samples, fs_hz: float | None) -> Samples:
    """With `fs_hz` stated the file's own rate is no longer told as the one in use; that the two differ is."""
    if fs_hz is None:
        return samples
    notes = tuple(note for note in samples.notes if note.code not in {"sample-rate", "no-rate"})
    if samples.fs_hz and not math.isclose(samples.fs_hz, fs_hz, rel_tol=1e-3):
        notes = (*notes, Finding("sample-rate", f"fs is {fs_hz:.6g} Hz, as stated; the file says {samples.fs_hz:.6g} Hz.", fs_hz))
    return replace(samples, notes=notes)


def _keep_floats(
    samples: Samples, identity: tuple[float | None, str, int, str], *, bits: int | None, justify: Justification | None, signed: bool | None
) -> Record:
    if justify is not None or signed is not None:
        raise RecordError(f"{identity[1]} holds numbers that are no whole ones: they are neither justified nor signed codes; leave justify and signed out")
    if bits is not None and not 1 <= bits <= 32:
        raise RecordError(f"{identity[1]}: bits {bits} was given; converters have 1 to 32")
    return Record(np.asarray(samples.numbers, np.float64), None, bits, None, None, samples.low, samples.high, *identity, samples.notes)


def _stamp(path: Path) -> tuple[int, str, bytes]:
    """Size, digest and the first bytes of a file that is there and holds something."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise RecordError(f"{str(path)!r} can not be read: {error.strerror or error}; check the path and its permissions") from None
    if not size:
        raise RecordError(f"{path.name} is empty (0 bytes); capture or copy it again")
    return size, f"sha256:{digest}", head


def _read_samples(path: Path, head: bytes, *, column: str | int | None, channel: int | None, dtype: str | None) -> Samples:
    if dtype is not None:
        return read_raw(path, dtype=dtype, column=column, channel=channel)
    read = _MAGIC.get(head[:4])
    if read is not None:
        return read(path, column=column, channel=channel)
    suffix = path.suffix.casefold()
    if suffix in (".wav", ".npy", ".npz"):
        raise RecordError(f"{path.name} does not start as a {suffix} file does; check that it was saved whole, or name raw words .bin")
    is_text = suffix not in RAW_SUFFIXES or (suffix == ".dat" and b"\0" not in head)
    return read_text(path, column=column, channel=channel) if is_text else read_raw(path, column=column, channel=channel)
