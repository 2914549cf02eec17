"""How are fp8 weights stored? A byte each, times a scale of the tensor, the row, a group of a row, or a block.

The scale multiplies, also where it is called `scale_inv`. Beside such layers a file may hold pairs of FP4 codes with
power-of-two scales in groups of 32 under the same names.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.coded_rows import ByteCodes, CodedRows, StreamCodes
from qanalysis.checkpoints.packed.logical import join_parts
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, Stem
from qanalysis.checkpoints.packed.scale_grids import Matrices, fit_blocks
from qanalysis.checkpoints.packed.settings import list_blocks
from qanalysis.checkpoints.packed.small_floats import FP4
from qanalysis.checkpoints.source import FLOAT_DTYPES, widen

_CODES = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
_PAIRS = ("int8", "uint8", "float4_e2m1fn")
_POWERS = ("uint8", "float8_e8m0fnu")
_ENDINGS = ("_scale_inv", "_scale", "_weight_scale")
_BESIDE = (".scale", ".scale_inv")  # of a layer whose codes are its "weight"
_GROUP = 32
_BARE = "fp8 without a scale in the file, though config.json says it is quantized: read as plain numbers"


def _read(stem: Stem) -> Packed | None:
    dtype = stem.tensors[stem.stem].info.dtype
    if dtype not in _CODES and dtype not in _PAIRS:
        return None
    codes, scale = stem.find(""), _find_scale(stem)
    if codes is None or "scale" in stem.stem.rpartition(".")[2]:
        return None
    if dtype in _CODES:
        return _note_bare(stem, codes) if scale is None else _read_bytes(stem, codes, scale)
    if scale is None or scale.dtype not in _POWERS or not _are_pairs(codes, scale):
        return None
    return _read_pairs(stem, codes, scale)


def _find_scale(stem: Stem) -> Part | None:
    names = [stem.stem + ending for ending in _ENDINGS]
    if stem.stem.endswith(".weight"):
        names += [stem.stem.removesuffix(".weight") + ending for ending in _BESIDE]
    return next((part for name in names if (part := replace(stem, stem=name).find(""))), None)


def _note_bare(stem: Stem, codes: Part) -> Packed | None:
    """The tensor itself, with a note where the file is said to be quantized; None where nothing says so."""
    if not stem.evidence.quantization:
        return None
    return Packed(replace(codes.info, note=_BARE), codes.raw, (codes.info.name,))


def _read_bytes(stem: Stem, codes: Part, scale: Part) -> Packed:
    blocks = fit_blocks(Matrices.of(codes.shape), scale, list_blocks(stem.evidence))
    is_mx = blocks.height == 1 and blocks.length == _GROUP and scale.dtype in _POWERS
    if scale.dtype == "uint8" and not is_mx:
        raise LayoutError(
            f"scales of uint8 and shape {list(scale.shape)} must be exponents of groups of {_GROUP} along the rows of "
            f"{list(codes.shape)}; laid out for matrix units they are not decoded"
        )
    kind = "" if codes.dtype == "float8_e4m3fn" else f" {codes.dtype.removeprefix('float8_')}"
    values = CodedRows(_as_rows(codes), blocks.lay(scale), blocks.length, table=_make_table(codes.dtype))
    stored = f"mxfp8{kind}" if is_mx else f"fp8{kind} {blocks.word}"
    return join_parts(
        stem.stem, (codes, scale), values, shape=codes.shape, stored=stored, stacked=len(codes.shape) == 3
    )


def _as_rows(codes: Part) -> ByteCodes:
    matrices = Matrices.of(codes.shape)
    return ByteCodes(codes, matrices.columns)


def _make_table(dtype: str) -> Floats:
    return widen(np.arange(256, dtype=np.uint8).view(FLOAT_DTYPES[dtype]))


def _are_pairs(codes: Part, scale: Part) -> bool:
    """Whether there is one scale for 32 values, two to a byte."""
    if len(codes.shape) < 2 or codes.shape[:-1] != scale.shape[:-1] or not codes.info.numel:
        return False
    values = codes.shape[-1] * (1 if codes.dtype == "float4_e2m1fn" else 2)
    return values == scale.shape[-1] * _GROUP


def _read_pairs(stem: Stem, codes: Part, scale: Part) -> Packed:
    shape = (*codes.shape[:-1], scale.shape[-1] * _GROUP)
    blocks = fit_blocks(Matrices.of(shape), scale, [(1, _GROUP)])
    values = CodedRows(StreamCodes(codes, 4, shape[-1]), blocks.lay(scale), _GROUP, table=FP4)
    return join_parts(stem.stem, (codes, scale), values, shape=shape, stored="mxfp4", stacked=len(shape) == 3)


LAYOUT = PackedLayout("fp8", ("",), _read)
