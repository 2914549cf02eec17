"""Weights of MLX: values by hand, by a scalar decoder, by the library itself, and the columns that shapes leave open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.checkpoints.packed.written import read_logical, read_one
from tests.reference_packed_more import F4, decode_blocks, decode_shifted, pack_stream, power_of_two


def make_affine(rows: int, columns: int, bits: int, group: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << bits, (rows, columns))
    spread = 10.0 ** rng.uniform(-30, 30, (rows, columns // group))
    scales = (spread * rng.choice([-1, 1], spread.shape)).astype(np.float32)
    biases = (spread * rng.standard_normal(spread.shape)).astype(np.float32)
    return {"codes": codes, "l.weight": pack_stream(codes, bits), "l.scales": scales, "l.biases": biases}


def test_a_word_holds_its_first_code_in_the_lowest_bits(tmp_path: Path) -> None:
    parts = {
        "l.weight": np.array([[0x76543210] * 8], np.uint32),
        "l.scales": np.array([[-0.5]], np.float16),
        "l.biases": np.array([[1.0]], np.float16),
        "l.bias": np.zeros(1, np.float16),
    }
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight", "l.bias"]
    np.testing.assert_array_equal(found["l.weight"].values[0, :8], [1, 0.5, 0, -0.5, -1, -1.5, -2, -2.5])
    assert found["l.weight"].info.stored == "mlx int4 group=64"
    assert found["l.weight"].info.stored_bits == 4.5


@given(
    bits=st.sampled_from([2, 3, 4, 5, 6, 8]),
    group=st.sampled_from([32, 64, 128]),
    rows=st.integers(1, 4),
    groups=st.integers(1, 3),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_then_read_equals_decoded(
    tmp_path: Path, bits: int, group: int, rows: int, groups: int, seed: int
) -> None:
    parts = make_affine(rows, groups * group, bits, group, seed)
    codes = parts.pop("codes")
    config = {"quantization": {"group_size": group, "bits": bits}}
    found = read_one(tmp_path, "l.weight", parts, config=config)
    wanted = decode_shifted(codes, parts["l.scales"], parts["l.biases"], group)
    np.testing.assert_array_equal(found.values, wanted)
    assert not found.info.note


def to_numpy(array: Any) -> NDArray[Any]:
    mx = pytest.importorskip("mlx.core")
    return np.array(array.view(mx.uint16)).view(ml_dtypes.bfloat16) if array.dtype == mx.bfloat16 else np.array(array)


@pytest.mark.parametrize("lead", [(), (3,)], ids=["matrix", "experts"])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group", [32, 64, 128])
def test_affine_values_are_those_of_the_library(tmp_path: Path, lead: tuple[int, ...], bits: int, group: int) -> None:
    mx = pytest.importorskip("mlx.core")
    rng = np.random.default_rng(bits)
    weight = rng.standard_normal((*lead, 5, 384)) * 10.0 ** rng.uniform(-4, 4, (*lead, 5, 1))
    codes, scales, biases = mx.quantize(mx.array(weight.astype(np.float32)), group_size=group, bits=bits)
    wanted = np.array(mx.dequantize(codes, scales, biases, group_size=group, bits=bits))
    parts = {"l.weight": np.array(codes), "l.scales": np.array(scales), "l.biases": np.array(biases)}
    found = read_one(tmp_path, "l.weight", parts, config={"quantization": {"bits": bits, "group_size": group}})
    np.testing.assert_array_equal(found.values, wanted)
    assert found.info.view.rows == ((0, 1) if lead else (0,))


def test_scales_of_bfloat16_are_widened_exactly(tmp_path: Path) -> None:
    mx = pytest.importorskip("mlx.core")
    weight = mx.array(np.random.default_rng(0).standard_normal((4, 128)).astype(np.float32)).astype(mx.bfloat16)
    codes, scales, biases = mx.quantize(weight, group_size=64, bits=4)
    parts = {"l.weight": np.array(codes), "l.scales": to_numpy(scales), "l.biases": to_numpy(biases)}
    found = read_one(tmp_path, "l.weight", parts)
    wide = [array.astype(mx.float32) for array in (scales, biases)]
    np.testing.assert_array_equal(found.values, np.array(mx.dequantize(codes, *wide, group_size=64, bits=4)))


@pytest.mark.parametrize(("mode", "bits", "group"), [("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32)])
def test_values_of_the_float_modes_are_those_of_the_library(tmp_path: Path, mode: str, bits: int, group: int) -> None:
    mx = pytest.importorskip("mlx.core")
    rng = np.random.default_rng(bits)
    weight = (rng.standard_normal((5, 96)) * 10.0 ** rng.uniform(-4, 4, (5, 1))).astype(np.float32)
    codes, scales = mx.quantize(mx.array(weight), group_size=group, bits=bits, mode=mode)
    wanted = np.array(mx.dequantize(codes, scales, group_size=group, bits=bits, mode=mode, dtype=mx.float32))
    found = read_one(tmp_path, "l.weight", {"l.weight": np.array(codes), "l.scales": np.array(scales)})
    np.testing.assert_array_equal(found.values, wanted)
    assert found.info.stored == f"mlx {mode}"
    assert found.info.stored_bits == bits + 8 / group


def test_the_smallest_exponent_is_not_flushed_and_255_is_nan(tmp_path: Path) -> None:
    codes = np.tile(np.arange(16), (1, 6))[:, :96]
    parts = {"l.weight": pack_stream(codes, 4), "l.scales": np.array([[0, 127, 255]], np.uint8)}
    found = read_one(tmp_path, "l.weight", parts)
    scales = [power_of_two(code) for code in (0, 127, 255)]
    np.testing.assert_array_equal(found.values.ravel(), decode_blocks(codes[0].tolist(), F4, scales, 32))
    assert found.values[0, 1] == 0.5 * 2.0**-127


def drop_codes(parts: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: part for name, part in parts.items() if name != "codes"}


def test_without_a_configuration_groups_of_64_are_taken_and_told(tmp_path: Path) -> None:
    found = read_one(tmp_path, "l.weight", drop_codes(make_affine(4, 128, 4, 64)))
    assert found.info.shape == (4, 128)
    wanted = "taken as int4 group=64, not int8 group=32 or int2 group=128: config.json does not say"
    assert found.info.note == wanted


def test_a_width_of_the_model_settles_the_columns(tmp_path: Path) -> None:
    parts = drop_codes(make_affine(4, 128, 8, 32)) | {"model.norm.weight": np.ones(128, np.float32)}
    found = read_one(tmp_path, "l.weight", parts, config={"hidden_size": 128})
    assert (found.info.shape, found.info.stored, found.info.note) == ((4, 128), "mlx int8 group=32", "")


def test_an_override_of_one_layer_is_followed(tmp_path: Path) -> None:
    config = {"quantization": {"bits": 4, "group_size": 64, "l": {"bits": 8, "group_size": 32}, "lm_head": False}}
    found = read_one(tmp_path, "l.weight", drop_codes(make_affine(4, 128, 8, 32)), config=config)
    assert (found.info.stored, found.info.note) == ("mlx int8 group=32", "")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"l.scales": np.ones((3, 2), np.float32)}, "scales of shape [3, 2] do not fit codes of shape [4, 16]"),
        ({"l.biases": np.ones((4, 3), np.float32)}, "biases of shape [4, 3] do not fit scales of shape [4, 2]"),
        ({"l.scales": np.ones((4, 2), np.int32)}, "scales of int32 beside biases must be floats"),
        ({"l.weight": np.ones((4, 17), np.uint32)}, "fit no group of"),
        ({"l.weight": np.ones(16, np.uint32)}, "do not fit codes of shape [16]"),
        ({"l.scales": np.ones((4, 0), np.float32)}, "scales of shape [4, 0] do not fit"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_parts_that_do_not_fit_are_told(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    found = read_logical(tmp_path, drop_codes(make_affine(4, 128, 4, 64)) | change)
    reasons = [line.info.reason for line in found.values()]
    assert any(reason.startswith("looks like mlx, but") and text in reason for reason in reasons), reasons


def test_scales_without_biases_must_be_bytes(tmp_path: Path) -> None:
    parts = drop_codes(make_affine(4, 128, 4, 64))
    del parts["l.biases"]
    assert "without biases must be uint8" in read_logical(tmp_path, parts)["l.scales"].info.reason
