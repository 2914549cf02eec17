"""Models with quantized weights for the tests: what the reader makes of them, and what ONNX Runtime computes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from qanalysis.checkpoints.entries import read_float_columns
from qanalysis.checkpoints.graphs.catalogue import PACKED_OPERATORS
from qanalysis.checkpoints.graphs.operators import PackedWeight
from qanalysis.checkpoints.packed.parts import LayoutError
from tests.checkpoints.graphs.models import find, initializers, open_graph

#: Scales over the range of float32: subnormal products, products that overflow, plain ones.
EXTREMES = (1e-40, 1e-30, 1.0, 0.1, 1e30, 3e38)


def read_packed(folder: Path, made: ModelProto, name: str) -> PackedWeight:
    """The tensor that the codes of a name stand for."""
    graph = open_graph(folder, made)
    for use in graph.uses(find(graph, name)):
        for operator in PACKED_OPERATORS:
            if use.node.op in operator.operators:
                found = operator.read(use, graph)
                if found is not None:
                    return found
    raise LookupError(f"nothing reads {name}")


def read_values(packed: PackedWeight) -> NDArray[np.float32]:
    """All its values, which must also come in slices, and in columns of any rows, as they come whole."""
    count = packed.info.numel
    whole = packed.values.read(0, count)
    assert whole.dtype == np.float32
    assert whole.shape == (count,)
    for start, stop in ((0, min(1, count)), (count // 3, count // 3 * 2), (count // 2 + 1, count), (count, count)):
        if start <= stop:
            np.testing.assert_array_equal(packed.values.read(start, stop), whole[start:stop])
    for axis in range(len(packed.info.shape) if count else 0):
        width = math.prod(packed.info.shape[axis:])
        first, last = width // 4, width - width // 5
        start, stop = (0, count) if count < 3 * width else (width, count - width)
        found = read_float_columns(packed.values, start, stop, width=width, first=first, last=last)
        np.testing.assert_array_equal(found, whole[start:stop].reshape(-1, width)[:, first:last])
    return whole.reshape(packed.info.shape)


def make_model(
    nodes: list[NodeProto],
    arrays: Mapping[str, NDArray[Any] | TensorProto],
    *,
    x: int | None = TensorProto.FLOAT,
    y: int = TensorProto.FLOAT,
    opset: int = 21,
) -> ModelProto:
    """A model with the input x (none where its type is None) and the output y."""
    inputs = [] if x is None else [helper.make_tensor_value_info("x", x, None)]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", y, None)], initializers(arrays))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets)
    made.ir_version = 10 if opset < 25 else made.ir_version
    return made


def run_model(made: ModelProto, **inputs: NDArray[Any]) -> NDArray[Any]:
    """The output y as ONNX Runtime computes it, without its rewriting of graphs."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = runtime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["y"], inputs)[0]


def catch(folder: Path, made: ModelProto, name: str) -> str:
    """Why the codes of a name can not be decoded."""
    try:
        found = read_packed(folder, made, name)
    except LayoutError as error:
        return str(error)
    assert not found.info.decodes
    return found.info.reason


def pack_rows(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Codes of each row as a stream of bits, the lowest first, padded to whole bytes: (..., bytes)."""
    spread = (codes.astype(np.uint8)[..., None] >> np.arange(bits, dtype=np.uint8)) & 1
    flat = spread.reshape(*codes.shape[:-1], -1)
    return np.packbits(flat, axis=-1, bitorder="little")


__all__ = ["EXTREMES", "catch", "make_model", "pack_rows", "read_packed", "read_values", "run_model"]
