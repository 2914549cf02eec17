"""What are the weights of operators that multiply integer codes?

Most name scale and zero point of each operand among their inputs. ConvInteger and MatMulInteger do not name the scale:
their integer output is cast to float and multiplied with the product of both operands' scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qanalysis.checkpoints.graphs.computed import find_operand, multiply, need_operand, read_integer
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.integer_scales import find_output_scale
from qanalysis.checkpoints.graphs.operands import Operand, check_types, decode, lay_channels, lay_directions
from qanalysis.checkpoints.graphs.operators import PackedOperator, PackedWeight
from qanalysis.checkpoints.graphs.packing import gather_parts, pack, refuse, take_codes
from qanalysis.checkpoints.graphs.scopes import Use
from qanalysis.checkpoints.source import Role
from qanalysis.quantizers.matrix_view import MatrixView

#: Which axis of an operand holds its channels: that of this number, or the first or second by the attribute transB.
_BY_TRANSB = None


@dataclass(frozen=True, slots=True)
class Slot:
    """One operand of codes: the inputs that hold its scale and zero point, the axis of its channels, its role."""

    scale: int
    zero: int
    axis: int | None = -1
    role: Role = "weight"


_MS = "com.microsoft."
_CONV = {3: Slot(4, 5, 0)}
_SLOTS: Mapping[str, Mapping[int, Slot]] = {
    "QLinearConv": _CONV,
    f"{_MS}QLinearConv": _CONV,
    "QLinearMatMul": {0: Slot(1, 2, -2), 3: Slot(4, 5)},
    f"{_MS}DynamicQuantizeMatMul": {1: Slot(2, 3)},
    f"{_MS}MatMulIntegerToFloat": {0: Slot(2, 4, -2), 1: Slot(3, 5)},
    f"{_MS}QGemm": {3: Slot(4, 5, _BY_TRANSB)},
    f"{_MS}QAttention": {1: Slot(4, 7)},
    f"{_MS}QEmbedLayerNormalization": {
        2: Slot(8, 13, 0, "embedding"),
        3: Slot(9, 14, 0, "embedding"),
        4: Slot(10, 15, 0, "embedding"),
        5: Slot(11, 16, 0, "norm"),
        6: Slot(12, 17, 0, "norm"),
    },
}
#: Operators whose int32 bias is in steps of the product of two scales: its input, then those of the scales.
_BIASES = {"QLinearConv": (8, 1, 4), f"{_MS}QLinearConv": (8, 1, 4), f"{_MS}QGemm": (6, 1, 4)}
#: Operators that do not name the scale: the input of the weight, that of its zero point, the axis of its channels.
_SCALELESS = {"ConvInteger": (1, 3, 0), "MatMulInteger": (1, 3, -1)}


def _read_operand(use: Use, _graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    if codes is None:
        return None
    if (bias := _BIASES.get(node.op)) is not None and use.operand == bias[0]:
        return _read_bias(use)
    slot = _SLOTS[node.op].get(use.operand)
    if slot is None:
        return None
    scale, zero = need_operand(node, slot.scale, "scale"), find_operand(node, slot.zero, "zero point")
    axis = slot.axis if slot.axis is not None else int(not read_integer(node, "transB", 0))
    return _assemble(take_codes(codes), scale, zero, "qlinear", axis=axis, role=slot.role)


def _assemble(
    codes: Operand, scale: Operand, zero: Operand | None, word: str, *, axis: int, role: Role = "weight"
) -> PackedWeight:
    check_types(codes, scale, zero)
    rank = len(codes.shape)
    place = max(0, axis + rank if axis < 0 else min(axis, rank - 1))
    grouping = "tensor" if scale.numel == 1 else "channel"
    found = decode(codes, scale, zero, lambda part, what: lay_channels(part, codes, place, what), grouping=grouping)
    view = MatrixView(tuple(_list_rows(rank, axis)))
    stored = f"{word} {codes.dtype} {found.grouping}"
    return pack(found.values, gather_parts(codes, scale, zero), stored, role=role, view=view)


def _list_rows(rank: int, axis: int) -> Iterator[int]:
    """Axes of the output channels: the one named, and for operands of a MatMul all that stack them."""
    if axis >= 0:
        yield min(axis, max(rank - 1, 0))
    elif rank > 1:
        summed = rank - 2 if axis == -1 else rank - 1
        yield from (place for place in range(rank) if place != summed)


def _read_bias(use: Use) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    if codes is None or codes.dtype != "int32":
        return None
    _, *inputs = _BIASES[node.op]
    scales = [need_operand(node, index, "scale") for index in inputs]
    scale, held = multiply(scales[0], scales[1]), take_codes(codes)
    if scale is None or scale.numel not in {1, held.numel}:
        return refuse(codes, "qlinear int32", "the scales of its operands do not fit it", role="bias")
    grouping, last = "tensor" if scale.numel == 1 else "channel", len(held.shape) - 1
    found = decode(held, scale, None, lambda part, what: lay_channels(part, held, last, what), grouping=grouping)
    return pack(found.values, (codes,), f"qlinear int32 {grouping}", role="bias")


def _read_integers(use: Use, graph: Graph) -> PackedWeight | None:
    node, codes = use.node, use.node.constant(use.operand)
    operand, zero_input, axis = _SCALELESS[node.op]
    if codes is None or use.operand != operand:
        return None
    held, zero = take_codes(codes), find_operand(node, zero_input, "zero point")
    scale = find_output_scale(use, graph, held.shape[axis] if held.shape else 1)
    if scale is None:
        return refuse(
            codes,
            f"qlinear {codes.dtype}",
            f"{node.op} does not name the scale of its weight, and what follows it does not tell it",
        )
    return _assemble(held, scale, zero, "qlinear", axis=axis)


def _read_recurrent(use: Use, _graph: Graph) -> PackedWeight | None:
    """W and R of a quantized LSTM, transposed: (directions, inputs, 4 * hidden)."""
    node, codes = use.node, use.node.constant(use.operand)
    inputs = {1: (8, 9), 2: (10, 11)}.get(use.operand)
    if codes is None or inputs is None:
        return None
    held = take_codes(codes)
    scale, zero = need_operand(node, inputs[0], "scale"), find_operand(node, inputs[1], "zero point")
    check_types(held, scale, zero)
    grouping = "tensor" if scale.numel == math.prod(held.shape[:1]) else "channel"
    found = decode(held, scale, zero, lambda part, what: lay_directions(part, held, what), grouping=grouping)
    stored = f"qlinear {codes.dtype} {found.grouping}"
    return pack(found.values, gather_parts(held, scale, zero), stored, view=MatrixView((0, 2)))


QLINEAR = PackedOperator("qlinear", tuple(_SLOTS), _read_operand)
INTEGER = PackedOperator("qlinear", tuple(_SCALELESS), _read_integers)
LSTM = PackedOperator("qlinear", (f"{_MS}DynamicQuantizeLSTM",), _read_recurrent)
