"""Whole quantized models through the door that everybody uses: as ONNX Runtime's quantizers write them, and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import TensorInfo
from tests.checkpoints.graphs.models import body, function, initializers, model, node, save
from tests.checkpoints.graphs.packed_models import make_model, pack_rows

RNG = np.random.default_rng(13)
MS = {"domain": "com.microsoft"}
SHAPES = {
    "conv.weight": (8, 3, 3, 3),
    "conv.bias": (8,),
    "gemm.weight": (16, 288),
    "gemm.bias": (16,),
    "matmul.weight": (16, 24),
    "lstm.W": (1, 32, 24),
    "lstm.R": (1, 32, 8),
    "lstm.B": (1, 64),
}
FLOATS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def read_all(path: Path) -> dict[str, tuple[TensorInfo, NDArray[np.float32] | None]]:
    with open_checkpoint(str(path)) as source:
        return {info.name: (info, source.read(info) if info.decodes else None) for info in source.tensors}


@pytest.fixture(scope="module")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nodes = [
        node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], name="conv"),
        node("Relu", ["c"], ["r"], name="relu"),
        node("Flatten", ["r"], ["f"], name="flatten"),
        node("Gemm", ["f", "gemm.weight", "gemm.bias"], ["g"], transB=1, name="gemm"),
        node("MatMul", ["g", "matmul.weight"], ["m"], name="matmul"),
        node("Unsqueeze", ["m", "axes"], ["u"], name="unsqueeze"),
        node("LSTM", ["u", "lstm.W", "lstm.R", "lstm.B"], ["y"], hidden_size=8, name="lstm"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], initializers(FLOATS | {"axes": np.array([1])}))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return save(tmp_path_factory.mktemp("float") / "float.onnx", made)


def make_calibration(quantization: Any) -> Any:
    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[dict[str, Any]] = iter([{"x": RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)}] * 2)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    return Reader()


def check_weights(tensors: dict[str, tuple[TensorInfo, Any]], levels: int, names: dict[str, str]) -> None:
    """Each weight lies within half a step of the float one: a step is at most max - min (0 within) over the levels."""
    for name, stored in names.items():
        info, values = tensors[stored]
        wanted = FLOATS[name]
        found = values
        if stored.startswith("gemm.weight_Transposed"):
            found = values.T
        elif name.startswith("lstm"):
            found = values.transpose(0, 2, 1)
        step = 2 * np.abs(wanted).max() / levels
        # A step and a code are rounded to float32 each: 2 ulp of the largest value beside half a step.
        assert np.abs(found - wanted).max() <= step * (0.5 + 2 * levels * np.finfo(np.float32).eps), name
        assert info.role == "weight"
        assert not info.reason
        assert not info.note


@pytest.mark.parametrize("channels", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize(("layout", "word"), [("QDQ", "qdq"), ("QOperator", "qlinear")], ids=["QDQ", "QOperator"])
def test_static_quantization(tmp_path: Path, float_model: Path, layout: str, word: str, channels: bool) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    path = tmp_path / "static.onnx"
    kind = getattr(quantization.QuantFormat, layout)
    reader = make_calibration(quantization)
    quantization.quantize_static(str(float_model), str(path), reader, quant_format=kind, per_channel=channels)
    tensors = read_all(path)
    names = {name: f"{name}_quantized" for name in ("conv.weight", "gemm.weight", "matmul.weight")}
    check_weights(tensors, 254, names)
    grouping = "channel" if channels else "tensor"
    assert {tensors[name][0].stored for name in names.values()} == {f"{word} int8 {grouping}"}
    assert [tensors[name][0].view.rows for name in names.values()] == [(0,), (0,), (1,)]
    assert {info.role for name, (info, _) in tensors.items() if name.endswith(("_scale", "_zero_point"))} == {"scale"}
    assert not [
        name for name in tensors if name.startswith(("conv.weight_", "gemm.weight_")) and "quantized" not in name
    ]
    bias, values = tensors["conv.bias_quantized"]
    assert (bias.role, bias.decodes) == ("bias", True)
    np.testing.assert_allclose(values, FLOATS["conv.bias"], atol=0.01)  # its step is that of the weight times that of x


@pytest.mark.parametrize("bits", [4, 16])
def test_static_quantization_to_other_widths(tmp_path: Path, float_model: Path, bits: int) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    path = tmp_path / "static.onnx"
    kind = getattr(quantization.QuantType, f"QInt{bits}")
    reader = make_calibration(quantization)
    quantization.quantize_static(str(float_model), str(path), reader, weight_type=kind)
    tensors = read_all(path)
    names = {name: f"{name}_quantized" for name in ("conv.weight", "gemm.weight", "matmul.weight")}
    check_weights(tensors, (1 << bits) - 2, names)
    assert {tensors[name][0].stored for name in names.values()} == {f"qdq int{bits} tensor"}


@pytest.mark.parametrize("channels", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
def test_dynamic_quantization(tmp_path: Path, float_model: Path, kind: str, channels: bool) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    path = tmp_path / "dynamic.onnx"
    weight_type = getattr(quantization.QuantType, kind)
    quantization.quantize_dynamic(str(float_model), str(path), weight_type=weight_type, per_channel=channels)
    tensors = read_all(path)
    names = {name: f"{name}_quantized" for name in ("conv.weight", "matmul.weight", "lstm.W", "lstm.R")}
    names["gemm.weight"] = "gemm.weight_Transposed_quantized"
    check_weights(tensors, 254, names)
    views = {name: tensors[stored][0].view.rows for name, stored in names.items()}
    assert views == {
        "conv.weight": (0,), "matmul.weight": (1,), "lstm.W": (0, 2), "lstm.R": (0, 2), "gemm.weight": (1,),
    }  # fmt: skip
    assert not [name for name in tensors if name.endswith(("_scale", "_zero_point"))]


def test_a_quantized_weight_takes_the_view_of_what_consumes_it(tmp_path: Path) -> None:
    codes = RNG.integers(-8, 8, (6, 4)).astype(ml_dtypes.int4)
    scale = np.float32(0.5)
    nodes = [
        node("DequantizeLinear", ["A", "s"], ["a"]),
        node("DequantizeLinear", ["E", "s"], ["e"]),
        node("Gather", ["e", "x"], ["k"]),
        node("DequantizeLinear", ["b", "s"], ["c"]),
        node("Gemm", ["k", "a", "c"], ["y"], transB=1),
    ]
    arrays = {"A": codes, "E": codes.copy(), "b": np.arange(6, dtype=np.int32), "s": scale}
    tensors = read_all(save(tmp_path / "m.onnx", make_model(nodes, arrays)))
    assert {name: (info.role, info.view.rows) for name, (info, _) in tensors.items() if name in "AEb"} == {
        "A": ("weight", (0,)),
        "E": ("embedding", (0,)),
        "b": ("bias", (0,)),
    }
    assert "s" not in tensors


def test_weights_inside_bodies_and_functions(tmp_path: Path) -> None:
    codes = RNG.integers(0, 256, (4, 6)).astype(np.uint8)
    linear = function(
        "Lin",
        ["a", "q", "s"],
        [node("DequantizeLinear", ["q", "s"], ["w"], axis=1), node("MatMul", ["a", "w"], ["o"])],
    )
    inside = body(
        [node("DequantizeLinear", ["V", "s"], ["w"], axis=1), node("MatMul", ["x", "w"], ["o"])], {"V": codes}
    )
    nodes = [
        node("Lin", ["x", "W", "s"], ["h"], domain="local"),
        node("If", ["c"], ["y"], then_branch=inside, else_branch=body([node("Identity", ["h"], ["o"])])),
    ]
    scale = np.arange(1, 7, dtype=np.float32)
    made = model(nodes, {"W": codes, "s": scale, "c": np.array(True)}, functions=[linear])
    tensors = read_all(save(tmp_path / "m.onnx", made))
    for name in ("W", "V"):
        info, values = tensors[name]
        np.testing.assert_array_equal(values, codes * scale)
        assert (info.stored, info.view.rows) == ("qdq uint8 channel", (1,))


def test_codes_in_a_data_file_are_read_in_slices(tmp_path: Path) -> None:
    codes = RNG.integers(0, 16, (64, 96))
    stored = pack_rows(codes, 4)
    (tmp_path / "w.bin").write_bytes(stored.tobytes())
    tensor = TensorProto(name="B", data_type=TensorProto.UINT8, dims=(64, 3, 16), data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    attributes = {"K": 96, "N": 64, "bits": 4, "block_size": 32}
    made = make_model(
        [node("MatMulNBits", ["x", "B", "s"], ["y"], **attributes, **MS)],
        {"B": tensor, "s": np.full((64, 3), 0.5, np.float32)},
    )
    with open_checkpoint(str(save(tmp_path / "m.onnx", made))) as source:
        (info,) = source.tensors
        assert source.is_sliceable(info)
        assert info.stored_bits == 4 + 32 / 32
        wanted = ((codes - 8) * np.float32(0.5)).reshape(-1)
        np.testing.assert_array_equal(source.read_slice(info, 1000, 3001), wanted[1000:3001])


def test_parts_that_do_not_fit_are_one_row_with_a_reason(tmp_path: Path) -> None:
    nodes = [
        node("DequantizeLinear", ["W", "s"], ["w"], axis=1),
        node("MatMul", ["x", "w"], ["h"]),
        node("MatMul", ["h", "V"], ["y"]),
    ]
    arrays = {"W": np.ones((4, 6), np.int8), "s": np.ones(5, np.float32), "V": np.ones((6, 2), np.float32)}
    tensors = read_all(save(tmp_path / "m.onnx", make_model(nodes, arrays)))
    info = tensors["W"][0]
    assert not info.decodes
    assert info.reason == (
        "looks like qdq, but its scale has the shape (5,); without blocks it holds 1 number or 6, the size of axis 1"
    )
    assert tensors["V"][0].role == "weight"


def test_a_float_weight_between_a_pair_keeps_its_note(tmp_path: Path) -> None:
    nodes = [
        node("QuantizeLinear", ["W", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["w"]),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    arrays = {"W": FLOATS["matmul.weight"], "s": np.float32(0.1), "z": np.int8(0)}
    tensors = read_all(save(tmp_path / "m.onnx", make_model(nodes, arrays)))
    info, values = tensors["W"]
    np.testing.assert_array_equal(values, arrays["W"])
    assert (info.role, info.view.rows, info.stored) == ("weight", (1,), "")
    assert info.note == "stored as float32, passes QuantizeLinear and DequantizeLinear (int8)"
