"""Small ONNX models for the tests: one call each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from qanalysis.checkpoints.graphs.constants import Constant, ConstantReader, ExternalData
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.mapped_file import LocalFolder, MappedFile

node = helper.make_node
OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("local", 1)]


def value(name: str, shape: Sequence[int] | None = None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def initializers(arrays: Mapping[str, NDArray[Any] | TensorProto]) -> list[TensorProto]:
    return [
        array if isinstance(array, TensorProto) else numpy_helper.from_array(np.ascontiguousarray(array), name)
        for name, array in arrays.items()
    ]


def body(
    nodes: Sequence[NodeProto],
    arrays: Mapping[str, NDArray[Any] | TensorProto] | None = None,
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = ("o",),
) -> GraphProto:
    """The body of an If, Loop or Scan."""
    return helper.make_graph(
        list(nodes),
        "body",
        [value(name) for name in inputs],
        [value(name) for name in outputs],
        initializers(arrays or {}),
    )


def function(
    name: str, inputs: Sequence[str], nodes: Sequence[NodeProto], *, outputs: Sequence[str] = ("o",), **keys: Any
) -> FunctionProto:
    return helper.make_function("local", name, list(inputs), list(outputs), list(nodes), OPSETS, **keys)


def model(
    nodes: Sequence[NodeProto],
    arrays: Mapping[str, NDArray[Any] | TensorProto] | None = None,
    *,
    functions: Sequence[FunctionProto] = (),
    inputs: Sequence[Any] = (),
    outputs: Sequence[str] = ("y",),
) -> ModelProto:
    """A model whose input is x (or those given) and whose output is y."""
    graph = helper.make_graph(
        list(nodes), "g", list(inputs) or [value("x")], [value(name) for name in outputs], initializers(arrays or {})
    )
    return helper.make_model(graph, opset_imports=OPSETS, functions=list(functions), ir_version=10)


def save(path: Path, made: ModelProto) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def open_graph(folder: Path, made: ModelProto) -> Graph:
    """The graph of a model with all its constants in memory."""
    file = MappedFile(save(folder / "m.onnx", made))
    return Graph(made, ConstantReader(file, ExternalData(LocalFolder(folder))))


def find(graph: Graph, name: str) -> Constant:
    return next(constant for constant in graph.constants if constant.name == name)


def list_uses(graph: Graph, name: str) -> list[tuple[str, int, str]]:
    """Operation, operand and body of each direct use of a constant."""
    return [(use.node.op, use.operand, use.scope.body.path) for use in graph.uses(find(graph, name))]
