"""AWQ: a word by hand, a scalar decoder, autoawq itself, the natural order of gemv, and parts that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.checkpoints.packed.written import read_logical, read_one
from tests.reference_packed import decode_awq, decode_blocks, pack_rows

Arrays = dict[str, NDArray[Any]]
EXTREMES = np.array([1e-45, 1e-38, 1e30, -3e38, np.inf, np.nan, 0.0, -0.0], np.float32)


def draw_parts(rows: int, columns: int, group: int, *, seed: int = 0, dtype: Any = np.float16) -> Arrays:
    rng = np.random.default_rng(seed)
    any_words = rng.integers(-(2**31), 2**31, (columns, rows // 8)).astype(np.int32)
    return {
        "l.qweight": any_words,
        "l.qzeros": rng.integers(-(2**31), 2**31, (columns // group, rows // 8)).astype(np.int32),
        "l.scales": (rng.normal(size=(columns // group, rows)) / 8).astype(dtype),
    }


def decode(parts: Arrays, group: int) -> NDArray[np.float32]:
    return decode_awq(parts["l.qweight"], parts["l.qzeros"], parts["l.scales"], group)


def test_a_word_by_hand(tmp_path: Path) -> None:
    parts = {
        "l.qweight": np.array([[0x76543210], [0x01234567]], np.int32),
        "l.qzeros": np.array([[0x11111111]], np.int32),
        "l.scales": np.full((1, 8), 2, np.float16),
    }
    found = read_one(tmp_path, "l.weight", parts)
    first = [2 * (q - 1) for q in (0, 4, 1, 5, 2, 6, 3, 7)]
    second = [2 * (q - 1) for q in (7, 3, 6, 2, 5, 1, 4, 0)]
    np.testing.assert_array_equal(found.values, np.array([first, second]).T)
    assert (found.info.stored, found.info.shape) == ("awq int4 group=2", (8, 2))


def test_bits_per_weight_count_all_parts(tmp_path: Path) -> None:
    assert read_one(tmp_path, "l.weight", draw_parts(64, 256, 128)).info.stored_bits == 4 + 20 / 128


@given(rows=st.sampled_from([8, 24, 64]), groups=st.integers(1, 4), group=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_then_read_equals_decoded(tmp_path: Path, rows: int, groups: int, group: int, seed: int) -> None:
    parts = draw_parts(rows, groups * group, group, seed=seed, dtype=np.float32)
    parts["l.scales"][0, :8] = EXTREMES
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, decode(parts, group))


@pytest.mark.parametrize(("group", "padded"), [(64, 16), (32, 32), (128, 8)])
def test_gemv_lies_in_natural_order_with_padded_groups(tmp_path: Path, group: int, padded: int) -> None:
    rng = np.random.default_rng(1)
    codes, zeros = rng.integers(0, 16, (5, 256)), rng.integers(0, 16, (5, padded))
    scales = rng.normal(size=(5, padded)).astype(np.float16)
    parts = {"l.qweight": pack_rows(codes, 4), "l.qzeros": pack_rows(zeros, 4), "l.scales": scales}
    config = {"quantization_config": {"quant_method": "awq", "version": "gemv", "group_size": group}}
    found = read_one(tmp_path, "l.weight", parts, config=config)
    np.testing.assert_array_equal(found.values, decode_blocks(codes, scales, (1, group), zeros))
    assert found.info.stored == f"awq int4 group={group}"


def test_gemv_without_a_group_size_is_a_row_with_a_reason(tmp_path: Path) -> None:
    parts = {
        "l.qweight": np.ones((5, 32), np.int32),
        "l.qzeros": np.ones((5, 1), np.int32),
        "l.scales": np.ones((5, 8), np.float16),
    }
    assert "need group_size" in read_logical(tmp_path, parts)["l.qweight"].info.reason
    config = {"quantization_config": {"group_size": 16}}
    assert "too few for 16 groups of 16" in read_logical(tmp_path, parts, config=config)["l.qweight"].info.reason


def test_gemv_fast_is_refused_by_name(tmp_path: Path) -> None:
    parts = {
        "l.qweight": np.ones((2, 64), np.int16),
        "l.qzeros": np.ones((1, 8), np.float16),
        "l.scales": np.ones((1, 8), np.float16),
    }
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    assert "AWQ gemv_fast" in found["l.weight"].info.reason


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("l.scales", np.ones((3, 64), np.float16), "must be \\(in, out/8\\)"),
        ("l.scales", np.ones((2, 64), np.int32), "scales of int32"),
        ("l.qzeros", np.ones((2, 7), np.int32), r"qzeros of \[2, 7\]"),
        ("l.qzeros", np.ones((), np.int32), r"qzeros of \[\]"),
        ("l.qzeros", np.ones(32, np.int32), r"qzeros of \[32\] and .* \(in, out/8\)"),
        ("l.qweight", np.ones((33, 8), np.int32), r"33 rows of qweight \[33, 8\] do not divide .* scales \[2, 64\]"),
    ],
)
def test_parts_that_do_not_fit_are_a_row_with_a_reason(tmp_path: Path, name: str, value: Any, match: str) -> None:
    found = read_logical(tmp_path, {**draw_parts(64, 32, 16), name: value})["l.qweight"]
    assert not found.info.decodes
    with pytest.raises(ValueError, match=match):
        raise ValueError(found.info.reason)


def test_missing_zero_points_are_named(tmp_path: Path) -> None:
    parts = draw_parts(64, 32, 16)
    del parts["l.qzeros"]
    assert "l.qzeros is missing" in read_logical(tmp_path, parts)["l.qweight"].info.reason


def test_values_equal_autoawq(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("awq.utils.packing_utils")
    parts = draw_parts(64, 256, 32, dtype=np.float32)
    tensors = [torch.from_numpy(parts[f"l.{name}"]) for name in ("qweight", "qzeros", "scales")]
    expected = module.dequantize_gemm(*tensors, 4, 32).T.numpy()
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, expected)
