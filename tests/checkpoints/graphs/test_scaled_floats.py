"""What weights of small floats stand for, scaled in blocks or as a whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper

from tests.checkpoints.graphs.packed_models import catch, make_model, pack_rows, read_packed, read_values

RNG = np.random.default_rng(14)
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)


def make(op: str, names: list[str], arrays: dict[str, Any], **attributes: Any) -> Any:
    return make_model([helper.make_node(op, names, ["y"], domain="com.microsoft", **attributes)], arrays)


def test_fp8_in_blocks_with_a_ragged_end(tmp_path: Path) -> None:
    codes = RNG.normal(size=(5, 40)).astype(ml_dtypes.float8_e4m3fn)
    scales = RNG.uniform(0.1, 1, (5, 3)).astype(np.float32)
    made = make("MatMulBlockQuantizedFp8Weight", ["x", "W", "s"], {"W": codes, "s": scales}, block_size=16)
    packed = read_packed(tmp_path, made, "W")
    wanted = codes.astype(np.float32) * np.repeat(scales, 16, axis=1)[:, :40]
    np.testing.assert_array_equal(read_values(packed), wanted)
    assert (packed.info.stored, packed.info.view.rows) == ("fp8 float8_e4m3fn group=16", (0,))


@pytest.mark.parametrize("as_bytes", [True, False], ids=["scales as bytes", "scales as fp8"])
def test_nvfp4_with_a_scale_of_the_whole(tmp_path: Path, as_bytes: bool) -> None:
    codes = np.arange(3 * 32).reshape(3, 32) % 16
    scales = np.array([[1, 2], [0.5, 448], [0.25, 3.5]]).astype(ml_dtypes.float8_e4m3fn)
    arrays = {
        "W": pack_rows(codes, 4),
        "s": scales.view(np.uint8) if as_bytes else scales,
        "t": np.array([0.1], dtype=np.float32),
    }
    packed = read_packed(tmp_path, make("MatMulBlockQuantizedFp4Weight", ["x", "W", "s", "t"], arrays), "W")
    wanted = E2M1[codes] * np.repeat(scales.astype(np.float32) * np.float32(0.1), 16, axis=1)
    np.testing.assert_array_equal(read_values(packed), wanted)
    assert (packed.info.stored, packed.info.shape) == ("nvfp4 group=16", (3, 32))
    assert packed.info.size_bytes == 3 * 16 + 6 + 4


@pytest.mark.parametrize("transposed", [0, 1], ids=["in x out", "out x in"])
def test_fp8_with_one_scale(tmp_path: Path, transposed: int) -> None:
    codes = RNG.normal(size=(4, 6)).astype(ml_dtypes.float8_e5m2)
    arrays = {"W": codes, "s": np.array([0.25], np.float32)}
    packed = read_packed(tmp_path, make("GemmFloat8", ["x", "W", "", "", "s"], arrays, transB=transposed), "W")
    np.testing.assert_array_equal(read_values(packed), codes.astype(np.float32) / 4)
    assert (packed.info.stored, packed.info.view.rows) == ("fp8 float8_e5m2 tensor", (0 if transposed else 1,))


FP8 = np.zeros((2, 32), ml_dtypes.float8_e4m3fn)
PAIRS = np.zeros((2, 16), np.uint8)


@pytest.mark.parametrize(
    ("op", "arrays", "attributes", "reason"),
    [
        (
            "Fp8",
            {"W": FP8, "s": np.ones((2, 3), np.float32)},
            {"block_size": 16},
            "its scales have 6 numbers; .* need 4",
        ),
        ("Fp8", {"W": FP8, "s": np.ones((2, 2), np.float32)}, {"block_size": 0}, "its attribute block_size is 0"),
        ("Fp8", {"W": PAIRS, "s": np.ones((2, 1), np.float32)}, {}, "its codes are uint8 in 2 axes"),
        (
            "Fp4",
            {"W": PAIRS, "s": np.ones((2, 2), np.float32)},
            {},
            "its scales are float32; they must be float8_e4m3fn",
        ),
        ("Fp4", {"W": PAIRS, "s": np.ones(5, np.uint8)}, {}, "its scales have 5 numbers; its sizes need 4"),
        ("Fp4", {"W": PAIRS[0], "s": np.ones(5, np.uint8)}, {}, "its codes have 1 axes; they are a matrix"),
    ],
    ids=["many scales", "no block", "bytes as fp8", "float scales", "five scales", "one axis"],
)
def test_parts_that_do_not_fit_are_told(
    tmp_path: Path, op: str, arrays: dict[str, Any], attributes: dict[str, Any], reason: str
) -> None:
    made = make(f"MatMulBlockQuantized{op}Weight", ["x", "W", "s"], arrays, **attributes)
    assert re.search(reason, catch(tmp_path, made, "W"))
