"""How does an operator that works on quantized codes say what its weight is?

A reader looks at one use of a constant and gives the tensor that the operator computes with: its codes, scales and zero
points decoded. The graph reader lists that tensor in place of the codes and drops the other parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qanalysis.checkpoints.entries import Values
from qanalysis.checkpoints.graphs.constants import Constant
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.scopes import Use
from qanalysis.checkpoints.source import TensorInfo


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """One logical tensor made of constants.

    `info` has its logical name and shape, `stored` ("qdq int8 channel"), the bytes of all parts, and role and view
    unless `output` is given; a tensor that is recognised and not decoded has `decodes` False and a `reason`. `values`
    are the decoded numbers. `parts` are the constants that are used up, the codes among them. `output` is the name of
    the node's output that carries the decoded tensor in its shape: role and view are then those of what consumes it;
    empty for an operator that multiplies by itself.
    """

    info: TensorInfo
    values: Values
    parts: tuple[Constant, ...]
    output: str = ""


@dataclass(frozen=True, slots=True)
class PackedOperator:
    """One way to compute with codes.

    `name` is its word in `stored`, `operators` are the operations that it is asked about ("DequantizeLinear",
    "com.microsoft.MatMulNBits"). `read` gets each direct use of a constant by one of them and gives the tensor; None
    where that operand holds no codes of a weight; it raises LayoutError (`packed.parts`) where the parts do not fit:
    the codes then become a tensor with that reason.
    """

    name: str
    operators: tuple[str, ...]
    read: Callable[[Use, Graph], PackedWeight | None]
