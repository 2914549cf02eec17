"""Small ONNX models that run, for the tests: one call each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node = helper.make_node


def value(name: str, shape: Sequence[int | str | None] | None, code: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, code, shape)


def make(
    nodes: Sequence[NodeProto],
    arrays: Mapping[str, Any],
    inputs: Sequence[Any],
    *,
    output: Any = None,
    opset: int = 21,
) -> ModelProto:
    """A model whose output is y."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        list(inputs),
        [output or value("y", None)],
        [
            array if isinstance(array, TensorProto) else numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in arrays.items()
        ],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def save(path: Path, made: ModelProto) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def run(made: ModelProto, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """What the runtime itself makes of a model, no operation fused with another."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: NDArray[Any] = session.run(None, dict(feeds))[0]
    return found


def replaced(made: ModelProto, name: str, values: NDArray[Any]) -> ModelProto:
    """The same model with other values of one initializer."""
    copy = ModelProto()
    copy.CopyFrom(made)
    for tensor in copy.graph.initializer:
        if tensor.name == name:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
    return copy


def draw(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    drawn: NDArray[np.float32] = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return drawn


def network() -> ModelProto:
    """A convolution, a residual block of two products with a branch, and a head: x (n, 1, 6, 6) to y (n, 3)."""
    nodes = [
        node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], "relu"),
        node("Flatten", ["r"], ["f"], "flat"),
        node("MatMul", ["f", "up.weight"], ["u"], "up"),
        node("Add", ["u", "up.bias"], ["ub"], "up_bias"),
        node("Tanh", ["ub"], ["t"], "tanh"),
        node("Transpose", ["down.weight"], ["turned"], "turn", perm=[1, 0]),
        node("MatMul", ["t", "turned"], ["d"], "down"),
        node("Add", ["d", "f"], ["s"], "residual"),
        node("Gemm", ["s", "head.weight", "head.bias"], ["y"], "head", transB=1),
    ]
    arrays = {
        "conv.weight": draw(2, 1, 3, 3, seed=1),
        "conv.bias": draw(2, seed=2),
        "up.weight": draw(72, 16, seed=3),
        "up.bias": draw(16, seed=4),
        "down.weight": draw(72, 16, seed=5),
        "head.weight": draw(3, 72, seed=6),
        "head.bias": draw(3, seed=7),
    }
    return make(nodes, arrays, [value("x", ["n", 1, 6, 6])])
