"""What weights in blocks of bits stand for: hand-worked, by scalar loops, and as ONNX Runtime computes them."""

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
from onnx import helper
from onnx.numpy_helper import from_array

from tests.checkpoints.graphs.packed_models import (
    EXTREMES,
    catch,
    make_model,
    pack_rows,
    read_packed,
    read_values,
    run_model,
)

MS = {"domain": "com.microsoft"}


def make_nbits(rows: int, columns: int, bits: int, length: int, **arrays: Any) -> Any:
    names = ["x", *(name if name in arrays else "" for name in ("B", "s", "z", "g"))]
    made = helper.make_node("MatMulNBits", names, ["y"], N=rows, K=columns, bits=bits, block_size=length, **MS)
    return make_model([made], arrays)


def dequantize_slowly(
    codes: NDArray[Any], scales: NDArray[Any], zeros: NDArray[Any], groups: NDArray[Any]
) -> NDArray[np.float32]:
    """(q - z) * s element by element; `groups` is the block of each column."""
    found = np.empty((codes.shape[0], groups.size), dtype=np.float32)
    for row, column in np.ndindex(found.shape):
        block = groups[column]
        with np.errstate(over="ignore", under="ignore"):
            shifted = np.float32(codes[row, column]) - np.float32(zeros[row, block])
            found[row, column] = shifted * np.float32(scales[row, block])
    return found


@st.composite
def draw_matrix(draw: st.DrawFn) -> tuple[Any, ...]:
    bits, length = draw(st.sampled_from([2, 4, 8])), draw(st.sampled_from([16, 32, 64]))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 140))
    zeros, flat = draw(st.sampled_from(["none", "packed", "real"])), draw(st.booleans())
    return bits, length, rows, columns, zeros, flat, np.random.default_rng(draw(st.integers(0, 2**32)))


def draw_parts(
    bits: int, length: int, rows: int, columns: int, zeros: str, flat: bool, rng: np.random.Generator
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Parts of a matrix, and its values by scalar loops."""
    count = -(-columns // length)
    codes = rng.integers(0, 1 << bits, (rows, count * length))
    scales = np.array(rng.choice(EXTREMES[1:5], (rows, count)) * rng.uniform(0.1, 1, (rows, count)), dtype=np.float32)
    arrays: dict[str, Any] = {"B": pack_rows(codes, bits).reshape(rows, count, -1), "s": scales}
    held = np.full((rows, count), 1 << bits - 1)
    if zeros == "packed":
        held = rng.integers(0, 1 << bits, (rows, count))
        arrays["z"] = pack_rows(held, bits)
    elif zeros == "real":
        arrays["z"] = held = rng.normal(size=(rows, count)).astype(np.float32)
    if flat:
        arrays = {name: part if name == "B" else part.reshape(-1) for name, part in arrays.items()}
    return arrays, dequantize_slowly(codes, scales, held, np.arange(columns) // length)


@settings(max_examples=80, deadline=None)
@given(draw_matrix())
def test_a_matrix_is_its_codes_minus_zero_times_scale(case: tuple[Any, ...]) -> None:
    bits, length, rows, columns, zeros, *_ = case
    arrays, wanted = draw_parts(*case)
    with tempfile.TemporaryDirectory() as folder:
        packed = read_packed(Path(folder), make_nbits(rows, columns, bits, length, **arrays), "B")
        np.testing.assert_array_equal(read_values(packed), wanted)
    assert packed.info.shape == (rows, columns)
    assert packed.info.stored == f"matmulnbits int{bits} group={length}{'' if zeros == 'none' else ' asym'}"
    assert packed.info.size_bytes == sum(part.nbytes for part in arrays.values())
    assert packed.output == ""


@settings(max_examples=40, deadline=None)
@given(draw_matrix())
def test_a_matrix_is_that_of_onnx_runtime(case: tuple[Any, ...]) -> None:
    bits, length, rows, columns, zeros, *_ = case
    arrays, wanted = draw_parts(*case)
    if zeros == "real" and bits == 8:
        return  # the runtime has no kernel for it
    made = make_nbits(rows, columns, bits, length, **arrays)
    found = run_model(made, x=np.eye(columns, dtype=np.float32)).T
    if zeros != "real":
        np.testing.assert_array_equal(found, wanted)
        return
    # The runtime rounds q * s and z * s apart: half an ulp of each, of their difference and of ours, |q|, |z| < 32.
    groups = np.repeat(np.abs(arrays["s"]).reshape(rows, -1), length, axis=1)[:, :columns]
    assert np.all(np.abs(found - wanted) <= 4 * 32 * groups * np.finfo(np.float32).eps)


def test_four_bits_with_a_ragged_block_by_hand(tmp_path: Path) -> None:
    codes = np.arange(32).reshape(1, 32) % 16
    arrays = {
        "B": pack_rows(codes, 4).reshape(1, 2, 8),
        "s": np.array([2, 10], np.float32),
        "z": np.array([0x31], np.uint8),
    }
    assert arrays["B"].reshape(-1)[:2].tolist() == [0x10, 0x32]  # the first of two codes is in the low bits
    found = read_values(read_packed(tmp_path, make_nbits(1, 18, 4, 16, **arrays), "B"))[0]
    assert found[:3].tolist() == [-2.0, 0.0, 2.0]  # (q - 1) * 2
    assert found[16:].tolist() == [-30.0, -20.0]  # (q - 3) * 10


def test_columns_in_any_order_of_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows, columns, length = 5, 64, 16
    groups = rng.permutation(np.arange(columns) // length).astype(np.int32)
    codes, scales = rng.integers(0, 16, (rows, columns)), rng.normal(size=(rows, 4)).astype(np.float32)
    zeros = rng.integers(0, 16, (rows, 4))
    arrays = {"B": pack_rows(codes, 4).reshape(rows, 4, 8), "s": scales, "g": groups}
    made = make_nbits(rows, columns, 4, length, **arrays, z=pack_rows(zeros, 4))
    np.testing.assert_array_equal(
        read_values(read_packed(tmp_path, made, "B")), dequantize_slowly(codes, scales, zeros, groups)
    )
    # Without zero points the runtime agrees but for the rounding of q * s and 8 * s apart.
    plain = make_nbits(rows, columns, 4, length, **arrays)
    found = read_values(read_packed(tmp_path, plain, "B"))
    bound = 4 * 16 * np.abs(scales[:, groups]) * np.finfo(np.float32).eps
    assert np.all(np.abs(found - run_model(plain, x=np.eye(columns, dtype=np.float32)).T) <= bound)


def test_fused_projections_have_a_matrix_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    arrays, wanted = {}, {}
    for name, rows in (("q", 6), ("k", 2), ("v", 2)):
        parts, wanted[f"{name}B"] = draw_parts(4, 32, rows, 64, "none", False, rng)
        arrays |= {f"{name}{key}": part for key, part in parts.items()}
    names = ["x", "", "n", "qB", "qs", "", "kB", "ks", "", "vB", "vs"]
    made = helper.make_node("MatMulNBitsQkv", names, ["y", "k", "v"], K=64, Nq=6, Nkv=2, bits=4, block_size=32, **MS)
    model = make_model([made], arrays | {"n": np.ones(64, np.float32)})
    for name, values in wanted.items():
        np.testing.assert_array_equal(read_values(read_packed(tmp_path, model, name)), values)


GOOD: dict[str, Any] = {"B": np.zeros((3, 2, 8), np.uint8), "s": np.ones((3, 2), np.float32)}


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (make_nbits(3, -5, 4, 16, **GOOD), "its attribute K is -5; it must be a positive number"),
        (make_nbits(3, 1 << 60, 4, 16, **GOOD), "its attribute K is 1152921504606846976"),
        (make_nbits(3, 20, 4, 0, **GOOD), "its attribute block_size is 0"),
        (make_nbits(1 << 39, 1 << 39, 4, 16, **GOOD), "its codes have 48 bytes; its sizes need"),
        (make_nbits(3, 20, 5, 16, **GOOD), "it has codes of 5 bits"),
        (make_nbits(3, 40, 4, 16, **GOOD), "its codes have 48 bytes; its sizes need 72"),
        (make_nbits(3, 20, 4, 16, B=GOOD["B"], s=np.ones(5, np.float32)), "its scales have 5 numbers; its sizes need 6"),
        (make_nbits(3, 20, 4, 16, B=GOOD["B"], s=np.ones((3, 2), np.int8)), "its scales are int8"),
        (make_nbits(3, 20, 4, 16, B=GOOD["B"]), "its scale is missing"),
        (make_nbits(3, 20, 4, 16, **GOOD, z=np.zeros(4, np.uint8)), "its zero points have 4 bytes; its sizes need 3"),
        (make_nbits(3, 20, 4, 16, **GOOD, z=np.zeros(4, np.float32)), "its zero points have 4 numbers"),
        (make_nbits(3, 20, 4, 16, **GOOD, z=np.zeros(3, np.int16)), "its zero points are int16"),
        (make_nbits(3, 20, 4, 16, **GOOD, g=np.full(20, 2, np.int32)), "its g_idx names block 2 to 2; there are 2"),
        (make_nbits(3, 20, 4, 16, **GOOD, g=np.full(9, 0, np.int32)), "its g_idx has 9 numbers of int32"),
        (make_nbits(3, 20, 4, 16, B=GOOD["B"].astype(np.float32), s=GOOD["s"]), "can not be read as bytes: float32"),
    ],
    ids=[
        "negative K", "huge K", "no block", "huge matrix", "five bits", "codes of another size", "few scales",
        "integer scales", "no scales", "many packed zeros", "many real zeros", "int16 zeros", "group beyond",
        "short g_idx", "float codes",
    ],
)  # fmt: skip
def test_parts_of_a_matrix_that_do_not_fit_are_told(tmp_path: Path, made: Any, reason: str) -> None:
    assert re.search(reason, catch(tmp_path, made, "B"))


def make_gather(axis: int, length: int, bits: int = 4, **arrays: Any) -> Any:
    names = ["W", "i", *(name if name in arrays else "" for name in ("s", "z"))]
    attributes = {"gather_axis": 0, "quantize_axis": axis, "block_size": length, "bits": bits}
    arrays["i"] = np.arange(arrays["W"].shape[0])
    return make_model([helper.make_node("GatherBlockQuantized", names, ["y"], **attributes, **MS)], arrays, x=None)


@pytest.mark.parametrize("has_zero", [False, True], ids=["default zero", "zero points"])
@pytest.mark.parametrize("word", ["int4", "uint4", "uint8 as 2", "uint8 as 4", "uint8 as 8"])
@pytest.mark.parametrize(
    ("axis", "length", "columns"), [(1, 16, 40), (-1, 32, 64), (0, 16, 8)], ids=["ragged", "last", "first"]
)
def test_a_table_is_that_of_onnx_runtime(
    tmp_path: Path, word: str, has_zero: bool, axis: int, length: int, columns: int
) -> None:
    if axis == 0 and word.startswith("uint8"):
        pytest.skip("packed bytes have blocks along the last axis alone")
    rng = np.random.default_rng(5)
    rows, bits = 33, int(word[-1])
    sizes = [rows, columns]
    sizes[axis] = -(-sizes[axis] // length)
    scales = np.array(rng.choice(EXTREMES[1:5], sizes) * rng.uniform(0.1, 1, sizes), dtype=np.float32)
    low = -8 if word == "int4" else 0
    codes, zeros = (rng.integers(low, low + (1 << bits), shape) for shape in ((rows, columns), sizes))
    if word.startswith("uint8"):
        arrays = {"W": pack_rows(codes, bits), "z": pack_rows(zeros, bits)}
        default = 1 << bits - 1
    else:
        dtype = ml_dtypes.int4 if word == "int4" else ml_dtypes.uint4
        arrays, default = {"W": codes.astype(dtype), "z": zeros.astype(dtype)}, 0
    if not has_zero:
        del arrays["z"]
    made = make_gather(axis, length, bits, s=scales, **arrays)
    packed = read_packed(tmp_path, made, "W")
    found = read_values(packed)
    held = zeros if has_zero else np.full(sizes, default)
    spread = [np.repeat(part, length, axis=axis)[:rows, :columns] for part in (held.astype(np.float32), scales)]
    np.testing.assert_array_equal(found, (codes.astype(np.float32) - spread[0]) * spread[1])
    assert (packed.info.shape, packed.info.role, packed.info.view.rows) == ((rows, columns), "embedding", (0,))
    np.testing.assert_array_equal(found, run_model(made))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (make_gather(5, 16, W=np.zeros((4, 32), np.uint8), s=np.ones((4, 4), np.float32)), "its quantize_axis is 5"),
        (make_gather(1, -1, W=np.zeros((4, 32), np.uint8), s=np.ones((4, 4), np.float32)), "its block_size is -1"),
        (make_gather(1, 16, 6, W=np.zeros((4, 32), np.uint8), s=np.ones((4, 4), np.float32)), "uint8 of 6 bits"),
        (make_gather(1, 16, W=np.zeros((4, 32), np.uint8), s=np.ones((4, 3), np.float32)), r"need \(4, 4\)"),
        (
            make_gather(
                1, 16, W=np.zeros((4, 32), np.uint8), s=np.ones((4, 4), np.float32), z=np.zeros((4, 3), np.uint8)
            ),
            "its zero points have 12 bytes; its sizes need 8",
        ),
        (make_gather(1, 16, W=np.array(3, np.uint8).reshape(1), s=np.ones(1, np.float32)), "its quantize_axis is 1"),
        (
            make_gather(
                1, 16, W=np.zeros((4, 8), np.uint8), s=from_array(np.array(1, np.float32), "s"), z=np.zeros(4, np.uint8)
            ),
            r"its scale has the shape \(\)",
        ),
    ],
    ids=["axis beyond", "negative block", "six bits", "few scales", "many zeros", "one axis", "scalar scale"],
)
def test_parts_of_a_table_that_do_not_fit_are_told(tmp_path: Path, made: Any, reason: str) -> None:
    assert re.search(reason, catch(tmp_path, made, "W"))


@pytest.mark.parametrize("sizes", [(6, 3), (1, 3), (6, 1), (1, 1)], ids=["blocks", "columns", "rows", "one"])
def test_tables_of_fp8_may_share_scales(tmp_path: Path, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(17)
    codes = rng.normal(size=(6, 40)).astype(ml_dtypes.float8_e4m3fn)
    scales = rng.uniform(0.1, 1, sizes).astype(np.float32)
    length = 16 if sizes[1] == 3 else 0
    found = read_values(read_packed(tmp_path, make_gather(1, length, W=codes, s=scales), "W"))
    spread = np.repeat(scales, length or 40, axis=1)[:, :40]
    np.testing.assert_array_equal(found, codes.astype(np.float32) * spread)


def make_bnb4(rows: int, columns: int, length: int, kind: int, **arrays: Any) -> Any:
    attributes = {"N": rows, "K": columns, "block_size": length, "quant_type": kind}
    return make_model([helper.make_node("MatMulBnb4", ["x", "B", "s"], ["y"], **attributes, **MS)], arrays)


@pytest.mark.parametrize(("kind", "word"), [(0, "fp4"), (1, "nf4")], ids=["fp4", "nf4"])
@pytest.mark.parametrize(
    ("rows", "columns", "length"), [(5, 64, 16), (3, 21, 16), (7, 33, 64)], ids=["even", "odd", "ragged"]
)
def test_tables_of_sixteen_are_those_of_onnx_runtime(
    tmp_path: Path, kind: int, word: str, rows: int, columns: int, length: int
) -> None:
    rng = np.random.default_rng(6)
    count = -(-rows * columns // length)
    arrays = {
        "B": rng.integers(0, 256, -(-rows * columns // 2)).astype(np.uint8),
        "s": np.array(rng.choice(EXTREMES[1:5], count), dtype=np.float32),
    }
    made = make_bnb4(rows, columns, length, kind, **arrays)
    packed = read_packed(tmp_path, made, "B")
    assert packed.info.stored == f"matmulbnb4 {word} group={length}"
    np.testing.assert_array_equal(read_values(packed).T, run_model(made, x=np.eye(columns, dtype=np.float32)))


def test_the_first_of_two_codes_of_a_table_is_in_the_high_bits(tmp_path: Path) -> None:
    made = make_bnb4(1, 3, 16, 1, B=np.array([0x0F, 0x7F], np.uint8), s=np.array([2], np.float32))
    assert read_values(read_packed(tmp_path, made, "B")).tolist() == [[-2.0, 2.0, 0.0]]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (make_bnb4(2, 8, 16, 7, B=np.zeros(8, np.uint8), s=np.ones(1, np.float32)), "its quant_type is 7"),
        (make_bnb4(2, 8, 15, 1, B=np.zeros(8, np.uint8), s=np.ones(1, np.float32)), "in blocks of 15"),
        (
            make_bnb4(2, 9, 16, 1, B=np.zeros(8, np.uint8), s=np.ones(2, np.float32)),
            "its codes have 8 bytes; .* need 9",
        ),
        (make_bnb4(2, 8, 16, 1, B=np.zeros(8, np.uint8), s=np.ones(2, np.float32)), "its scales have 2 numbers"),
    ],
    ids=["unknown table", "odd block", "few codes", "many scales"],
)
def test_parts_of_table_codes_that_do_not_fit_are_told(tmp_path: Path, made: Any, reason: str) -> None:
    assert re.search(reason, catch(tmp_path, made, "B"))


def test_prepacked_weights_are_told(tmp_path: Path) -> None:
    names = {"N": 3, "K": 20, "bits": 4, "block_size": 16, "weight_prepacked": 1}
    made = make_model([helper.make_node("MatMulNBits", ["x", "B", "s"], ["y"], **names, **MS)], GOOD)
    assert catch(tmp_path, made, "B") == "it is packed for one kind of processor (weight_prepacked)"
