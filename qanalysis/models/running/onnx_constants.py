"""Which constants does an ONNX model hold, under which names? All move to the main graph, where each can be fed.

Constants of bodies (branches, loops), of Constant nodes and sparse ones get the names under which the reader of the
file lists them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto, helper, numpy_helper


def gather_constants(graph: GraphProto) -> dict[str, TensorProto]:
    """All constants of a graph and of its bodies; where they stood they are gone."""
    counts = Counter(name for inner, _path in _walk(graph) for name in _name_constants(inner))
    found: dict[str, TensorProto] = {}
    renamed = list[tuple[GraphProto, dict[str, str]]]()
    for inner, path in _walk(graph):
        own: dict[str, str] = {}
        for name, tensor in _read_constants(inner):
            unique = _name(name, path if counts[name] > 1 else "", found)
            found[unique] = tensor
            own.setdefault(name, unique)
        renamed.append((inner, own))
    for inner, own in reversed(renamed):  # a body before what is around it, which is then put together anew
        _drop_constants(inner)
        if inner is not graph:
            rename_inputs(inner, own)
    return found


def list_bodies(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """The bodies of a node by attribute."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.name, attribute.g
        for place, inner in enumerate(attribute.graphs):
            yield f"{attribute.name}_{place}", inner


def find_used(node: NodeProto) -> frozenset[str]:
    """The names of outside that a node reads, those that only its bodies read counted."""
    used = {name for name in node.input if name}
    for _key, body in list_bodies(node):
        read = {one.name for one in body.output}.union(*map(find_used, body.node))
        used |= read - _name_own(body)
    return frozenset(used)


def _name(name: str, path: str, taken: Mapping[str, TensorProto]) -> str:
    text = f"{path}/{name}" if path and name in taken else name
    unique, count = text, 1
    while unique in taken:
        count += 1
        unique = f"{text} ({count})"
    return unique


def _walk(graph: GraphProto, path: str = "") -> Iterator[tuple[GraphProto, str]]:
    """A graph and all bodies inside it with their paths, in the order of the file."""
    yield graph, path
    for index, node in enumerate(graph.node):
        for key, inner in list_bodies(node):
            yield from _walk(inner, "/".join(filter(None, (path, node.name or f"{node.op_type}_{index}", key))))


def _name_own(graph: GraphProto) -> set[str]:
    """The names that a graph defines."""
    own = {one.name for one in graph.input} | {name for one in graph.node for name in one.output}
    return own | set(_name_constants(graph))


def _name_constants(graph: GraphProto) -> Iterator[str]:
    yield from (one.name for one in graph.initializer)
    yield from (one.values.name for one in graph.sparse_initializer)
    yield from (node.output[0] for node in graph.node if _is_constant(node))


def _read_constants(graph: GraphProto) -> list[tuple[str, TensorProto]]:
    """The constants of one graph by name, but for those that are its outputs."""
    outputs = {one.name for one in graph.output}
    found = [(one.name, one) for one in graph.initializer]
    found += [(one.values.name, _spread(one)) for one in graph.sparse_initializer]
    found += [(node.output[0], _read_value(node)) for node in graph.node if _is_constant(node)]
    return [(name, tensor) for name, tensor in found if name not in outputs]


def _drop_constants(graph: GraphProto) -> None:
    """Take out what `_read_constants` reads."""
    outputs = {one.name for one in graph.output}
    nodes = [node for node in graph.node if not _is_constant(node) or node.output[0] in outputs]
    if len(nodes) < len(graph.node):
        del graph.node[:]
        graph.node.extend(nodes)
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name not in outputs:
            del graph.initializer[place]
    for place in reversed(range(len(graph.sparse_initializer))):
        if graph.sparse_initializer[place].values.name not in outputs:
            del graph.sparse_initializer[place]


def _is_constant(node: NodeProto) -> bool:
    """Whether a node is a constant of numbers, text left out."""
    words = {"value", "sparse_value", "value_float", "value_floats", "value_int", "value_ints"}
    is_one = node.op_type == "Constant" and node.domain in ("", "ai.onnx") and len(node.output) == 1
    return is_one and any(one.name in words and not one.ref_attr_name for one in node.attribute)


def _read_value(node: NodeProto) -> TensorProto:
    (attribute,) = (one for one in node.attribute if one.name.startswith(("value", "sparse_value")))
    if attribute.name == "sparse_value":
        return _spread(attribute.sparse_tensor)
    found: TensorProto = attribute.t
    if attribute.name != "value":
        value = helper.get_attribute_value(attribute)
        kind = TensorProto.FLOAT if "float" in attribute.name else TensorProto.INT64
        is_list = attribute.name.endswith("s")
        found = helper.make_tensor("", kind, [len(value)] if is_list else [], value if is_list else [value])
    return found


def _spread(sparse: SparseTensorProto) -> TensorProto:
    """A sparse tensor as a dense one."""
    values, places = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if places.ndim == 2:
        dense[tuple(places.T)] = values
    else:
        dense.reshape(-1)[places] = values
    made: TensorProto = numpy_helper.from_array(dense)
    return made


def rename_inputs(graph: GraphProto, renamed: Mapping[str, str]) -> None:
    """Names that a body reads given anew, also in bodies inside it that do not define them again."""
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        for _key, inner in list_bodies(node):
            own = _name_own(inner)
            rename_inputs(inner, {old: new for old, new in renamed.items() if old not in own})
