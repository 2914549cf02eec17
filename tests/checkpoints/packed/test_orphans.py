"""Parts without their partners: what is missing is told, and tensors of a model's own are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints.packed.written import read_logical


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "uint32"])
def test_codes_without_scales_are_told(tmp_path: Path, dtype: str) -> None:
    found = read_logical(tmp_path, {"l.weight": np.zeros((4, 8), dtype)})
    assert found["l.weight"].info.reason == "codes without scales: its quantizer's parts are missing"


def test_codes_with_zero_points_alone_are_one_line(tmp_path: Path) -> None:
    found = read_logical(tmp_path, {"l.qweight": np.zeros((4, 8), np.int32), "l.qzeros": np.zeros((1, 1), np.int32)})
    assert not any(line.info.decodes for line in found.values())
    assert "scales" in found["l.qweight"].info.reason


def test_zero_points_without_codes_are_told(tmp_path: Path) -> None:
    parts = {"l.qzeros": np.zeros((1, 1), np.int32), "l.scales": np.ones((1, 8), np.float16)}
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.qzeros"]
    assert found["l.qzeros"].info.reason == "scales without codes: its quantizer's parts are missing"
    assert found["l.qzeros"].info.size_bytes == 4 + 16


def test_scales_without_codes_are_told_where_the_model_is_quantized(tmp_path: Path) -> None:
    config = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    found = read_logical(tmp_path, {"l.scales": np.ones((1, 8), np.float16)}, config=config)
    assert "scales without codes" in found["l.scales"].info.reason


@pytest.mark.parametrize(
    "parts",
    [
        {"l.scales": np.ones((3, 8), np.float32)},
        {"l.weight": np.ones((3, 8), np.float32)},
        {"l.weight": np.ones(8, np.int32)},
        {"l.weight": np.ones((3, 8), np.int64)},
        {"l.weight": np.ones((0, 8), np.int32)},
    ],
    ids=["scales of a model", "float weight", "vector", "long integers", "empty"],
)
def test_tensors_of_a_model_are_left_alone(tmp_path: Path, parts: dict[str, np.ndarray]) -> None:
    found = read_logical(tmp_path, parts)
    assert list(found) == list(parts)
    assert not any("parts are missing" in line.info.reason for line in found.values())
