"""How does optimum-quanto store weights? int8 or float8 rows with a scale each, or 4 and 2 bits in slabs with shifts.

8 bits: y = d * scale. 4 and 2 bits: y = scale * c - shift (the shift is not multiplied), in groups that are rows of the
matrix of codes; slabs along the first axis, the first in the lowest bits. The layer's shape is not stored: the length
of its bias gives the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.logical import join_parts
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, RowValues, Stem
from qanalysis.checkpoints.packed.stretches import Slabs, read_floats
from qanalysis.checkpoints.source import FLOAT_DTYPES, widen
from qanalysis.kernels.unpacking import shift_codes

_BY_WORD = {"qint2": 2, "qint4": 4}


@dataclass(frozen=True, slots=True)
class ScaledRows(RowValues):
    """Numbers of one byte, with one scale or one per row."""

    numbers: Part
    scale: Part

    @property
    def columns(self) -> int:
        return math.prod(self.numbers.shape[1:])

    def decode(self, first: int, last: int) -> Floats:
        per_row = self.scale.info.numel > 1
        scale = read_floats(self.scale, *((first, last) if per_row else (0, 1)))
        values = widen(self.numbers.rows(first, last)).reshape(last - first, -1)
        with np.errstate(all="ignore"):  # scales may be infinite: the values then say so
            return np.multiply(values, scale)


@dataclass(frozen=True, slots=True)
class ShiftedGroups(RowValues):
    """Groups of codes, with a scale and a shift each."""

    codes: Slabs
    scale: Part
    shift: Part
    group: int

    @property
    def columns(self) -> int:
        return self.group

    def decode(self, first: int, last: int) -> Floats:
        codes = self.codes.read(first * self.group, last * self.group).reshape(-1, self.group)
        scales, shifts = read_floats(self.scale, first, last), read_floats(self.shift, first, last)
        return shift_codes(codes, scales, -shifts, self.group)


def _read_rows(stem: Stem) -> Packed | None:
    numbers = stem.find("._data")
    if numbers is None or numbers.dtype not in {"int8", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz"}:
        return None
    scale = stem.need("._scale")
    count = scale.info.numel
    scale.check_floats(count)
    per_row = len(numbers.shape) > 1 and count == numbers.shape[0] and scale.shape[0] == count
    if not numbers.info.numel or not (count == 1 or per_row):
        raise LayoutError(f"a scale of shape {list(scale.shape)} does not fit numbers of shape {list(numbers.shape)}")
    kind = "int8" if numbers.dtype == "int8" else "fp8"
    return join_parts(
        stem.stem,
        (numbers, scale),
        ScaledRows(numbers, scale),
        shape=numbers.shape,
        stored=f"quanto {kind} {'channel' if per_row and count > 1 else 'tensor'}",
    )


def _read_groups(stem: Stem) -> Packed | None:
    codes = stem.find("._data._data")
    if codes is None or codes.dtype != "uint8":
        return None
    scale, shift = stem.need("._scale"), stem.need("._shift")
    groups = scale.info.numel
    scale.check_floats(groups)
    if len(codes.shape) < 2 or not codes.info.numel or not scale.shape or scale.shape[0] != groups:
        raise LayoutError(
            f"a scale of shape {list(scale.shape)} is not one number for each row of groups, and codes have the shape "
            f"{list(codes.shape)}"
        )
    if shift.shape != scale.shape or shift.dtype not in FLOAT_DTYPES:
        raise LayoutError(
            f"a shift of {shift.dtype} and shape {list(shift.shape)} does not fit a scale of shape {list(scale.shape)}"
        )
    bits = _find_bits(stem, groups, codes)
    group = math.prod(codes.shape[1:])
    slabs = Slabs(codes, codes.info.numel, bits, tuple(range(0, 8, bits)))
    shape, note = _find_shape(stem, groups, codes.shape[1:])
    return join_parts(
        stem.stem,
        (codes, scale, shift),
        ShiftedGroups(slabs, scale, shift, group),
        shape=shape,
        stored=f"quanto int{bits} {'channel' if shape[0] == groups else f'group={group}'} asym",
        note=note,
    )


def _find_bits(stem: Stem, groups: int, codes: Part) -> int:
    fitting = [bits for bits in (4, 2) if -(-groups * bits // 8) == codes.shape[0]]
    if not fitting:
        raise LayoutError(f"codes of shape {list(codes.shape)} hold neither 4 nor 2 bits for {groups} rows of groups")
    told = stem.evidence.quantization.get(stem.stem.removesuffix(".weight"))
    word = _BY_WORD.get(str(told.get("weights")) if isinstance(told, dict) else "")
    return word if word in fitting else fitting[0]


def _find_shape(stem: Stem, groups: int, row: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """The layer's shape, and what was assumed of it."""
    bias = stem.tensors.get(f"{stem.stem.removesuffix('weight')}bias")
    outputs = math.prod(bias.info.shape) if bias and len(bias.info.shape) == 1 else 0
    if outputs == groups or len(row) > 1:
        return (groups, *row), ""
    if outputs and not groups % outputs:
        return (outputs, groups // outputs * row[0]), ""
    return (groups, row[0]), "the layer's shape is not stored and no bias tells it: each group is taken as a row"


ROWS = PackedLayout("quanto", ("._data",), _read_rows)
GROUPS = PackedLayout("quanto", ("._data._data",), _read_groups)
