"""How is a weight that an operation keeps as codes measured? The operation is written anew with real numbers.

What a DequantizeLinear makes of its codes becomes an input; operators that multiply with codes by themselves become
plain ones that multiply with the decoded matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnx import ModelProto, NodeProto, helper

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.running.onnx_constants import list_bodies
from qanalysis.notation import shorten

_CONTRIB = "com.microsoft"
_BUILT_IN = ("", "ai.onnx")


def unpack(model: ModelProto, packed: Sequence[TensorInfo]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Write the operations anew that take the codes of some tensors; the model is changed.

    The names under which each tensor's decoded values are then read, and for the others why they can not be.
    """
    users = _find_users(model)
    replaced: dict[int, list[NodeProto]] = {}
    names, reasons = dict[str, list[str]](), dict[str, str]()
    for info in packed:
        found = users.get(info.name, [])
        reason = _find_fault(found, info)
        if reason:
            reasons[info.name] = reason
            continue
        names[info.name] = []
        for index in sorted({index for index, _node in found}):
            node = model.graph.node[index]
            name, nodes = _REWRITERS[node.op_type](node, info.name)
            names[info.name].append(name)
            replaced[index] = nodes
    if replaced:
        nodes = [new for index, node in enumerate(model.graph.node) for new in replaced.get(index, [node])]
        kept = [_copy(node) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(kept)
    return names, reasons


def _find_users(model: ModelProto) -> dict[str, list[tuple[int, NodeProto]]]:
    """Which operations read a name: with their place in the main graph, -1 inside a body."""
    users: dict[str, list[tuple[int, NodeProto]]] = {}

    def note(index: int, node: NodeProto) -> None:
        for name in dict.fromkeys(node.input):
            users.setdefault(name, []).append((index, node))
        for _key, body in list_bodies(node):
            for inner in body.node:
                note(-1, inner)

    for index, node in enumerate(model.graph.node):
        note(index, node)
    return users


def _find_fault(users: Sequence[tuple[int, NodeProto]], info: TensorInfo) -> str:
    if not users:
        return "its codes are no constant of the main graph, so that no other values can be put in their place"
    for index, node in users:
        if index < 0:
            return "its codes are decoded inside a branch or a loop, where no other values can be put in their place"
        known = node.op_type in _REWRITERS and node.domain in (*_BUILT_IN, _CONTRIB)
        if not known or (node.op_type == "DequantizeLinear" and node.input[0] != info.name):
            return (
                f"{shorten(node.op_type, 60)} computes with the codes themselves, so that no other values can be put "
                "in their place"
            )
    settings = {_describe(node) for _index, node in users}
    if len(settings) > 1:
        return "its codes are read with several scales, so that they stand for several tensors"
    return ""


def _describe(node: NodeProto) -> tuple[object, ...]:
    """What decodes the codes: the operation, its constants, its attributes."""
    given = tuple(node.input[1:3]) if node.op_type == "DequantizeLinear" else tuple(node.input[2:])
    return node.op_type, given, tuple(sorted(one.SerializeToString() for one in node.attribute))


def _copy(node: NodeProto) -> NodeProto:
    made = NodeProto()
    made.CopyFrom(node)
    return made


def _drop_dequantizer(node: NodeProto, _codes: str) -> tuple[str, list[NodeProto]]:
    """Its output is the decoded tensor."""
    return node.output[0], []


def _multiply(node: NodeProto, codes: str) -> tuple[str, list[NodeProto]]:
    """A matrix (out, in), turned and multiplied with from the right; the last input is a bias."""
    decoded, result = f"{codes}/decoded", node.output[0]
    bias = node.input[5] if node.op_type == "MatMulNBits" and len(node.input) > 5 else ""
    product = f"{result}/product" if bias else result
    nodes = [
        helper.make_node("Transpose", [decoded], [f"{result}/turned"], f"{node.name}/turn", perm=[1, 0]),
        helper.make_node("MatMul", [node.input[0], f"{result}/turned"], [product], node.name),
    ]
    if bias:
        nodes.append(helper.make_node("Add", [product, bias], [result], f"{node.name}/bias"))
    return decoded, nodes


def _look_up(node: NodeProto, codes: str) -> tuple[str, list[NodeProto]]:
    decoded = f"{codes}/decoded"
    axis = next((one.i for one in node.attribute if one.name == "gather_axis"), 0)
    return decoded, [helper.make_node("Gather", [decoded, node.input[1]], list(node.output), node.name, axis=axis)]


_REWRITERS: Mapping[str, Callable[[NodeProto, str], tuple[str, list[NodeProto]]]] = {
    "DequantizeLinear": _drop_dequantizer,
    "MatMulNBits": _multiply,
    "MatMulBnb4": _multiply,
    "GatherBlockQuantized": _look_up,
}
