"""fp8 with scales: values by hand, every grouping against a scalar decoder, compressed-tensors, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.checkpoints.packed.written import read_logical, read_one, to_arrays
from tests.reference_packed import decode_blocks, decode_e2m1, decode_e4m3, decode_e8m0

E4M3, E8M0 = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu
EXTREMES = np.array([1e-45, 1e-38, 1e30, -3e38, np.inf, np.nan, 0.0, -0.0], np.float32)


def draw_codes(*shape: int, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8).view(E4M3)


def widen_codes(codes: NDArray[Any]) -> NDArray[np.float64]:
    return np.vectorize(decode_e4m3)(codes.view(np.uint8))


def draw_scales(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    scales = (np.random.default_rng(seed).normal(size=shape) / 100).astype(np.float32)
    scales.flat[: EXTREMES.size] = EXTREMES[: scales.size]
    return scales


def decode(codes: NDArray[Any], scales: NDArray[Any], block: tuple[int, int]) -> NDArray[np.float32]:
    return decode_blocks(widen_codes(codes), scales, block)


@pytest.mark.parametrize("name", ["l.weight_scale_inv", "l.weight_scale", "l.scale"])
def test_the_scale_multiplies_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    parts = {"l.weight": np.array([[448, 1]], E4M3), name: np.array([0.0005], np.float32)}
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    expected = [[np.float32(448) * np.float32(0.0005), np.float32(0.0005)]]
    np.testing.assert_array_equal(found["l.weight"].values, expected)
    assert found["l.weight"].info.stored == "fp8 tensor"


def test_a_power_of_two_scale_by_hand(tmp_path: Path) -> None:
    parts = {"l.weight": np.array([[448]] * 2, E4M3), "l.weight_scale": np.array([[123], [127]], np.uint8).view(E8M0)}
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, [[28], [448]])


@pytest.mark.parametrize(
    ("scale_shape", "block", "stored"),
    [
        ((), (200, 300), "fp8 tensor"),
        ((1,), (200, 300), "fp8 tensor"),
        ((1, 1), (200, 300), "fp8 tensor"),
        ((200,), (1, 300), "fp8 channel"),
        ((200, 1), (1, 300), "fp8 channel"),
        ((200, 3), (1, 100), "fp8 group=100"),
        ((2, 3), (128, 128), "fp8 block=128x128"),
        ((4, 5), (64, 64), "fp8 block=64x64"),
        ((7, 10), (32, 32), "fp8 block=32x32"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16])
def test_the_shape_of_the_scales_tells_what_each_serves(
    tmp_path: Path, scale_shape: tuple[int, ...], block: tuple[int, int], stored: str, dtype: Any
) -> None:
    codes = draw_codes(200, 300)
    with np.errstate(over="ignore"):
        scales = draw_scales(*scale_shape).astype(dtype) if scale_shape else np.array(0.5, dtype)
    found = read_one(tmp_path, "l.weight", {"l.weight": codes, "l.weight_scale_inv": scales})
    grid = np.asarray(scales, np.float64).reshape(-(-200 // block[0]), -(-300 // block[1]))
    np.testing.assert_array_equal(found.values, decode(codes, grid, block))
    assert found.info.stored == stored
    assert found.info.size_bytes == codes.nbytes + scales.nbytes


def test_a_configuration_settles_blocks_of_an_unusual_size(tmp_path: Path) -> None:
    codes, scales = draw_codes(96, 80), draw_scales(2, 2)
    config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [48, 40]}}
    found = read_one(tmp_path, "l.weight", {"l.weight": codes, "l.weight_scale_inv": scales}, config=config)
    np.testing.assert_array_equal(found.values, decode(codes, scales, (48, 40)))
    groups = {"group_0": {"weights": {"num_bits": 8, "type": "float", "block_structure": [48, 40]}}}
    config = {"quantization_config": {"config_groups": groups}}
    found = read_one(tmp_path, "l.weight", {"l.weight": codes, "l.weight_scale": scales}, config=config)
    assert found.info.stored == "fp8 block=48x40"


def test_the_last_block_of_a_ragged_grid_is_short(tmp_path: Path) -> None:
    # A grid of (5, 56) on (576, 7168) is 128 rows high four times and 64 once, not 115.2 rows five times.
    codes = np.full((576, 256), 1, E4M3)
    scales = np.arange(1, 11, dtype=np.float32).reshape(5, 2)
    found = read_one(tmp_path, "l.weight", {"l.weight": codes, "l.weight_scale_inv": scales})
    assert [found.values[row, 0] for row in (0, 127, 128, 511, 512, 575)] == [1, 1, 3, 7, 9, 9]


@given(
    rows=st.integers(1, 140), columns=st.integers(1, 140), height=st.integers(1, 60), length=st.integers(1, 60),
    stack=st.integers(0, 3), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_then_read_equals_decoded(
    tmp_path: Path, rows: int, columns: int, height: int, length: int, stack: int, seed: int
) -> None:
    leading = (stack,) if stack > 1 else ()
    codes = draw_codes(*leading, rows, columns, seed=seed)
    scales = draw_scales(*leading, -(-rows // height), -(-columns // length), seed=seed)
    config = {"quantization_config": {"weight_block_size": [height, length]}}
    found = read_one(tmp_path, "l.weight", {"l.weight": codes, "l.weight_scale": scales}, config=config)
    matrices = zip(codes.reshape(-1, rows, columns), scales.reshape(-1, *scales.shape[-2:]), strict=True)
    expected = np.concatenate([decode(*matrix, (height, length)) for matrix in matrices])
    np.testing.assert_array_equal(found.values.reshape(-1, columns), expected)


@pytest.mark.parametrize(
    ("scale_shape", "grid", "stored"),
    [
        ((3,), (1, 1), "fp8 tensor"),
        ((3, 1, 1), (1, 1), "fp8 tensor"),
        ((3, 40, 1), (40, 1), "fp8 channel"),
        ((3, 40), (40, 1), "fp8 channel"),
        ((3, 1, 48), (1, 48), "fp8 block=40x1"),
        ((3, 2, 2), (2, 2), "fp8 block=32x32"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["experts.w", "experts.w.weight"])
def test_stacked_experts_have_a_grid_each(
    tmp_path: Path, scale_shape: tuple[int, ...], grid: tuple[int, int], stored: str, name: str
) -> None:
    codes, scales = draw_codes(3, 40, 48), draw_scales(*scale_shape)
    found = read_logical(tmp_path, {name: codes, f"{name}_scale_inv": scales})
    assert list(found) == [name]
    block = (-(-40 // grid[0]), -(-48 // grid[1])) if stored != "fp8 block=32x32" else (32, 32)
    for expert in range(3):
        expected = decode(codes[expert], scales[expert].reshape(grid), block)
        np.testing.assert_array_equal(found[name].values[expert], expected)
    assert found[name].info.stored == stored


@pytest.mark.parametrize("dtype", [np.uint8, E8M0])
@pytest.mark.parametrize("stack", [(), (2,)], ids=["matrix", "stack"])
def test_mx_scales_are_powers_of_two_of_groups_of_32(tmp_path: Path, dtype: Any, stack: tuple[int, ...]) -> None:
    codes = draw_codes(*stack, 6, 96)
    exponents = np.arange(0, 18, dtype=np.uint8).reshape(6, 3)
    exponents[-1] = [127, 254, 255]
    exponents = np.broadcast_to(exponents, (*stack, 6, 3)).copy()
    found = read_one(tmp_path, "l.weight", {"l.weight": codes, "l.weight_scale": exponents.view(dtype)})
    scales = np.vectorize(decode_e8m0)(exponents).reshape(-1, 3)
    expected = decode(codes.reshape(-1, 96), scales, (1, 32))
    np.testing.assert_array_equal(found.values.reshape(-1, 96), expected)
    assert (found.info.stored, found.info.stored_bits) == ("mxfp8", 8.25)


def test_exponents_of_blocks_are_scales_as_well(tmp_path: Path) -> None:
    codes, exponents = draw_codes(130, 130), np.array([[120, 127], [130, 99]], np.uint8)
    found = read_one(tmp_path, "l.weight", {"l.weight": codes, "l.weight_scale_inv": exponents.view(E8M0)})
    np.testing.assert_array_equal(found.values, decode(codes, np.vectorize(decode_e8m0)(exponents), (128, 128)))
    assert found.info.stored == "fp8 block=128x128"


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_fp4_pairs_may_lie_beside_fp8_layers_under_the_same_suffix(tmp_path: Path, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    packed, exponents = rng.integers(0, 256, (6, 32)).astype(np.uint8), rng.integers(100, 140, (6, 2)).astype(np.uint8)
    parts = {
        "e.weight": packed.view(dtype),
        "e.weight_scale_inv": exponents.view(E8M0),
        "l.weight": draw_codes(6, 32),
        "l.weight_scale_inv": draw_scales(1, 1),
    }
    found = read_logical(tmp_path, parts)
    numbers = np.array([[decode_e2m1(byte >> shift & 15) for byte in row for shift in (0, 4)] for row in packed])
    expected = decode_blocks(numbers, np.vectorize(decode_e8m0)(exponents), (1, 32))
    np.testing.assert_array_equal(found["e.weight"].values, expected)
    assert {name: one.info.stored for name, one in found.items()} == {"e.weight": "mxfp4", "l.weight": "fp8 tensor"}


def test_other_floats_of_eight_bits_are_named(tmp_path: Path) -> None:
    codes = np.arange(12, dtype=np.uint8).reshape(3, 4).view(ml_dtypes.float8_e5m2)
    parts = {"l.weight": codes, "l.weight_scale": np.full((3, 1), 2, np.float32)}
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values, codes.astype(np.float32) * 2)
    assert found.info.stored == "fp8 e5m2 channel"


def test_a_convolution_has_a_scale_for_each_output(tmp_path: Path) -> None:
    codes, scales = draw_codes(5, 2, 3, 3), draw_scales(5, 1, 1, 1)
    found = read_one(tmp_path, "l.weight", {"l.weight": codes, "l.weight_scale": scales})
    expected = decode(codes.reshape(5, 18), scales.reshape(5, 1), (1, 18))
    np.testing.assert_array_equal(found.values, expected.reshape(codes.shape))


def test_fp8_without_a_scale_is_itself_with_a_note_where_the_file_is_quantized(tmp_path: Path) -> None:
    parts = {"l.weight": draw_codes(3, 4), "l.bias": np.ones(3, np.float32)}
    plain = read_one(tmp_path, "l.weight", parts)
    assert (plain.info.stored, plain.info.note) == ("", "")
    config = {"quantization_config": {"quant_method": "fp8"}}
    noted = read_one(tmp_path, "l.weight", parts, config=config)
    np.testing.assert_array_equal(noted.values, plain.values)
    assert "without a scale in the file" in noted.info.note


def test_scales_of_activations_stay_tensors(tmp_path: Path) -> None:
    scale = np.array(0.5, np.float32)
    parts = {"l.weight": draw_codes(3, 4), "l.weight_scale": scale, "l.input_scale": scale, "l.k_scale": scale}
    found = read_logical(tmp_path, parts)
    assert sorted(found) == ["l.input_scale", "l.k_scale", "l.weight"]
    assert found["l.weight"].info.size_bytes == 12 + 4


@pytest.mark.parametrize(
    ("scale", "match"),
    [
        (np.ones((3, 7), np.float32), r"scales of shape \[3, 7\] do not lie on 200 by 300 values"),
        (np.ones((0,), np.float32), r"scales of shape \[0\]"),
        (np.ones((2, 2, 2), np.float32), r"scales of shape \[2, 2, 2\] do not lie"),
        (np.ones((200, 1), np.int32), "its scales are int32"),
        (np.ones((512 * 4,), np.uint8), r"scales of shape \[2048\] do not lie on 200 by 300 values"),
        (np.ones((200, 1), np.uint8), r"scales of uint8 and shape \[200, 1\] must be exponents of groups of 32"),
    ],
    ids=["odd-grid", "empty", "three-axes", "integers", "swizzled", "bytes-per-row"],
)
def test_scales_that_do_not_fit_are_a_row_with_a_reason(tmp_path: Path, scale: Any, match: str) -> None:
    found = read_logical(tmp_path, {"l.weight": draw_codes(200, 300), "l.weight_scale": scale})["l.weight"]
    assert not found.info.decodes
    with pytest.raises(ValueError, match=match):
        raise ValueError(found.info.reason)


def test_a_vector_with_an_empty_scale_is_a_row_with_a_reason(tmp_path: Path) -> None:
    parts = {"l.weight": draw_codes(64), "l.weight_scale": np.ones(0, np.float32)}
    assert "scales of shape [0] do not lie" in read_logical(tmp_path, parts)["l.weight"].info.reason


def test_scales_keep_the_sign_of_zero_and_signalling_nans_pass(tmp_path: Path) -> None:
    codes = np.array([[1, -1]] * 3, E4M3)
    scales = np.array([[0x80000000], [0x7F800001], [0xFF800000]], np.uint32).view(np.float32)
    values = read_one(tmp_path, "l.weight", {"l.weight": codes, "l.weight_scale": scales}).values
    np.testing.assert_array_equal(np.signbit(values[0]), [True, False])
    np.testing.assert_array_equal(values[1:], [[np.nan, np.nan], [-np.inf, np.inf]])


def test_empty_codes_are_a_row_with_a_reason(tmp_path: Path) -> None:
    parts = {"l.weight": np.empty((0, 4), E4M3), "l.weight_scale": np.ones(1, np.float32)}
    assert r"codes of shape [0, 4] are empty" in read_logical(tmp_path, parts)["l.weight"].info.reason


@pytest.mark.parametrize(("rows", "columns"), [(256, 384), (200, 300), (576, 130)])
def test_values_equal_compressed_tensors(tmp_path: Path, rows: int, columns: int) -> None:
    torch = pytest.importorskip("torch")
    quantization = pytest.importorskip("compressed_tensors.quantization")
    naive = pytest.importorskip("compressed_tensors.compressors.naive_quantized.base")
    weights = quantization.QuantizationArgs(
        num_bits=8, type="float", symmetric=True, strategy="block", block_structure=[128, 128]
    )
    scheme = quantization.QuantizationScheme(targets=["Linear"], weights=weights)
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    scale = torch.rand(-(-rows // 128), -(-columns // 128), generator=torch.Generator().manual_seed(1)) / 100
    state = {"weight": weight, "weight_scale": scale}
    stored = naive.FloatQuantizationCompressor.compress(state, scheme)
    expected = naive.FloatQuantizationCompressor.decompress(stored, scheme)["weight"].float().numpy()
    parts = {f"l.{name}": array for name, array in to_arrays(stored).items()}
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, expected)
