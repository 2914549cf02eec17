"""Which reader takes a file? Its first bytes say, for bare words the suffix or a stated type; a kind that no reader
takes is named as what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qanalysis.converters.records.array_file import read_npy
from qanalysis.converters.records.foreign_files import name_foreign
from qanalysis.converters.records.npz_file import read_npz
from qanalysis.converters.records.raw_file import PAIRED_SUFFIX, TYPED_SUFFIXES, look_for_block, read_raw
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError, Samples
from qanalysis.converters.records.wav_file import read_wav

Reader = Callable[[Path, Reading], Samples]

RAW_SUFFIXES = (".bin", ".raw", ".pcm", ".dat", PAIRED_SUFFIX, *TYPED_SUFFIXES)
_TEXT_OR_WORDS = (".dat", ".raw")
_BEGINNINGS: tuple[tuple[bytes, Reader], ...] = (
    (b"RIFF", read_wav),
    (b"RF64", read_wav),
    (b"BW64", read_wav),
    (b"\x93NUMPY", read_npy),
    (b"PK\x03\x04", read_npz),
    (b"PK\x05\x06", read_npz),
)
_OWN_BEGINNING = (".wav", ".npy", ".npz")


def find_reader(path: Path, head: bytes, reading: Reading) -> Reader | None:
    """The reader of a file that is no text; None for text.

    `head` are its first bytes. Raises RecordError for a kind that is known and not read, named with what to export
    instead, and for a file that does not start as its suffix says.
    """
    if reading.dtype is not None:
        return read_raw
    for sign, read in _BEGINNINGS:
        if head.startswith(sign):
            return read
    known = name_foreign(path, head)
    if known is not None:
        raise RecordError(f"{path.name} is {known[0]}, which is not read; {known[1]}")
    suffix = path.suffix.casefold()
    if suffix in _OWN_BEGINNING:
        raise RecordError(
            f"{path.name} does not start as a {suffix} file does; check that it was saved whole, or name raw words .bin"
        )
    if suffix in RAW_SUFFIXES and (suffix not in _TEXT_OR_WORDS or b"\0" in head or not _is_text(head)):
        return read_raw
    if b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff") and look_for_block(path):
        return read_raw
    return None


def _is_text(head: bytes) -> bool:
    """Whether no byte is a control character that text does not have."""
    return not any(byte < 9 or 13 < byte < 32 for byte in head)
