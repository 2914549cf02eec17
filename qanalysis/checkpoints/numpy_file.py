"""What is in a .npy or .npz file?

Arrays that lie plainly in the file are mapped; compressed members are inflated, up to a limit. Headers are parsed here,
each alone, since numpy refuses types that ml-dtypes writes. Arrays of Python objects are never read: that runs code
from the file.
"""

from __future__ import annotations

import ast
import math
import struct
import threading
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from qanalysis.checkpoints.archive import LIMIT_VARIABLE, find_data, inflate, inflate_limit, open_archive, refuse_method
from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.entries import Content, Entry
from qanalysis.checkpoints.file_source import refuse_broken
from qanalysis.checkpoints.mapped_file import StoredValues
from qanalysis.checkpoints.packed.parts import NoValues
from qanalysis.checkpoints.source import FLOAT_DTYPES, CheckpointError, TensorInfo, widen
from qanalysis.notation import shorten

MAPPED_NOTE = "Mapped: a read costs the tensor or the slice asked for, the rest stays on disk."
INFLATED_NOTE = "Compressed members are inflated whole, one at a time; saved with `numpy.savez` they would be mapped."

_MOST_HEADER = 10_000  # bytes, numpy's own limit
_PREFIX = 12  # bytes before the header of version 2: the magic, the version, a length
_BAND_VALUES = 1 << 24  # of a column-major tensor held at once, twice: 64 MB each
_KEYS = {"descr", "fortran_order", "shape"}
# numpy writes what it does not know by kind and size alone
_UNNAMED = {
    "<V2": ("bfloat16", "type '<V2' is read as bfloat16, as ml-dtypes writes it: numpy kept no name"),
    "|V2": ("bfloat16", "type '|V2' is read as bfloat16, as ml-dtypes writes it: numpy kept no name"),
    "<f1": ("float8_e5m2", "type '<f1' is read as float8_e5m2, which alone is written so"),
}
_ONE_BYTE = "one-byte type of unknown kind (float8 or int4): numpy kept no name"


@dataclass(frozen=True, slots=True)
class _Header:
    """`dtype` is how the values are read, `reason` why they are not, `note` what was assumed."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    length: int
    reason: str = ""
    note: str = ""

    @property
    def value_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class ColumnMajorValues:
    """Values that lie in Fortran order. A small tensor is read whole; of a large one bands of rows, which are columns
    in the file: each costs a walk over all of it, so that the last two are kept.
    """

    def __init__(self, values: StoredValues, shape: tuple[int, ...]) -> None:
        self._values, self._shape = values, shape
        self._length = math.prod(shape[1:])
        self._height = max(1, _BAND_VALUES // max(1, self._length))
        self._bands: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        self._turn = threading.Lock()

    @property
    def sliceable(self) -> bool:
        """Whether it is read in bands."""
        return self._values.count > _BAND_VALUES

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        if not self.sliceable:
            whole = self._values.read(0, self._values.count)
            return whole.reshape(self._shape[::-1]).T.reshape(-1)[start:stop]
        size = self._height * self._length
        parts = [
            self._read_band(number)[max(0, start - number * size) : stop - number * size]
            for number in range(start // size, -(-stop // size))
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.float32), *parts])

    def _read_band(self, number: int) -> NDArray[np.float32]:
        with self._turn:
            if number not in self._bands:
                first = number * self._height
                last = min(first + self._height, self._shape[0])
                stored = widen(self._values.read_columns(self._shape[0], first, last))
                self._bands[number] = stored.reshape(*self._shape[:0:-1], last - first).T.reshape(-1)
                while len(self._bands) > 2:
                    self._bands.popitem(last=False)
            return self._bands[number]


@dataclass(frozen=True, slots=True)
class InflatedValues:
    """A compressed member of an archive, its header before the values: any part costs the whole."""

    file: DataFile
    member: zipfile.ZipInfo
    header: _Header
    sliceable: bool = False

    @property
    def dtype(self) -> np.dtype:
        return self.header.dtype

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        return widen(self.read_raw(start, stop))

    def read_raw(self, start: int, stop: int) -> NDArray[Any]:
        inflated = inflate(self.file, self.member, self.member.file_size)
        count, shape = math.prod(self.header.shape), self.header.shape
        values = np.frombuffer(inflated, self.header.dtype, count, self.header.length)
        if self.header.fortran_order and len(shape) > 1:
            values = values.reshape(shape[::-1]).T.reshape(-1)
        return values[start:stop]

    def read_columns(self, width: int, first: int, last: int) -> NDArray[Any]:
        whole = self.read_raw(0, math.prod(self.header.shape))
        return whole.reshape(-1, width)[:, first:last]


def read_npy(file: DataFile, _folder: Folder) -> Content:
    """The one array of a .npy file, under the file's name without its suffix. Raises CheckpointError."""
    name = Path(file.name).stem
    place = f"{file.name}: array {shorten(name, 80)!r}"
    with refuse_broken(place):
        header = _parse_header(file.read_header(0, _PREFIX + _MOST_HEADER))
        _check_room(header, room=file.size)
    if header.dtype.hasobject or not header.dtype.itemsize:
        raise CheckpointError(f"{place}: {header.reason}")
    return Content([Entry(_describe(name, header), _map_values(file, 0, header))], [file], MAPPED_NOTE)


def read_npz(file: DataFile, _folder: Folder) -> Content:
    """The arrays of a .npz archive in its order; members that are no .npy are left out.

    A member that can not be read is an entry with its reason. Raises CheckpointError for an archive that is damaged.
    """
    with refuse_broken(file.name):
        archive = open_archive(file)
    members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
    note = MAPPED_NOTE if all(_is_stored(member) for member in members) else INFLATED_NOTE
    return Content([_read_member(file, member) for member in members], [file], note)


def _is_stored(member: zipfile.ZipInfo) -> bool:
    return member.compress_type == zipfile.ZIP_STORED


def _read_member(file: DataFile, member: zipfile.ZipInfo) -> Entry:
    name = member.filename.removesuffix(".npy")
    reason = refuse_method(member)
    try:
        if not reason:
            with refuse_broken("the member"):
                return _open_member(file, member, name)
    except CheckpointError as error:
        reason = str(error)
    return Entry(TensorInfo(name, (), "unknown", 0, decodes=False, reason=reason), NoValues())


def _open_member(file: DataFile, member: zipfile.ZipInfo, name: str) -> Entry:
    most = min(member.file_size, _PREFIX + _MOST_HEADER)
    if _is_stored(member):
        offset = find_data(file, member)
        header = _parse_header(file.read_header(offset, most))
        _check_room(header, room=min(member.file_size, member.compress_size))
        return Entry(_describe(name, header), _map_values(file, offset, header))
    header = _parse_header(inflate(file, member, most))
    _check_room(header, room=member.file_size)
    header = _limit(header, member)
    return Entry(_describe(name, header), NoValues() if header.reason else InflatedValues(file, member, header))


def _limit(header: _Header, member: zipfile.ZipInfo) -> _Header:
    """The header with a reason where its values would take too much memory, as stored or as float32."""
    most, needed = inflate_limit(), max(member.file_size, 4 * math.prod(header.shape))
    if header.reason or needed <= most:
        return header
    reason = (
        f"compressed, and {needed} bytes when inflated, more than the {most} that are; save it with `numpy.savez`, or "
        f"set {LIMIT_VARIABLE}"
    )
    return replace(header, reason=reason)


def _map_values(file: DataFile, offset: int, header: _Header) -> StoredValues | ColumnMajorValues | NoValues:
    if header.reason:
        return NoValues()
    values = StoredValues(file, offset + header.length, header.dtype, math.prod(header.shape))
    return ColumnMajorValues(values, header.shape) if header.fortran_order and len(header.shape) > 1 else values


def _parse_header(head: bytes | bytearray) -> _Header:
    if len(head) < _PREFIX or head[:6] != npy_format.MAGIC_PREFIX:
        raise ValueError("it does not begin as a .npy array")
    version = (head[6], head[7])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f".npy version {version} is not known, only 1.0, 2.0 and 3.0 are")
    form = "<H" if version == (1, 0) else "<I"
    start = 8 + struct.calcsize(form)
    size = struct.unpack_from(form, head, 8)[0]
    if size > min(_MOST_HEADER, len(head) - start):
        raise ValueError(f"its header claims {size} bytes, there are {min(_MOST_HEADER, len(head) - start)}")
    text = bytes(head[start : start + size]).decode("utf-8" if version == (3, 0) else "latin-1")
    said = _parse_literal(text.strip(" \n\0"))
    if not isinstance(said, dict) or said.keys() != _KEYS:
        raise ValueError(f"its header is none of {', '.join(sorted(_KEYS))}")
    shape, order = said["shape"], said["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(size) is int for size in shape) or not isinstance(order, bool):
        raise ValueError(f"its header has the shape {str(shape)[:80]} and the order {str(order)[:20]}")
    dtype, reason, note = _read_type(said["descr"])
    return _Header(shape, dtype, order, start + size, reason, note)


def _parse_literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # of nesting the parser says both
        raise ValueError("its header is no dictionary as Python writes one") from None


def _read_type(word: Any) -> tuple[np.dtype, str, str]:
    """How values of that type are read, why not, and what was assumed."""
    if isinstance(word, str) and word in _UNNAMED:
        name, note = _UNNAMED[word]
        return FLOAT_DTYPES[name], "", note
    if word in ("<V1", "|V1"):
        return np.dtype("V1"), _ONE_BYTE, ""
    try:
        dtype = npy_format.descr_to_dtype(word)
    except (TypeError, ValueError, SyntaxError):
        return np.dtype("V0"), f"numpy does not know the type {str(word)[:80]!r}; save it with a number dtype", ""
    if dtype.hasobject:
        return dtype, "Python objects, which may run code when read; save it with a number dtype", ""
    if dtype.names:
        fields = shorten(", ".join(map(str, dtype.names)), 80)
        return dtype, f"records with the fields {fields}; save each as an array of its own", ""
    return dtype, "", ""


def _check_room(header: _Header, *, room: int) -> None:
    needed = 0 if header.dtype.hasobject else header.value_bytes  # objects are pickled: of any length
    if min(header.shape, default=0) < 0 or header.length + needed > room:
        shape, left = str(header.shape)[:80], room - header.length
        raise ValueError(f"shape {shape} of {header.dtype} is {needed} bytes, the file holds {left}")


def _describe(name: str, header: _Header) -> TensorInfo:
    word = header.dtype.name
    decodes = word in FLOAT_DTYPES and not header.reason
    return TensorInfo(
        name, header.shape, word, header.value_bytes, decodes=decodes, reason=header.reason, note=header.note
    )
