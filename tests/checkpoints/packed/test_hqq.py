"""Weights of HQQ: values by hand, by a scalar decoder, by the library itself, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.checkpoints.packed.written import read_logical, read_one, to_arrays
from tests.reference_packed_more import decode_groups, pack_slabs


def make_parts(
    codes: NDArray[Any], bits: int, shape: tuple[int, ...], *, axis: int = 1, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Parts of a grouped matrix of codes; scales and zeros are drawn."""
    rng = np.random.default_rng(seed)
    per_word, dtype = (10, np.int32) if bits == 3 else (8 // bits, np.uint8)
    sizes = (codes.shape[0], 1) if axis else (1, codes.shape[1])
    return {
        "l.W_q": pack_slabs(codes, bits, per_word=per_word, high_first=True, dtype=dtype),
        "l.scale": (10.0 ** rng.uniform(-30, 30, sizes)).astype(np.float32),
        "l.zero": rng.uniform(0, 1 << bits, sizes).astype(np.float32),
        "l.nbits": np.array(bits, np.int32),
        "l.group_size": np.array(codes.shape[axis], np.int32),
        "l.axis": np.array(axis, np.int32),
        "l.shape": np.array(shape, np.int64),
        "l.packing": np.frombuffer(b"4bit_u8", np.uint8),
        "l.quant_scale": np.array(0, np.uint8),
        "l.quant_zero": np.array(0, np.uint8),
    }


def test_the_first_slab_is_in_the_high_bits(tmp_path: Path) -> None:
    parts = make_parts(np.zeros((2, 8), np.uint8), 4, (2, 8))
    parts["l.W_q"] = np.full((1, 8), 0x4A, np.uint8)
    parts["l.scale"], parts["l.zero"] = np.array([[0.5], [2]], np.float32), np.array([[2.5], [8]], np.float32)
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    np.testing.assert_array_equal(found["l.weight"].values, [[0.75] * 8, [4] * 8])
    assert found["l.weight"].info.stored == "hqq int4 group=8"


def test_ten_codes_of_3_bits_lie_in_a_word_from_bit_27_down(tmp_path: Path) -> None:
    parts = make_parts(np.zeros((11, 8), np.uint8), 3, (11, 8))
    words = np.zeros((2, 8), np.int32)
    words[0], words[1] = 5 << 27, 7 << 12  # rows 0 and 1 * 0 + slab 5 * 2 + 1 = 11, which is cut
    parts |= {"l.W_q": words, "l.scale": np.ones((11, 1), np.float32), "l.zero": np.zeros((11, 1), np.float32)}
    values = read_one(tmp_path, "l.weight", parts).values
    assert values[0].tolist() == [5] * 8
    assert not values[1:].any()


@given(
    bits=st.sampled_from([1, 2, 3, 4, 8]),
    axis=st.sampled_from([0, 1]),
    rows=st.integers(1, 5),
    columns=st.integers(1, 20),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_then_read_equals_decoded(
    tmp_path: Path, bits: int, axis: int, rows: int, columns: int, seed: int
) -> None:
    rows *= 1 if bits == 3 else 8 // bits
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (rows, columns))
    parts = make_parts(codes, bits, (columns, rows), axis=axis, seed=seed)
    found = read_one(tmp_path, "l.weight", parts)
    scale, zero = parts["l.scale"], parts["l.zero"]
    wanted = decode_groups(codes, scale, zero, columns) if axis else decode_groups(codes.T, scale.T, zero.T, rows).T
    np.testing.assert_array_equal(found.values, wanted.reshape(columns, rows))


@pytest.mark.parametrize("viewed", [False, True], ids=["bytes", "viewed as floats"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
def test_values_are_those_of_the_library(tmp_path: Path, bits: int, axis: int, viewed: bool) -> None:
    torch, judge = pytest.importorskip("torch"), pytest.importorskip("hqq.core.quantize")
    torch.manual_seed(bits)
    layer = torch.nn.Linear(96, 40)
    layer.weight.data *= torch.logspace(-3, 3, 40)[:, None]
    config = judge.BaseQuantizeConfig(nbits=bits, group_size=32, axis=axis, view_as_float=viewed)
    packed = judge.HQQLinear(layer, config, compute_dtype=torch.float32, device="cpu")
    stored = {f"l.{key}": value for key, value in packed.state_dict().items()}
    found = read_logical(tmp_path, to_arrays(stored))
    assert sorted(found) == ["l.bias", "l.weight"]
    np.testing.assert_array_equal(found["l.weight"].values, packed.dequantize().detach().numpy())


def test_scales_that_are_quantized_once_more_are_refused(tmp_path: Path) -> None:
    parts = make_parts(np.zeros((2, 8), np.uint8), 4, (2, 8)) | {"l.quant_scale": np.array(1, np.uint8)}
    found = read_one(tmp_path, "l.weight", parts)
    assert found.info.reason == "already quantized (HQQ: its scales are quantized once more); recognised, not decoded"


def test_codes_whose_sizes_are_no_tensors_are_refused(tmp_path: Path) -> None:
    parts = {
        name: part for name, part in make_parts(np.zeros((2, 8), np.uint8), 4, (2, 8)).items() if "shape" not in name
    }
    assert "its bits and shape are not stored as tensors" in read_one(tmp_path, "l.weight", parts).info.reason


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"l.scale": np.ones((3, 1), np.float32)}, "l.scale of float32 and shape [3, 1] must have 2 real numbers"),
        ({"l.W_q": np.zeros((2, 8), np.uint8)}, "need 8 bytes in 2 equal slabs, and W_q of shape [2, 8] has 16"),
        ({"l.shape": np.array([2**40, 2**40])}, "bytes in 2 equal slabs"),
        ({"l.shape": np.array([-2, 8])}, "can not be cut into groups"),
        ({"l.group_size": np.array(0, np.int32)}, "can not be cut into groups of 0"),
        ({"l.axis": np.array(7, np.int32)}, "along axis 7; the axis is 0 or 1"),
        ({"l.nbits": np.array(9, np.int32)}, "9 bits"),
        ({"l.nbits": np.array(4, np.float32)}, "l.nbits of float32 and shape [] must be one integer"),
        ({"l.shape": np.arange(9)}, "must be 1 to 8 sizes"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_parts_that_do_not_fit_are_told(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    found = read_logical(tmp_path, make_parts(np.zeros((2, 8), np.uint8), 4, (2, 8)) | change)
    assert found["l.W_q"].info.reason.startswith("looks like hqq, but")
    assert text in found["l.W_q"].info.reason
