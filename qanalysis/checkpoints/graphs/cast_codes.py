"""What do integers stand for that a graph scales in plain arithmetic? y = (float(code) - zero) * scale.

Exporters write a dequantization as Cast, Sub, Mul where the graph has no operator for it. Scales are broadcast: one
number, one for each place of an axis, or one for all but one axis, such as the blocks of a matrix folded to
(rows, blocks, length).
"""

from __future__ import annotations

from typing import NamedTuple

from qanalysis.checkpoints.graphs.computed import find_computed, read_integer
from qanalysis.checkpoints.graphs.elements import find_element
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.operands import CODE_TYPES, Operand, decode, lay_broadcast
from qanalysis.checkpoints.graphs.operators import PackedOperator, PackedWeight
from qanalysis.checkpoints.graphs.packing import gather_parts, pack, take_codes
from qanalysis.checkpoints.graphs.scopes import Node, Place, Use
from qanalysis.checkpoints.packed.parts import LayoutError
from qanalysis.checkpoints.source import FLOAT_DTYPES


class _Found(NamedTuple):
    """The product that ends the arithmetic, its scale, and the zero point before it."""

    product: Node
    scale: Operand
    zero: Operand | None


def _read_cast(use: Use, graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    if codes is None or codes.dtype not in CODE_TYPES - {"int32"} or "float" in codes.dtype:
        return None
    if sum(size > 1 for size in codes.shape) < 2 or find_element(read_integer(node, "to", 0)).word not in FLOAT_DTYPES:
        return None
    found = _find_arithmetic(node, graph)
    if found is None:
        return None
    held = take_codes(codes)
    try:
        laid = lay_broadcast(found.scale, held, "scale")
        values = decode(
            held, found.scale, found.zero, lambda part, what: lay_broadcast(part, held, what), grouping=laid.grouping
        )
    except LayoutError:
        return None  # arithmetic of another kind
    parts = gather_parts(held, found.scale, found.zero)
    return pack(values.values, parts, f"cast {codes.dtype} {values.grouping}", output=found.product.outputs[0])


def _find_arithmetic(cast: Node, graph: Graph) -> _Found | None:
    product, operand = _follow(cast, graph)
    zero = None
    if product is not None and product.op == "Sub" and operand == 0:
        zero = find_computed(product, 1)
        if zero is None:
            return None
        product, operand = _follow(product, graph)
    if product is None or product.op != "Mul" or not product.outputs:
        return None
    scale = find_computed(product, 1 - operand)
    return _Found(product, scale, zero) if scale is not None and scale.dtype in FLOAT_DTYPES else None


def _follow(node: Node, graph: Graph) -> tuple[Node | None, int]:
    """The one consumer of what a node computes, and which operand of it that is."""
    uses = graph.uses_of(Place(node.scope, node.outputs[0])) if node.outputs else []
    return (uses[0].node, uses[0].operand) if len(uses) == 1 else (None, 0)


CAST = PackedOperator("cast", ("Cast",), _read_cast)
