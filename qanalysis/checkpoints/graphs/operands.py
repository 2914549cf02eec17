"""Do codes, scale and zero point of an operator fit together, and which block does each number of them hold for?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from qanalysis.checkpoints.entries import Values
from qanalysis.checkpoints.graphs.block_grids import AxisSplit, BlockGrid, GridValues
from qanalysis.checkpoints.graphs.constants import Constant
from qanalysis.checkpoints.packed.parts import LayoutError
from qanalysis.checkpoints.source import FLOAT_DTYPES

#: Element types that codes may have.
CODE_TYPES = frozenset(
    (
        *(f"{sign}int{bits}" for bits in (2, 4, 8, 16) for sign in ("", "u")),
        "int32",
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn"),
    )
)


#: The length of a block that no axis ends.
_WHOLE = 1 << 62


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand made of constants: its shape and element type, its numbers as float32, the constants it is made of."""

    shape: tuple[int, ...]
    dtype: str
    values: Values
    parts: tuple[Constant, ...] = ()

    @property
    def numel(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Codes with their scales: the numbers, and the words that tell how the scales lie ("channel", "group=32 asym")."""

    values: GridValues
    grouping: str


@dataclass(frozen=True, slots=True)
class Laid:
    """How one operand lies over the codes: in a split and of these sizes in it; None for a single number."""

    operand: Operand
    split: AxisSplit | None
    sizes: tuple[int, int, int]
    block: int

    @property
    def grouping(self) -> str:
        """How its numbers lie, in words."""
        if self.split is None:
            return "tensor"
        return "channel" if self.block == 1 else f"group={self.split.length}"

    def grid(self, split: AxisSplit) -> BlockGrid:
        """The grid of its numbers in a split, its own where it has one."""
        return split.lay(self.operand.values, self.sizes, self.block)


#: Lays an operand of that name over the codes.
Lay = Callable[[Operand, str], Laid]


def decode(
    codes: Operand, scale: Operand, zero: Operand | None, lay: Lay, *, grouping: str, default: float = 0.0
) -> Decoded:
    """Codes with their scale and zero point (`default` where there is none), which `lay` lays over them.

    LayoutError where scale and zero point run along different axes, and those of `lay`.
    """
    scales, zeros = lay(scale, "scale"), None if zero is None else lay(zero, "zero point")
    splits = [part.split for part in (scales, zeros) if part is not None and part.split is not None]
    if len(set(splits)) > 1:
        raise LayoutError("its scale and its zero point run along different axes")
    split = splits[0] if splits else AxisSplit(1, codes.numel, 1)
    asym = " asym" if zero is not None and zero.numel > 1 and zero.dtype.startswith("u") else ""
    grid = default if zeros is None else zeros.grid(split)
    return Decoded(GridValues(codes.values, split.columns, scales.grid(split), grid), grouping + asym)


def lay_single(operand: Operand) -> Laid:
    """One number for all codes."""
    return Laid(operand, None, (1, 1, 1), _WHOLE)


def lay_channels(operand: Operand, codes: Operand, axis: int, what: str) -> Laid:
    """One number for all codes, one for each place of an axis, or in the shape of the codes with one axis of 1.

    LayoutError for another number of them. `what` names the operand in it.
    """
    shape = codes.shape
    if operand.numel == 1:
        return lay_single(operand)
    if shape and operand.numel == shape[axis] and sum(size != 1 for size in operand.shape) == 1:
        return Laid(operand, AxisSplit.along(shape, axis), (1, shape[axis], 1), 1)
    reduced = [place for place, sizes in enumerate(zip(operand.shape, shape, strict=False)) if sizes[0] != sizes[1]]
    if len(operand.shape) == len(shape) and len(reduced) == 1 and operand.shape[reduced[0]] == 1:
        split = AxisSplit.along(shape, reduced[0])
        return Laid(operand, split, (split.outer, 1, split.inner), _WHOLE)
    wanted = f" or {shape[axis]}, the size of axis {axis}" if shape else ""
    raise LayoutError(f"its {what} has the shape {_show(operand.shape)}; it must hold 1 number{wanted}")


def lay_broadcast(operand: Operand, codes: Operand, what: str) -> Laid:
    """Numbers that arithmetic broadcasts over the codes: one, one for each place of an axis, or for all but one axis.

    LayoutError for those that lie otherwise.
    """
    rank = len(codes.shape)
    sizes = (1,) * (rank - len(operand.shape)) + operand.shape
    fits = len(sizes) == rank and all(size in {1, whole} for size, whole in zip(sizes, codes.shape, strict=True))
    kept = [axis for axis, size in enumerate(sizes) if size > 1]
    missing = [axis for axis, size in enumerate(sizes) if size != codes.shape[axis]] if fits else []
    if fits and operand.numel == 1:
        return lay_single(operand)
    if fits and len(kept) == 1:
        return Laid(operand, AxisSplit.along(codes.shape, kept[0]), (1, sizes[kept[0]], 1), 1)
    if fits and len(missing) == 1:
        split = AxisSplit.along(codes.shape, missing[0])
        return Laid(operand, split, (split.outer, 1, split.inner), _WHOLE)
    raise LayoutError(f"its {what} has the shape {_show(operand.shape)} over codes of {_show(codes.shape)}")


def lay_directions(operand: Operand, codes: Operand, what: str) -> Laid:
    """One number for each direction, or for each direction and place of the last axis, of codes of three axes.

    LayoutError for another shape.
    """
    shape = codes.shape
    if len(shape) != 3 or operand.shape not in {shape[:1], (shape[0], 1), (shape[0], shape[2])}:
        raise LayoutError(
            f"its {what} has the shape {_show(operand.shape)} and its codes {_show(shape)}; codes have 3 axes, and "
            "there is one number for each direction or for each gate of it"
        )
    split = AxisSplit.along(shape, 1)
    inner = shape[2] if operand.numel > shape[0] else 1
    return Laid(operand, split, (shape[0], 1, inner), _WHOLE)


def lay_blocks(operand: Operand, codes: Operand, axis: int, *, block: int, what: str, spreads: bool = False) -> Laid:
    """One number for each block of codes along an axis, the last block ragged; in the rank of the codes.

    With `spreads` the numbers may be the same for all places of the axes before, and of those behind: of size 1 there.
    LayoutError for another shape.
    """
    shape, found = codes.shape, operand.shape
    wanted = (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :])
    outer, inner = found[:axis], found[axis + 1 :]
    if spreads and len(found) == len(shape) and found[axis] == wanted[axis]:
        alike = [
            part if set(part) - {1} else whole for part, whole in ((outer, shape[:axis]), (inner, shape[axis + 1 :]))
        ]
        found = (*alike[0], wanted[axis], *alike[1])
    if found != wanted:
        raise LayoutError(
            f"its {what} has the shape {_show(operand.shape)}; blocks of {block} along axis {axis} of "
            f"{_show(shape)} need {_show(wanted)}"
        )
    split = AxisSplit.along(shape, axis)
    return Laid(operand, split, (math.prod(outer), wanted[axis], math.prod(inner)), block)


def _show(shape: tuple[int, ...]) -> str:
    return str(shape[:6])[:80] if len(shape) <= 6 else f"{str(shape[:6])[:70]}..."


def dequantize(codes: Operand, scale: Operand, zero: Operand | None, *, axis: int, block: int) -> Decoded:
    """What DequantizeLinear makes of its operands.

    `axis` may count from the end; `block` is 0 for a scale per tensor or per place of the axis. LayoutError where the
    operands do not fit.
    """
    check_types(codes, scale, zero)
    if block < 0:
        raise LayoutError(f"its block_size is {block}; blocks hold at least 1 value")
    rank = len(codes.shape)
    if zero is not None and (zero.numel != scale.numel or (block and zero.shape != scale.shape)):
        raise LayoutError(
            f"its zero point has the shape {_show(zero.shape)} and its scale {_show(scale.shape)}; they must be alike"
        )
    if not block and scale.numel == 1:
        return decode(codes, scale, zero, lambda part, _: lay_single(part), grouping="tensor")
    if not -rank <= axis < rank:
        raise LayoutError(
            f"its axis is {axis}; codes of the shape {_show(codes.shape)} have axes {-rank} to {rank - 1}"
        )
    place = axis % rank
    if block:
        return decode(
            codes,
            scale,
            zero,
            lambda part, what: lay_blocks(part, codes, place, block=block, what=what),
            grouping=f"group={block}",
        )
    if scale.shape != (codes.shape[place],):
        raise LayoutError(
            f"its scale has the shape {_show(scale.shape)}; without blocks it holds 1 number or "
            f"{codes.shape[place]}, the size of axis {axis}"
        )
    return decode(codes, scale, zero, lambda part, what: lay_channels(part, codes, place, what), grouping="channel")


def check_types(codes: Operand, scale: Operand, zero: Operand | None) -> None:
    """LayoutError for types that no runtime takes together."""
    if codes.dtype not in CODE_TYPES:
        raise LayoutError(f"its codes are {codes.dtype}; they must be integers of 2 to 32 bits, fp8 or fp4")
    if scale.dtype not in FLOAT_DTYPES:
        raise LayoutError(f"its scale is {scale.dtype}; a scale is a float")
    if zero is not None and zero.dtype != codes.dtype:
        raise LayoutError(f"its zero point is {zero.dtype} and its codes are {codes.dtype}; they must be alike")
