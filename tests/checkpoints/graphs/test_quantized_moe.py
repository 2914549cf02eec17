"""What the experts of a QMoE stand for: by scalar arithmetic, and as ONNX Runtime computes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from tests.checkpoints.graphs.packed_models import catch, make_model, pack_rows, read_packed, read_values, run_model

FP4 = (0, 0.5, 1, 1.5, 2, 3, 4, 6)


def make_moe(fc2: dict[str, Any] | None = None, *, x: int = 1, **arrays: Any) -> Any:
    """A mixture whose first stack is W with scales s, zero points z and global scales o; attributes are lower-case words."""
    attributes = {key: arrays.pop(key) for key in list(arrays) if key not in ("W", "s", "z", "o", "V", "t")}
    names = ["x", "r", *(name if name in arrays else "" for name in ("W", "s")), ""]
    names += ["V" if "V" in arrays else "", "t" if "t" in arrays else "", "", "", "", ""]
    names += ["z" if "z" in arrays else "", "", "", "", "o" if "o" in arrays else ""]
    made = helper.make_node("QMoE", names, ["y"], domain="com.microsoft", k=1, **attributes)
    return make_model([made], arrays | {"r": arrays.pop("r")} if "r" in arrays else arrays, x=x)


def draw(rng: np.random.Generator, bits: int, block: int, has_zero: bool) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Parts of 2 experts of 16 x 32, and their values."""
    count = 32 // block if block else 1
    codes = rng.integers(0, 1 << bits, (2, 16, 32))
    scales = rng.uniform(0.01, 1, (2, 16, count)).astype(np.float32)
    zeros = rng.integers(0, 1 << bits, (2, 16, count)) if has_zero else np.full((2, 16, count), 1 << bits - 1)
    parts: dict[str, Any] = {"W": pack_rows(codes, bits), "s": scales if block else scales[..., 0]}
    if has_zero:
        parts["z"] = pack_rows(zeros if block else zeros[..., 0], bits)
    length = block or 32
    spread = [np.repeat(part.astype(np.float32), length, axis=2) for part in (zeros, scales)]
    return parts, (codes.astype(np.float32) - spread[0]) * spread[1]


@pytest.mark.parametrize("has_zero", [False, True], ids=["middle", "zero points"])
@pytest.mark.parametrize("block", [0, 16, 32], ids=["rows", "blocks of 16", "blocks of 32"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_experts_are_code_minus_zero_times_scale(tmp_path: Path, bits: int, block: int, has_zero: bool) -> None:
    parts, wanted = draw(np.random.default_rng(9), bits, block, has_zero)
    sizes = {"expert_weight_bits": bits, "weights_prepacked": 0} | ({"block_size": block} if block else {})
    packed = read_packed(tmp_path, make_moe(**parts, **sizes), "W")
    np.testing.assert_array_equal(read_values(packed), wanted)
    assert (packed.info.shape, packed.info.view.rows, packed.info.note) == ((2, 16, 32), (0, 1), "")
    words = f"qmoe int{bits} {f'group={block}' if block else 'channel'}{' asym' if has_zero else ''}"
    assert packed.info.stored == words
    assert packed.info.size_bytes == sum(part.nbytes for part in parts.values())


@pytest.mark.parametrize("has_zero", [False, True], ids=["middle", "zero points"])
@pytest.mark.parametrize("block", [0, 16], ids=["rows", "blocks"])
@pytest.mark.parametrize("bits", [4, 8])
def test_experts_are_those_of_onnx_runtime(tmp_path: Path, bits: int, block: int, has_zero: bool) -> None:
    parts, wanted = draw(np.random.default_rng(10), bits, block, has_zero)
    middle = 1 << bits - 1
    # The second stack passes on what the first computes: (out 32, in 16), ones on a diagonal, in steps of 1.
    through = np.full((2, 32, 16), middle) + np.eye(32, 16, dtype=np.int64)
    count = 16 // block if block else 1
    scales = np.ones((2, 32, count) if block else (2, 32), np.float32)
    extra = {"V": pack_rows(through, bits), "t": scales}
    sizes = {"expert_weight_bits": bits, "weights_prepacked": 0} | ({"block_size": block} if block else {})
    names = ["x", "r", "W", "s", "", "V", "t", "", "", "", "", "z" if has_zero else ""]
    node = helper.make_node(
        "QMoE",
        names,
        ["y"],
        domain="com.microsoft",
        k=1,
        activation_type="identity",
        normalize_routing_weights=1,
        **sizes,
    )
    for expert in range(2):
        chosen = np.full((32, 2), -100, np.float32)
        chosen[:, expert] = 100
        made = make_model([node], parts | extra | {"r": chosen})
        np.testing.assert_array_equal(read_values(read_packed(tmp_path, made, "W"))[expert], wanted[expert])
        found = run_model(made, x=np.eye(32, dtype=np.float32))[:, :16].T
        # Blocks of 8 bits are coded anew by the runtime: half a step of both stacks, a step is at most max / 127.
        step = np.abs(wanted[expert]).max() / 127 if bits == 8 and block else 0
        np.testing.assert_allclose(found, wanted[expert], rtol=4 * np.finfo(np.float32).eps, atol=step)


@pytest.mark.parametrize("as_bytes", [True, False], ids=["scales as bytes", "scales as floats"])
def test_fp4_experts_in_blocks_of_32(tmp_path: Path, as_bytes: bool) -> None:
    codes = np.arange(2 * 3 * 64).reshape(2, 3, 64) % 16
    exponents = np.array([1, 2, 4, 0.5] * 3, np.float32).reshape(2, 3, 2)
    parts = {
        "W": pack_rows(codes, 4),
        "s": exponents.astype(ml_dtypes.float8_e8m0fnu).view(np.uint8 if as_bytes else ml_dtypes.float8_e8m0fnu),
        "o": np.array([1, 10], np.float32),
    }
    packed = read_packed(tmp_path, make_moe(**parts, quant_type="fp4"), "W")
    numbers = np.array([*FP4, *(-number for number in FP4)], np.float32)[codes]
    wanted = numbers * (np.repeat(exponents, 32, axis=2) * np.array([1, 10], np.float32)[:, None, None])
    np.testing.assert_array_equal(read_values(packed), wanted)
    assert packed.info.stored == "qmoe fp4 group=32"


@pytest.mark.parametrize("block", [0, 128])
def test_fp8_experts_in_square_blocks(tmp_path: Path, block: int) -> None:
    rng = np.random.default_rng(11)
    codes = rng.normal(size=(2, 130, 260)).astype(ml_dtypes.float8_e4m3fn)
    if block:
        scales = rng.uniform(0.1, 1, (2, 2, 3)).astype(np.float32)
        spread = np.repeat(np.repeat(scales, 128, axis=1)[:, :130], 128, axis=2)[:, :, :260]
        made = make_moe(W=codes, s=scales, quant_type="fp8", block_size=128)
    else:
        spread = rng.uniform(0.1, 1, 2).astype(np.float32)[:, None, None]
        made = make_moe(W=codes, o=spread.reshape(-1), quant_type="fp8")
    packed = read_packed(tmp_path, made, "W")
    np.testing.assert_array_equal(read_values(packed), codes.astype(np.float32) * spread)
    assert packed.info.stored == f"qmoe float8_e4m3fn {'block=128x128' if block else 'expert'}"


def test_rows_of_a_layout_that_the_device_chooses_are_assumed(tmp_path: Path) -> None:
    parts, wanted = draw(np.random.default_rng(12), 4, 0, False)
    packed = read_packed(tmp_path, make_moe(**parts), "W")
    np.testing.assert_array_equal(read_values(packed), wanted)
    assert packed.info.note == "rows taken as they are, though weights_prepacked=-1 leaves that to the device"


BYTES = np.zeros((2, 16, 16), np.uint8)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (make_moe(W=BYTES, s=np.ones((2, 15), np.float32)), "its scales have 30 numbers; its sizes need 32"),
        (make_moe(W=BYTES), "its scale is missing"),
        (make_moe(W=BYTES, s=np.ones((2, 16), np.float32), block_size=-1), "its block_size is -1"),
        (make_moe(W=BYTES, s=np.ones((2, 16), np.float32), expert_weight_bits=5), "it has codes of 5 bits"),
        (make_moe(W=BYTES, s=np.ones((2, 16), np.float32), z=np.zeros((2, 9), np.uint8)), "its zero points have 18 bytes"),
        (make_moe(W=BYTES[0], s=np.ones(16, np.float32)), "its experts have 2 axes; they are a stack of matrices"),
        (make_moe(W=BYTES, s=np.ones((2, 16), np.float32), quant_type="mx9"), "the quant_type 'mx9' is not known"),
        (make_moe(W=BYTES, s=np.ones((2, 16), np.float32), quant_type="fp8"), "quant_type fp8 needs float8_e4m3fn"),
        (make_moe(W=BYTES, s=np.ones((2, 16), np.float32), quant_type="nvfp4"), "packed along the outputs"),
        (make_moe(W=BYTES, s=np.ones((2, 16, 1), np.float32), quant_type="fp4"), "its scales are float32; they must be"),
    ],
    ids=[
        "few scales", "no scales", "negative block", "five bits", "many zeros", "two axes", "unknown type",
        "bytes as fp8", "nvfp4 along the outputs", "float scales of fp4",
    ],
)  # fmt: skip
def test_experts_that_do_not_fit_are_told(tmp_path: Path, made: Any, reason: str) -> None:
    assert re.search(reason, catch(tmp_path, made, "W"))
