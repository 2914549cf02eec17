"""Which constants does a model hold, and which operations consume each?

All of them, once: of the main graph, of the bodies inside its nodes, of local functions. `Graph` is what the readers of
roles, views and quantized operators ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from onnx import AttributeProto, ModelProto, SparseTensorProto, TensorProto

from qanalysis.checkpoints.graphs.bodies import Body, Origin, find_value, get_origin, read_function, read_graph
from qanalysis.checkpoints.graphs.constants import Constant, ConstantReader, make_constant, make_words
from qanalysis.checkpoints.graphs.scopes import Node, Place, Scope, Use, open_call, open_inner

#: Nodes that calls of local functions may add to those that are written.
_MAX_CALLED_NODES = 200_000
#: Operations one after the other that are asked for a shape, or whether they compute with constants.
_MAX_CARRIED = 64
_SAME_SHAPE = frozenset({"Cast", "Identity", "QuantizeLinear", "DequantizeLinear", "Neg", "Abs", "Sqrt", "Reciprocal"})
_RANDOM = ("Random", "Bernoulli", "Multinomial")


class Graph:
    """A model with all its scopes open.

    `constants` are all constants in the order of the file: main graph, bodies inside nodes, functions. `main` is the
    scope of the main graph, `scopes` are all; `nodes` are the constants that are nodes, not initializers. `notes` are
    sentences on what was not looked into.
    """

    def __init__(self, model: ModelProto, reader: ConstantReader) -> None:
        self._reader = reader
        self.notes: list[str] = []
        self.nodes: set[Constant] = set()
        self._functions = {
            (function.domain, function.name, getattr(function, "overload", "")): read_function(function)
            for function in model.functions
        }
        main = read_graph(model.graph)
        bodies = [body for top in (main, *self._functions.values()) for body in top.walk()]
        self._names: Counter[str] = Counter(name for body in bodies for name, _ in body.origins)
        self._taken: set[str] = set()
        self._places: dict[Constant, list[Place]] = {}
        self._held = {body: self._read_constants(body) for body in bodies}
        self._called = 0
        self._fixed: dict[Node, bool] = {}
        self.main = Scope(main)
        self.scopes = self._open_all(self.main)
        self.constants: Sequence[Constant] = tuple(self._places)
        self._uses = self._find_uses()
        self._exits = self._find_exits()

    def uses(self, constant: Constant) -> list[Use]:
        """The operations that consume a constant directly, in every scope where its name reaches.

        A call of a function, a Loop or a Scan that only hands it to a body is not among them: what its body does with
        it is. Only the slices of a Scan are handed over by the Scan itself.
        """
        return [use for place in self._places[constant] for use in self.uses_of(place)]

    def uses_of(self, place: Place) -> list[Use]:
        """The operations that consume the value that is defined there, in the same sense."""
        return self._uses.get(place, [])

    def exits_of(self, place: Place) -> list[tuple[Scope, int]]:
        """The bodies of which that value is an output, and which one: it is that output of the scope's caller."""
        return self._exits.get(place, [])

    def places(self, constant: Constant) -> list[Place]:
        """Where a constant is defined: one place, or for a constant of a function one in each call."""
        return self._places[constant]

    def find_shape(self, place: Place) -> tuple[int | None, ...] | None:
        """The shape of a value where it is a constant, has that of a constant, or the file declares it; None for a size
        that is not fixed.
        """
        current: Place | None = place
        for _ in range(_MAX_CARRIED):
            if current is None:
                return None
            constant = current.scope.constants.get(current.name)
            shape = constant.shape if constant is not None else current.scope.body.shapes.get(current.name)
            node = current.scope.producers.get(current.name)
            if shape is not None or node is None or node.op not in _SAME_SHAPE:
                return shape
            current = node.place(0)
        return None

    def is_fixed(self, node: Node) -> bool:
        """Whether a node computes with constants alone, so that its result is one."""
        return self._is_fixed(node, _MAX_CARRIED)

    def is_fixed_at(self, node: Node, operand: int) -> bool:
        """Whether one input of a node is a constant or computed from constants alone."""
        return self._is_fixed_at(node, operand, _MAX_CARRIED)

    def _is_fixed(self, node: Node, depth: int) -> bool:
        if node not in self._fixed:
            self._fixed[node] = False  # for a graph that is not without circles
            can_be = bool(depth) and not node.bodies and not node.proto.op_type.startswith(_RANDOM)
            self._fixed[node] = can_be and all(
                self._is_fixed_at(node, operand, depth - 1) for operand, name in enumerate(node.inputs) if name
            )
        return self._fixed[node]

    def _is_fixed_at(self, node: Node, operand: int, depth: int) -> bool:
        place = node.place(operand)
        if place is None or place.name in place.scope.constants:
            return place is not None
        sliced = place.scope.slice_of(place.name)
        if sliced is not None:
            outer = sliced.scope.find(sliced.name)
            return outer.name in outer.scope.constants
        producer = place.scope.producers.get(place.name)
        return producer is not None and self._is_fixed(producer, depth)

    def _read_constants(self, body: Body) -> dict[str, Constant]:
        found: dict[str, Constant] = {}
        for index, (name, origin) in enumerate(body.origins):
            constant = self._read_origin(self._name(name, body.path), origin)
            self._places[constant] = []
            if index >= body.initializers:
                self.nodes.add(constant)
            found.setdefault(name, constant)
        return found

    def _read_origin(self, name: str, origin: Origin) -> Constant:
        if isinstance(origin, TensorProto):
            return self._reader.read_tensor(name, origin)
        if isinstance(origin, SparseTensorProto):
            return self._reader.read_sparse(name, origin)
        return _read_attribute(name, origin)

    def _name(self, name: str | bytes, path: str) -> str:
        text = name if isinstance(name, str) else name.decode(errors="backslashreplace")
        if self._names[text] > 1 and text in self._taken and path:
            text = f"{path}/{text}"
        unique, count = text, 1
        while unique in self._taken:
            count += 1
            unique = f"{text} ({count})"
        self._taken.add(unique)
        return unique

    def _open_all(self, main: Scope) -> tuple[Scope, ...]:
        opened, waiting = [], [main]
        while waiting:
            scope = waiting.pop()
            opened.append(scope)
            self._place_constants(scope)
            waiting.extend(reversed(list(self._open_below(scope))))
        return tuple(opened)

    def _place_constants(self, scope: Scope) -> None:
        scope.constants.update(self._held[scope.body])
        for node in scope.nodes:
            attribute = find_value(node.proto)
            if attribute is None or not attribute.ref_attr_name:
                continue
            given = node.find_attribute(attribute.name)  # a constant that the caller of a function chooses
            if given is not None:
                constant = self._read_origin(self._name(node.outputs[0], scope.body.path), get_origin(given))
                scope.constants[node.outputs[0]] = constant
                self._places[constant] = []
                self.nodes.add(constant)
        for name, constant in scope.constants.items():
            self._places[constant].append(Place(scope, name))

    def _open_below(self, scope: Scope) -> Iterator[Scope]:
        for node in scope.nodes:
            body = self._functions.get((node.proto.domain, node.proto.op_type, getattr(node.proto, "overload", "")))
            if body is None and node.index not in scope.body.inner:
                continue
            if scope.is_too_deep or (body is not None and not self._may_call(scope, body)):
                self._tell(f"what lies inside {node.op} was not looked into: too deep, or called too often")
            elif body is not None:
                node.called = open_call(node, body)
                yield node.called
            else:
                node.bodies = dict(open_inner(node))
                yield from node.bodies.values()

    def _may_call(self, scope: Scope, body: Body) -> bool:
        self._called += sum(len(inner.nodes) for inner in body.walk()) + 1
        return self._called <= _MAX_CALLED_NODES and not scope.calls(body)

    def _tell(self, note: str) -> None:
        if not self.notes:
            self.notes.append(note)

    def _find_uses(self) -> dict[Place, list[Use]]:
        uses: dict[Place, list[Use]] = {}
        for scope in self.scopes:
            for node in scope.nodes:
                handed = _find_handed(node)
                for index, name in enumerate(node.inputs):
                    if name and index not in handed:
                        uses.setdefault(scope.find(name), []).append(Use(node, index))
        return uses

    def _find_exits(self) -> dict[Place, list[tuple[Scope, int]]]:
        exits: dict[Place, list[tuple[Scope, int]]] = {}
        for scope in self.scopes:
            if scope.caller is not None:
                for index, name in enumerate(scope.body.outputs):
                    exits.setdefault(scope.find(name), []).append((scope, index))
        return exits


def _find_handed(node: Node) -> frozenset[int]:
    """Inputs of a node that are only handed to the bodies inside it."""
    scopes = [*node.bodies.values(), *([node.called] if node.called else [])]
    if not scopes:
        return frozenset()
    names = {argument.name for scope in scopes for argument in scope.arguments.values() if argument.axis is None}
    return frozenset(index for index, name in enumerate(node.inputs) if name in names or node.called)


def _read_attribute(name: str, attribute: AttributeProto) -> Constant:
    """The constant of a bare attribute: a number is 0-d, several are 1-D, integers are int64."""
    if attribute.type == AttributeProto.FLOAT:
        return make_constant(name, np.array(attribute.f, dtype=np.float32))
    if attribute.type == AttributeProto.FLOATS:
        return make_constant(name, np.array(attribute.floats, dtype=np.float32))
    if attribute.type == AttributeProto.INT:
        return make_constant(name, np.array(attribute.i, dtype=np.int64))
    if attribute.type == AttributeProto.INTS:
        return make_constant(name, np.array(attribute.ints, dtype=np.int64))
    if attribute.type == AttributeProto.STRING:
        return make_words(name, [attribute.s], ())
    return make_words(name, list(attribute.strings), (len(attribute.strings),))
