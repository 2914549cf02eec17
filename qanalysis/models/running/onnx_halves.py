"""How is a model of 16-bit floats computed in float32? Every place that says the type says float32 instead.

ONNX Runtime computes most of such a model in float32 on a CPU, and leaves out roundings between operations as it sees
fit; where a model is cut it could not, so that a part would not give what the whole gives.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper

HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
#: Attributes that name a type.
_TYPES = frozenset({"to", "dtype", "output_dtype", "stash_type", "softmax_precision"})


def widen_halves(model: ModelProto) -> None:
    """The model, which is changed, computes in float32 wherever it computed in float16 or bfloat16."""
    _widen_graph(model.graph)
    for function in model.functions:
        _widen_nodes(function.node)


def widen_tensor(tensor: TensorProto) -> None:
    """A constant of halves becomes one of float32, with its values where it has any."""
    if tensor.data_type not in HALVES:
        return
    if not tensor.HasField("raw_data") and not len(tensor.int32_data):
        tensor.data_type = TensorProto.FLOAT
        return
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), name))


def _widen_graph(graph: GraphProto) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        _widen_type(value.type)
    for tensor in graph.initializer:
        widen_tensor(tensor)
    for sparse in graph.sparse_initializer:
        widen_tensor(sparse.values)
    _widen_nodes(graph.node)


def _widen_type(kind: TypeProto) -> None:
    for word in ("tensor_type", "sparse_tensor_type"):
        if kind.HasField(word) and getattr(kind, word).elem_type in HALVES:
            getattr(kind, word).elem_type = TensorProto.FLOAT
    for word in ("sequence_type", "optional_type"):
        if kind.HasField(word):
            _widen_type(getattr(kind, word).elem_type)


def _widen_nodes(nodes: Iterable[NodeProto]) -> None:
    for node in nodes:
        for attribute in node.attribute:
            _widen_attribute(attribute)


def _widen_attribute(attribute: AttributeProto) -> None:
    if attribute.name in _TYPES and attribute.type == AttributeProto.INT and attribute.i in HALVES:
        attribute.i = TensorProto.FLOAT
    if attribute.type == AttributeProto.TENSOR:
        widen_tensor(attribute.t)
    for tensor in attribute.tensors:
        widen_tensor(tensor)
    if attribute.type == AttributeProto.GRAPH:
        _widen_graph(attribute.g)
    for graph in attribute.graphs:
        _widen_graph(graph)
