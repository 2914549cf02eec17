"""What do integers stand for of which entries are looked up? A table of embeddings, dequantized after the Gather.

Scale and zero point are those of the operation that the entries go to: a DequantizeLinear, or one that computes with
codes. MatMulInteger has no scale among its inputs: there names tell, `X_quantized` has `X_scale` and `X_zero_point`.
"""

from __future__ import annotations

from qanalysis.checkpoints.graphs.computed import find_operand, read_integer
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.integer_scales import find_named
from qanalysis.checkpoints.graphs.operands import CODE_TYPES, Operand, check_types, decode, lay_single
from qanalysis.checkpoints.graphs.operators import PackedOperator, PackedWeight
from qanalysis.checkpoints.graphs.packing import gather_parts, pack, take_codes
from qanalysis.checkpoints.graphs.scopes import Place, Use
from qanalysis.checkpoints.source import FLOAT_DTYPES
from qanalysis.quantizers.matrix_view import MatrixView

_DEQUANTIZE = ("DequantizeLinear", "com.microsoft.DequantizeLinear")
_COMPUTES_WITH_CODES = ("QLinear", "com.microsoft.QLinear")


def _read_table(use: Use, graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    if use.operand != 0 or codes is None or codes.dtype not in CODE_TYPES - {"int32"} or not node.outputs:
        return None
    rank, axis = len(codes.shape), read_integer(node, "axis", 0)
    if rank < 2 or not -rank <= axis < rank:
        return None
    scale, zero = _find_scale(use, graph)
    if scale is None or scale.numel != 1 or scale.dtype not in FLOAT_DTYPES:
        return None
    held = take_codes(codes)
    check_types(held, scale, zero)
    found = decode(held, scale, zero, lambda part, _: lay_single(part), grouping="tensor")
    stored = f"qdq {codes.dtype} {found.grouping}"
    view = MatrixView((axis % rank,))
    return pack(found.values, gather_parts(held, scale, zero), stored, role="embedding", view=view)


def _find_scale(use: Use, graph: Graph) -> tuple[Operand | None, Operand | None]:
    """Scale and zero point of the entries."""
    for after in graph.uses_of(Place(use.scope, use.node.outputs[0])):
        if after.node.op in _DEQUANTIZE or after.node.op.startswith(_COMPUTES_WITH_CODES):
            scale = find_operand(after.node, after.operand + 1, "scale")
            return scale, find_operand(after.node, after.operand + 2, "zero point")
    return find_named(use, "_scale"), find_named(use, "_zero_point")


TABLE = PackedOperator("qdq", ("Gather",), _read_table)
