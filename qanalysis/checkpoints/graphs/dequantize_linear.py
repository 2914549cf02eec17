"""What do the integers before a DequantizeLinear stand for? y = (code - zero point) * scale.

The scale is one number, one for each place of an axis, or one for each block along it (opset 21); a zero point that is
left out is 0. A float weight that passes QuantizeLinear and DequantizeLinear, as training with quantization leaves it,
stays the float that it is.
"""

from __future__ import annotations

from dataclasses import replace

from qanalysis.checkpoints.graphs.computed import find_operand, need_operand, read_integer
from qanalysis.checkpoints.graphs.elements import find_element
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.operands import dequantize
from qanalysis.checkpoints.graphs.operators import PackedOperator, PackedWeight
from qanalysis.checkpoints.graphs.packing import gather_parts, pack, take_codes
from qanalysis.checkpoints.graphs.scopes import Node, Place, Use

_DEQUANTIZE = ("DequantizeLinear", "com.microsoft.DequantizeLinear")
_QUANTIZE = ("QuantizeLinear", "com.microsoft.QuantizeLinear")


def _read_codes(use: Use, _graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    if use.operand != 0 or codes is None or not node.outputs:
        return None
    held, scale, zero = take_codes(codes), need_operand(node, 1, "scale"), find_operand(node, 2, "zero point")
    found = dequantize(held, scale, zero, axis=read_integer(node, "axis", 1), block=read_integer(node, "block_size", 0))
    parts = gather_parts(held, scale, zero)
    return pack(found.values, parts, f"qdq {codes.dtype} {found.grouping}", output=node.outputs[0])


def _read_floats(use: Use, graph: Graph) -> PackedWeight | None:
    node, weight = use.node, use.node.constant(use.operand)
    if use.operand != 0 or weight is None or not weight.info.decodes or not node.outputs:
        return None
    back = graph.uses_of(Place(node.scope, node.outputs[0]))
    if not any(other.node.op in _DEQUANTIZE and other.operand == 0 for other in back):
        return None
    note = f"stored as {weight.dtype}, passes QuantizeLinear and DequantizeLinear{_name_codes(node)}"
    return PackedWeight(replace(weight.info, note=note), weight.values, (weight,), node.outputs[0])


def _name_codes(node: Node) -> str:
    zero = node.constant(2)
    word = zero.dtype if zero is not None else find_element(read_integer(node, "output_dtype", 2) or 2).word
    return f" ({word})"


QDQ = PackedOperator("qdq", _DEQUANTIZE, _read_codes)
QDQ_FLOAT = PackedOperator("qdq", _QUANTIZE, _read_floats)
