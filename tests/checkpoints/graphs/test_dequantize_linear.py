"""What integers before a DequantizeLinear stand for: hand-worked, by scalar loops, and as ONNX Runtime computes it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from tests.checkpoints.graphs.packed_models import EXTREMES, catch, make_model, read_packed, read_values, run_model

node = helper.make_node
TYPES = {
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "uint16": np.uint16,
    "int32": np.int32,
    "int4": ml_dtypes.int4,
    "uint4": ml_dtypes.uint4,
    "int2": ml_dtypes.int2,
    "uint2": ml_dtypes.uint2,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float4_e2m1fn": ml_dtypes.float4_e2m1fn,
}


def draw_codes(rng: np.random.Generator, word: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if "float" in word:
        return rng.normal(size=shape).astype(TYPES[word])
    bits = int(word.lstrip("uint"))
    low = 0 if word.startswith("u") else -(1 << bits - 1)
    return rng.integers(low, low + (1 << bits), shape).astype(TYPES[word])


def draw_scales(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.array(rng.choice(EXTREMES, shape) * rng.uniform(0.1, 1, shape), dtype=np.float32)


def shape_scale(shape: tuple[int, ...], axis: int, block: int) -> tuple[int, ...]:
    if not block:
        return (shape[axis],)
    return tuple(-(-size // block) if place == axis % len(shape) else size for place, size in enumerate(shape))


def dequantize_slowly(
    codes: NDArray[Any], scale: NDArray[np.float32], zero: NDArray[Any] | None, axis: int, block: int
) -> NDArray[np.float32]:
    """(q - z) * s element by element."""
    found, axis = np.empty(codes.shape, dtype=np.float32), axis % codes.ndim
    for place in np.ndindex(codes.shape):
        if scale.size == 1:
            where: tuple[int, ...] = (0,) * scale.ndim
        elif block:
            where = (*place[:axis], place[axis] // block, *place[axis + 1 :])
        else:
            where = (place[axis],)
        offset = 0.0 if zero is None else float(zero[where])
        with np.errstate(over="ignore", under="ignore"):
            found[place] = np.float32(float(codes[place]) - offset) * np.float32(scale[where])
    return found


def make_qdq(codes: Any, scale: Any, zero: Any = None, *, x: int | None = None, **attributes: Any) -> Any:
    arrays = {"W": codes, "s": scale} | ({} if zero is None else {"z": zero})
    inputs = ["W", "s"] + ([] if zero is None else ["z"])
    narrow = getattr(codes, "dtype", np.dtype(np.int8)).name in {"int2", "uint2", "float4_e2m1fn"}
    return make_model([node("DequantizeLinear", inputs, ["y"], **attributes)], arrays, x=x, opset=25 if narrow else 21)


@st.composite
def draw_case(draw: st.DrawFn) -> tuple[Any, ...]:
    word = draw(st.sampled_from(sorted(TYPES)))
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    block = draw(st.sampled_from([0, 0, 1, 2, 3, 4, 16, 1 << 40]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    single = not block and draw(st.booleans())
    sizes = () if single else shape_scale(shape, axis, block)
    takes_zero = "float" not in word and word != "int32" and draw(st.booleans())
    codes = draw_codes(rng, word, shape)
    return codes, draw_scales(rng, sizes), draw_codes(rng, word, sizes) if takes_zero else None, axis, block


@settings(max_examples=120, deadline=None)
@given(draw_case())
def test_values_are_code_minus_zero_times_scale(case: tuple[Any, ...]) -> None:
    codes, scale, zero, axis, block = case
    made = make_qdq(codes, scale, zero, axis=axis, **({"block_size": block} if block else {}))
    with tempfile.TemporaryDirectory() as folder:
        packed = read_packed(Path(folder), made, "W")
        found = read_values(packed)
    np.testing.assert_array_equal(found, dequantize_slowly(codes, scale, zero, axis, block))
    kind = "tensor" if not block and scale.size == 1 else f"group={block}" if block else "channel"
    assert packed.info.stored.removesuffix(" asym") == f"qdq {codes.dtype.name} {kind}"
    assert [part.name for part in packed.parts] == ["W", "s"] + ([] if zero is None else ["z"])
    assert packed.info.size_bytes == sum(part.info.size_bytes for part in packed.parts)
    assert packed.output == "y"


@settings(max_examples=60, deadline=None)
@given(draw_case())
def test_values_are_those_of_onnx_runtime(case: tuple[Any, ...]) -> None:
    codes, scale, zero, axis, block = case
    if codes.dtype.name == "float4_e2m1fn" or (block and scale.size == 1):
        return  # the runtime has no kernel for the one and refuses a single block
    made = make_qdq(codes, scale, zero, axis=axis, **({"block_size": block} if block else {}))
    with tempfile.TemporaryDirectory() as folder:
        found = read_values(read_packed(Path(folder), made, "W"))
    np.testing.assert_array_equal(found, run_model(made))


def test_blocks_of_two_with_a_ragged_end(tmp_path: Path) -> None:
    codes = np.array([[1, 2, 3], [-8, 7, 0]], dtype=ml_dtypes.int4)
    scale = np.array([[1.0, 10.0], [0.5, 2.0]], dtype=np.float32)
    zero = np.array([[1, 0], [0, -1]], dtype=ml_dtypes.int4)
    packed = read_packed(tmp_path, make_qdq(codes, scale, zero, axis=1, block_size=2), "W")
    assert read_values(packed).tolist() == [[0.0, 1.0, 30.0], [-4.0, 3.5, 2.0]]
    assert packed.info.stored == "qdq int4 group=2"
    assert packed.info.size_bytes == 3 + 16 + 2


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["fp16", "bf16"])
def test_narrow_scales_are_widened_exactly(tmp_path: Path, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    codes, scale = draw_codes(rng, "int8", (6, 5)), rng.uniform(1e-7, 1, 5).astype(dtype)
    made = make_qdq(codes, scale, axis=-1)
    found = read_values(read_packed(tmp_path, made, "W"))
    np.testing.assert_array_equal(found, codes.astype(np.float32) * scale.astype(np.float32))


def test_scales_that_are_dequantized_themselves(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    codes, inner = draw_codes(rng, "int4", (8, 12)), rng.integers(1, 255, (8, 3)).astype(np.uint8)
    nodes = [
        node("DequantizeLinear", ["si", "ss", "sz"], ["s"]),
        node("DequantizeLinear", ["W", "s"], ["V"], axis=1, block_size=4),
        node("MatMul", ["x", "V"], ["y"]),
    ]
    arrays = {"W": codes, "si": inner, "ss": np.float32(0.125), "sz": np.uint8(3)}
    made = make_model(nodes, arrays)
    packed = read_packed(tmp_path, made, "W")
    scale = (inner.astype(np.float32) - 3) * np.float32(0.125)
    np.testing.assert_array_equal(read_values(packed), codes.astype(np.float32) * np.repeat(scale, 4, axis=1))
    assert {part.name for part in packed.parts} == {"W", "si", "ss", "sz"}
    np.testing.assert_array_equal(read_values(packed), run_model(made, x=np.eye(8, dtype=np.float32)))


def test_scales_behind_cast_reshape_and_product(tmp_path: Path) -> None:
    codes = np.array([[1, -2], [3, 4]], dtype=np.int8)
    nodes = [
        node("Cast", ["h"], ["f"], to=TensorProto.FLOAT),
        node("Reshape", ["f", "d"], ["r"]),
        node("Mul", ["r", "m"], ["s"]),
        node("Identity", ["s"], ["t"]),
        node("DequantizeLinear", ["W", "t"], ["y"], axis=0),
    ]
    arrays = {"W": codes, "h": np.array([[0.5, 2]], np.float16), "d": np.array([-1]), "m": np.float32(3)}
    packed = read_packed(tmp_path, make_model(nodes, arrays, x=None), "W")
    assert read_values(packed).tolist() == [[1.5, -3.0], [18.0, 24.0]]


def test_a_float_weight_between_a_pair_stays_float(tmp_path: Path) -> None:
    w = np.array([[0.3, -0.7]], dtype=np.float32)
    nodes = [
        node("QuantizeLinear", ["W", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["V"]),
        node("MatMul", ["x", "V"], ["y"]),
    ]
    packed = read_packed(tmp_path, make_model(nodes, {"W": w, "s": np.float32(0.1), "z": np.int8(0)}), "W")
    np.testing.assert_array_equal(read_values(packed), w)
    assert packed.info.note == "stored as float32, passes QuantizeLinear and DequantizeLinear (int8)"
    assert (packed.info.stored, packed.output) == ("", "q")
    assert [part.name for part in packed.parts] == ["W"]


def test_small_floats_with_the_zero_that_names_their_type(tmp_path: Path) -> None:
    codes = draw_codes(np.random.default_rng(2), "float8_e4m3fn", (3, 4))
    made = make_qdq(codes, np.float32(0.5), np.zeros((), ml_dtypes.float8_e4m3fn))
    found = read_values(read_packed(tmp_path, made, "W"))
    np.testing.assert_array_equal(found, codes.astype(np.float32) / 2)
    np.testing.assert_array_equal(found, run_model(made))


def test_activations_are_no_weights(tmp_path: Path) -> None:
    nodes = [node("DequantizeLinear", ["x", "s", "z"], ["y"])]
    made = make_model(nodes, {"s": np.float32(0.1), "z": np.uint8(3)}, x=TensorProto.UINT8)
    for name in ("s", "z"):
        with pytest.raises(LookupError):
            read_packed(tmp_path, made, name)


INT8 = np.ones((4, 6), np.int8)
ONE = np.float32(1)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (make_qdq(INT8, np.ones(5, np.float32), axis=1), r"its scale has the shape \(5,\)"),
        (make_qdq(INT8, np.ones(6, np.float32), axis=7), "its axis is 7; codes of the shape"),
        (make_qdq(INT8, np.ones(6, np.float32), axis=-3), "its axis is -3"),
        (make_qdq(INT8, np.ones((4, 6), np.float32), axis=1, block_size=0), "without blocks it holds 1 number or 6"),
        (make_qdq(INT8, np.ones((4, 2), np.float32), axis=1, block_size=-3), "its block_size is -3"),
        (make_qdq(INT8, np.ones((4, 2), np.float32), axis=1, block_size=2), r"blocks of 2 along axis 1 .* need \(4, 3\)"),
        (make_qdq(INT8, ONE, np.zeros(6, np.int8)), "its zero point has the shape"),
        (make_qdq(INT8, ONE, np.uint8(0)), "its zero point is uint8 and its codes are int8"),
        (make_qdq(INT8, np.int8(1)), "its scale is int8"),
        (make_qdq(INT8.astype(np.int64), ONE), "its codes are int64"),
        (make_qdq(np.float32(1), np.ones(6, np.float32), axis=0), "its codes are float32"),
        (make_qdq(from_array(np.array(1, np.int8), "W"), np.ones(6, np.float32), axis=0), r"its axis is 0; .* \(\)"),
        (make_model([node("DequantizeLinear", ["W", "x"], ["y"])], {"W": INT8}), "its scale is not a constant"),
        (make_model([node("DequantizeLinear", ["W"], ["y"])], {"W": INT8}), "its scale is missing"),
        (
            make_model([node("DequantizeLinear", ["W", "s", "x"], ["y"])], {"W": INT8, "s": ONE}),
            "its zero point is not a constant",
        ),
    ],
    ids=[
        "short scale", "axis beyond", "axis before", "no block size", "negative block", "short blocks",
        "zero points of another shape", "zero points of another type", "integer scale", "int64 codes", "float codes",
        "scalar codes", "computed scale", "no scale", "computed zero point",
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_told(tmp_path: Path, made: Any, reason: str) -> None:
    assert re.search(reason, catch(tmp_path, made, "W"))


def test_a_chain_of_scales_without_an_end_is_not_followed(tmp_path: Path) -> None:
    nodes = [node("Identity", [f"s{i}"], [f"s{i + 1}"]) for i in range(1000)]
    nodes.append(node("DequantizeLinear", ["W", "s1000"], ["y"]))
    made = make_model(nodes, {"W": INT8, "s0": ONE})
    assert catch(tmp_path, made, "W") == "its scale is not a constant"


def test_empty_codes_have_no_values(tmp_path: Path) -> None:
    packed = read_packed(tmp_path, make_qdq(np.empty((0, 6), np.int8), np.ones(6, np.float32), axis=1), "W")
    assert packed.values.read(0, 0).shape == (0,)
