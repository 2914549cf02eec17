"""What does an ONNX model compute? Its operations in an order in which they can run, apart from its constants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

from qanalysis.models.running.onnx_constants import find_used

#: Operations whose result is another at every run.
_RANDOM = ("Random", "Bernoulli", "Multinomial")
#: The first version of the format in which constants need not be inputs.
_CONSTANTS_APART = 4


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One operation of the main graph. `uses` are all names that it reads, also inside its bodies; `is_fixed` says that
    it computes with constants alone.
    """

    node: NodeProto
    name: str
    uses: frozenset[str]
    is_fixed: bool

    @property
    def makes(self) -> tuple[str, ...]:
        """The names of its outputs."""
        return tuple(name for name in self.node.output if name)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The main graph of a model. `inputs` are those that a caller gives, `outputs` those that the file names; what
    computes with constants alone stands right before what needs it. `frame` has the opsets and local functions.
    """

    steps: tuple[Step, ...]
    inputs: Mapping[str, Any]
    outputs: tuple[Any, ...]
    frame: ModelProto

    @classmethod
    def of(cls, model: ModelProto, constants: Mapping[str, TensorProto]) -> Graph:
        """The graph of a model whose constants were taken out."""
        inputs = {one.name: one for one in model.graph.input if one.name not in constants}
        frame = ModelProto(ir_version=max(model.ir_version, _CONSTANTS_APART))
        frame.opset_import.extend(model.opset_import)
        frame.functions.extend(model.functions)
        return cls(tuple(_sort(_list_steps(model, set(inputs)))), inputs, tuple(model.graph.output), frame)

    def wrap(
        self,
        nodes: Sequence[NodeProto],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        constants: Sequence[TensorProto],
    ) -> bytes:
        """A model of some operations, as the runtime reads it."""
        made = ModelProto()
        made.CopyFrom(self.frame)
        made.graph.CopyFrom(helper.make_graph(nodes, "part", inputs, outputs, constants))
        written: bytes = made.SerializeToString()
        return written


def _list_steps(model: ModelProto, dynamic: set[str]) -> list[Step]:
    nodes = list(model.graph.node)
    counts = Counter(node.name for node in nodes)
    taken, steps = set[str](), list[Step]()
    for index, node in enumerate(nodes):
        name = node.name if node.name and counts[node.name] == 1 else f"{node.name or node.op_type}_{index}"
        while name in taken:
            name += "'"
        taken.add(name)
        uses = find_used(node)
        is_fixed = not uses & dynamic and not node.op_type.startswith(_RANDOM)
        if not is_fixed:
            dynamic.update(node.output)
        steps.append(Step(node, name, uses, is_fixed))
    return steps


def _sort(steps: Sequence[Step]) -> list[Step]:
    """What computes with constants alone right before the first operation that needs it; the rest in its order."""
    makers = {name: step for step in steps if step.is_fixed for name in step.makes}
    placed, ordered = set[int](), list[Step]()
    for step in (*(one for one in steps if not one.is_fixed), *steps):  # at last what only outputs need
        waiting = [(step, False)]
        while waiting:
            one, is_ready = waiting.pop()
            if id(one) in placed:
                continue
            if is_ready:
                placed.add(id(one))
                ordered.append(one)
            else:
                waiting.append((one, True))
                waiting.extend((makers[name], False) for name in sorted(one.uses) if name in makers)
    return ordered
