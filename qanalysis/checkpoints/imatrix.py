"""What does an importance matrix of llama.cpp say? Mean squares of the inputs of each weight over a calibration run."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.checkpoints.data_file import DataFile
from qanalysis.checkpoints.entries import Content
from qanalysis.checkpoints.header_text import MOST_TENSORS
from qanalysis.checkpoints.mapped_file import MappedFile
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.notation import quote, shorten

_SUMS, _COUNTS = ".in_sum2", ".counts"
_WAY_OUT = "give a file that llama-imatrix wrote, whole and unchanged"


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """Of one weight: `squares` (matrices, width) are the mean squares of each input feature, one row for each expert of
    a stack and one for any other weight; `counts` (matrices,) how many inputs went into each, 0 for no data.

    A legacy file does not say how many experts there are: it has one row, all of them one after another.
    """

    squares: Doubles
    counts: Doubles

    def split(self, width: int) -> Importance:
        """The same as rows of so many features; ValueError where they do not fit.

        In a legacy file an expert that met no inputs has ones throughout.
        """
        total = self.squares.size
        if self.squares.shape[1] == width:
            return self
        if len(self.squares) > 1 or not width or total % width:
            raise ValueError(f"it holds {self.squares.shape[1]} features and the tensor's rows have {width}")
        rows = self.squares.reshape(-1, width)
        return Importance(rows, np.where((rows == 1).all(axis=1), 0.0, self.counts[0]))


@dataclass(frozen=True, slots=True, eq=False)
class Imatrix:
    """Importances by the weights' names in the file, `name`; in how many chunks of how many tokens they were taken, 0
    where it does not say.
    """

    entries: Mapping[str, Importance]
    name: str = "an imatrix"
    chunks: int = 0
    chunk_size: int = 0


def read_imatrix(path: Path) -> Imatrix:
    """The importance matrix in a file, of GGUF or of the older .dat format, whatever its name ends in.

    Raises CheckpointError, one line, for a missing, damaged or other file.
    """
    with closing(MappedFile(path)) as file:
        if file.read_header(0, 4) == b"GGUF":
            return _read_gguf(file)
        return _read_legacy(file)


def write_imatrix(path: Path, imatrix: Imatrix, *, datasets: tuple[str, ...] = ()) -> None:
    """Write importances as a GGUF file that llama-quantize reads; names are written as they are."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "")
    writer.kv_data[0].clear()  # an architecture, which an importance matrix has not
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", list(datasets))
    writer.add_uint32("imatrix.chunk_count", imatrix.chunks)
    writer.add_uint32("imatrix.chunk_size", imatrix.chunk_size)
    for name, one in imatrix.entries.items():
        writer.add_tensor(f"{name}{_SUMS}", (one.squares * one.counts[:, None]).astype(np.float32))
        writer.add_tensor(f"{name}{_COUNTS}", one.counts[:, None].astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _read_gguf(file: DataFile) -> Imatrix:
    from qanalysis.checkpoints.gguf_file import CHUNK_SIZE, CHUNKS, read_gguf_statistics

    content = read_gguf_statistics(file)
    sums, counts = _read_parts(content, _SUMS, file), _read_parts(content, _COUNTS, file)
    found = {
        name: _divide(one, counts.get(name), f"{shorten(file.name, 80)}: {quote(name)}") for name, one in sums.items()
    }
    if not found:
        raise CheckpointError(f"{shorten(file.name, 80)} is an importance matrix without sums; {_WAY_OUT}")
    told = [content.metadata.get(key, "") for key in (CHUNKS, CHUNK_SIZE)]
    chunks, size = (int(text) if text.isdecimal() else 0 for text in told)
    return Imatrix(found, file.name, chunks, size)


def _read_parts(content: Content, suffix: str, file: DataFile) -> dict[str, Doubles]:
    """The tensors with a suffix, (matrices, width), by name; other suffixes are passed over."""
    found = dict[str, Doubles]()
    for entry in content.entries:
        name, shape = entry.info.name, entry.info.shape
        if not name.endswith(suffix):
            continue
        if not entry.info.decodes or not 1 <= len(shape) <= 2 or not entry.info.numel:
            raise CheckpointError(
                f"{shorten(file.name, 80)}: {quote(name)} holds {entry.info.dtype} of shape "
                f"{quote(entry.info.shape_text)}, an importance matrix real numbers on one or two axes; {_WAY_OUT}"
            )
        values = _widen(entry.values.read(0, entry.info.numel))
        found[name.removesuffix(suffix)] = values.reshape((1, *shape) if len(shape) == 1 else shape)
    return found


def _widen(values: Floats) -> Doubles:
    with np.errstate(invalid="ignore"):  # NaN of the kind that signals, which is refused later on
        return values.astype(np.float64)


def _divide(sums: Doubles, counts: Doubles | None, place: str) -> Importance:
    """The mean squares of a weight's inputs."""
    if counts is None:
        raise CheckpointError(f"{place} has sums without counts; {_WAY_OUT}")
    if counts.size != len(sums):
        raise CheckpointError(f"{place} has {counts.size} counts for {len(sums)} matrices; {_WAY_OUT}")
    flat = counts.reshape(-1)
    _check(sums, place)
    _check(flat, place)
    return Importance(sums / np.maximum(flat, 1e-30)[:, None] * (flat > 0)[:, None], flat)


def _check(values: Doubles, place: str) -> None:
    if not (np.isfinite(values) & (values >= 0)).all():
        raise CheckpointError(f"{place} holds sums or counts that are negative or not finite; {_WAY_OUT}")


class _Legacy:
    """Reads an older file forwards and refuses what would lie behind its end."""

    def __init__(self, file: DataFile) -> None:
        self.file, self.offset = file, 0

    def take_count(self, most: int, what: str) -> int:
        raw = self.file.read_header(self.offset, 4)
        value = struct.unpack("<i", raw)[0] if len(raw) == 4 else -1
        if not 0 <= value <= most:
            self.refuse(what)
        self.offset += 4
        return int(value)

    def take_text(self, length: int) -> str:
        raw = self.file.read_header(self.offset, length)
        text = raw.decode("utf-8", "replace")
        if len(raw) < length or "\ufffd" in text or not text.isprintable():
            self.refuse("a name")
        self.offset += length
        return text

    def take_values(self, count: int) -> Doubles:
        values = _widen(self.file.read_floats(self.offset, dtype=np.dtype("<f4"), count=count))
        self.offset += 4 * count
        return values

    def refuse(self, what: str) -> None:
        raise CheckpointError(
            f"{shorten(self.file.name, 80)} is no importance matrix, neither of GGUF nor of the older format, or is "
            f"damaged: {what} at byte {self.offset} makes no sense; {_WAY_OUT}"
        )


_LONGEST_NAME = 1 << 12


def _read_legacy(file: DataFile) -> Imatrix:
    cursor, found = _Legacy(file), dict[str, Importance]()
    for _ in range(cursor.take_count(min(MOST_TENSORS, file.size // 16), "the number of entries")):
        name = cursor.take_text(cursor.take_count(_LONGEST_NAME, "the length of a name"))
        calls = cursor.take_count((1 << 31) - 1, "a number of calls")
        count = cursor.take_count((file.size - cursor.offset) // 4 - 1, "a number of values")
        if not count:
            cursor.refuse("a number of values")
        values = cursor.take_values(count)
        _check(values, f"{shorten(file.name, 80)}: {quote(name)}")
        found[name] = Importance(values[None] / max(calls, 1), np.array([float(max(calls, 1))]))
    if not found:
        cursor.refuse("the number of entries")
    left = file.size - cursor.offset
    chunks = cursor.take_count((1 << 31) - 1, "the number of chunks") if left >= 4 else 0
    return Imatrix(found, file.name, chunks)
