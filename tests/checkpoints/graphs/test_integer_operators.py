"""What weights of integer operators stand for: read from the operator's inputs, or from what follows its output."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.checkpoints.graphs.packed_models import catch, make_model, read_packed, read_values, run_model

node = helper.make_node
MS = {"domain": "com.microsoft"}
ONE, ZERO = np.float32(1), np.uint8(0)
SCALES = {"x_s": ONE, "x_z": ZERO, "y_s": ONE, "y_z": ZERO}


def draw(*shape: int, channels: int = 0, signed: bool = False) -> dict[str, NDArray[Any]]:
    """Codes with a scale and a zero point, one or one for each channel."""
    rng = np.random.default_rng(7)
    dtype, sizes = (np.int8 if signed else np.uint8), (channels,) if channels else ()
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return {
        "W": rng.integers(low, high, shape).astype(dtype),
        "s": np.array(10.0 ** rng.uniform(-4, 4, sizes), dtype=np.float32),
        "z": rng.integers(low, high, sizes).astype(dtype) if not signed else np.zeros(sizes, dtype),
    }


def expect(parts: dict[str, NDArray[Any]], axis: int) -> NDArray[np.float32]:
    """(q - z) * s along an axis."""
    rank = parts["W"].ndim
    sizes = [-1 if place == axis % rank else 1 for place in range(rank)]
    zero, scale = (parts[name].astype(np.float32).reshape(sizes) for name in ("z", "s"))
    return (parts["W"].astype(np.float32) - zero) * scale


KINDS = pytest.mark.parametrize("channels", [False, True], ids=["tensor", "channel"])


@KINDS
@pytest.mark.parametrize("signed", [True, False], ids=["int8", "uint8"])
def test_convolutions(tmp_path: Path, channels: bool, signed: bool) -> None:
    parts = draw(6, 3, 2, 2, channels=6 * channels, signed=signed)
    bias = np.arange(-3, 3, dtype=np.int32)
    names = ["x", "x_s", "x_z", "W", "s", "z", "y_s", "y_z", "b"]
    made = make_model(
        [node("QLinearConv", names, ["y"])], SCALES | parts | {"b": bias, "x_s": np.float32(0.5)}, x=TensorProto.UINT8
    )
    packed = read_packed(tmp_path, made, "W")
    np.testing.assert_array_equal(read_values(packed), expect(parts, 0))
    word = f"qlinear {'int8' if signed else 'uint8'} {'channel' if channels else 'tensor'}"
    assert (packed.info.stored.removesuffix(" asym"), packed.info.role, packed.info.view.rows) == (word, "weight", (0,))
    assert packed.info.size_bytes == sum(part.nbytes for part in parts.values())
    added = read_packed(tmp_path, made, "b")
    np.testing.assert_array_equal(read_values(added), bias.astype(np.float32) * (np.float32(0.5) * parts["s"]))
    assert (added.info.role, [part.name for part in added.parts]) == ("bias", ["b"])


@KINDS
@pytest.mark.parametrize("lead", [(), (2,)], ids=["matrix", "stack"])
def test_right_operands_of_matrix_products(tmp_path: Path, channels: bool, lead: tuple[int, ...]) -> None:
    parts = draw(*lead, 8, 6, channels=6 * channels)
    names = ["x", "x_s", "x_z", "W", "s", "z", "y_s", "y_z"]
    made = make_model([node("QLinearMatMul", names, ["y"])], SCALES | parts, x=TensorProto.UINT8)
    packed = read_packed(tmp_path, made, "W")
    np.testing.assert_array_equal(read_values(packed), expect(parts, -1))
    assert packed.info.view.rows == (*range(len(lead)), len(lead) + 1)


def test_left_operands_of_matrix_products(tmp_path: Path) -> None:
    parts = draw(6, 8, channels=6)
    names = ["W", "s", "z", "x", "x_s", "x_z", "y_s", "y_z"]
    made = make_model([node("QLinearMatMul", names, ["y"])], SCALES | parts, x=TensorProto.UINT8)
    packed = read_packed(tmp_path, made, "W")
    np.testing.assert_array_equal(read_values(packed), expect(parts, 0))
    assert packed.info.view.rows == (0,)


def test_scales_of_each_matrix_of_a_stack(tmp_path: Path) -> None:
    parts = draw(2, 8, 6)
    scale = np.arange(1, 13, dtype=np.float32).reshape(2, 1, 6)
    names = ["x", "x_s", "x_z", "W", "s", "z", "y_s", "y_z"]
    made = make_model([node("QLinearMatMul", names, ["y"])], SCALES | parts | {"s": scale}, x=TensorProto.UINT8)
    wanted = (parts["W"].astype(np.float32) - np.float32(parts["z"])) * scale
    np.testing.assert_array_equal(read_values(read_packed(tmp_path, made, "W")), wanted)


@KINDS
def test_products_with_float_output_are_those_of_onnx_runtime(tmp_path: Path, channels: bool) -> None:
    parts = draw(8, 6, channels=6 * channels)
    made = make_model(
        [node("MatMulIntegerToFloat", ["x", "W", "x_s", "s", "x_z", "z"], ["y"], **MS)], SCALES | parts, x=2
    )
    packed = read_packed(tmp_path, made, "W")
    np.testing.assert_array_equal(read_values(packed), expect(parts, 1))
    assert packed.info.view.rows == (1,)
    dynamic = make_model([node("DynamicQuantizeMatMul", ["x", "W", "s", "z"], ["y"], **MS)], parts)
    np.testing.assert_array_equal(read_values(read_packed(tmp_path, dynamic, "W")), expect(parts, 1))
    np.testing.assert_array_equal(run_model(made, x=np.eye(8, dtype=np.uint8)), expect(parts, 1))


@KINDS
@pytest.mark.parametrize("transposed", [0, 1], ids=["in x out", "out x in"])
def test_gemm_is_that_of_onnx_runtime(tmp_path: Path, channels: bool, transposed: int) -> None:
    parts = draw(*((6, 8) if transposed else (8, 6)), channels=6 * channels)
    made = make_model(
        [node("QGemm", ["x", "x_s", "x_z", "W", "s", "z"], ["y"], transB=transposed, **MS)], SCALES | parts, x=2
    )
    packed = read_packed(tmp_path, made, "W")
    found = read_values(packed)
    axis = 0 if transposed else 1
    np.testing.assert_array_equal(found, expect(parts, axis))
    assert packed.info.view.rows == (axis,)
    computed = run_model(made, x=np.eye(8, dtype=np.uint8))
    np.testing.assert_array_equal(computed, found.T if transposed else found)


def test_fused_attention_has_columns_of_outputs(tmp_path: Path) -> None:
    parts = draw(8, 24, channels=24)
    names = ["x", "W", "b", "x_s", "s", "", "x_z", "z"]
    made = make_model(
        [node("QAttention", names, ["y"], num_heads=2, **MS)], SCALES | parts | {"b": np.zeros(24, np.float32)}
    )
    packed = read_packed(tmp_path, made, "W")
    np.testing.assert_array_equal(read_values(packed), expect(parts, 1))
    assert packed.info.view.rows == (1,)


@KINDS
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_weights_are_transposed(tmp_path: Path, channels: bool, directions: int) -> None:
    rng = np.random.default_rng(8)
    sizes = (directions, 12) if channels else (directions,)
    arrays: dict[str, Any] = {}
    for name, inputs in (("W", 5), ("R", 3)):
        arrays[name] = rng.integers(-128, 128, (directions, inputs, 12)).astype(np.int8)
        arrays[f"{name}s"] = rng.uniform(0.01, 1, sizes).astype(np.float32)
        arrays[f"{name}z"] = np.zeros(sizes, np.int8)
    names = ["x", "W", "R", "", "", "", "", "", "Ws", "Wz", "Rs", "Rz"]
    way = "bidirectional" if directions == 2 else "forward"
    made = make_model([node("DynamicQuantizeLSTM", names, ["y"], hidden_size=3, direction=way, **MS)], arrays)
    for name in ("W", "R"):
        packed = read_packed(tmp_path, made, name)
        scale = arrays[f"{name}s"].reshape(directions, 1, -1)
        np.testing.assert_array_equal(read_values(packed), arrays[name].astype(np.float32) * scale)
        assert packed.info.stored == f"qlinear int8 {'channel' if channels else 'tensor'}"
        assert packed.info.view.rows == (0, 2)


def test_quantized_embeddings(tmp_path: Path) -> None:
    names = [
        "i",
        "t",
        "W",
        "p",
        "g",
        "a",
        "b",
        "",
        *(f"{name}_s" for name in "wpgab"),
        *(f"{name}_z" for name in "wpgab"),
    ]
    arrays: dict[str, Any] = {name: np.full((4, 3), 9, np.uint8) for name in ("W", "p", "g")}
    arrays |= {name: np.full(3, 9, np.uint8) for name in "ab"}
    arrays |= {f"{name}_s": np.float32(0.5) for name in "wpgab"} | {f"{name}_z": np.uint8(1) for name in "wpgab"}
    made = make_model([node("QEmbedLayerNormalization", names, ["y"], **MS)], arrays)
    roles = {name: read_packed(tmp_path, made, name).info.role for name in ("W", "p", "g", "a", "b")}
    assert roles == {"W": "embedding", "p": "embedding", "g": "embedding", "a": "norm", "b": "norm"}
    assert read_values(read_packed(tmp_path, made, "W")).tolist() == [[4.0] * 3] * 4


def make_integer(op: str, parts: dict[str, NDArray[Any]], after: list[Any], **arrays: Any) -> Any:
    nodes = [node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]), node(op, ["xq", "W", "xz", "z"], ["i"]), *after]
    held = {name: part for name, part in parts.items() if name in ("W", "z")}
    return make_model(nodes, held | arrays)


CAST = node("Cast", ["i"], ["f"], to=TensorProto.FLOAT)


@KINDS
@pytest.mark.parametrize(
    "after",
    [
        [node("Mul", ["xs", "k"], ["m"]), CAST, node("Mul", ["f", "m"], ["y"])],
        [node("Mul", ["k", "xs"], ["m"]), CAST, node("Mul", ["m", "f"], ["y"])],
        [CAST, node("Mul", ["f", "xs"], ["m"]), node("Mul", ["m", "k"], ["y"])],
    ],
    ids=["scales first", "the other way round", "one after the other"],
)
def test_the_scale_is_found_behind_the_output(tmp_path: Path, channels: bool, after: list[Any]) -> None:
    parts = draw(8, 6, channels=6 * channels)
    made = make_integer("MatMulInteger", parts, after, k=parts["s"])
    packed = read_packed(tmp_path, made, "W")
    np.testing.assert_array_equal(read_values(packed), expect(parts, 1))
    assert {part.name for part in packed.parts} == {"W", "k", "z"}
    # Rows of one step each: the runtime's product then is the weight but for the rounding of scale * scale.
    found = run_model(made, x=np.diag(np.full(8, 255, np.float32))) / np.float32(255)
    np.testing.assert_allclose(found, expect(parts, 1), rtol=4 * np.finfo(np.float32).eps)


def test_the_scale_of_a_convolution_lies_as_its_output_does(tmp_path: Path) -> None:
    parts = draw(6, 3, 2, 2, channels=6)
    after = [node("Mul", ["xs", "k"], ["m"]), CAST, node("Mul", ["f", "m"], ["y"])]
    made = make_integer("ConvInteger", parts, after, k=parts["s"].reshape(1, 6, 1, 1))
    np.testing.assert_array_equal(read_values(read_packed(tmp_path, made, "W")), expect(parts, 0))


def test_the_scale_is_found_by_name(tmp_path: Path) -> None:
    parts = draw(8, 6)
    names = {"L.weight_quantized": parts["W"], "L.weight_scale": parts["s"], "L.weight_zero_point": parts["z"]}
    nodes = [node("MatMulInteger", ["x", "L.weight_quantized", "", "L.weight_zero_point"], ["y"])]
    packed = read_packed(tmp_path, make_model(nodes, names, x=2), "L.weight_quantized")
    np.testing.assert_array_equal(read_values(packed), expect(parts, 1))


@pytest.mark.parametrize(
    "after",
    [
        [CAST, node("Identity", ["f"], ["y"])],
        [CAST, node("Mul", ["f", "xs"], ["y"])],
        [node("Mul", ["k", "k2"], ["m"]), CAST, node("Mul", ["f", "m"], ["y"])],
        [CAST, node("Mul", ["f", "k"], ["y"]), node("Mul", ["f", "xs"], ["y2"])],
        [CAST, node("Mul", ["f", "short"], ["y"])],
    ],
    ids=["no product", "only the activations' scale", "two constants", "two consumers", "another length"],
)
def test_a_scale_that_nothing_tells_is_not_guessed(tmp_path: Path, after: list[Any]) -> None:
    arrays = {"k": ONE, "k2": ONE, "short": np.ones(5, np.float32)}
    made = make_integer("MatMulInteger", draw(8, 6), after, **arrays)
    assert catch(tmp_path, made, "W").startswith("MatMulInteger does not name the scale of its weight")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"s": np.ones(5, np.float32)}, r"its scale has the shape \(5,\); it must hold 1 number or 6"),
        ({"s": np.uint8(1)}, "its scale is uint8"),
        ({"z": np.int8(0)}, "its zero point is int8 and its codes are uint8"),
        ({"z": np.zeros(3, np.uint8)}, r"its zero point has the shape \(3,\)"),
        ({"W": np.ones((8, 6), np.float32)}, "its zero point is uint8 and its codes are float32|its codes are float32"),
    ],
    ids=["short scale", "integer scale", "another type", "short zero points", "float codes"],
)
def test_parts_that_do_not_fit_are_told(tmp_path: Path, arrays: dict[str, Any], reason: str) -> None:
    names = ["x", "x_s", "x_z", "W", "s", "z", "y_s", "y_z"]
    made = make_model([node("QLinearMatMul", names, ["y"])], SCALES | draw(8, 6, channels=6) | arrays, x=2)
    assert re.search(reason, catch(tmp_path, made, "W"))


def test_directions_that_do_not_fit_are_told(tmp_path: Path) -> None:
    arrays = {"W": np.zeros((2, 5, 12), np.int8), "Ws": np.ones(3, np.float32), "Wz": np.zeros(2, np.int8)}
    names = ["x", "W", "x", "", "", "", "", "", "Ws", "Wz", "Ws", "Wz"]
    made = make_model([node("DynamicQuantizeLSTM", names, ["y"], hidden_size=3, **MS)], arrays)
    assert re.search(r"its scale has the shape \(3,\) and its codes \(2, 5, 12\)", catch(tmp_path, made, "W"))
