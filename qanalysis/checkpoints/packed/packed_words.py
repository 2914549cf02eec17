"""Which codes do words of 32 bits hold? Whole codes in each word, or a stream that runs down the rows of a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.coded_rows import as_bytes, read_rows
from qanalysis.checkpoints.packed.parts import Part
from qanalysis.kernels.unpacking import SmallCodes, unpack_bits

_WORD_BITS = 32


@dataclass(frozen=True, slots=True)
class PaddedCodes:
    """Codes of `bits` bits of which each word holds as many whole ones as it can, the lowest bits first."""

    part: Part
    bits: int
    columns: int

    def read(self, first: int, last: int) -> SmallCodes:
        return _split_padded(read_rows(self.part, first, last), self.bits, self.columns)


@dataclass(frozen=True, slots=True)
class ZeroRows:
    """Zero points packed down the rows of each matrix: (..., words, groups) for `rows` rows."""

    part: Part
    bits: int
    padded: bool
    rows: int
    words: int

    def read(self, first: int, last: int) -> Floats:
        found = []
        while first < last:
            matrix, row = divmod(first, self.rows)
            stop = min(self.rows, row + last - first)
            found.append(self._read_matrix(matrix, row, stop))
            first += stop - row
        return np.concatenate(found) if found else np.empty((0, self.part.shape[-1]), np.float32)

    def _read_matrix(self, matrix: int, first: int, last: int) -> Floats:
        per_word = _WORD_BITS // self.bits
        base = first // per_word * per_word if self.padded else first // _WORD_BITS * _WORD_BITS
        word = base // per_word if self.padded else base * self.bits // _WORD_BITS
        stop = -(-last // per_word) if self.padded else -(-last * self.bits // _WORD_BITS)
        offset = matrix * self.words
        words = read_rows(self.part, offset + word, offset + stop).T
        codes = (
            _split_padded(words, self.bits, last - base)
            if self.padded
            else unpack_bits(as_bytes(words), self.bits, last - base)
        )
        return np.ascontiguousarray(codes[:, first - base :].T).astype(np.float32)


def _split_padded(words: NDArray[Any], bits: int, count: int) -> NDArray[np.uint8]:
    """The first `count` codes of each row of words."""
    codes = unpack_bits(as_bytes(words).reshape(-1, 4), bits, _WORD_BITS // bits)
    return np.ascontiguousarray(codes.reshape(words.shape[0], -1)[:, :count])
