"""Experts of gpt-oss: values by hand, by a scalar decoder, by the library itself, and parts that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.checkpoints.packed.written import read_logical, read_one
from tests.reference_packed_more import F4, decode_blocks, power_of_two


def make_parts(experts: int, rows: int, groups: int, *, low: int = 0, high: int = 256) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    return {
        "mlp.experts.gate_up_proj_blocks": rng.integers(0, 256, (experts, rows, groups, 16)).astype(np.uint8),
        "mlp.experts.gate_up_proj_scales": rng.integers(low, high, (experts, rows, groups)).astype(np.uint8),
        "mlp.experts.gate_up_proj_bias": np.zeros((experts, rows), np.float32),
    }


def test_the_low_nibble_comes_first_and_rows_are_experts_and_outputs(tmp_path: Path) -> None:
    blocks = np.zeros((2, 3, 1, 16), np.uint8)
    blocks[1, 2, 0, 0] = 0xF1
    scales = np.full((2, 3, 1), 128, np.uint8)
    found = read_one(tmp_path, "x.down_proj", {"x.down_proj_blocks": blocks, "x.down_proj_scales": scales})
    assert found.info.shape == (2, 3, 32)
    assert found.info.view.rows == (0, 1)
    assert found.info.stored == "gpt-oss mxfp4"
    assert found.info.stored_bits == 4.25
    assert found.values[1, 2, :3].tolist() == [1.0, -12.0, 0.0]


@pytest.mark.parametrize(("experts", "rows", "groups"), [(1, 1, 1), (2, 5, 3), (3, 4, 2)])
def test_packed_then_read_equals_decoded(tmp_path: Path, experts: int, rows: int, groups: int) -> None:
    parts = make_parts(experts, rows, groups)
    found = read_one(tmp_path, "mlp.experts.gate_up_proj", parts)
    codes = [code for byte in parts["mlp.experts.gate_up_proj_blocks"].ravel() for code in (byte & 15, byte >> 4)]
    scales = [power_of_two(int(code)) for code in parts["mlp.experts.gate_up_proj_scales"].ravel()]
    np.testing.assert_array_equal(found.values.ravel(), decode_blocks(codes, F4, scales, 32))


def test_values_are_those_of_the_library(tmp_path: Path) -> None:
    torch, judge = pytest.importorskip("torch"), pytest.importorskip("transformers.integrations.mxfp4")
    # Exponents as weights have: the library's ldexp leaves float32 through its subnormals.
    parts = make_parts(3, 10, 4, low=90, high=160)
    found = read_one(tmp_path, "mlp.experts.gate_up_proj", parts)
    names = ("mlp.experts.gate_up_proj_blocks", "mlp.experts.gate_up_proj_scales")
    wanted = judge.convert_moe_packed_tensors(*(torch.from_numpy(parts[name]) for name in names), dtype=torch.float32)
    np.testing.assert_array_equal(found.values, wanted.numpy().transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x_scales": np.zeros((2, 3, 2), np.uint8)}, "the scales have [2, 3, 2]"),
        ({"x_blocks": np.zeros((2, 3, 1, 8), np.uint8)}, "blocks of shape [2, 3, 1, 8] must end in 16 bytes"),
        ({"x_scales": np.zeros((2, 3, 1), np.float32)}, "scales of float32 must be uint8 exponents"),
        ({"x_scales": None}, "x_scales is missing"),
    ],
    ids=["scales of another shape", "blocks of 8 bytes", "float scales", "no scales"],
)
def test_parts_that_do_not_fit_are_told(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    parts = {"x_blocks": np.zeros((2, 3, 1, 16), np.uint8), "x_scales": np.zeros((2, 3, 1), np.uint8)} | change
    found = read_logical(tmp_path, {name: part for name, part in parts.items() if part is not None})
    assert text in found["x_blocks"].info.reason
