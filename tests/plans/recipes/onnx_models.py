"""An ONNX model of several operations, plans of it, and scripts of recipes run on it."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.plans.plan import Plan
from qanalysis.plans.planning import plan_bits
from qanalysis.plans.recipes.recipe import Recipe
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep

_SHAPES = {
    "table": (20, 48),
    "up": (48, 64),
    "down": (32, 64),
    "filter": (4, 1, 3, 3),
    "filter_up": (4, 6, 3, 3),
    "mix": (8, 16),
    "turned": (5, 16),
}


def make_model(*, opset: int = 21) -> ModelProto:
    """Look-up, MatMul, Gemm with transB, Conv, ConvTranspose, a MatMul without a name and one behind a Transpose."""
    rng = np.random.default_rng(7)
    arrays: dict[str, NDArray[Any]] = {
        name: (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32) for name, shape in _SHAPES.items()
    }
    arrays |= {"bias": rng.standard_normal(32).astype(np.float32), "image": np.array([1, 1, 4, 8], np.int64)}
    node = helper.make_node
    nodes = [
        node("Gather", ["table", "ids"], ["looked_up"], name="look_up"),
        node("MatMul", ["looked_up", "up"], ["wide"], name="proj_up"),
        node("Gemm", ["wide", "down", "bias"], ["narrow"], name="fc", transB=1),
        node("Reshape", ["narrow", "image"], ["picture"], name="fold"),
        node("Conv", ["picture", "filter"], ["filtered"], name="conv", pads=[1, 1, 1, 1]),
        node("ConvTranspose", ["filtered", "filter_up"], ["larger"], name="deconv", pads=[1, 1, 1, 1]),
        node("MatMul", ["larger", "mix"], ["mixed"]),
        node("Transpose", ["turned"], ["straight"], name="turn", perm=[1, 0]),
        node("MatMul", ["mixed", "straight"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6, 4, 5])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def make_chain() -> ModelProto:
    """A look-up and five products one after the other."""
    rng = np.random.default_rng(5)
    widths = {"table": (20, 64), "a": (64, 32), "b": (32, 96), "c": (96, 40), "d": (40, 40), "e": (40, 16)}
    arrays = {name: (rng.standard_normal(shape) / 6).astype(np.float32) for name, shape in widths.items()}
    nodes = [helper.make_node("Gather", ["table", "ids"], ["y_table"], name="look_up")]
    for before, name in zip(widths, list(widths)[1:], strict=False):
        out = "y" if name == "e" else f"y_{name}"
        nodes.append(helper.make_node("MatMul", [f"y_{before}", name], [out], name=f"mm_{name}"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def save_model(folder: Path, model: ModelProto | None = None) -> Path:
    path = folder / "model.onnx"
    path.write_bytes((model or make_model()).SerializeToString())
    return path


def plan_model(path: Path, schemes: Mapping[str, str]) -> Plan:
    """A plan that gives each named tensor its one scheme: a sweep of just these, planned."""
    schemes = {name: str(Scheme.parse(text)) for name, text in schemes.items()}
    with open_checkpoint(path) as source:
        table: Table[Row] = sweep(source, [Scheme.parse(text) for text in dict.fromkeys(schemes.values())])
        header = source.tensors
    rows = [row for row in table.rows if schemes.get(row.tensor) == row.scheme and row.status == "ok"]
    part = Table.from_rows(Row, rows, source=table.source, more=table.more)
    plan = plan_bits(part, budget_bpw=64.0, header=header)
    assert dict(plan.assignments) == dict(schemes)
    return plan


def run_script(recipe: Recipe, folder: Path, script: str) -> dict[str, Any]:
    """The names of a recipe's script, beside its other files."""
    for file in recipe.files:
        (folder / file.name).write_text(file.text, encoding="utf-8")
    return runpy.run_path(str(folder / script))


def read_tensors(path: Path) -> dict[str, tuple[TensorInfo, NDArray[np.float32] | None]]:
    """Every tensor of a file with its values."""
    with open_checkpoint(path) as source:
        return {info.name: (info, np.array(source.read(info)) if info.decodes else None) for info in source.tensors}


def run_model(path: Path) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"ids": np.array([3])})[0]
    return found
