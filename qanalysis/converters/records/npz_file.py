"""What is in a .npz file? One of its arrays, and the rate that a scalar beside it tells.

A zip archive says itself how large its members become, and may lie: they are inflated in pieces, up to a limit.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.records.array_axes import take_named
from qanalysis.converters.records.array_file import (
    count_elements,
    read_npy_header,
    refuse_broken,
    refuse_dtype,
)
from qanalysis.converters.records.foreign_files import name_archive, name_foreign
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import MAX_SAMPLES, RecordError, Samples, name_some
from qanalysis.notation import quote, shorten

#: Sets how many MiB a compressed array may become.
LIMIT_VARIABLE = "QANALYSIS_INFLATE_LIMIT_MIB"
INFLATE_LIMIT_MIB = 256
DIRECTORY_LIMIT_BYTES = 1 << 22
_PIECE = 1 << 20
_SCALAR_BYTES = 144  # of one number, its header counted
_END, _END_BYTES, _MOST_COMMENT = b"PK\x05\x06", 22, 1 << 16


def inflate_limit() -> int:
    """The most bytes that one compressed array may become: 256 MiB, or what QANALYSIS_INFLATE_LIMIT_MIB says."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    return (int(text) if text.isdecimal() and len(text) < 10 else INFLATE_LIMIT_MIB) << 20


def read_npz(path: Path, reading: Reading) -> Samples:
    """One array of a .npz archive, by its name or its number from 1; the largest unless asked.

    A scalar named `fs` (or fs_hz, sample_rate, rate) gives the rate where it is above 0, one named `dt` the step, an
    array of times named so the rate too. A compressed array becomes at most 256 MiB, or what
    QANALYSIS_INFLATE_LIMIT_MIB says. Raises RecordError for a damaged archive, one of another kind, which is named, an
    array that is not there or too large, and as `take_named` does.
    """
    place = path.name
    with refuse_broken(f"{place} is no whole .npz archive of plain arrays", "save it again with `numpy.savez`"):
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
            members = {one.filename.removesuffix(".npy"): one for one in listed if one.filename.endswith(".npy")}
            if not members:
                _refuse_archive([member.filename for member in listed], place)
            sizes = {name: member.file_size for name, member in members.items()}

            def read(name: str) -> NDArray[Any]:
                return _read_member(archive, members[name], f"{place}: array {quote(name)}")

            return take_named(sizes, reading, place, read, least=_SCALAR_BYTES)


def _check_directory(path: Path) -> None:
    """Raise RecordError for an archive without a directory at its end, or with one beyond the limit."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _MOST_COMMENT - _END_BYTES))
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0:
        known = name_foreign(path, b"")
        kind, way_out = known or ("a zip archive", "save it again with `numpy.savez`")
        fault = "no whole .npz archive" if known is None else f"{kind}, cut short"
        raise RecordError(f"{path.name} is {fault}: it has no directory at its end; {way_out}")
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    if directory > DIRECTORY_LIMIT_BYTES:
        raise RecordError(
            f"{path.name} claims a directory of {directory} bytes, at most {DIRECTORY_LIMIT_BYTES} are read; save the "
            "array alone with `numpy.save`"
        )


def _refuse_archive(names: list[str], place: str) -> None:
    """Raise RecordError for an archive without arrays: what it is, where its members tell, and what to do."""
    known = name_archive(names)
    if known is not None:
        raise RecordError(f"{place} is {known[0]}, which is not read; {known[1]}")
    held = f"; it holds {name_some([shorten(name, 80) for name in names], 3)}" if names else ""
    raise RecordError(f"{place} is a zip archive that holds no arrays{held}: unpack it, or save one with `numpy.savez`")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> NDArray[Any]:
    """One array of an archive. Raises RecordError for one that is too large, and whatever damage raises."""
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        # one block of bzip2 or LZMA may hold a gigabyte, whatever is asked of it
        raise RecordError(
            f"{place} is packed by method {member.compress_type}, which is not read; save it with `numpy.savez`"
        )
    stored = member.compress_type == zipfile.ZIP_STORED
    limit = MAX_SAMPLES * 16 if stored else inflate_limit()
    if member.file_size > limit:
        way_out = "cut out the part that matters" if stored else "save it with `numpy.savez`, which does not compress"
        raise RecordError(f"{place} has {member.file_size} bytes, at most {limit} are read; {way_out}")
    data = bytearray()
    with archive.open(member) as packed:
        while piece := packed.read(_PIECE):
            data += piece
    stream = io.BytesIO(data)
    shape, turned, dtype = read_npy_header(stream, place)
    refuse_dtype(dtype, place)
    count = count_elements(shape, place)
    if count * dtype.itemsize > len(data) - stream.tell():
        raise RecordError(f"{place} is cut short; save it again with `numpy.savez`")
    found = np.frombuffer(data, dtype, count, stream.tell())
    return found.reshape(shape, order="F" if turned else "C")
