"""ModelOpt: NVFP4 with two levels of scales, int4 of two rows in a byte, against scalar decoders and its own code."""

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
from tests.reference_packed import decode_blocks, decode_e2m1, decode_e4m3, pack_rows

E4M3 = ml_dtypes.float8_e4m3fn


def draw_fp4(*shape: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """Packed codes, bytes of their scales and the numbers of the codes."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 16, shape)
    packed = pack_rows(codes.reshape(-1, shape[-1]), 4, np.uint8).reshape(*shape[:-1], -1)
    scales = rng.integers(0, 256, (*shape[:-1], shape[-1] // 16)).astype(np.uint8)
    return packed, scales, np.vectorize(decode_e2m1)(codes)


def widen_scales(scales: NDArray[np.uint8], second: Any) -> NDArray[np.float32]:
    return (np.vectorize(decode_e4m3)(scales).astype(np.float32) * np.float32(second)).astype(np.float32)


def pack_row_pairs(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """Rows 2 i in the low nibbles and 2 i + 1 in the high ones."""
    low, high = codes[..., ::2, :] & 15, codes[..., 1::2, :] & 15
    return (low | high << 4).astype(np.uint8)


def test_the_second_scale_multiplies(tmp_path: Path) -> None:
    # An absmax of 2.688 makes s2 = 2.688 / (6 * 448) = 0.001; the code of 6 with the scale 448 gives it back.
    parts = {
        "l.weight": np.full((1, 8), 0x7F, np.uint8),
        "l.weight_scale": np.array([[448]], E4M3),
        "l.weight_scale_2": np.array(0.001, np.float32),
    }
    found = read_one(tmp_path, "l.weight", parts)
    step = np.float32(448) * np.float32(0.001)
    np.testing.assert_array_equal(found.values, [[np.float32(-6) * step, np.float32(6) * step] * 8])
    assert found.info.stored == "nvfp4"
    assert found.info.stored_bits == 4.5 + 32 / 16


@given(
    rows=st.integers(1, 9), groups=st.integers(1, 5), stack=st.integers(0, 3), shared=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_then_read_equals_decoded(
    tmp_path: Path, rows: int, groups: int, stack: int, shared: bool, seed: int
) -> None:
    leading = (stack,) if stack > 1 else ()
    packed, scales, numbers = draw_fp4(*leading, rows, 16 * groups, seed=seed)
    second = np.array([1e-3, 1e30, 1e-45][: max(1, stack) if not shared else 1], np.float32)
    parts = {"l.weight": packed, "l.weight_scale": scales.view(E4M3), "l.weight_scale_2": second}
    found = read_one(tmp_path, "l.weight", parts)
    pairs = zip(numbers.reshape(-1, rows, 16 * groups), scales.reshape(-1, rows, groups), strict=True)
    with np.errstate(all="ignore"):
        grids = [(q, widen_scales(s, second[place % second.size])) for place, (q, s) in enumerate(pairs)]
    expected = np.concatenate([decode_blocks(q, s, (1, 16)) for q, s in grids])
    np.testing.assert_array_equal(found.values.reshape(expected.shape), expected)


def test_stacked_experts_may_have_no_weight_in_their_name(tmp_path: Path) -> None:
    packed, scales, numbers = draw_fp4(2, 3, 16)
    name = "experts.gate_up_proj"
    parts = {
        f"{name}_weight_scale_2": np.array([0.5], np.float32),
        name: packed,
        f"{name}_weight_scale": scales.view(E4M3),
        f"{name}_input_scale": np.ones(1, np.float32),
    }
    found = read_logical(tmp_path, parts)
    assert list(found) == [name, f"{name}_input_scale"]
    np.testing.assert_array_equal(
        found[name].values[1], decode_blocks(numbers[1], widen_scales(scales[1], 0.5), (1, 16))
    )
    assert found[name].info.view.rows == (0, 1)


def test_two_rows_lie_in_a_byte(tmp_path: Path) -> None:
    parts = {
        "l.weight": np.array([[0x8F, 0x71]], np.uint8),
        "l.weight_scale": np.array([[2], [10]], np.float32),
    }
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values, [[-2, 2], [-80, 70]])
    assert found.info.stored == "modelopt int4 channel"


@given(
    pairs=st.integers(1, 9), groups=st.integers(1, 4), length=st.integers(1, 40), stack=st.integers(0, 3),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_row_pairs_packed_then_read_equal_decoded(
    tmp_path: Path, pairs: int, groups: int, length: int, stack: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    leading = (stack,) if stack > 1 else ()
    codes = rng.integers(-8, 8, (*leading, 2 * pairs, groups * length))
    scales = rng.normal(size=(*leading, 2 * pairs, groups)).astype(np.float32)
    scales.flat[:4] = np.array([1e-45, 1e30, np.inf, np.nan], np.float32)[: scales.size]
    found = read_one(tmp_path, "l.weight", {"l.weight": pack_row_pairs(codes), "l.weight_scale": scales})
    matrices = zip(codes.reshape(-1, *codes.shape[-2:]), scales.reshape(-1, *scales.shape[-2:]), strict=True)
    expected = np.concatenate([decode_blocks(q, s, (1, length)) for q, s in matrices])
    np.testing.assert_array_equal(found.values.reshape(expected.shape), expected)


def test_what_scales_the_activation_or_lies_beside_is_told_and_stays(tmp_path: Path) -> None:
    packed, scales, _ = draw_fp4(4, 32)
    parts = {
        "l.weight": packed,
        "l.weight_scale": scales.view(E4M3),
        "l.weight_scale_2": np.ones(1, np.float32),
        "l.pre_quant_scale": np.ones(32, np.float32),
        "l.weight_quantizer._svdquant_lora_a": np.ones((2, 32), np.float32),
    }
    found = read_logical(tmp_path, parts)
    note = found["l.weight"].info.note
    assert "pre_quant_scale multiplies what the layer is given" in note
    assert "low-rank part" in note
    assert {"l.pre_quant_scale", "l.weight_quantizer._svdquant_lora_a"} < set(found)


def test_scales_laid_out_for_matrix_units_are_refused(tmp_path: Path) -> None:
    packed, _, _ = draw_fp4(128, 64)
    parts = {
        "l.weight": packed,
        "l.weight_scale": np.ones(512, np.uint8),
        "l.weight_scale_2": np.ones(1, np.float32),
    }
    info = read_one(tmp_path, "l.weight", parts).info
    assert not info.decodes
    assert "laid out for matrix units" in info.reason


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("weight_scale_2", None, "weight_scale_2, by which the fp8 scales of its groups are multiplied, is missing"),
        ("weight_scale_2", np.ones(2, np.float32), r"weight_scale_2 of shape \[2\] must hold 1 or 1 numbers"),
        ("weight_scale_2", np.ones(1, np.float64), "weight_scale_2 of float64"),
        ("weight_scale", None, r"l\.weight_scale is missing"),
        ("weight_scale", np.ones((4, 2), np.float32), "scales of float32"),
        ("weight_scale", np.ones((4, 3), E4M3), r"scales of shape \[4, 3\] do not lie on 4 by 32 values"),
    ],
)
def test_parts_that_do_not_fit_are_a_row_with_a_reason(tmp_path: Path, name: str, value: Any, match: str) -> None:
    packed, scales, _ = draw_fp4(4, 32)
    parts = {"l.weight": packed, "l.weight_scale": scales.view(E4M3), "l.weight_scale_2": np.ones(1, np.float32)}
    parts.pop(f"l.{name}")
    if value is not None:
        parts[f"l.{name}"] = value
    info = read_logical(tmp_path, parts)["l.weight"].info
    assert not info.decodes
    with pytest.raises(ValueError, match=match):
        raise ValueError(info.reason)


def test_bytes_with_one_scale_are_left_to_others(tmp_path: Path) -> None:
    parts = {"l.weight": np.ones((4, 8), np.uint8), "l.weight_scale": np.ones(1, np.float32)}
    assert not read_one(tmp_path, "l.weight", parts).info.stored.startswith("modelopt")


def test_values_equal_modelopt(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    nvfp4 = pytest.importorskip("modelopt.torch.quantization.qtensor.nvfp4_tensor").NVFP4QTensor
    packed, scales, _ = draw_fp4(8, 64, seed=3)
    scales &= 0x7E  # scales are positive numbers
    second = torch.tensor(0.001)
    tensor = nvfp4((8, 64), torch.float32, torch.from_numpy(packed))
    expected = tensor.dequantize(
        torch.float32,
        scale=torch.from_numpy(scales).view(torch.float8_e4m3fn),
        double_scale=second,
        block_sizes={-1: 16},
    )
    parts = {"l.weight": packed, "l.weight_scale": scales.view(E4M3), "l.weight_scale_2": second.numpy()}
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, expected.numpy())


@pytest.mark.parametrize("stack", [(), (3,)], ids=["matrix", "experts"])
def test_row_pairs_equal_modelopts_packing(tmp_path: Path, stack: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    export = pytest.importorskip("modelopt.torch.export.quant_utils")
    draw = torch.Generator().manual_seed(0)
    codes = torch.randint(-8, 8, (*stack, 6, 64), generator=draw)
    scales = 2.0 ** torch.randint(-5, 5, (*stack, 6, 2), generator=draw)
    weight = codes * scales.repeat_interleave(32, dim=-1)
    parts = {"l.weight": export.pack_int4_in_uint8(weight, scales, 32).numpy(), "l.weight_scale": scales.numpy()}
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, weight.numpy())
