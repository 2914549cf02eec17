"""What does a graph of an ONNX model define? Its nodes, constants, inputs and outputs, and the graphs inside its nodes.

A body is a definition: that of a local function exists once, however often the function is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, SparseTensorProto, TensorProto, ValueInfoProto

#: What a constant is made of: a tensor, a sparse tensor, or an attribute that holds bare numbers or text.
Origin = TensorProto | SparseTensorProto | AttributeProto
#: Attributes of a Constant node that hold its value.
_VALUE_ATTRIBUTES = frozenset(
    {
        "value",
        "sparse_value",
        "value_float",
        "value_floats",
        "value_int",
        "value_ints",
        "value_string",
        "value_strings",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One graph or function as it is written.

    `path` names it in words: "" for the main graph, "If_3/then_branch", the name of a function. `origins` are its
    constants in the order of the file, the first `initializers` of them no nodes; a name may occur twice. `inner` are
    the bodies inside nodes, by the index of the node and the name of the attribute. `defaults` are attributes that a
    function has where its caller gives none. `shapes` are the shapes that the file declares, None for a size that is
    not fixed.
    """

    path: str
    nodes: Sequence[NodeProto]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    origins: tuple[tuple[str, Origin], ...]
    inner: Mapping[int, Mapping[str, Body]]
    defaults: Mapping[str, AttributeProto]
    shapes: Mapping[str, tuple[int | None, ...]]
    initializers: int = 0

    def walk(self) -> Iterator[Body]:
        """Itself and all bodies inside it, in the order of the file."""
        yield self
        for bodies in self.inner.values():
            for body in bodies.values():
                yield from body.walk()


def read_graph(graph: GraphProto, path: str = "") -> Body:
    """The body of a graph."""
    declared = [*graph.input, *graph.output, *graph.value_info]
    stored: list[tuple[str, Origin]] = [(tensor.name, tensor) for tensor in graph.initializer]
    stored += [(tensor.values.name, tensor) for tensor in graph.sparse_initializer]
    nodes = list(graph.node)
    return Body(
        path,
        nodes,
        tuple(value.name for value in graph.input),
        tuple(value.name for value in graph.output),
        (*stored, *_find_constant_nodes(nodes)),
        _read_inner(nodes, path),
        {},
        _read_shapes(declared),
        len(stored),
    )


def read_function(function: FunctionProto) -> Body:
    """The body of a local function."""
    nodes = list(function.node)
    path = ".".join(filter(None, (function.domain, function.name, getattr(function, "overload", ""))))
    return Body(
        path,
        nodes,
        tuple(function.input),
        tuple(function.output),
        tuple(_find_constant_nodes(nodes)),
        _read_inner(nodes, path),
        {attribute.name: attribute for attribute in function.attribute_proto},
        _read_shapes(getattr(function, "value_info", ())),
    )


def find_value(node: NodeProto) -> AttributeProto | None:
    """The attribute that holds the value of a Constant node, None for another node."""
    if node.op_type != "Constant" or node.domain not in {"", "ai.onnx"} or len(node.output) != 1:
        return None
    return next((attribute for attribute in node.attribute if attribute.name in _VALUE_ATTRIBUTES), None)


def get_origin(attribute: AttributeProto) -> Origin:
    """What the value of a Constant node is made of."""
    if attribute.type == AttributeProto.TENSOR:
        return attribute.t
    return attribute.sparse_tensor if attribute.type == AttributeProto.SPARSE_TENSOR else attribute


def _find_constant_nodes(nodes: Sequence[NodeProto]) -> Iterator[tuple[str, Origin]]:
    for node in nodes:
        attribute = find_value(node)
        if attribute is not None and not attribute.ref_attr_name:
            yield node.output[0], get_origin(attribute)


def _read_inner(nodes: Sequence[NodeProto], path: str) -> dict[int, dict[str, Body]]:
    inner: dict[int, dict[str, Body]] = {}
    for index, node in enumerate(nodes):
        for attribute in node.attribute:
            graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else list(attribute.graphs)
            for place, graph in enumerate(graphs):
                key = attribute.name if attribute.type == AttributeProto.GRAPH else f"{attribute.name}_{place}"
                where = "/".join(filter(None, (path, node.name or f"{node.op_type}_{index}", key)))
                inner.setdefault(index, {})[key] = read_graph(graph, where)
    return inner


def _read_shapes(declared: Sequence[ValueInfoProto]) -> dict[str, tuple[int | None, ...]]:
    shapes = {}
    for value in declared:
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
            sizes = value.type.tensor_type.shape.dim
            shapes[value.name] = tuple(size.dim_value if size.HasField("dim_value") else None for size in sizes)
    return shapes
