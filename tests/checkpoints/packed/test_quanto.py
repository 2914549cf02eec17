"""Weights of optimum-quanto: values by hand, by a scalar decoder, by the library itself, and shapes that are not stored."""

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
from tests.reference_packed_more import decode_shifted, pack_slabs


def make_groups(codes: NDArray[Any], bits: int, *, outputs: int = 0, seed: int = 0) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    scale = (10.0 ** rng.uniform(-30, 30, (codes.shape[0], 1))).astype(np.float32)
    parts = {
        "l.weight._data._data": pack_slabs(codes, bits, per_word=8 // bits, high_first=False, dtype=np.uint8),
        "l.weight._scale": scale,
        "l.weight._shift": (scale * rng.uniform(-1, 1, scale.shape)).astype(np.float32),
        "l.input_scale": np.array(1, np.float32),
    }
    return parts | ({"l.bias": np.zeros(outputs, np.float32)} if outputs else {})


def test_the_shift_is_subtracted_and_the_first_slab_is_in_the_low_bits(tmp_path: Path) -> None:
    parts = make_groups(np.zeros((2, 4), np.uint8), 4, outputs=2)
    parts["l.weight._data._data"] = np.full((1, 4), 0x4A, np.uint8)
    parts |= {
        "l.weight._scale": np.array([[0.5], [2]], np.float32),
        "l.weight._shift": np.array([[1], [-3]], np.float32),
    }
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight", "l.input_scale", "l.bias"]
    np.testing.assert_array_equal(found["l.weight"].values, [[4] * 4, [11] * 4])
    assert found["l.weight"].info.stored == "quanto int4 channel asym"
    assert found["l.weight"].info.size_bytes == 4 + 8 + 8


@given(
    bits=st.sampled_from([2, 4]),
    outputs=st.integers(1, 5),
    per_row=st.integers(1, 4),
    group=st.integers(1, 20),
    seed=st.integers(0, 999),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_then_read_equals_decoded(
    tmp_path: Path, bits: int, outputs: int, per_row: int, group: int, seed: int
) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (outputs * per_row, group))
    parts = make_groups(codes, bits, outputs=outputs, seed=seed)
    beside = {"quanto_qmap.json": {"l": {"weights": f"qint{bits}", "activations": "none"}}}
    found = read_one(tmp_path, "l.weight", parts, beside=beside)
    wanted = decode_shifted(codes, parts["l.weight._scale"], -parts["l.weight._shift"], group)
    np.testing.assert_array_equal(found.values, wanted.reshape(outputs, per_row * group))
    assert not found.info.note


@pytest.mark.parametrize("kind", ["qint8", "qint4", "qint2", "qfloat8"])
@pytest.mark.parametrize("shape", [(48, 256), (5, 256), (7, 384), (49, 130)], ids=str)
def test_values_are_those_of_the_library(tmp_path: Path, kind: str, shape: tuple[int, int]) -> None:
    torch, judge = pytest.importorskip("torch"), pytest.importorskip("optimum.quanto")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(*shape[::-1]), torch.nn.Conv2d(4, 6, 3))
    model[0].weight.data *= torch.logspace(-3, 3, shape[0])[:, None]
    judge.quantize(model, weights=getattr(judge, kind))
    judge.freeze(model)
    found = read_logical(tmp_path, to_arrays(model.state_dict()))
    for name, layer in (("0.weight", model[0]), ("1.weight", model[1])):
        np.testing.assert_array_equal(found[name].values, layer.weight.dequantize().detach().numpy())
        assert not found[name].info.note


def test_float8_rows_have_one_scale_each_or_one_for_all(tmp_path: Path) -> None:
    numbers = np.array([[448, 1], [-2, 0]], np.float32).astype(ml_dtypes.float8_e4m3fn)
    parts = {"l.weight._data": numbers, "l.weight._scale": np.array([[0.0005], [2]], np.float32)}
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values, np.float32([[448, 1], [-4, 0]]) * np.float32([[0.0005], [1]]))
    assert found.info.stored == "quanto fp8 channel"
    parts["l.weight._scale"] = np.array(2, np.float32)
    found = read_one(tmp_path, "l.weight", parts)
    assert (found.info.stored, found.values[0, 0]) == ("quanto fp8 tensor", 896)


def test_without_a_bias_a_group_is_a_row_and_that_is_told(tmp_path: Path) -> None:
    found = read_one(tmp_path, "l.weight", make_groups(np.zeros((4, 8), np.uint8), 4))
    assert found.info.shape == (4, 8)
    assert found.info.note == "the layer's shape is not stored and no bias tells it: each group is taken as a row"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"l.weight._shift": None}, "l.weight._shift is missing"),
        ({"l.weight._shift": np.ones((3, 1), np.float32)}, "a shift of float32 and shape [3, 1] does not fit"),
        ({"l.weight._shift": np.ones((4, 1), np.int8)}, "a shift of int8 and shape [4, 1] does not fit"),
        ({"l.weight._data._data": np.zeros((9, 8), np.uint8)}, "hold neither 4 nor 2 bits for 4 rows"),
        ({"l.weight._data._data": np.zeros(16, np.uint8)}, "codes have the shape [16]"),
        ({"l.weight._scale": np.ones((4, 1), np.int32)}, "_scale of int32 and shape [4, 1] must have 4 real numbers"),
        ({"l.weight._scale": np.ones((1, 4), np.float32)}, "a scale of shape [1, 4] is not one number for each row"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_parts_that_do_not_fit_are_told(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    parts = make_groups(np.zeros((4, 8), np.uint8), 4) | change
    found = read_logical(tmp_path, {name: part for name, part in parts.items() if part is not None})
    assert text in found["l.weight._data._data"].info.reason


def test_a_scale_of_another_length_than_the_rows_is_told(tmp_path: Path) -> None:
    parts = {"l.weight._data": np.zeros((4, 8), np.int8), "l.weight._scale": np.ones((3, 1), np.float32)}
    reason = read_logical(tmp_path, parts)["l.weight._data"].info.reason
    assert reason.endswith("a scale of shape [3, 1] does not fit numbers of shape [4, 8]")
