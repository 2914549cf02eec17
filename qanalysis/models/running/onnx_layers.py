"""Which operations of an ONNX model are layers? Those that first compute with a tensor and what a sample brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.checkpoints.source import MEASURED_ROLES, TensorInfo
from qanalysis.models.running.convolutions import Convolution
from qanalysis.models.running.onnx_file import Fed
from qanalysis.models.running.onnx_graph import Graph, Step
from qanalysis.models.running.runnable import Layer

#: Operations whose input from a sample is a place, no real number.
_LOOK_UP = frozenset(
    {"Gather", "GatherElements", "GatherND", "EmbedLayerNormalization", "GatherBlockQuantized", "OneHot", "ScatterND"}
)
#: Operations that hand a matrix on without changing its numbers.
_CARRIERS = frozenset({"Transpose", "Identity", "Cast"})
#: Which input of an operation comes from a sample though others stand before it.
_CONDITION = {"Where": 1, "If": None, "Loop": None, "Scan": None}


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A layer in the graph: the step that computes with the tensor, `first` the step that reads it first, and which
    input of the step is the layer's, None where it holds no real numbers or can not be reached.
    """

    layer: Layer
    step: int
    first: int
    operand: int | None


def find_places(graph: Graph, fed: Mapping[str, Fed], tensors: Sequence[TensorInfo]) -> list[Place]:
    """The layers in the order of the graph; tensors that nothing computes with last, with a step behind all."""
    end = len(graph.steps)
    first = {name: place for place, step in reversed(list(enumerate(graph.steps))) for name in step.uses}
    names: dict[str, list[str]] = {}
    for name, one in fed.items():
        names.setdefault(one.info.name, []).append(name)
    found = list[Place]()
    dynamic = {*graph.inputs, *(name for step in graph.steps if not step.is_fixed for name in step.makes)}
    for info in tensors:
        if not info.decodes and info.role not in MEASURED_ROLES:
            continue
        places = [first[name] for name in names.get(info.name, ()) if name in first]
        if not places:
            found.append(Place(Layer(info.name, info, has_real_input=False), end, end, None))
            continue
        entry = min(names[info.name], key=lambda name: first.get(name, end))
        place, operand, ops = _follow(graph, first, entry)
        found.append(_describe(graph, info, place, operand, ops, min(places), dynamic))
    return sorted(found, key=lambda one: (one.step, one.first))


def _follow(graph: Graph, first: Mapping[str, int], name: str) -> tuple[int, int | None, list[str]]:
    """The step that first computes with a constant and a sample, the operand there, and the operations before it."""
    ops = list[str]()
    while True:
        place = first[name]
        step = graph.steps[place]
        if not step.is_fixed or not any(made in first for made in step.makes):
            given = list(step.node.input)
            return place, given.index(name) if name in given else None, ops
        ops.append(step.node.op_type)
        name = next(made for made in step.makes if made in first)


def _describe(
    graph: Graph,
    info: TensorInfo,
    place: int,
    operand: int | None,
    ops: Sequence[str],
    first: int,
    dynamic: set[str],
) -> Place:
    step = graph.steps[place]
    given = None if operand is None or info.role == "embedding" else _find_input(step, operand, dynamic)
    is_linear = given == 0 and operand == 1 and len(info.shape) == 2 and set(ops) <= _CARRIERS and _multiplies(step)
    return Place(Layer(step.name, info, is_linear, given is not None), place, first, given)


def _find_input(step: Step, operand: int, dynamic: set[str]) -> int | None:
    """The first input that comes from a sample."""
    if step.node.op_type in _LOOK_UP or _CONDITION.get(step.node.op_type, 0) is None:
        return None
    after = _CONDITION.get(step.node.op_type, 0) or 0
    places = [
        place for place, name in enumerate(step.node.input) if place >= after and place != operand and name in dynamic
    ]
    return places[0] if places else None


def _multiplies(step: Step) -> bool:
    """Whether an operation is the product of its first input's last axis with a matrix, and nothing more but a bias."""
    node = step.node
    if node.domain not in ("", "ai.onnx"):
        return False
    values = {one.name: one for one in node.attribute}
    scaled = "alpha" in values and values["alpha"].f != 1
    turned = "transA" in values and values["transA"].i != 0
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and not scaled and not turned)


def read_convolution(node: Any) -> Convolution | None:
    """How a Conv or ConvTranspose goes over its input; None for other operations and where sizes decide the padding."""
    if node.op_type not in ("Conv", "ConvTranspose") or node.domain not in ("", "ai.onnx"):
        return None
    values = {one.name: one for one in node.attribute}
    automatic = values["auto_pad"].s if "auto_pad" in values else b"NOTSET"
    axes = len(values["kernel_shape"].ints) if "kernel_shape" in values else 0
    if automatic not in (b"NOTSET", b"VALID") or "output_shape" in values or not axes:
        return None

    def list_numbers(name: str, default: int) -> list[int]:
        return list(values[name].ints) if name in values else [default] * axes

    pads = list(values["pads"].ints) if "pads" in values and automatic == b"NOTSET" else [0] * (2 * axes)
    return Convolution(
        stride=list_numbers("strides", 1),
        padding=pads[:axes],
        dilation=list_numbers("dilations", 1),
        transposed=node.op_type == "ConvTranspose",
        output_padding=list_numbers("output_padding", 0),
        groups=values["group"].i if "group" in values else 1,
        end_padding=pads[axes:],
    )
