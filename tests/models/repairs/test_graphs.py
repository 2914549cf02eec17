"""Models that are no torch modules are repaired too, where weights and the moments of inputs are enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper, save

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.repairs.catalogue import NEAREST, find_repair
from qanalysis.models.running.opening import open_model
from qanalysis.quantizers.scheme import Scheme

SCHEME = Scheme.parse("int3 channel")


@pytest.fixture
def graph(tmp_path: Path):
    """x W₁ᵀ + b₁, ReLU, times W₂: a Gemm and a MatMul."""
    generator = np.random.default_rng(0)
    shapes = {"first": (16, 8), "shift": (16,), "second": (16, 5)}
    arrays = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Gemm", ["x", "first", "shift"], ["h"], name="gemm", transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "second"], ["y"], name="matmul"),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])] for name, size in (("x", 8), ("y", 5))
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "graph", *ends, tensors), opset_imports=[helper.make_opsetid("", 17)]
    )
    made.ir_version = 8
    save(made, tmp_path / "model.onnx")
    inputs = generator.normal(size=(64, 8)) + generator.normal(size=(64, 1)) + 0.5
    batch = Batch({"x": torch.from_numpy(inputs.astype(np.float32))})
    with open_model(str(tmp_path / "model.onnx")) as model:
        layers = [layer for layer in model.layers if layer.tensor.role == "weight"]
        yield model, Calibration((batch,), "test"), layers, arrays


@pytest.mark.parametrize("name", ["gptq", "gptq+bias", "adaround"])
def test_outputs_come_nearer_than_by_nearest_rounding(graph, name: str) -> None:
    model, calibration, layers, _arrays = graph
    recording = model.record(calibration.blocks[0])
    errors = []
    for repair in (NEAREST, find_repair(name)):
        change = repair.make(model, calibration, layers, SCHEME).change
        errors.append(float((model.rerun(recording, change) - recording.outputs).norm()))
    assert errors[1] < 0.6 * errors[0]


def test_the_bias_of_a_gemm_is_corrected_and_a_product_without_one_is_named(graph) -> None:
    model, calibration, layers, arrays = graph
    repaired = find_repair("bias").make(model, calibration, layers, SCHEME)
    error = arrays["first"].astype(np.float64) - repaired.change.weights["first"]
    mean = calibration.blocks[0].inputs["x"].double().numpy().mean(0)
    # float32 rounds the bias, of a few units, once
    np.testing.assert_allclose(repaired.change.weights["shift"], arrays["shift"] + error @ mean, atol=1e-6)
    assert repaired.touched == ["shift"]
    assert repaired.notes[0].startswith("matmul: it has no bias")
