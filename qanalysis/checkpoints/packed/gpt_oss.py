"""How does gpt-oss store its experts? Pairs of E2M1 codes in blocks of 32 along a row, with a power of two per block.

y[e, r, 32 i + 2 j + h] = F4[nibble h of byte j] * 2^(scale - 127), the low nibble first. The packed file is (experts,
out, in); an unquantized file of the same model is (experts, in, out).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.logical import join_parts
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, RowValues, Stem
from qanalysis.checkpoints.packed.small_floats import FP4, POWERS
from qanalysis.checkpoints.packed.stretches import read_bytes
from qanalysis.kernels.unpacking import look_up_codes, unpack_bits

_BLOCK = 32


@dataclass(frozen=True, slots=True)
class BlockValues(RowValues):
    """Blocks of 32 values; they are the rows."""

    codes: Part
    scales: Part

    @property
    def columns(self) -> int:
        return _BLOCK

    def decode(self, first: int, last: int) -> Floats:
        packed = read_bytes(self.codes, first * _BLOCK // 2, last * _BLOCK // 2).reshape(-1, _BLOCK // 2)
        scales = POWERS[self.scales.raw.read_raw(first, last).view(np.uint8)].reshape(-1, 1)
        return look_up_codes(unpack_bits(packed, 4, _BLOCK), FP4, scales, _BLOCK)


def _read(stem: Stem) -> Packed | None:
    codes, scales = stem.find("_blocks"), stem.find("_scales")
    if codes is None or codes.dtype != "uint8" or len(codes.shape) < 3:
        return None
    scales = stem.need("_scales")
    if codes.shape[-1] != _BLOCK // 2 or scales.shape != codes.shape[:-1]:
        raise LayoutError(
            f"blocks of shape {list(codes.shape)} must end in {_BLOCK // 2} bytes, with scales of the shape before it; "
            f"the scales have {list(scales.shape)}"
        )
    if scales.dtype not in {"uint8", "float8_e8m0fnu"}:
        raise LayoutError(f"scales of {scales.dtype} must be uint8 exponents")
    shape = (*codes.shape[:-2], _BLOCK * codes.shape[-2])
    return join_parts(
        stem.stem,
        (codes, scales),
        BlockValues(codes, scales),
        shape=shape,
        stored="gpt-oss mxfp4",
        stacked=len(shape) == 3,
    )


LAYOUT = PackedLayout("gpt-oss mxfp4", ("_blocks",), _read)
