"""Which constant, node or outer value does a name mean where it is read?

A scope is one body as it runs at one place: a branch of an If, the body of a Loop or Scan, one call of a function.
Names resolve from the inside outward, and through the arguments of loops and functions; what is defined inside shadows
what is outside. A function that is called three times has three scopes and one set of constants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from onnx import AttributeProto, NodeProto, helper

from qanalysis.checkpoints.graphs.bodies import Body
from qanalysis.checkpoints.graphs.constants import Constant

#: Scopes inside one another that are followed.
_MAX_DEPTH = 64


class Place(NamedTuple):
    """Where a value is defined: the scope and its name there."""

    scope: Scope
    name: str


class Argument(NamedTuple):
    """What an input of a body is outside: a value, whole or (`axis`) one slice along an axis of it at each step."""

    scope: Scope
    name: str
    axis: int | None = None


class Node:
    """One operation in one scope. `op` is "MatMul" or, outside ONNX's own domain, "com.microsoft.FusedMatMul".

    `inputs` and `outputs` are names, "" for one that is left out; `bodies` are the scopes inside it, by attribute;
    `called` is the scope of the local function that it calls.
    """

    __slots__ = ("bodies", "called", "index", "inputs", "op", "outputs", "proto", "scope")

    def __init__(self, proto: NodeProto, scope: Scope, index: int) -> None:
        self.proto, self.scope, self.index = proto, scope, index
        self.op = proto.op_type if proto.domain in {"", "ai.onnx"} else f"{proto.domain}.{proto.op_type}"
        self.inputs, self.outputs = tuple(proto.input), tuple(proto.output)
        self.bodies: dict[str, Scope] = {}
        self.called: Scope | None = None

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute (int, float, str, TensorProto, or a list of them), `default` where there is none.

        In a local function an attribute may be one of the caller's; it then has the caller's value, else the function's
        own default.
        """
        found = self.find_attribute(name)
        if found is None:
            return default
        value = helper.get_attribute_value(found)
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def integer(self, name: str, default: int) -> int:
        """An attribute that must be one integer; `default` where it is none."""
        found = self.attribute(name, default)
        return found if isinstance(found, int) else default

    def integers(self, name: str, operand: int | None = None) -> tuple[int, ...] | None:
        """Integers of an attribute or, as later opsets have it, of a constant input; None where they are not known."""
        constant = None if operand is None else self.constant(operand)
        if constant is not None:
            return constant.find_integers()
        found = self.attribute(name)
        return tuple(found) if isinstance(found, list) and all(isinstance(value, int) for value in found) else None

    def find_attribute(self, name: str) -> AttributeProto | None:
        """The attribute itself, that of the caller where it refers to one."""
        for attribute in self.proto.attribute:
            if attribute.name == name:
                return self.scope.attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        return None

    def constant(self, index: int) -> Constant | None:
        """The constant at an input; None where it is computed, left out, or not there."""
        return self.scope.constant(self.inputs[index]) if index < len(self.inputs) else None

    def producer(self, index: int) -> Node | None:
        """The node that computes an input; None for a constant, an input of the model, and one left out."""
        return self.scope.producer(self.inputs[index]) if index < len(self.inputs) else None

    def place(self, index: int) -> Place | None:
        """Where the value of an input is defined; None for one left out."""
        return self.scope.find(self.inputs[index]) if index < len(self.inputs) and self.inputs[index] else None


class Use(NamedTuple):
    """A constant, or a computed value, is input `operand` of `node`."""

    node: Node
    operand: int

    @property
    def scope(self) -> Scope:
        """The scope of the node."""
        return self.node.scope


class Scope:
    """One body as it runs at one place.

    `caller` is the node whose body or function this is, None for the main graph. `arguments` are its inputs as seen
    from there, `attributes` those that the call of a function gives.
    """

    def __init__(
        self,
        body: Body,
        *,
        caller: Node | None = None,
        arguments: Mapping[str, Argument] | None = None,
        attributes: Mapping[str, AttributeProto] | None = None,
        is_call: bool = False,
    ) -> None:
        self.body, self.caller = body, caller
        self.arguments = arguments or {}
        self.attributes = attributes or {}
        self.parent = None if caller is None or is_call else caller.scope
        self.depth: int = 0 if caller is None else caller.scope.depth + 1
        self.constants: dict[str, Constant] = {}
        self._inputs = frozenset(body.inputs)
        self.nodes = tuple(Node(proto, self, index) for index, proto in enumerate(body.nodes))
        self.producers = {name: node for node in self.nodes for name in node.outputs if name}

    def find(self, name: str) -> Place:
        """Where the value that a name means in this scope is defined.

        That is a constant, the output of a node, or an input: of the model, or one slice of an argument per step.
        """
        scope: Scope | None = self
        while scope is not None:
            if name in scope.constants or name in scope.producers:
                return Place(scope, name)
            argument = scope.arguments.get(name)
            if argument is not None and argument.axis is None:
                scope, name = argument.scope, argument.name
            elif argument is not None or scope.parent is None or scope.takes(name):
                return Place(scope, name)
            else:
                scope = scope.parent
        raise AssertionError("every scope without a parent returns")

    def takes(self, name: str) -> bool:
        """Whether a name is an input of the body."""
        return name in self._inputs

    def constant(self, name: str) -> Constant | None:
        """The constant that a name means here, resolved outward and through arguments; None for a computed value."""
        place = self.find(name)
        return place.scope.constants.get(place.name)

    def producer(self, name: str) -> Node | None:
        """The node that computes the value of a name, in this scope or outside; None for constants and inputs.

        The node of an If, a Loop or a called function stands for the body that computes its outputs.
        """
        place = self.find(name)
        return None if place.name in place.scope.constants else place.scope.producers.get(place.name)

    def slice_of(self, name: str) -> Argument | None:
        """The argument of a Scan of which a value is one slice per step."""
        argument = self.arguments.get(name)
        return argument if argument is not None and argument.axis is not None else None

    @property
    def is_too_deep(self) -> bool:
        """Whether no body inside this one is looked into."""
        return self.depth >= _MAX_DEPTH

    def calls(self, body: Body) -> bool:
        """Whether this scope runs inside a call of that function, so that another call would never end."""
        scope: Scope | None = self
        while scope is not None:
            if scope.body is body:
                return True
            scope = scope.caller.scope if scope.caller is not None else None
        return False


def open_inner(node: Node) -> Iterator[tuple[str, Scope]]:
    """The scopes of the bodies inside a node, by attribute."""
    for key, body in node.scope.body.inner.get(node.index, {}).items():
        yield key, Scope(body, caller=node, arguments=dict(_bind(node, body)), attributes=node.scope.attributes)


def _bind(node: Node, body: Body) -> Iterator[tuple[str, Argument]]:
    """Inputs of the body of a Loop (iteration, condition, states), a Scan (states, slices) or a SequenceMap.

    A state that the body changes is no argument: what is outside is its first value only.
    """
    scope = node.scope
    if node.op == "Loop":
        states = zip(body.inputs[2:], node.inputs[2:], body.outputs[1:], strict=False)
        yield from ((name, Argument(scope, actual)) for name, actual, end in states if _is_same(body, name, end))
    elif node.op == "Scan":
        sliced = node.integer("num_scan_inputs", 0)
        count = max(len(node.inputs) - sliced, 0)
        states = zip(body.inputs[:count], node.inputs, body.outputs, strict=False)
        yield from ((name, Argument(scope, actual)) for name, actual, end in states if _is_same(body, name, end))
        axes = node.integers("scan_input_axes") or (0,) * len(node.inputs)
        for name, actual, axis in zip(body.inputs[count:], node.inputs[count:], axes, strict=False):
            yield name, Argument(scope, actual, axis)
    elif node.op == "SequenceMap":
        yield from (
            (name, Argument(scope, actual)) for name, actual in zip(body.inputs[1:], node.inputs[1:], strict=False)
        )


def _is_same(body: Body, start: str, end: str) -> bool:
    """Whether a body hands its input on as that output."""
    origins = {node.output[0]: node.input[0] for node in body.nodes if node.op_type == "Identity" and node.input}
    seen: set[str] = set()
    while end != start and end in origins and end not in seen:
        seen.add(end)
        end = origins[end]
    return end == start


def open_call(node: Node, body: Body) -> Scope:
    """The scope of one call of a local function."""
    actuals = zip(body.inputs, node.inputs, strict=False)
    arguments = {name: Argument(node.scope, actual) for name, actual in actuals if actual}
    attributes = dict(body.defaults)
    for attribute in node.proto.attribute:
        found = node.find_attribute(attribute.name)
        if found is not None:
            attributes[attribute.name] = found
    return Scope(body, caller=node, arguments=arguments, attributes=attributes, is_call=True)
