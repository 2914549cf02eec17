"""Weights of bitsandbytes: values by hand, by a scalar decoder, by the library itself, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.checkpoints.packed.written import read_logical, read_one, to_arrays
from tests.reference_packed_more import decode_blocks, nest_scales, pack_nibbles

TABLE = np.linspace(-1, 1, 16, dtype=np.float32)


def describe(**state: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(state).encode(), np.uint8)


def write_parts(
    codes: list[int], absmax: NDArray[Any], shape: list[int], *, block: int = 64, kind: str = "nf4", **nested: Any
) -> dict[str, NDArray[Any]]:
    state = {"quant_type": kind, "blocksize": block, "dtype": "float32", "shape": shape}
    return {
        "l.weight": pack_nibbles(codes, high_first=True).reshape(-1, 1),
        "l.weight.absmax": absmax,
        "l.weight.quant_map": TABLE,
        f"l.weight.quant_state.bitsandbytes__{kind}": describe(**state, **nested),
    }


def test_the_first_of_two_values_is_in_the_high_nibble_and_blocks_cross_row_ends(tmp_path: Path) -> None:
    parts = write_parts([15, 0, 15], np.array([2, 10], np.float32), [3, 1], block=2)
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values, [[2.0], [-2.0], [10.0]])
    assert found.info.stored == "bnb nf4 group=2"
    assert found.info.size_bytes == sum(part.nbytes for part in parts.values())


def test_bits_per_weight_are_those_of_codes_and_scales_on_a_large_tensor(tmp_path: Path) -> None:
    parts = write_parts([7] * 65_536, np.ones(1024, np.float32), [256, 256])
    overhead = parts["l.weight.quant_map"].nbytes + parts["l.weight.quant_state.bitsandbytes__nf4"].nbytes
    found = read_one(tmp_path, "l.weight", parts)
    assert found.info.stored_bits == 4.5 + 8 * overhead / 65_536


@pytest.mark.parametrize("word", [np.uint8, np.float16, ml_dtypes.bfloat16, np.float32])
def test_the_words_that_carry_the_codes_do_not_matter(tmp_path: Path, word: type) -> None:
    codes = np.random.default_rng(3).integers(0, 16, 128).tolist()
    parts = write_parts(codes, np.array([1, 3], np.float32), [2, 64])
    parts["l.weight"] = parts["l.weight"].reshape(-1).view(word).reshape(-1, 1)
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    np.testing.assert_array_equal(found["l.weight"].values.ravel(), decode_blocks(codes, TABLE, [1, 3], 64))


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 40),
    block=st.sampled_from([2, 16, 64]),
    nested=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_then_read_equals_decoded(
    tmp_path: Path, rows: int, columns: int, block: int, nested: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 16, rows * columns).tolist()
    blocks = -(-rows * columns // block)
    absmax: Any = (10.0 ** rng.uniform(-38, 37, blocks)).astype(np.float32)
    parts = write_parts(codes, absmax, [rows, columns], block=block)
    if nested:
        outer = (10.0 ** rng.uniform(-6, 6, -(-blocks // 4))).astype(np.float32)
        table, inner = rng.standard_normal(256).astype(np.float32), rng.integers(0, 256, blocks).astype(np.uint8)
        parts = write_parts(codes, inner, [rows, columns], block=block, nested_blocksize=4, nested_offset=0.25)
        parts |= {"l.weight.nested_absmax": outer, "l.weight.nested_quant_map": table}
        absmax = nest_scales(inner, table, outer, 4, 0.25)
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values.ravel(), decode_blocks(codes, TABLE, absmax, block))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("shape", [(5, 67), (33, 64), (130, 32)], ids=str)
def test_values_are_those_of_the_library(
    tmp_path: Path, dtype: str, nested: bool, kind: str, shape: tuple[int, int]
) -> None:
    torch, library = pytest.importorskip("torch"), pytest.importorskip("bitsandbytes.functional")
    judge = pytest.importorskip("bitsandbytes.backends.default.ops")._dequantize_4bit_compute
    rng = torch.Generator().manual_seed(1)
    spread = torch.logspace(-3, 3, shape[0])[:, None]
    weight = (torch.randn(shape, generator=rng) * spread).to(getattr(torch, dtype))
    codes, state = library.quantize_4bit(weight, blocksize=64, compress_statistics=nested, quant_type=kind)
    stored = {"l.weight": codes} | {f"l.weight.{key}": value for key, value in state.as_dict(packed=True).items()}
    absmax = library.dequantize_blockwise(state.absmax, state.state2) + state.offset if nested else state.absmax
    # Not `dequantize_4bit`: its loop for the CPU begins a new block with each row shorter than a block.
    wanted = judge(codes.reshape(-1), absmax.float(), state.code, 64, shape, torch.float32)
    found = read_one(tmp_path, "l.weight", to_arrays(stored))
    np.testing.assert_array_equal(found.values, wanted.numpy())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"l.weight.absmax": np.ones(3, np.float32)}, "absmax of float32 and shape [3] must have 2 real numbers"),
        (
            {"l.weight.quant_map": np.ones(15, np.float32)},
            "quant_map of float32 and shape [15] must have 16 real numbers",
        ),
        ({"l.weight": np.zeros((63, 1), np.uint8)}, "needs 64 bytes of codes"),
        ({"state": b"{"}, "is not JSON"),
        ({"state": b"[" * 60_000}, "is not JSON"),
        ({"state": b"[]"}, "is not a JSON object"),
        ({"state": b" " * 70_000}, "at most 65536 are read"),
        ({"state": {"blocksize": 0, "shape": [2, 64]}}, "gives the blocksize 0"),
        ({"state": {"blocksize": 2**60, "shape": [2, 64]}}, "gives the blocksize 1152921504606846976"),
        ({"state": {"blocksize": "64", "shape": [2, 64]}}, "gives the blocksize '64'"),
        ({"state": {"blocksize": 64, "shape": [2**60, 4]}}, "gives the shape [1152921504606846976, 4]"),
        ({"state": {"blocksize": 64, "shape": [2**40, 2**40]}}, "bytes of codes"),
        ({"state": {"blocksize": 64, "shape": "2x64"}}, "gives the shape '2x64'"),
        ({"state": {"blocksize": 64, "shape": [True, 128]}}, "gives the shape [True, 128]"),
        ({"state": {"blocksize": 64, "shape": []}}, "gives the shape []"),
        ({"state": {"blocksize": 64, "shape": [2, 64], "nested_blocksize": 256}}, "nested_quant_map is missing"),
        ({"state": {"blocksize": 64, "shape": [2, 64], "nested_offset": "x"}}, "gives the offset 'x'"),
        ({"l.weight.absmax": np.ones(2, np.uint8)}, "absmax of uint8 and shape [2] must have 2 real numbers"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_parts_that_do_not_fit_are_told(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    parts = write_parts([3] * 128, np.ones(2, np.float32), [2, 64])
    if "state" in change:
        state = change["state"]
        raw = state if isinstance(state, bytes) else json.dumps(state).encode()
        change = {"l.weight.quant_state.bitsandbytes__nf4": np.frombuffer(raw, np.uint8)}
    found = read_logical(tmp_path, parts | change)
    reasons = [line.info.reason for line in found.values()]
    assert any(reason.startswith("looks like bnb, but") and text in reason for reason in reasons), reasons


def test_int8_rows_are_scaled_by_their_largest_magnitude_over_127(tmp_path: Path) -> None:
    parts = {
        "l.weight": np.array([[127, -127], [1, 0]], np.int8),
        "l.SCB": np.array([2.0, 127.0], np.float32),
        "l.weight_format": np.array(0, np.uint8),
    }
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    assert found["l.weight"].info.stored == "llm.int8 channel"
    np.testing.assert_array_equal(found["l.weight"].values, [[2.0, -2.0], [1.0, 0.0]])


def test_int8_values_are_those_of_the_library(tmp_path: Path) -> None:
    torch, library = pytest.importorskip("torch"), pytest.importorskip("bitsandbytes.functional")
    weight = torch.randn((7, 67), generator=torch.Generator().manual_seed(2)) * torch.logspace(-3, 3, 7)[:, None]
    codes, largest, _ = library.int8_vectorwise_quant(weight.half())
    wanted = library.int8_vectorwise_dequant(codes, largest).numpy()
    found = read_one(tmp_path, "l.weight", to_arrays({"l.weight": codes, "l.SCB": largest}))
    # The library multiplies by 1 / 127: three roundings against two, each half a unit in the last place.
    np.testing.assert_allclose(found.values, wanted, rtol=2.5 * np.finfo(np.float32).eps)


def test_tiled_int8_is_recognised_and_not_decoded(tmp_path: Path) -> None:
    parts = {
        "l.weight": np.zeros((4, 8), np.int8),
        "l.SCB": np.ones(4, np.float32),
        "l.weight_format": np.array(2, np.uint8),
    }
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    reason = "already quantized (LLM.int8: the tiled order col_turing); recognised, not decoded"
    assert found["l.weight"].info.reason == reason
    assert found["l.weight"].info.size_bytes == 32 + 16 + 1


def test_int8_scales_of_another_length_are_told(tmp_path: Path) -> None:
    found = read_logical(tmp_path, {"l.weight": np.zeros((4, 8), np.int8), "l.SCB": np.ones(8, np.float32)})
    assert "l.SCB of float32 and shape [8] must have 4 real numbers" in found["l.SCB"].info.reason


def test_codes_without_their_state_are_one_line_with_all_bytes(tmp_path: Path) -> None:
    parts = write_parts([3] * 128, np.ones(2, np.float32), [2, 64])
    del parts["l.weight.quant_state.bitsandbytes__nf4"]
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    assert "4-bit codes whose quant_state, which holds the shape, is missing" in found["l.weight"].info.reason
    assert found["l.weight"].info.size_bytes == 64 + 8 + 64
