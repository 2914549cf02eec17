"""What are the numbers of an operand that nodes compute from constants alone?

Scales may be cast, reshaped, multiplied with one another, or dequantized themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.entries import Values
from qanalysis.checkpoints.graphs.constants import Constant
from qanalysis.checkpoints.graphs.elements import find_element
from qanalysis.checkpoints.graphs.operands import Operand, dequantize
from qanalysis.checkpoints.graphs.scopes import Node
from qanalysis.checkpoints.graphs.values import SparseValues
from qanalysis.checkpoints.packed.parts import LayoutError, NoValues
from qanalysis.checkpoints.source import FLOAT_DTYPES, widen

#: Nodes one behind another that are followed: each may have two computed operands.
_MAX_DEPTH = 6


#: What an operation computes from its first operand, given how deep it lies; None where that is not known here.
Step = Callable[[Node, int], Operand | None]


def find_computed(node: Node, index: int, depth: int = 0) -> Operand | None:
    """An operand of a node; None where it is left out, depends on the model's input, or can not be read."""
    constant = node.constant(index)
    if constant is not None:
        return _take(constant)
    producer = node.producer(index)
    step = _STEPS.get(producer.op) if producer is not None else None
    if producer is None or step is None or depth >= _MAX_DEPTH:
        return None
    try:
        return step(producer, depth + 1)
    except LayoutError:
        return None


def has_input(node: Node, index: int) -> bool:
    """Whether an input of a node is given."""
    return index < len(node.inputs) and bool(node.inputs[index])


def read_integer(node: Node, name: str, default: int | None = None) -> int:
    """An attribute that is an integer. LayoutError where it is missing without a default, or of another kind."""
    try:
        found = node.attribute(name, default)
    except ValueError as error:
        raise LayoutError(f"its attribute {name} can not be read: {str(error)[:80]}") from error
    if not isinstance(found, int):
        raise LayoutError(
            f"its attribute {name} is {'missing' if found is None else repr(found)[:40]}; it must be an integer"
        )
    return found


def need_operand(node: Node, index: int, what: str) -> Operand:
    """An operand that constants make. LayoutError where it is left out or depends on the model's input."""
    found, constant = find_computed(node, index), node.constant(index)
    if found is None and constant is not None:
        raise LayoutError(
            f"its {what} can not be read: {constant.info.reason or f'a sparse tensor of {constant.dtype}'}"
        )
    if found is None:
        raise LayoutError(f"its {what} is {'not a constant' if has_input(node, index) else 'missing'}")
    return found


def find_operand(node: Node, index: int, what: str) -> Operand | None:
    """The same, None where it is left out."""
    return need_operand(node, index, what) if has_input(node, index) else None


def _take(constant: Constant) -> Operand | None:
    if isinstance(constant.values, (NoValues, SparseValues)):
        return None
    return Operand(constant.shape, constant.dtype, constant.values, (constant,))


def _keep(node: Node, depth: int) -> Operand | None:
    return find_computed(node, 0, depth)


def _cast(node: Node, depth: int) -> Operand | None:
    found, word = find_computed(node, 0, depth), find_element(read_integer(node, "to", 0)).word
    if found is None or not (word in FLOAT_DTYPES or word.startswith(("int", "uint"))):
        return None
    return replace(found, dtype=word, values=Rounded(found.values, word) if word in FLOAT_DTYPES else found.values)


def _reshape(node: Node, depth: int) -> Operand | None:
    found, target = find_computed(node, 0, depth), node.constant(1)
    sizes = target.find_integers() if target is not None else None
    if found is None or sizes is None or sizes.count(-1) > 1:
        return None
    kept = [found.shape[axis] if size == 0 and axis < len(found.shape) else size for axis, size in enumerate(sizes)]
    known = math.prod(size for size in kept if size != -1)
    shape = tuple(found.numel // known if size == -1 and known else size for size in kept)
    return replace(found, shape=shape) if math.prod(shape) == found.numel and min(shape, default=0) >= 0 else None


def _squeeze(node: Node, depth: int) -> Operand | None:
    found = find_computed(node, 0, depth)
    axes = _find_axes(node)
    if found is None or axes is None:
        return None
    rank = len(found.shape)
    gone = {axis % rank for axis in axes if -rank <= axis < rank} if axes else set(range(rank))
    return replace(found, shape=tuple(size for axis, size in enumerate(found.shape) if size != 1 or axis not in gone))


def _unsqueeze(node: Node, depth: int) -> Operand | None:
    found, axes = find_computed(node, 0, depth), _find_axes(node)
    if found is None or not axes:
        return None
    rank = len(found.shape) + len(axes)
    new = {axis % rank for axis in axes}
    sizes = iter(found.shape)
    shape = (1,) * rank if len(new) == rank else tuple(1 if axis in new else next(sizes, 1) for axis in range(rank))
    return replace(found, shape=shape) if math.prod(shape) == found.numel else None


def _find_axes(node: Node) -> tuple[int, ...] | None:
    """Axes of Squeeze and Unsqueeze, an attribute before opset 13; empty where they are left out."""
    if len(node.inputs) > 1 and node.inputs[1]:
        constant = node.constant(1)
        return constant.find_integers() if constant is not None else None
    axes = node.attribute("axes") or ()
    return tuple(islice(axes, 64)) if isinstance(axes, Sequence) and not isinstance(axes, str) else None


def _flatten(node: Node, depth: int) -> Operand | None:
    found = find_computed(node, 0, depth)
    return replace(found, shape=(1, found.numel)) if found is not None else None


def _multiply(node: Node, depth: int) -> Operand | None:
    first, second = find_computed(node, 0, depth), find_computed(node, 1, depth)
    return multiply(first, second) if first is not None and second is not None else None


def multiply(first: Operand, second: Operand) -> Operand | None:
    """The product of two operands, one of which is a single number; None for two of several."""
    one, many = (first, second) if first.numel == 1 else (second, first)
    if one.numel != 1:
        return None
    return replace(many, values=Product(one.values, many.values), parts=(*first.parts, *second.parts))


@dataclass(frozen=True, slots=True)
class Product:
    """Values times a single number."""

    one: Values
    many: Values
    sliceable: bool = False

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop, 1-D."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return self.many.read(start, stop) * self.one.read(0, 1)


@dataclass(frozen=True, slots=True)
class Rounded:
    """Values as a float type holds them."""

    values: Values
    word: str
    sliceable: bool = False

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop, 1-D."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return widen(self.values.read(start, stop).astype(FLOAT_DTYPES[self.word]))


def _dequantize(node: Node, depth: int) -> Operand | None:
    codes, scale = find_computed(node, 0, depth), find_computed(node, 1, depth)
    has_zero = has_input(node, 2)
    zero = find_computed(node, 2, depth) if has_zero else None
    if codes is None or scale is None or (has_zero and zero is None):
        return None
    found = dequantize(
        codes, scale, zero, axis=read_integer(node, "axis", 1), block=read_integer(node, "block_size", 0)
    )
    parts = (*codes.parts, *scale.parts, *(zero.parts if zero else ()))
    return Operand(codes.shape, scale.dtype, found.values, parts)


_STEPS: Mapping[str, Step] = {
    "Identity": _keep,
    "Cast": _cast,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Mul": _multiply,
    "DequantizeLinear": _dequantize,
    "com.microsoft.DequantizeLinear": _dequantize,
    "Flatten": _flatten,
}
