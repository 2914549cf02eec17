"""How does HQQ store weights? Codes in slabs along the first axis of the matrix of groups, the first in the high bits.

y = (c - zero) * scale. Along axis 1 a group is a row of W.reshape(-1, g), along axis 0 a column of W.reshape(g, -1);
without groups it is a row or column of W. 3 bits lie ten to an int32 word, the first in bits 27 to 29.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.logical import join_parts, keep_packed, refuse_known
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, RowValues, Stem
from qanalysis.checkpoints.packed.stretches import Slabs, read_bytes, read_floats
from qanalysis.kernels.unpacking import scale_codes

#: Scalars and texts that are stored beside the codes.
_SETTINGS = (
    *(".nbits", ".group_size", ".axis", ".shape", ".packing", ".unpack_view_dtype", ".compute_dtype"),
    *(".view_as_float", ".quant_scale", ".quant_zero", ".offload_meta", ".encoded_state_dict"),
    *(".stores_quant_config", ".channel_wise", ".optimize", ".round_zero"),
)
_LARGEST_BITS = 8  # 5, 6 and 7 bits take a byte each


@dataclass(frozen=True, slots=True)
class GroupRows(RowValues):
    """Groups that are rows of the grouped matrix (axis 1)."""

    codes: Slabs
    scale: Part
    zero: Part
    group: int

    @property
    def columns(self) -> int:
        return self.group

    def decode(self, first: int, last: int) -> Floats:
        codes = self.codes.read(first * self.group, last * self.group).reshape(-1, self.group)
        return scale_codes(codes, read_floats(self.zero, first, last), read_floats(self.scale, first, last), self.group)


@dataclass(frozen=True, slots=True)
class GroupColumns:
    """Groups that are columns of the grouped matrix (axis 0), `width` of them."""

    codes: Slabs
    scale: Part
    zero: Part
    width: int
    sliceable: bool = True

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop in C order, 1-D."""
        codes, values = self.codes.read(start, stop), np.empty(max(0, stop - start), np.float32)
        place = start
        while place < stop:
            column = place % self.width
            end = min(stop, place - column + self.width)
            part = slice(place - start, end - start)
            spread = slice(column, column + end - place)
            values[part] = codes[part]
            with np.errstate(all="ignore"):  # scales may be infinite: the values then say so
                values[part] -= read_floats(self.zero, spread.start, spread.stop).ravel()
                values[part] *= read_floats(self.scale, spread.start, spread.stop).ravel()
            place = end
        return values


def _read(stem: Stem) -> Packed | None:
    codes = stem.find(".W_q")
    if codes is None:
        return None
    settings = tuple(stem.find(ending) for ending in _SETTINGS)
    parts = (codes, stem.find(".scale"), stem.find(".zero"), *settings)
    name = f"{stem.stem}.weight"
    if why := _find_obstacle(stem):
        return keep_packed(name, parts, stored="hqq", reason=refuse_known("HQQ", why))
    bits, axis = _read_number(stem, ".nbits"), _read_number(stem, ".axis")
    shape = _read_shape(stem)
    rows, columns = _find_sizes(shape, _read_number(stem, ".group_size"), axis)
    if not 1 <= bits <= _LARGEST_BITS or not rows * columns:
        raise LayoutError(f"{bits} bits and a matrix of groups of {rows} by {columns}; bits are 1 to 8")
    slabs = _lay_slabs(codes, bits, rows, columns)
    scale, zero = stem.need(".scale"), stem.need(".zero")
    groups = rows if axis else columns
    for part in (scale, zero):
        part.check_floats(groups)
    values = GroupRows(slabs, scale, zero, columns) if axis else GroupColumns(slabs, scale, zero, columns)
    stored = f"hqq int{bits} group={columns}" if axis else f"hqq int{bits} group={rows} axis=0"
    return join_parts(name, parts, values, shape=shape, stored=stored)


def _find_obstacle(stem: Stem) -> str:
    """Why this layer can not be decoded although it is what it seems; empty where it can."""
    if stem.find(".scale_q") or stem.find(".meta_scale") or stem.find(".zero_q"):
        return "its scales are quantized once more"
    if any(
        (part := stem.find(key)) and part.info.numel == 1 and read_bytes(part, 0, part.info.size_bytes).any()
        for key in (".quant_scale", ".quant_zero")
    ):
        return "its scales are quantized once more"
    if not all(stem.find(key) for key in (".nbits", ".axis", ".shape", ".group_size")):
        return "its bits and shape are not stored as tensors"
    return ""


def _read_number(stem: Stem, ending: str) -> int:
    part = stem.need(ending)
    if part.info.numel != 1 or not part.dtype.startswith(("int", "uint")):
        raise LayoutError(f"{part} must be one integer")
    return int(part.whole().ravel()[0])


def _read_shape(stem: Stem) -> tuple[int, ...]:
    part = stem.need(".shape")
    if not 1 <= part.info.numel <= 8 or not part.dtype.startswith(("int", "uint")):
        raise LayoutError(f"{part} must be 1 to 8 sizes")
    return tuple(int(size) for size in part.whole().ravel())


def _find_sizes(shape: tuple[int, ...], group: int, axis: int) -> tuple[int, int]:
    """Rows and columns of the matrix of groups."""
    numel = math.prod(shape)
    if axis not in {0, 1} or min(shape) < 1 or group < 1 or numel % group:
        raise LayoutError(
            f"the shape {list(shape)} can not be cut into groups of {group} along axis {axis}; the axis is 0 or 1"
        )
    return (numel // group, group) if axis else (group, numel // group)


def _lay_slabs(codes: Part, bits: int, rows: int, columns: int) -> Slabs:
    per_word = 10 if bits == 3 else 8 // bits
    dtype: type[np.uint8 | np.int32] = np.int32 if bits == 3 else np.uint8
    slab_rows = -(-rows // per_word)
    wanted = slab_rows * columns * np.dtype(dtype).itemsize
    if codes.info.size_bytes != wanted or (bits != 3 and rows % per_word):
        raise LayoutError(
            f"{rows} by {columns} codes of {bits} bits need {wanted} bytes in {per_word} equal slabs, and W_q of shape "
            f"{list(codes.shape)} has {codes.info.size_bytes}"
        )
    shifts = tuple(bits * (per_word - 1 - slab) for slab in range(per_word))
    return Slabs(codes, slab_rows * columns, bits, shifts, dtype)


LAYOUT = PackedLayout("hqq", (".W_q",), _read)
