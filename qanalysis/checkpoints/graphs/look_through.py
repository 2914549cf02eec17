"""Which operations finally compute with a constant, and what became of its axes on the way?

From a constant forward, through casts, reshapes, quantizers, arithmetic with other constants, out of bodies and
functions, to the operations that decide what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from qanalysis.checkpoints.graphs.consumers import judge
from qanalysis.checkpoints.graphs.frames import Frame
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.scopes import Node, Place, Use
from qanalysis.checkpoints.graphs.steps import is_carried, is_parameter, is_smaller, take_step

#: Values that one constant is followed through, and all constants of a model together.
_MAX_VALUES = 64
_MAX_ALL_VALUES = 300_000
#: Operations whose result tells nothing of the values.
_FORM_ONLY = frozenset({"Shape", "Size", "ConstantOfShape"})


@dataclass(frozen=True, slots=True)
class Hit:
    """An operation that consumes a constant as `frame`; None where the axes were lost in the operation `lost_in`.

    `goes_on` says that what it takes of the constant was followed further.
    """

    use: Use
    frame: Frame | None
    lost_in: str = ""
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class _Value:
    place: Place
    frame: Frame | None
    lost_in: str = ""

    def at(self, place: Place, frame: Frame | None, operation: str = "") -> _Value:
        """The same constant as another value."""
        if self.frame is None:
            return replace(self, place=place)
        return _Value(place, frame, "" if frame is not None else operation)


class Follower:
    """Follows the constants of one graph; `is_exhausted` says that so many were followed that the rest is not."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._left = _MAX_ALL_VALUES

    @property
    def is_exhausted(self) -> bool:
        """Whether the last constants were followed to their direct consumers only."""
        return self._left <= 0

    def follow(self, places: Iterable[Place], shape: tuple[int, ...]) -> list[Hit]:
        """The operations that decide what a tensor of that shape is, defined at those places, in the order of the
        graph.
        """
        waiting = [_Value(place, Frame.of(shape)) for place in places]
        seen = {value.place for value in waiting}
        hits: list[Hit] = []
        while waiting and len(seen) <= _MAX_VALUES:
            value = waiting.pop(0)
            self._left -= 1
            for use in self._graph.uses_of(value.place):
                carried = [] if self.is_exhausted else list(self._carry(use, value))
                if not carried or use.node.op == "Gather":
                    hits.append(Hit(use, value.frame, value.lost_in, goes_on=bool(carried)))
                waiting += [next_one for next_one in carried if next_one.place not in seen]
                seen.update(next_one.place for next_one in carried)
            leaving = [next_one for next_one in self._leave(value) if next_one.place not in seen]
            waiting += leaving
            seen.update(next_one.place for next_one in leaving)
        return hits

    def _carry(self, use: Use, value: _Value) -> Iterator[_Value]:
        node = use.node
        if node.op == "Scan":
            yield from _slice_per_step(use, value)
        elif is_carried(use, value.frame, self._graph):
            if value.frame is None:
                frames: list[Frame | None] = [None] * len(node.outputs)
            elif is_smaller(use, value.frame, self._graph):
                return
            else:
                frames = take_step(use, value.frame, self._graph)
            yield from _at_outputs(node, value, frames)
        elif not is_parameter(use) and node.op not in _FORM_ONLY and not node.called and self._graph.is_fixed(node):
            verdict = judge(use, value.frame.shape if value.frame is not None else ())
            if verdict is None or verdict.role == "constant":  # a computation among constants that is not followed
                yield from _at_outputs(node, value, [None] * len(node.outputs))

    def _leave(self, value: _Value) -> Iterator[_Value]:
        """The value as an output of the node whose body computes it."""
        for scope, index in self._graph.exits_of(value.place):
            caller = scope.caller
            if caller is None:
                continue
            states = len(scope.body.inputs) - 2 if caller.op == "Loop" else len(caller.outputs)
            place = index - 1 if caller.op == "Loop" else index
            if caller.op == "Scan":
                states = len(caller.inputs) - caller.integer("num_scan_inputs", 0)
            if 0 <= place < min(states, len(caller.outputs)):
                yield value.at(Place(caller.scope, caller.outputs[place]), value.frame)


def _at_outputs(node: Node, value: _Value, frames: Iterable[Frame | None]) -> Iterator[_Value]:
    for name, frame in zip(node.outputs, frames, strict=False):
        if name:
            yield value.at(Place(node.scope, name), frame, node.op)


def _slice_per_step(use: Use, value: _Value) -> Iterator[_Value]:
    for scope in use.node.bodies.values():
        for name, argument in scope.arguments.items():
            if argument.axis is not None and argument.name == use.node.inputs[use.operand]:
                fits = value.frame is not None and -len(value.frame.axes) <= argument.axis < len(value.frame.axes)
                yield value.at(
                    Place(scope, name), value.frame.drop(argument.axis) if fits and value.frame else None, "Scan"
                )
