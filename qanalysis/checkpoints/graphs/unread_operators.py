"""Which operators hold weights in an order that is known to one kind of processor alone? Their rows say so."""

from __future__ import annotations

from collections.abc import Mapping

from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.operators import PackedOperator, PackedWeight
from qanalysis.checkpoints.graphs.packing import refuse
from qanalysis.checkpoints.graphs.scopes import Use

#: Inputs that hold weights.
_WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "com.microsoft.MatMulFpQ4": (1,),
    "com.microsoft.QOrderedMatMul": (2,),
    "com.microsoft.QOrderedAttention": (5, 6, 7),
    "com.microsoft.QOrderedLongformerAttention": (2, 9),
}


def _read(use: Use, _graph: Graph) -> PackedWeight | None:
    codes = use.node.constant(use.operand)
    if codes is None or use.operand not in _WEIGHTS[use.node.op]:
        return None
    word = use.node.op.rpartition(".")[2]
    return refuse(codes, word.lower(), f"{word} holds its weight in an order of the processor that it is made for")


UNREAD = PackedOperator("processor order", tuple(_WEIGHTS), _read)
