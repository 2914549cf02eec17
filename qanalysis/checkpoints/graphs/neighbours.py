"""Which kind of computation stands before an operand?

A vector added after a layer is its bias, one that multiplies what was divided by its own spread is the gain of a
normalisation.
"""

from __future__ import annotations

from qanalysis.checkpoints.graphs.scopes import Node

_LINEAR = frozenset(
    {"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum", "MatMulInteger", "ConvInteger", "com.microsoft.FusedMatMul"}
)
#: Operations that hand on what they are given, but for its form.
_CARRIERS = frozenset({"Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Dropout"})
_MAX_STEPS = 8


def find_origin(node: Node | None) -> Node | None:
    """The operation that computes what a chain of casts and reshapes hands on."""
    for _ in range(_MAX_STEPS):
        if node is None or node.op not in _CARRIERS:
            return node
        node = node.producer(0)
    return node


def follows_linear(node: Node | None) -> bool:
    """Whether a value comes from a matrix product or a convolution."""
    origin = find_origin(node)
    return origin is not None and origin.op in _LINEAR


def is_normalized(node: Node | None) -> bool:
    """Whether a value was divided by a square root, or multiplied with the inverse of one."""
    origin = find_origin(node)
    if origin is None or origin.op not in {"Div", "Mul"}:
        return False
    if origin.op == "Div":
        return _is_root(origin.producer(1))
    return any(_is_inverse_root(origin.producer(operand)) for operand in (0, 1))


def _is_root(node: Node | None) -> bool:
    origin = find_origin(node)
    return origin is not None and origin.op == "Sqrt"


def _is_inverse_root(node: Node | None) -> bool:
    origin = find_origin(node)
    if origin is None:
        return False
    return (origin.op == "Reciprocal" and _is_root(origin.producer(0))) or (
        origin.op == "Div" and _is_root(origin.producer(1))
    )
