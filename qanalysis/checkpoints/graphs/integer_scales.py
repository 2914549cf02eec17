"""What is the scale of the weight of an operator whose output is an integer?

Its output is cast to float and multiplied with scale of activations * scale of weight: the constant one of these is the
weight's. Where both are constants or none is found there, the scale is the one that bears the weight's name:
`X_quantized` has `X_scale`.
"""

from __future__ import annotations

from collections.abc import Iterator

from qanalysis.checkpoints.graphs.computed import find_computed
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.operands import Operand
from qanalysis.checkpoints.graphs.scopes import Node, Place, Use
from qanalysis.checkpoints.source import FLOAT_DTYPES

#: Products one behind another that are followed.
_MAX_PRODUCTS = 4
_HANDED_ON = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
_ENDINGS = ("_quantized", "_quant", "_int8", "_q")


def find_output_scale(use: Use, graph: Graph, channels: int) -> Operand | None:
    """The scale of the codes that a node multiplies into an integer output; None where nothing tells it.

    It is one number or one for each of the `channels`.
    """
    named = find_named(use, "_scale")
    if named is not None and _fits(named, channels):
        return named
    found = [scale for scale in _list_factors(use, graph) if _fits(scale, channels)]
    wide = [scale for scale in found if scale.numel > 1]
    chosen = wide or found
    return chosen[0] if len(chosen) == 1 else None


def _fits(scale: Operand, channels: int) -> bool:
    return scale.dtype in FLOAT_DTYPES and scale.numel in {1, channels}


def find_named(use: Use, ending_of_part: str) -> Operand | None:
    """The constant that bears the name of an operand of codes and this ending; None where there is none."""
    name = use.node.inputs[use.operand]
    for ending in _ENDINGS:
        if name.endswith(ending):
            constant = use.scope.constant(name.removesuffix(ending) + ending_of_part)
            if constant is not None and constant.part is not None:
                return Operand(constant.shape, constant.dtype, constant.values, (constant,))
    return None


def _list_factors(use: Use, graph: Graph) -> Iterator[Operand]:
    """The constants that the output of a node is multiplied with."""
    waiting = [use.node]
    for _ in range(2 * _MAX_PRODUCTS):
        if not waiting or not waiting[0].outputs:
            return
        node = waiting.pop()
        consumers = graph.uses_of(Place(node.scope, node.outputs[0]))
        if len(consumers) != 1:
            return
        next_node, operand = consumers[0].node, consumers[0].operand
        if next_node.op == "Mul":
            yield from _split_product(next_node, 1 - operand, 0)
        elif next_node.op not in _HANDED_ON or operand != 0:
            return
        waiting.append(next_node)


def _split_product(node: Node, index: int, depth: int) -> Iterator[Operand]:
    """The constant factors of one operand of a product."""
    producer = node.producer(index)
    if producer is not None and producer.op == "Mul" and depth < _MAX_PRODUCTS:
        yield from _split_product(producer, 0, depth + 1)
        yield from _split_product(producer, 1, depth + 1)
        return
    found = find_computed(node, index)
    if found is not None:
        yield found
