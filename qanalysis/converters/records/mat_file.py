"""What is in a .mat file of MATLAB 4 to 7? One of its numeric arrays, and the rate that a scalar beside it tells.

Levels 4 and 5 are read here, from the description that MathWorks publishes, and not by scipy, which believes every
length that a file claims. Level 7.3 is HDF5, and is named so by `foreign_files`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.records.array_axes import take_named
from qanalysis.converters.records.array_file import refuse_broken
from qanalysis.converters.records.npz_file import inflate_limit
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import MAX_SAMPLES, RecordError, Samples, name_some
from qanalysis.notation import quote, shorten

_HEADER = 128
_COMPRESSED, _MATRIX = 15, 14
_ELEMENTS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_OTHERS = {1: "cell", 2: "struct", 3: "object", 4: "text", 5: "sparse", 16: "function", 17: "object"}
_OLD_TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")
_COMPLEX_FLAG = 0x800
_LOOK = 1 << 16  # bytes of a variable that hold its name and its fields
_MOST_VARIABLES = 1 << 12
_SAVE_AGAIN = "save the vector alone, `save('capture.mat', 'x', '-v7')`"


@dataclass(frozen=True, slots=True)
class _Variable:
    """A variable: its shape, what it is where it is no numeric array, and how it is read."""

    name: str
    shape: tuple[int, ...]
    other: str
    read: Callable[[], NDArray[Any]]

    @property
    def size(self) -> int:
        count = 1
        for length in self.shape:
            count *= max(0, length)
        return count


def is_mat(head: bytes, suffix: str) -> bool:
    """Whether a file begins as one of level 5, or of level 4 and is named .mat."""
    return head.startswith(b"MATLAB 5.0") or (suffix == ".mat" and _parse_old_header(head) is not None)


def read_mat(path: Path, reading: Reading) -> Samples:
    """One numeric array of a .mat file, by its name or its number from 1; the largest unless asked.

    Scalars named fs, Fs, fs_hz or sample_rate tell the rate, dt, Ts or Tinterval the step in seconds, and so does a
    vector of times. Raises
    RecordError for a damaged file, one without numeric arrays (its structs and cells are named), an array that is not
    there or becomes larger than 256 MiB (QANALYSIS_INFLATE_LIMIT_MIB), and as `take_named` does.
    """
    place = path.name
    with refuse_broken(f"{place} is no whole .mat file", _SAVE_AGAIN):
        data = np.memmap(path, np.uint8, mode="r")
        is_new = bytes(data[:6]) == b"MATLAB"
        found = islice(_list_new(data) if is_new else _list_old(data), _MOST_VARIABLES)
        variables = {variable.name: variable for variable in found}
        sizes = {name: one.size for name, one in variables.items() if not one.other and one.size}
        asked = variables.get(str(reading.column))
        if not any(size > 1 for size in sizes.values()) or (asked is not None and asked.other):
            raise RecordError(_name_others(variables, place))

        def read(name: str) -> NDArray[Any]:
            if sizes[name] > MAX_SAMPLES * 2:
                fault = f"has {sizes[name]} numbers, too many; cut out the part that matters"
                raise RecordError(f"{place}: array {quote(name)} {fault}")
            return variables[name].read()

        return take_named(sizes, reading, place, read, least=1)


def _name_others(variables: dict[str, _Variable], place: str) -> str:
    others = [f"{one.other} {shorten(one.name, 80)}" for one in variables.values() if one.other]
    held = f"; it holds {name_some(others)}" if others else ""
    return f"{place} has no numeric vector that is read{held}: {_SAVE_AGAIN}"


# Level 5


@dataclass(frozen=True, slots=True)
class _Element:
    """A tagged piece: its type, its bytes, and where the next begins."""

    type: int
    data: NDArray[np.uint8]
    end: int


def _take_element(data: NDArray[np.uint8], at: int, order: str) -> _Element:
    """The element at a byte. ValueError where it does not fit in the data."""
    if at + 8 > data.size:
        raise ValueError(f"an element at byte {at} is cut short")
    first, length = struct.unpack(f"{order}II", data[at : at + 8].tobytes())
    if first >> 16:  # a small element holds its length and its data in the tag
        return _Element(first & 0xFFFF, data[at + 4 : at + 4 + min(4, first >> 16)], at + 8)
    if at + 8 + length > data.size:
        raise ValueError(f"an element at byte {at} claims {length} bytes, {data.size - at - 8} follow")
    padded = length if first == _COMPRESSED else -(-length // 8) * 8
    return _Element(first, data[at + 8 : at + 8 + length], at + 8 + padded)


def _list_new(data: NDArray[np.uint8]) -> Iterator[_Variable]:
    """The variables of a file of level 5."""
    order = "<" if data[126:128].tobytes() == b"IM" else ">"
    at = _HEADER
    while at + 8 <= data.size:
        element = _take_element(data, at, order)
        at = element.end
        if element.type == _COMPRESSED:
            start = _inflate(element.data[:_LOOK], _LOOK)
            yield _describe(start[8:], order, partial(_inflate_matrix, element.data, order))
        elif element.type == _MATRIX:
            yield _describe(element.data, order, partial(_read_matrix, element.data, order))


def _inflate(packed: NDArray[np.uint8], limit: int) -> NDArray[np.uint8]:
    """What a compressed element holds, at most its first `limit` bytes."""
    return np.frombuffer(zlib.decompressobj().decompress(packed.tobytes(), limit), np.uint8)


def _inflate_matrix(packed: NDArray[np.uint8], order: str) -> NDArray[Any]:
    limit = inflate_limit()
    found = _inflate(packed, limit + 1)
    if found.size > limit:
        raise RecordError(f"the array becomes more than {limit} bytes; save it uncompressed, with -v6")
    return _read_matrix(found[8:], order)


def _describe(data: NDArray[np.uint8], order: str, read: Callable[[], NDArray[Any]]) -> _Variable:
    """Name, shape and kind of the matrix that begins in `data`."""
    flags = _take_element(data, 0, order)
    (word,) = struct.unpack(f"{order}I", flags.data[:4].tobytes())
    kind = word & 0xFF
    if kind == 17:  # objects of newer classes have no shape
        return _Variable(_read_name(_take_element(data, flags.end, order)), (), _OTHERS[kind], read)
    shape = _take_element(data, flags.end, order)
    name = _take_element(data, shape.end, order)
    lengths = tuple(int(length) for length in shape.data.view(f"{order}i4"))
    other = "" if kind in _CLASSES else _OTHERS.get(kind, "variable")
    if kind == 2:
        other += _list_fields(data, name.end, order)
    return _Variable(_read_name(name), lengths, other, read)


def _read_name(element: _Element) -> str:
    return element.data.tobytes().decode("utf-8", "replace")


def _list_fields(data: NDArray[np.uint8], at: int, order: str) -> str:
    """The names of a struct's fields in brackets; nothing where they can not be read."""
    try:
        width = _take_element(data, at, order)
        names = _take_element(data, width.end, order)
        (length,) = struct.unpack(f"{order}i", width.data[:4].tobytes())
    except (ValueError, struct.error):
        return ""
    text = names.data.tobytes()
    fields = [text[start : start + length].split(b"\0")[0] for start in range(0, len(text), max(1, length))][:8]
    return f" ({', '.join(shorten(field.decode('ascii', 'replace'), 40) for field in fields)})"


def _read_matrix(data: NDArray[np.uint8], order: str) -> NDArray[Any]:
    """The numbers of a matrix, of the type of its class. ValueError where they do not fit its shape."""
    flags = _take_element(data, 0, order)
    (word,) = struct.unpack(f"{order}I", flags.data[:4].tobytes())
    shape = _take_element(data, flags.end, order)
    name = _take_element(data, shape.end, order)
    lengths = [int(length) for length in shape.data.view(f"{order}i4")]
    real = _take_element(data, name.end, order)
    rails = [real, *([_take_element(data, real.end, order)] if word & _COMPLEX_FLAG else [])]
    count = int(np.prod(lengths, dtype=np.float64))
    parts = [_read_numbers(rail, order, count, _CLASSES[word & 0xFF]) for rail in rails]
    whole = parts[0] if len(parts) == 1 else parts[0] + 1j * parts[1].astype(np.float64)
    return whole.reshape(lengths, order="F")


def _read_numbers(element: _Element, order: str, count: int, word: str) -> NDArray[Any]:
    if element.type not in _ELEMENTS:
        raise ValueError(f"its numbers are of type {element.type}, which there is not")
    stored = np.dtype(order + _ELEMENTS[element.type])
    if element.data.size // stored.itemsize < count:
        raise ValueError(f"it holds {element.data.size // stored.itemsize} numbers of {count}")
    numbers = element.data[: count * stored.itemsize].view(stored)
    if stored.kind == "f" and word[0] != "f":
        raise ValueError("its whole numbers are stored as fractions")
    return numbers.astype(word)


# Level 4


def _parse_old_header(data: bytes) -> tuple[str, str, int, int, int, bool, int] | None:
    """Byte order, type, kind, rows, columns, whether complex, and length of the name; None for no such header."""
    if len(data) < 20:
        return None
    for order in "<>":
        word, rows, columns, is_complex, name = struct.unpack(f"{order}5i", data[:20])
        sign, zero, kind = word // 1000, word // 100 % 10, word % 10
        old_type = word // 10 % 10
        fits = sign == (order == ">") and zero == 0 and old_type < len(_OLD_TYPES) and kind < 3
        if fits and word >= 0 and rows >= 0 and columns >= 0 and is_complex in {0, 1} and 1 < name <= 256:
            return order, _OLD_TYPES[old_type], kind, rows, columns, bool(is_complex), name
    return None


def _list_old(data: NDArray[np.uint8]) -> Iterator[_Variable]:
    """The variables of a file of level 4."""
    at = 0
    while at < data.size:
        header = _parse_old_header(data[at : at + 20].tobytes())
        if header is None:
            raise ValueError(f"byte {at} begins no variable")
        order, word, kind, rows, columns, is_complex, name_length = header
        start = at + 20 + name_length
        name = data[at + 20 : start].tobytes().split(b"\0")[0].decode("latin-1")
        dtype = np.dtype(order + word)
        at = start + rows * columns * dtype.itemsize * (2 if is_complex else 1)
        if at > data.size:
            raise ValueError(f"variable {quote(name)} claims to end at byte {at}, the file has {data.size}")
        read = partial(_read_old, data[start:at], dtype, (rows, columns), is_complex=is_complex)
        yield _Variable(name, (rows, columns), ("", "text", "sparse")[kind], read)


def _read_old(
    data: NDArray[np.uint8], dtype: np.dtype[Any], shape: tuple[int, int], *, is_complex: bool
) -> NDArray[Any]:
    numbers = data.view(dtype)
    half = numbers.size // 2
    whole = numbers[:half] + 1j * numbers[half:].astype(np.float64) if is_complex else numbers
    return whole.reshape(shape, order="F")
