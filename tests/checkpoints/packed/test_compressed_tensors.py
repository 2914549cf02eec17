"""compressed-tensors: both packings of words, zero points, FP4 and FP6, against a scalar decoder and the library."""

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
from tests.reference_packed import (
    decode_blocks,
    decode_e2m1,
    decode_e2m3,
    decode_e4m3,
    decode_e8m0,
    pack_padded,
    pack_rows,
)

Arrays = dict[str, NDArray[Any]]
E4M3, E8M0 = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu
EXTREMES = np.array([1e-45, 1e-38, 1e30, -3e38, np.inf, np.nan, 0.0, -0.0], np.float32)


def pack(codes: NDArray[Any], bits: int, *, padded: bool = False) -> NDArray[np.int32]:
    """Along the last axis of a matrix or of each matrix of a stack."""
    if codes.ndim == 3:
        return np.stack([pack(matrix, bits, padded=padded) for matrix in codes])
    return pack_padded(codes, bits) if padded else pack_rows(codes, bits)


def draw_parts(
    shape: tuple[int, ...], groups: int, bits: int, *, asym: bool = False, padded: bool = False, seed: int = 0
) -> tuple[Arrays, NDArray[np.float32]]:
    """Parts of a layer and the values that they stand for."""
    rng = np.random.default_rng(seed)
    codes, middle = rng.integers(0, 1 << bits, shape), 1 << (bits - 1)
    grid = (*shape[:-1], groups)
    scales = (rng.normal(size=grid) / 8).astype(np.float32)
    scales.flat[: EXTREMES.size] = EXTREMES[: scales.size]
    zeros = rng.integers(0, 1 << bits, grid) if asym else np.full(grid, middle)
    parts = {
        "l.weight_packed": pack(codes, bits, padded=padded),
        "l.weight_scale": scales,
        "l.weight_shape": np.array(shape),
    }
    if asym:
        down = pack(zeros.swapaxes(-1, -2), bits, padded=padded).swapaxes(-1, -2)
        parts["l.weight_zero_point"] = np.ascontiguousarray(down)
    length = -(-shape[-1] // groups)
    matrices = (array.reshape(-1, *array.shape[-2:]) for array in (codes, scales, zeros))
    values = [decode_blocks(q, s, (1, length), z) for q, s, z in zip(*matrices, strict=True)]
    return parts, np.array(values).reshape(shape)


def told(bits: int, group: int | None = None, **more: Any) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": "int", "group_size": group, **more}
    quantization = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}
    return {"quantization_config": quantization}


def test_a_word_by_hand(tmp_path: Path) -> None:
    parts = {
        "l.weight_packed": np.array([[0x76543210]], np.int32),
        "l.weight_scale": np.array([[0.5]], np.float32),
        "l.weight_shape": np.array([1, 8]),
    }
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values, [[-4, -3.5, -3, -2.5, -2, -1.5, -1, -0.5]])


def test_a_row_may_end_within_a_word(tmp_path: Path) -> None:
    parts, values = draw_parts((5, 13), 1, 4)
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values, values)
    assert (found.info.shape, found.info.stored) == ((5, 13), "compressed-tensors int4 channel")


@pytest.mark.parametrize("asym", [False, True], ids=["sym", "asym"])
def test_bits_per_weight_count_all_parts(tmp_path: Path, asym: bool) -> None:
    parts, _ = draw_parts((256, 256), 2, 4, asym=asym)
    with np.errstate(over="ignore"):
        parts["l.weight_scale"] = parts["l.weight_scale"].astype(np.float16)
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    info = found["l.weight"].info
    assert info.stored_bits == 4 + (16 + 4 * asym) / 128 + 8 * 16 / 65_536  # the last is weight_shape
    assert info.stored == f"compressed-tensors int4 group=128{' asym' if asym else ''}"


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("padded", [False, True], ids=["stream", "padded-words"])
@pytest.mark.parametrize("asym", [False, True], ids=["sym", "asym"])
@pytest.mark.parametrize("shape", [(70, 128), (2, 35, 128)], ids=["matrix", "experts"])
def test_both_packings_of_all_widths(
    tmp_path: Path, bits: int, padded: bool, asym: bool, shape: tuple[int, ...]
) -> None:
    parts, values = draw_parts(shape, 2, bits, asym=asym, padded=padded)
    # 32 words for 128 codes are 7 bits padded or 8 bits: the configuration decides.
    config = told(bits) if bits == 7 else None
    found = read_one(tmp_path, "l.weight", parts, config=config)
    np.testing.assert_array_equal(found.values, values)
    assert found.info.stored == f"compressed-tensors int{bits} group=64{' asym' if asym else ''}"


@pytest.mark.parametrize(("padded", "words"), [(False, 12), (True, 13)])
def test_the_number_of_words_tells_the_packing_of_three_bits(tmp_path: Path, padded: bool, words: int) -> None:
    parts, values = draw_parts((4, 128), 1, 3, padded=padded)
    assert parts["l.weight_packed"].shape == (4, words)
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, values)


@given(
    rows=st.integers(1, 70), groups=st.integers(1, 4), length=st.integers(8, 40), bits=st.integers(1, 8),
    asym=st.booleans(), stack=st.integers(0, 3), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_then_read_equals_decoded(
    tmp_path: Path, rows: int, groups: int, length: int, bits: int, asym: bool, stack: int, seed: int
) -> None:
    shape = (*((stack,) if stack > 1 else ()), rows, groups * length)
    parts, values = draw_parts(shape, groups, bits, asym=asym, seed=seed)
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts, config=told(bits)).values, values)


def test_a_last_group_may_be_short_where_the_group_is_told(tmp_path: Path) -> None:
    parts, _ = draw_parts((3, 100), 2, 4)
    parts["l.weight_scale"] = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    found = read_one(tmp_path, "l.weight", parts, config=told(4, 64))
    whole = read_one(tmp_path, "l.weight", {**parts, "l.weight_scale": np.ones((3, 1), np.float32)}, config=told(4))
    scales = np.repeat(parts["l.weight_scale"], [64, 36], axis=1)
    np.testing.assert_array_equal(found.values, whole.values * scales)


@pytest.mark.parametrize("stored", ["in-order", "permuted", "unset"])
def test_the_index_names_the_group_of_each_column(tmp_path: Path, stored: str) -> None:
    rng = np.random.default_rng(3)
    codes, zeros, scales = rng.integers(0, 16, (6, 32)), rng.integers(0, 16, (6, 4)), rng.normal(size=(6, 4))
    scales = scales.astype(np.float32)
    order = np.arange(32, dtype=np.int32) // 8
    index = {"in-order": order, "permuted": rng.permutation(order), "unset": np.full(32, -1, np.int32)}[stored]
    parts = {
        "l.weight_packed": pack(codes, 4),
        "l.weight_scale": scales,
        "l.weight_shape": np.array([6, 32]),
        "l.weight_zero_point": np.ascontiguousarray(pack(zeros.T, 4).T),
        "l.weight_g_idx": index,
    }
    found = read_one(tmp_path, "l.weight", parts)
    used = index if stored == "permuted" else order
    expected = ((codes - zeros[:, used]).astype(np.float32) * scales[:, used]).astype(np.float32)
    np.testing.assert_array_equal(found.values, expected)
    assert found.info.stored == f"compressed-tensors int4 group=8 asym{' act-order' if stored == 'permuted' else ''}"


def test_a_zero_point_of_the_whole_tensor_is_a_plain_number(tmp_path: Path) -> None:
    parts, _ = draw_parts((4, 16), 1, 4)
    parts |= {"l.weight_scale": np.array([2], np.float32), "l.weight_zero_point": np.array([-3], np.int8)}
    parts["l.weight_packed"] = pack(np.arange(64).reshape(4, 16) % 16, 4)
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values[0], [2 * (u - 8 + 3) for u in range(16)])
    assert found.info.stored == "compressed-tensors int4 tensor asym"


@pytest.mark.parametrize(
    ("scale_shape", "block", "stored"),
    [
        ((1,), (50, 96), "int8 tensor"),
        ((50, 1), (1, 96), "int8 channel"),
        ((50, 3), (1, 32), "int8 group=32"),
        ((4, 6), (16, 16), "int8 block=16x16"),
    ],
    ids=str,
)
@pytest.mark.parametrize("asym", [False, True], ids=["sym", "asym"])
def test_integers_of_a_byte_in_every_grouping(
    tmp_path: Path, scale_shape: tuple[int, ...], block: tuple[int, int], stored: str, asym: bool
) -> None:
    rng = np.random.default_rng(4)
    codes = rng.integers(-128, 128, (50, 96)).astype(np.int8)
    scales, zeros = rng.normal(size=scale_shape).astype(np.float32), rng.integers(-128, 128, scale_shape)
    parts = {"l.weight": codes, "l.weight_scale": scales}
    if asym:
        parts["l.weight_zero_point"] = zeros.astype(np.int8)
    grid = (-(-50 // block[0]), -(-96 // block[1]))
    expected = decode_blocks(codes, scales.reshape(grid), block, zeros.reshape(grid) if asym else None)
    found = read_one(tmp_path, "l.weight", parts, config=told(8, block_structure=[16, 16]))
    np.testing.assert_array_equal(found.values, expected)
    assert found.info.stored == f"compressed-tensors {stored}{' asym' if asym else ''}"


def draw_small(shape: tuple[int, ...], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Bytes of codes of 4 or 6 bits, and the numbers of the codes."""
    codes = np.random.default_rng(5).integers(0, 1 << bits, shape)
    flat = pack_rows(codes.reshape(-1, shape[-1]), bits, np.uint8)
    return flat.reshape(*shape[:-1], -1), np.vectorize(decode_e2m1 if bits == 4 else decode_e2m3)(codes)


@pytest.mark.parametrize("divisors", [1, 2], ids=["one-divisor", "divisor-per-expert"])
def test_nvfp4_divides_its_scales(tmp_path: Path, divisors: int) -> None:
    packed, numbers = draw_small((2, 5, 32), 4)
    scales = np.random.default_rng(6).integers(0, 255, (2, 5, 2)).astype(np.uint8)
    divisor = np.array([1000, 7][:divisors], np.float32)
    parts = {"l.weight_packed": packed, "l.weight_scale": scales.view(E4M3), "l.weight_global_scale": divisor}
    found = read_one(tmp_path, "l.weight", parts)
    for expert in range(2):
        widened = np.vectorize(decode_e4m3)(scales[expert]).astype(np.float32)
        grid = widened / divisor[min(expert, divisors - 1)]
        np.testing.assert_array_equal(found.values[expert], decode_blocks(numbers[expert], grid, (1, 16)))
    assert found.info.stored == "nvfp4"
    assert found.info.stored_bits == 4.5 + 32 * divisors / 320


@pytest.mark.parametrize(("bits", "stored"), [(4, "mxfp4"), (6, "mxfp6")])
@pytest.mark.parametrize("dtype", [np.uint8, E8M0])
def test_mx_formats_have_powers_of_two_for_groups_of_32(tmp_path: Path, bits: int, stored: str, dtype: Any) -> None:
    packed, numbers = draw_small((6, 96), bits)
    exponents = np.array([0, 1, 127, 100, 140, 254, *range(110, 121), 255], np.uint8).reshape(6, 3)
    parts = {"l.weight_packed": packed, "l.weight_scale": exponents.view(dtype)}
    found = read_one(tmp_path, "l.weight", parts)
    scales = np.vectorize(decode_e8m0)(exponents)
    np.testing.assert_array_equal(found.values, decode_blocks(numbers, scales, (1, 32)))
    assert (found.info.stored, found.info.stored_bits) == (stored, bits + 0.25)


def test_scales_of_activations_stay_tensors(tmp_path: Path) -> None:
    parts, _ = draw_parts((4, 16), 1, 4)
    beside = {"l.input_global_scale": np.ones(1, np.float32), "l.k_scale": np.ones(1, np.float32)}
    assert sorted(read_logical(tmp_path, {**parts, **beside})) == ["l.input_global_scale", "l.k_scale", "l.weight"]


def test_a_rotation_is_told(tmp_path: Path) -> None:
    parts, values = draw_parts((4, 16), 1, 4)
    config = {"quantization_config": {"transform_config": {"config_groups": {"u": {}}}}}
    found = read_one(tmp_path, "l.weight", parts, config=config)
    np.testing.assert_array_equal(found.values, values)
    assert "transform_config rotates" in found.info.note


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["weight_packed", "scale_packed", "meta"], "marlin-24"),
        (["compressed", "bitmask", "row_offsets", "shape"], "sparse-bitmask"),
        (["compressed", "bitmask", "shape"], "sparse-24-bitmask"),
    ],
)
@pytest.mark.parametrize("stem", ["l.", "l.weight."])
def test_variants_are_refused_by_name(tmp_path: Path, names: list[str], word: str, stem: str) -> None:
    stem = "l." if "meta" in names else stem
    found = read_logical(tmp_path, {f"{stem}{name}": np.ones((2, 8), np.int32) for name in names})
    assert list(found) == ["l.weight"]
    info = found["l.weight"].info
    assert not info.decodes
    assert f"compressed-tensors {word}:" in info.reason
    assert info.size_bytes == 64 * len(names)


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("weight_shape", np.array([4, 2**60]), r"weight_shape \[4, 1152921504606846976\] does not fit .* \[4, 4\]"),
        ("weight_shape", np.array([4, -1]), r"weight_shape \[4, -1\]"),
        ("weight_shape", np.array([5, 32]), r"weight_shape \[5, 32\] does not fit weight_packed of shape \[4, 4\]"),
        ("weight_shape", np.array([32]), r"weight_shape of shape \[1\]"),
        ("weight_shape", np.array([4.0, 32.0]), "float64 must hold"),
        ("weight_scale", np.ones((4, 3), np.float32), r"scales of shape \[4, 3\] do not lie on 4 by 32 values"),
        ("weight_scale", np.ones((4, 1), np.int64), "its scales are int64"),
        ("weight_scale", None, r"l\.weight_scale is missing"),
        ("weight_shape", None, r"l\.weight_shape is missing"),
        ("weight_zero_point", np.ones((4, 2), np.int32), r"weight_zero_point of shape \[4, 2\] .* words \[1, 2\]"),
        ("weight_g_idx", np.ones(31, np.int32), r"weight_g_idx of shape \[31\]"),
        ("weight_g_idx", np.full(32, 2, np.int32), "weight_g_idx names group 2"),
        ("weight_g_idx", np.array([-2] + [0] * 31, np.int32), "weight_g_idx names group -2"),
    ],
)
def test_parts_that_do_not_fit_are_a_row_with_a_reason(tmp_path: Path, name: str, value: Any, match: str) -> None:
    parts, _ = draw_parts((4, 32), 2, 4)
    parts.pop(f"l.{name}", None)
    if value is not None:
        parts[f"l.{name}"] = value
    info = read_logical(tmp_path, parts)["l.weight_packed"].info
    assert not info.decodes
    with pytest.raises(ValueError, match=match):
        raise ValueError(info.reason)


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"weight_scale": np.ones((4, 2), E4M3)}, "weight_global_scale is missing"),
        ({"weight_scale": np.ones((4, 2), np.float32), "weight_global_scale": np.ones(1, np.float32)}, "float8_e4m3fn"),
        ({"weight_scale": np.ones((4, 3), E4M3), "weight_global_scale": np.ones(1, np.float32)}, r"\[4, 3\] must be"),
        ({"weight_scale": np.ones((4, 3), np.uint8)}, r"\[4, 3\] must be one for 32 values of \[4, 32\]"),
        ({"weight_scale": np.ones((4, 2), E4M3), "weight_global_scale": np.ones(3, np.float32)}, "must hold 1 or 1"),
    ],
)
def test_small_floats_that_do_not_fit_are_a_row_with_a_reason(tmp_path: Path, parts: Any, match: str) -> None:
    stored = {"l.weight_packed": np.ones((4, 16), np.uint8), **{f"l.{name}": value for name, value in parts.items()}}
    with pytest.raises(ValueError, match=match):
        raise ValueError(read_logical(tmp_path, stored)["l.weight_packed"].info.reason)


def test_zero_points_of_bytes_that_do_not_fit_are_a_row_with_a_reason(tmp_path: Path) -> None:
    parts = {
        "l.weight": np.ones((4, 8), np.int8),
        "l.weight_scale": np.ones((4, 1), np.float32),
        "l.weight_zero_point": np.ones((4, 2), np.int8),
    }
    assert "weight_zero_point of shape [4, 2]" in read_logical(tmp_path, parts)["l.weight"].info.reason


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("strategy", ["channel", "group"])
@pytest.mark.parametrize("symmetric", [True, False], ids=["sym", "asym"])
def test_values_equal_the_library(tmp_path: Path, bits: int, strategy: str, symmetric: bool) -> None:
    torch = pytest.importorskip("torch")
    quantization = pytest.importorskip("compressed_tensors.quantization")
    module = pytest.importorskip("compressed_tensors.compressors.pack_quantized.base")
    group = {"group_size": 32} if strategy == "group" else {}
    weights = quantization.QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy=strategy, **group)
    scheme = quantization.QuantizationScheme(targets=["Linear"], weights=weights)
    draw = torch.Generator().manual_seed(bits)
    groups = 4 if strategy == "group" else 1
    state = {
        "weight": torch.randn(40, 128, generator=draw),
        "weight_scale": torch.rand(40, groups, generator=draw) / 4 + 0.01,
    }
    if not symmetric:
        limit = 1 << (bits - 1)
        state["weight_zero_point"] = torch.randint(-limit, limit, (40, groups), generator=draw, dtype=torch.int8)
    stored = module.PackedQuantizationCompressor.compress(state, scheme)
    expected = module.PackedQuantizationCompressor.decompress(stored, scheme)["weight"].float().numpy()
    parts = {f"l.{name}": array for name, array in to_arrays(stored).items()}
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, expected)


@pytest.mark.parametrize("layout", ["nvfp4", "mxfp4", "mxfp6"])
def test_small_floats_equal_the_library(tmp_path: Path, layout: str) -> None:
    torch = pytest.importorskip("torch")
    quantization = pytest.importorskip("compressed_tensors.quantization")
    base = pytest.importorskip(f"compressed_tensors.compressors.{layout}.base")
    packed, _ = draw_small((8, 96), 6 if layout == "mxfp6" else 4)
    rng = np.random.default_rng(7)
    # The library decodes in bfloat16: scales and divisors are powers of two, so that nothing is rounded.
    state = {"weight_packed": torch.from_numpy(packed)}
    if layout == "nvfp4":
        scales = torch.from_numpy(2.0 ** rng.integers(-4, 5, (8, 6)))
        state |= {"weight_scale": scales.to(torch.float8_e4m3fn), "weight_global_scale": torch.tensor([8.0])}
        kind, group = "NVFP4PackedCompressor", 16
    else:
        state |= {"weight_scale": torch.from_numpy(rng.integers(100, 150, (8, 3)).astype(np.uint8))}
        kind, group = f"{layout.upper()}PackedCompressor", 32
    bits = 6 if layout == "mxfp6" else 4
    strategy = "tensor_group" if layout == "nvfp4" else "group"
    weights = quantization.QuantizationArgs(num_bits=bits, type="float", strategy=strategy, group_size=group)
    scheme = quantization.QuantizationScheme(targets=["Linear"], weights=weights)
    expected = getattr(base, kind).decompress(state, scheme)["weight"].float().numpy()
    parts = {f"l.{name}": array for name, array in to_arrays(state).items()}
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, expected)


def test_a_length_that_nothing_tells_is_told(tmp_path: Path) -> None:
    parts = {
        "l.weight_packed": np.zeros((4, 25), np.int32),
        "l.weight_scale": np.ones((4, 4), np.float32),
        "l.weight_shape": np.array([4, 200]),
    }
    found = read_one(tmp_path, "l.weight", parts).info
    assert found.stored == "compressed-tensors int4 group=50"
    assert found.note.startswith("groups of 50 taken, as nothing tells their length; 64 with a short last one")
    stated = read_one(tmp_path, "l.weight", parts, config=told(4, 64)).info
    assert (stated.stored, stated.note) == ("compressed-tensors int4 group=64", "")
