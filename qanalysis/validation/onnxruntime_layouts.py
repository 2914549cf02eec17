"""Are packed weights of ONNX read as ONNX Runtime computes them? One operator that gives the weights back, its result
beside what the file holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.validation.check import Agreement, Comparison, count_differing
from qanalysis.validation.stored import read_file

#: Rows, columns, block: a block that ends within the row, rows shorter than one, whole blocks.
MATRICES = ((6, 140, 32), (3, 20, 64), (8, 256, 128))
INTEGERS = ("int8", "uint8", "int16", "uint16", "int4", "uint4", "float8_e4m3fn", "float8_e5m2")
Graph = tuple[str, Mapping[str, Any], dict[str, NDArray[Any]], NDArray[Any] | None]


def compare_layouts() -> Iterator[Comparison]:
    """DequantizeLinear for each type, and the operators that compute with blocks of bits."""
    for word in INTEGERS:
        name = f"stored qdq {word} tensor, channel, blocks: DequantizeLinear"
        yield Comparison(name, "bit-exact", 0, partial(_compare_linear, word))
    for bits in (2, 4, 8):
        name = f"stored matmulnbits int{bits}, ragged blocks: MatMulNBits"
        yield Comparison(name, "bit-exact", 0, partial(_compare_matmul, bits))
    yield Comparison("stored gather int4: GatherBlockQuantized", "bit-exact", 0, _compare_gather)
    for kind, word in enumerate(("fp4", "nf4")):
        name = f"stored matmulbnb4 {word}: MatMulBnb4"
        yield Comparison(name, "bit-exact", 0, partial(_compare_table, kind))


def _compare_linear(word: str) -> Agreement:
    shape, rng = (6, 70), np.random.default_rng(3)
    codes = _draw_codes(rng, word, shape)
    graphs = []
    for sizes, attributes in (
        ((), {}),
        ((6,), {"axis": 0}),
        ((70,), {"axis": 1}),
        ((6, 5), {"axis": 1, "block_size": 16}),
    ):
        arrays = {"l.weight": codes, "s": np.asarray(rng.uniform(0.01, 1, sizes), np.float32)}
        if "float" not in word:
            arrays["z"] = _draw_codes(rng, word, sizes)
        graphs.append(("DequantizeLinear", attributes, arrays, None))
    return _compare_graphs(graphs)


def _draw_codes(rng: np.random.Generator, word: str, shape: tuple[int, ...]) -> NDArray[Any]:
    import ml_dtypes

    dtype = np.dtype(getattr(ml_dtypes, word, word))
    if "float" in word:
        return rng.normal(size=shape).astype(dtype)
    bits = int(word.lstrip("uint"))
    low = 0 if word.startswith("u") else -(1 << bits - 1)
    return rng.integers(low, low + (1 << bits), shape).astype(dtype)


def _pack(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Rows of codes as streams of bits, the lowest first, each padded to whole bytes."""
    spread = (codes.astype(np.uint8)[..., np.newaxis] >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(spread.reshape(*codes.shape[:-1], -1), axis=-1, bitorder="little")


def _compare_matmul(bits: int) -> Agreement:
    return _compare_graphs(_draw_matmul(bits, *matrix, zeros=zeros) for matrix in MATRICES for zeros in (False, True))


def _draw_matmul(bits: int, rows: int, columns: int, block: int, *, zeros: bool) -> Graph:
    """A product with the identity, which is the matrix."""
    rng, count = np.random.default_rng(columns), -(-columns // block)
    codes = rng.integers(0, 1 << bits, (rows, count * block))
    arrays: dict[str, NDArray[Any]] = {
        "l.weight": _pack(codes, bits).reshape(rows, count, -1),
        "s": rng.uniform(0.01, 1, (rows, count)).astype(np.float32),
    }
    if zeros:
        arrays["z"] = _pack(rng.integers(0, 1 << bits, (rows, count)), bits)
    attributes = {"N": rows, "K": columns, "bits": bits, "block_size": block}
    return "MatMulNBits", attributes, arrays, np.eye(columns, dtype=np.float32)


def _compare_gather() -> Agreement:
    """Every row is looked up."""
    rng, rows, columns, block = np.random.default_rng(5), 9, 128, 32
    arrays: dict[str, NDArray[Any]] = {
        "l.weight": _pack(rng.integers(0, 16, (rows, columns)), 4),
        "s": rng.uniform(0.01, 1, (rows, columns // block)).astype(np.float32),
        "z": _pack(rng.integers(0, 16, (rows, columns // block)), 4),
    }
    attributes = {"gather_axis": 0, "quantize_axis": 1, "block_size": block, "bits": 4}
    return _compare_graphs([("GatherBlockQuantized", attributes, arrays, np.arange(rows))])


def _compare_table(kind: int) -> Agreement:
    """Blocks of the whole matrix, which cross the ends of its rows."""
    graphs = []
    for rows, columns, block in ((5, 64, 16), (3, 21, 16), (7, 33, 64)):
        rng = np.random.default_rng(columns)
        arrays: dict[str, NDArray[Any]] = {
            "l.weight": rng.integers(0, 256, -(-rows * columns // 2)).astype(np.uint8),
            "s": rng.uniform(0.01, 1, -(-rows * columns // block)).astype(np.float32),
        }
        attributes = {"N": rows, "K": columns, "block_size": block, "quant_type": kind}
        graphs.append(("MatMulBnb4", attributes, arrays, np.eye(columns, dtype=np.float32)))
    return _compare_graphs(graphs)


def _compare_graphs(graphs: Any) -> Agreement:
    return count_differing(_run(*graph) for graph in graphs)


def _run(
    operator: str, attributes: Mapping[str, Any], arrays: dict[str, NDArray[Any]], x: NDArray[Any] | None
) -> tuple[Floats, Floats]:
    """The weight as the file has it and as the runtime computes it; without x its codes are the first operand, and a
    product is turned to rows of outputs.
    """
    import onnxruntime

    made = _make_model(operator, attributes, arrays, x)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    theirs = session.run(["y"], {} if x is None else {"x": x})[0]
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(made.SerializeToString())
        (ours,) = (values for name, values in read_file(path).items() if name not in ("s", "z"))
    return ours, theirs.T if operator.startswith("MatMul") else theirs


def _describe_input(x: NDArray[Any]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)


def _make_model(
    operator: str, attributes: Mapping[str, Any], arrays: dict[str, NDArray[Any]], x: NDArray[Any] | None
) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    ends = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    given = [] if x is None else [_describe_input(x)]
    names = list(arrays)
    if operator.startswith("MatMul"):
        names.insert(0, "x")
    elif x is not None:
        names.insert(1, "x")
    domain = "" if operator == "DequantizeLinear" else "com.microsoft"
    node = helper.make_node(operator, names, ["y"], domain=domain, **attributes)
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph([node], "weights", given, ends, constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
