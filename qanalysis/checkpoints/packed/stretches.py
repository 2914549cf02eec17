"""How are stretches of packed codes read from disk? By bytes, whatever words they are stored as, and by slabs.

Slabs: a matrix of codes is cut along its first axis into as many slabs as a byte (or word) holds codes, and the slabs
lie on top of one another; flat byte j then holds elements j, j + length, j + 2 * length of the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.parts import Part
from qanalysis.checkpoints.source import widen

Bytes = NDArray[np.uint8]


def read_bytes(part: Part, first: int, last: int) -> Bytes:
    """Bytes first..last of a part, 1-D, whatever type its words have."""
    width = part.raw.dtype.itemsize
    base = first // width
    words = part.raw.read_raw(base, -(-last // width))
    return np.ascontiguousarray(words).view(np.uint8)[first - base * width : last - base * width]


def read_floats(part: Part, first: int, last: int) -> Floats:
    """Elements first..last of a part as float32, (last - first, 1): one per group."""
    return widen(part.raw.read_raw(first, last)).reshape(-1, 1)


@dataclass(frozen=True, slots=True)
class Slabs:
    """Codes of `bits` bits in slabs of `length` elements; slab i lies in the bits from `shifts[i]` on.

    The codes lie in `part`, as words of `dtype` whatever type they are stored as.
    """

    part: Part
    length: int
    bits: int
    shifts: tuple[int, ...]
    dtype: type[np.uint8 | np.int32] = np.uint8

    def read(self, start: int, stop: int) -> Bytes:
        """Codes start..stop of the flattened matrix, 1-D."""
        codes = np.empty(stop - start, np.uint8)
        mask = self.dtype((1 << self.bits) - 1)
        place = start
        while place < stop:
            slab = place // self.length
            end = min(stop, (slab + 1) * self.length)
            words = self._read_words(place - slab * self.length, end - slab * self.length)
            codes[place - start : end - start] = (words >> self.dtype(self.shifts[slab])) & mask
            place = end
        return codes

    def _read_words(self, first: int, last: int) -> NDArray[Any]:
        width = np.dtype(self.dtype).itemsize
        return read_bytes(self.part, first * width, last * width).view(self.dtype)
