"""Which reader takes a file? Its first bytes say, for bare words the suffix or a stated type; a kind that no reader
takes is named as what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qanalysis.converters.records.array_file import read_npy
from qanalysis.converters.records.foreign_files import name_foreign
from qanalysis.converters.records.isf_file import is_isf, read_isf
from qanalysis.converters.records.mat_file import is_mat, read_mat
from qanalysis.converters.records.npz_file import read_npz
from qanalysis.converters.records.raw_file import PAIRED_SUFFIX, TYPED_SUFFIXES, look_for_block, read_raw
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError, Samples
from qanalysis.converters.records.sigmf_file import DATA, META, read_sigmf
from qanalysis.converters.records.wav_file import read_wav

Reader = Callable[[Path, Reading], Samples]

RAW_SUFFIXES = (".bin", ".raw", ".pcm", ".dat", PAIRED_SUFFIX, *TYPED_SUFFIXES)
_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16
_LETTERS = frozenset((9, 10, 11, 12, 13, *range(32, 127)))
_NUMERALS = frozenset(b"0123456789+-.,;eE \t\r\n")
_TEXT_OR_WORDS = (".dat", ".raw")
_BEGINNINGS: tuple[tuple[bytes, Reader], ...] = (
    (b"RIFF", read_wav),
    (b"RF64", read_wav),
    (b"BW64", read_wav),
    (b"\x93NUMPY", read_npy),
    (b"PK\x03\x04", read_npz),
    (b"PK\x05\x06", read_npz),
)
OWN_SUFFIXES = (".wav", ".npy", ".npz", ".mat", ".isf", META, DATA)
_OWN_BEGINNING = (".wav", ".npy", ".npz", ".isf", ".mat")


def find_reader(path: Path, head: bytes, reading: Reading) -> Reader | None:
    """The reader of a file that is no text; None for text.

    `head` are its first bytes. Raises RecordError for a kind that is known and not read, named with what to export
    instead, and for a file that does not start as its suffix says.
    """
    suffix = path.suffix.casefold()
    read = read_raw if reading.dtype is not None else _find_container(head, suffix)
    if read is not None:
        return read
    known = name_foreign(path, head)
    if known is not None:
        raise RecordError(f"{path.name} is {known[0]}, which is not read; {known[1]}")
    if _holds_words(path, head, suffix):
        return read_raw
    if suffix in _OWN_BEGINNING:
        raise RecordError(
            f"{path.name} does not start as a {suffix} file does; check that it was saved whole, or name raw words .bin"
        )
    return None


def _find_container(head: bytes, suffix: str) -> Reader | None:
    """The reader of a file that says itself what it holds."""
    if suffix in {META, DATA}:
        return read_sigmf
    if is_mat(head, suffix):
        return read_mat
    if is_isf(head):
        return read_isf
    return next((read for sign, read in _BEGINNINGS if head.startswith(sign)), None)


def _holds_words(path: Path, head: bytes, suffix: str) -> bool:
    """Whether a file holds bare words: by its suffix, or behind a block header."""
    if suffix in RAW_SUFFIXES:
        return suffix not in _TEXT_OR_WORDS or not _is_written(head)
    return not _is_text(head) and head[:2] not in _MARKS and look_for_block(path) is not None


def _is_text(head: bytes) -> bool:
    """Whether no byte is a control character that text does not have."""
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _is_written(head: bytes) -> bool:
    """Whether a file that may hold words holds text: ASCII for the most part, in lines or in numbers, or UTF-16."""
    if head[:2] in _MARKS:
        high = head[3::2] if head[:2] == _MARKS[0] else head[2::2]
        return high.count(0) > 0.9 * len(high)
    letters = sum(byte in _LETTERS for byte in head)
    numerals = sum(byte in _NUMERALS for byte in head)
    has_lines = b"\n" in head or b"\r" in head
    return _is_text(head) and letters >= 0.9 * len(head) and (has_lines or numerals >= 0.8 * len(head))
