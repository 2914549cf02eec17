"""How does ModelOpt store 4-bit weights? Pairs of FP4 codes with two levels of scales, or two rows of int4 in a byte.

NVFP4: y = F4[c] * (s * s2), the low nibble first, a scale s for 16 values and one number s2 for the matrix. INT4: byte
row i holds rows 2 i (low nibble) and 2 i + 1 in two's complement, y = q * s. Its fp8 layouts are those of `fp8`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qanalysis.checkpoints.packed.coded_rows import ByteCodes, CodedRows, StreamCodes
from qanalysis.checkpoints.packed.logical import join_parts, keep_packed, refuse_known
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, Stem
from qanalysis.checkpoints.packed.scale_grids import Matrices, fit_blocks
from qanalysis.checkpoints.packed.settings import list_blocks
from qanalysis.checkpoints.packed.small_floats import FP4
from qanalysis.kernels.unpacking import SmallCodes

_GROUP = 16
_SECOND = "weight_scale_2"
_BEFORE = "pre_quant_scale multiplies what the layer is given and is not part of the weight"
_LOW_RANK = "a low-rank part beside it (SVD) is not added"


@dataclass(frozen=True, slots=True)
class RowPairs:
    """Signed 4-bit codes of two rows in each byte, of `rows` rows in all."""

    part: Part
    columns: int

    def read(self, first: int, last: int) -> SmallCodes:
        base = first // 2
        packed = ByteCodes(self.part, self.columns).read(base, -(-last // 2)).view(np.int8)
        # Shifts of signed bytes keep the sign.
        pairs = np.stack([packed << 4, packed], axis=1) >> 4
        return pairs.reshape(-1, self.columns)[first - 2 * base : last - 2 * base]


def _read(stem: Stem) -> Packed | None:
    codes = _find_codes(stem)
    if codes is None:
        return None
    scale, second = stem.find("weight_scale"), stem.find(_SECOND)
    if second is not None:
        return _read_nvfp4(stem, codes, stem.need("weight_scale"), second)
    if scale is None or len(codes.shape) < 2:
        return None
    if scale.dtype == "float8_e4m3fn" and scale.shape[-1] * _GROUP == 2 * codes.shape[-1]:
        raise LayoutError(f"{_SECOND}, by which the fp8 scales of its groups are multiplied, is missing")
    if len(scale.shape) >= 2 and scale.shape[-2] == 2 * codes.shape[-2] and scale.dtype != "uint8":
        return _read_int4(stem, codes, scale)
    return None


def _find_codes(stem: Stem) -> Part | None:
    """The bytes of codes; those of stacked experts have no "weight" in their name."""
    name = f"{stem.stem}weight" if stem.anchor == "weight" else stem.stem.removesuffix("_")
    entry = stem.tensors.get(name)
    if entry is None or entry.info.dtype not in {"uint8", "float4_e2m1fn"}:
        return None
    return replace(stem, stem=name).find("")


def _read_nvfp4(stem: Stem, codes: Part, scale: Part, second: Part) -> Packed:
    name, parts = codes.info.name, (codes, scale, second)
    if scale.dtype == "uint8" and len(scale.shape) == 1:
        reason = refuse_known("NVFP4", "its scales are laid out for matrix units")
        return keep_packed(name, parts, stored="nvfp4", reason=reason)
    if scale.dtype != "float8_e4m3fn" or len(codes.shape) < 2 or second.dtype != "float32":
        raise LayoutError(f"scales of {scale.dtype} and {_SECOND} of {second.dtype} must be float8_e4m3fn and float32")
    width = codes.shape[-1] * (1 if codes.dtype == "float4_e2m1fn" else 2)
    shape = (*codes.shape[:-1], width)
    matrices = Matrices.of(shape)
    if second.info.numel not in {1, matrices.count}:
        raise LayoutError(f"{_SECOND} of shape {list(second.shape)} must hold 1 or {matrices.count} numbers")
    blocks = fit_blocks(matrices, scale, [(1, _GROUP)])
    grid = blocks.lay(scale, factors=second)
    values = CodedRows(StreamCodes(codes, 4, width), grid, blocks.length, table=FP4)
    stored = "nvfp4" if (blocks.height, blocks.length) == (1, _GROUP) else f"nvfp4 {blocks.word}"
    return join_parts(name, parts, values, shape=shape, stored=stored, note=_tell_beside(stem), stacked=len(shape) == 3)


def _read_int4(stem: Stem, codes: Part, scale: Part) -> Packed:
    shape = (*codes.shape[:-2], 2 * codes.shape[-2], codes.shape[-1])
    blocks = fit_blocks(Matrices.of(shape), scale, list_blocks(stem.evidence))
    values = CodedRows(RowPairs(codes, shape[-1]), blocks.lay(scale), blocks.length)
    return join_parts(
        codes.info.name,
        (codes, scale),
        values,
        shape=shape,
        stored=f"modelopt int4 {blocks.word}",
        note=_tell_beside(stem),
        stacked=len(shape) == 3,
    )


def _tell_beside(stem: Stem) -> str:
    """What lies beside the weight and changes what the layer does with it."""
    told = _BEFORE if stem.find("pre_quant_scale") or stem.find("input_quantizer._pre_quant_scale") else ""
    has_low_rank = stem.find("weight_quantizer._svdquant_lora_a") or stem.find("weight_quantizer.svdquant_lora_a")
    return "; ".join(filter(None, (told, _LOW_RANK if has_low_rank else "")))


LAYOUT = PackedLayout("modelopt", ("weight", _SECOND), _read)
