"""What do all checkpoint files have in common once their header is read?

A reader turns a header into entries. What holds for every format stands here: the laws of names and shapes, reading by
name, hashing, closing, and the one kind of error that leaves.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile
from qanalysis.checkpoints.entries import Entry, Values, read_float_columns
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN
from qanalysis.checkpoints.source import CheckpointError, TensorInfo, TensorSource
from qanalysis.notation import escape, shorten

_MAX_RANK = 64  # numpy's own limit
_MAX_BYTES = 2**63 - 1


class FileSource(TensorSource):
    """Tensors of one or several files, in the order of the header.

    Raises CheckpointError for names that occur twice or can not be printed and for shapes that no array can have.
    """

    def __init__(
        self,
        name: str,
        entries: Sequence[Entry],
        *,
        files: Sequence[DataFile],
        memory_note: str,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.memory_note = memory_note
        self.notes = notes
        self._files = tuple(files)
        self.size_bytes = sum(file.size for file in self._files)
        self._tensors = tuple(_on_one_line(entry.info) for entry in entries)
        self._values: dict[str, Values] = {}
        for info, values, _settled in entries:
            _check_info(info, name)
            if info.name in self._values:
                raise CheckpointError(
                    f"{name}: the tensor name {shorten(info.name, 80)!r} occurs twice; names must be unique, so save "
                    "the model again"
                )
            self._values[info.name] = values

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return self._tensors

    def read(self, info: TensorInfo) -> NDArray[np.float32]:
        return self.read_slice(info, 0, info.numel).reshape(info.shape)

    def read_slice(self, info: TensorInfo, start: int, stop: int) -> NDArray[np.float32]:
        place = self._name_tensor(info)
        if info.name not in self._values:
            raise CheckpointError(
                f"{place} is not in the file; it holds {len(self._tensors)} tensors, which `qanalysis show` lists"
            )
        if not info.decodes:
            fault = f"holds {info.dtype}, which is not read as real numbers; only floating-point tensors are measured"
            raise CheckpointError(f"{place}: {info.reason}" if info.reason else f"{place} {fault}")
        with refuse_broken(place):
            return self._values[info.name].read(*slice(start, stop).indices(info.numel)[:2])

    def _name_tensor(self, info: TensorInfo) -> str:
        return f"{shorten(self.name, 80)}: tensor {shorten(info.name, 80)!r}"

    def read_columns(
        self, info: TensorInfo, start: int, stop: int, *, width: int, first: int, last: int
    ) -> NDArray[np.float32]:
        values = self._values.get(info.name)
        if values is None or not info.decodes:
            return super().read_columns(info, start, stop, width=width, first=first, last=last)
        with refuse_broken(self._name_tensor(info)):
            return read_float_columns(values, start, stop, width=width, first=first, last=last)

    def is_sliceable(self, info: TensorInfo) -> bool:
        return info.decodes and self._values[info.name].sliceable

    def _hash_content(self) -> hashlib._Hash:
        digest = hashlib.sha256()
        with refuse_broken(self.name):
            for file in self._files:
                file.hash_into(digest)
        return digest

    def close(self) -> None:
        for file in self._files:
            file.close()


def _on_one_line(info: TensorInfo) -> TensorInfo:
    """The same with what is told of it on one line, whatever words of the file it repeats; names stay as they are."""
    if (info.dtype + info.stored + info.reason + info.note).isprintable():
        return info
    return replace(
        info,
        dtype=escape(info.dtype),
        stored=escape(info.stored),
        reason=escape(info.reason),
        note=escape(info.note),
    )


def _check_info(info: TensorInfo, place: str) -> None:
    try:
        info.name.encode()
    except (UnicodeEncodeError, AttributeError):  # protobuf hands over a name that is not UTF-8 as bytes
        raise CheckpointError(
            f"{place}: the tensor name {ascii(info.name)[:80]} is not valid Unicode; save the model again with plain "
            "names"
        ) from None
    too_large = math.prod(size or 1 for size in info.shape) * 8 > _MAX_BYTES
    if len(info.shape) > _MAX_RANK or too_large or min(info.shape, default=0) < 0:
        shape = f"({', '.join(map(str, info.shape[:4]))}{', ...' if len(info.shape) > 4 else ''})"
        raise CheckpointError(
            f"{place}: tensor {shorten(info.name, 80)!r} claims the shape {shape[:80]}, which no array can have; "
            f"{SAVE_AGAIN}"
        )


#: What errors without a useful text mean of a file.
_PLAIN_REASONS: dict[type[Exception], str] = {
    RecursionError: "it is nested too deep",
    MemoryError: "it claims more memory than there is",
}


@contextmanager
def refuse_broken(place: str, way_out: str = SAVE_AGAIN) -> Iterator[None]:
    """Let whatever a parser raises over damaged bytes leave as one CheckpointError that names the place."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # parsers of other people's bytes raise anything: struct, zip, pickle, protobuf, memory
        reason = _PLAIN_REASONS.get(type(error)) or " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{place} can not be read: {reason}; {way_out}") from error
