"""Where does a tensor work, and on what? Each product that a model makes with it, as operations see it.

Operations tell more than the types of modules: tied weights, weights outside their own module, parts of a fused weight
and single experts of a stack are all found by the memory that a factor lies in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qanalysis.checkpoints.source import TensorInfo


@dataclass(frozen=True, slots=True)
class Use:
    """A part of a tensor that rows of an input are multiplied with, or whose rows are looked up.

    `offset` and strides count elements of the tensor's own memory. `rows` are the sizes of the axes along which outputs
    lie, `columns` those of the axes that are summed over.
    """

    tensor: str
    offset: int
    rows: tuple[int, ...]
    row_strides: tuple[int, ...]
    columns: tuple[int, ...]
    column_strides: tuple[int, ...]
    is_lookup: bool = False

    @property
    def width(self) -> int:
        """How many features the input has."""
        return math.prod(self.columns)

    @property
    def outputs(self) -> int:
        """How many outputs a row of the input gives."""
        return math.prod(self.rows)

    def take(self, memory: Tensor) -> Tensor:
        """Its matrix (outputs, width) of the tensor's elements in the order of memory; a copy where it must be."""
        sizes, strides = (*self.rows, *self.columns), (*self.row_strides, *self.column_strides)
        return memory.as_strided(sizes, strides, self.offset).reshape(self.outputs, self.width)


def make_use(name: str, offset: int, part: Tensor, *, is_lookup: bool = False) -> Use:
    """The use of a factor whose first axis holds the outputs and whose other ones are summed over."""
    return Use(name, offset, part.shape[:1], part.stride()[:1], part.shape[1:], part.stride()[1:], is_lookup)


def make_whole_use(info: TensorInfo, like: Tensor | None = None) -> Use:
    """The use of a whole tensor as the matrix of its view, as `like` lies in memory or in C order; ValueError where the
    view does not fit.
    """
    view = info.view.settle(info.shape)
    part = torch.empty(info.shape, device="meta") if like is None else like
    try:
        part = part.view(view.fold) if view.fold else part
    except RuntimeError:
        raise ValueError(f"its memory does not lie so that it can be seen as {view}") from None
    strides, rest = part.stride(), [axis for axis in range(part.ndim) if axis not in view.rows]
    return Use(
        info.name,
        0,
        tuple(part.shape[axis] for axis in view.rows),
        tuple(strides[axis] for axis in view.rows),
        tuple(part.shape[axis] for axis in rest),
        tuple(strides[axis] for axis in rest),
    )


def cut_use(use: Use, parts: int) -> list[Use]:
    """The matrices of a stack, one after another along the outputs; ValueError where there are not so many."""
    if parts == 1:
        return [use]
    if not use.rows or use.rows[0] % parts:
        raise ValueError(f"its {use.outputs} outputs are not those of {parts} matrices")
    size, stride = use.rows[0] // parts, use.row_strides[0]
    rows = ((size,) if size > 1 or len(use.rows) == 1 else ()) + use.rows[1:]
    strides = (stride,) * (len(rows) - len(use.rows) + 1) + use.row_strides[1:]
    return [
        replace(use, offset=use.offset + number * size * stride, rows=rows, row_strides=strides)
        for number in range(parts)
    ]


def lay_out(values: Tensor, like: Tensor) -> Tensor:
    """Values of a tensor's shape as one axis, in the order in which `like` lies in memory; ValueError where several of
    its elements share a place.
    """
    if like.is_contiguous():
        return values.reshape(-1)
    extent = measure_extent(like)
    if like.numel() > extent:
        raise ValueError("several of its elements share a place in memory")
    laid = torch.zeros(extent, dtype=values.dtype)
    laid.as_strided(like.shape, like.stride()).copy_(values)
    return laid


def measure_extent(tensor: Tensor) -> int:
    """How many elements of memory lie from its first to its last element."""
    if not tensor.numel():
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
