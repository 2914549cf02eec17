"""What is an operand of an operation for, and along which of its axes do the operation's outputs lie?

One line per operation: by the index of an input, its role, or the rule that gives the axes of a weight. Axes that stack
matrices (experts, directions, groups) belong to the outputs. An input that no line names is an operand of arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qanalysis.checkpoints.graphs.einsum import find_kept_axes
from qanalysis.checkpoints.graphs.neighbours import follows_linear, is_normalized
from qanalysis.checkpoints.graphs.scopes import Node, Use
from qanalysis.checkpoints.source import Role

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rows` are the axes of the outputs of the operand reshaped to `fold` (empty: of its own shape); None where the
    operation does not say.
    """

    role: Role
    rows: tuple[int, ...] | None = (0,)
    fold: Shape = ()


Rule = Callable[[Node, int, Shape], Verdict]


def judge(use: Use, shape: Shape) -> Verdict | None:
    """What an operand of that shape is for; None for an operation that is not known."""
    node, operand = use.node, use.operand
    if node.op.startswith("com.microsoft.QLinear") and node.op not in OPERANDS:
        return Verdict("scale")
    if node.op not in OPERANDS and "." in node.op:
        return None
    found = OPERANDS.get(node.op, {}).get(operand, "constant")
    return found(node, operand, shape) if callable(found) else Verdict(found)


def _outputs_first(_node: Node, _operand: int, _shape: Shape) -> Verdict:
    return Verdict("weight", (0,))


def _outputs_last(_node: Node, _operand: int, shape: Shape) -> Verdict:
    return Verdict("weight", (len(shape) - 1,))


def _outputs_of_stack(_node: Node, _operand: int, _shape: Shape) -> Verdict:
    """(directions, gates · hidden, in) of a recurrent layer, (experts, out, in)."""
    return Verdict("weight", (0, 1))


def _all_but(reduced: int, shape: Shape) -> Verdict:
    return Verdict("weight", tuple(axis for axis in range(len(shape)) if axis != reduced % len(shape)))


def _matrix(node: Node, operand: int, shape: Shape) -> Verdict:
    """(…, M, K) on the left of a product, (…, K, N) on the right; "transBatch" moves the first of the two to the front
    of the stack axes.
    """
    if len(shape) < 2:
        return Verdict("weight", ())
    is_left = operand == 0
    side = "A" if is_left else "B"
    if bool(node.integer(f"trans{side}", 0)) != is_left:
        return _all_but(-1, shape)
    return _all_but(0 if node.integer(f"transBatch{side}", 0) else -2, shape)


def _upsampled(node: Node, _operand: int, shape: Shape) -> Verdict:
    """(C, M/g, k…) of a transposed convolution: the group of axis 0 is a part of the output's number."""
    groups = node.integer("group", 1)
    if groups == 1:
        return Verdict("weight", (1,))
    if groups < 1 or not shape or shape[0] % groups:
        return Verdict("weight", None)
    return Verdict("weight", (0, 2), (groups, shape[0] // groups, *shape[1:]))


def _looked_up(node: Node, _operand: int, shape: Shape) -> Verdict:
    if sum(size > 1 for size in shape) < 2:
        return Verdict("constant")
    return Verdict("embedding", (node.integer("axis", 0),))


def _contracted(node: Node, operand: int, shape: Shape) -> Verdict:
    rows = find_kept_axes(str(node.attribute("equation", "")), operand, len(shape))
    if rows is not None and len(rows) == len(shape):  # nothing is summed over
        return Verdict("constant")
    return Verdict("weight", rows)


def _added(node: Node, operand: int, shape: Shape) -> Verdict:
    """One value per channel after a layer is its bias, after a normalisation its offset."""
    if len(node.inputs) != 2 or sum(size > 1 for size in shape) != 1:
        return Verdict("constant")
    other = node.producer(1 - operand)
    if follows_linear(other):
        return Verdict("bias")
    gained = other is not None and other.op == "Mul" and any(map(is_normalized, map(other.producer, (0, 1))))
    return Verdict("norm" if gained else "constant")


def _multiplied(node: Node, operand: int, shape: Shape) -> Verdict:
    if len(node.inputs) == 2 and sum(size > 1 for size in shape) == 1 and is_normalized(node.producer(1 - operand)):
        return Verdict("norm")
    return Verdict("constant")


_CONV: Mapping[int, Rule | Role] = {1: _outputs_first, 2: "bias"}
_PRODUCT: Mapping[int, Rule | Role] = {0: _matrix, 1: _matrix}
_LAYER: Mapping[int, Rule | Role] = {0: _matrix, 1: _matrix, 2: "bias"}
_RECURRENT: Mapping[int, Rule | Role] = {1: _outputs_of_stack, 2: _outputs_of_stack, 3: "bias", 7: "bias"}
_ATTENTION: Mapping[int, Rule | Role] = {1: _outputs_last, 2: "bias"}
_GAIN: Mapping[int, Rule | Role] = {1: "norm", 2: "norm"}
_SKIP: Mapping[int, Rule | Role] = {2: "norm", 3: "norm", 4: "bias"}
_SCALED: Mapping[int, Rule | Role] = {1: "scale", 2: "scale"}
_BIASED: Mapping[int, Rule | Role] = {1: "bias"}
_EMBEDS: Mapping[int, Rule | Role] = {2: _looked_up, 3: _looked_up, 4: _looked_up, 5: "norm", 6: "norm"}

OPERANDS: Mapping[str, Mapping[int, Rule | Role]] = {
    "MatMul": _PRODUCT,
    "Gemm": _LAYER,
    "Conv": _CONV,
    "DeformConv": {1: _outputs_first, 3: "bias"},
    "ConvTranspose": {1: _upsampled, 2: "bias"},
    "Gather": {0: _looked_up},
    "GatherElements": {0: _looked_up},
    "GatherND": {0: _looked_up},
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "RNN": _RECURRENT,
    "Einsum": dict.fromkeys(range(16), _contracted),
    "Add": {0: _added, 1: _added},
    "Mul": {0: _multiplied, 1: _multiplied},
    "BatchNormalization": {1: "norm", 2: "norm", 3: "buffer", 4: "buffer"},
    "LayerNormalization": _GAIN,
    "InstanceNormalization": _GAIN,
    "GroupNormalization": _GAIN,
    "RMSNormalization": _GAIN,
    "SimplifiedLayerNormalization": _GAIN,
    "SkipLayerNormalization": _SKIP,
    "SkipSimplifiedLayerNormalization": {2: "norm", 3: "bias"},
    "QuantizeLinear": _SCALED,
    "DequantizeLinear": _SCALED,
    "RotaryEmbedding": {1: "buffer", 2: "buffer"},
    "ConvInteger": {1: _outputs_first, 2: "scale", 3: "scale"},
    "MatMulInteger": {0: _matrix, 1: _matrix, 2: "scale", 3: "scale"},
    "QLinearConv": {3: _outputs_first, 8: "bias", **dict.fromkeys((1, 2, 4, 5, 6, 7), "scale")},
    "QLinearMatMul": {0: _matrix, 3: _matrix, **dict.fromkeys((1, 2, 4, 5, 6, 7), "scale")},
    "com.microsoft.FusedMatMul": _PRODUCT,
    "com.microsoft.FusedMatMulActivation": _PRODUCT,
    "com.microsoft.TransposeMatMul": _PRODUCT,
    "com.microsoft.FusedGemm": _LAYER,
    "com.microsoft.GemmFloat8": {**_LAYER, 3: "scale", 4: "scale", 5: "scale"},
    "com.microsoft.FusedConv": _CONV,
    "com.microsoft.NhwcConv": _CONV,
    "com.microsoft.NhwcFusedConv": _CONV,
    "com.microsoft.ConvTransposeWithDynamicPads": {1: _upsampled, 3: "bias"},
    "com.microsoft.Attention": _ATTENTION,
    "com.microsoft.PackedAttention": _ATTENTION,
    "com.microsoft.DecoderMaskedSelfAttention": _ATTENTION,
    "com.microsoft.LongformerAttention": {**_ATTENTION, 4: _outputs_last, 5: "bias"},
    "com.microsoft.DecoderAttention": {2: _outputs_last, 3: _outputs_last, 4: "bias"},
    "com.microsoft.QAttention": {**_ATTENTION, **dict.fromkeys((3, 4, 6, 7), "scale")},
    "com.microsoft.MultiHeadAttention": {3: "bias"},
    "com.microsoft.GroupQueryAttention": {7: "buffer", 8: "buffer"},
    "com.microsoft.RotaryEmbedding": {2: "buffer", 3: "buffer"},
    "com.microsoft.MoE": {
        2: _outputs_of_stack,
        4: _outputs_of_stack,
        6: _outputs_of_stack,
        3: "bias",
        5: "bias",
        7: "bias",
    },
    "com.microsoft.EmbedLayerNormalization": _EMBEDS,
    "com.microsoft.SkipLayerNormalization": _SKIP,
    "com.microsoft.SkipSimplifiedLayerNormalization": {2: "norm", 3: "bias"},
    "com.microsoft.SimplifiedLayerNormalization": _GAIN,
    "com.microsoft.LayerNormalization": _GAIN,
    "com.microsoft.GroupNorm": _GAIN,
    "com.microsoft.SkipGroupNorm": {1: "norm", 2: "norm", 4: "bias"},
    "com.microsoft.BiasGelu": _BIASED,
    "com.microsoft.FastGelu": _BIASED,
    "com.microsoft.BiasAdd": _BIASED,
    "com.microsoft.BiasSplitGelu": _BIASED,
    "com.microsoft.BiasDropout": _BIASED,
    "com.microsoft.BiasSoftmax": {},
    "com.microsoft.QuickGelu": {},
    "com.microsoft.QuantizeLinear": _SCALED,
    "com.microsoft.DequantizeLinear": _SCALED,
    "com.microsoft.MatMulIntegerToFloat": {0: _matrix, 1: _matrix, 6: "bias", **dict.fromkeys((2, 3, 4, 5), "scale")},
    "com.microsoft.DynamicQuantizeMatMul": {1: _matrix, 2: "scale", 3: "scale", 4: "bias"},
    "com.microsoft.QGemm": {3: _matrix, 6: "bias", **dict.fromkeys((1, 2, 4, 5, 7, 8), "scale")},
    "com.microsoft.MatMulNBits": {1: _outputs_first, 2: "scale", 3: "scale", 4: "scale", 5: "bias"},
    "com.microsoft.GatherBlockQuantized": {0: _looked_up, 2: "scale", 3: "scale"},
}
