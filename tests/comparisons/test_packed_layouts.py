"""A float original against a packed file of each layout: the error is that which an independent decoder gives."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.comparisons.compare import compare
from qanalysis.results.table import Table
from tests import reference_packed as one
from tests import reference_packed_more as more
from tests.checkpoints.packed.written import write_file

E4M3 = ml_dtypes.float8_e4m3fn
ROWS, COLUMNS = 16, 64


class Packed(NamedTuple):
    """Parts of one layer, what they stand for, and what the row must say of the layout and of its prediction."""

    parts: dict[str, NDArray[Any]]
    values: NDArray[np.float32]
    stored: str
    predicted: bool = True
    config: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None


def draw(bits: int, *shape: int, signed: bool = False) -> NDArray[np.int64]:
    low = -(1 << bits - 1) if signed else 0
    return np.random.default_rng(7).integers(low, low + (1 << bits), shape or (ROWS, COLUMNS))


def steps(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(8).uniform(0.5, 2.0, shape).astype(np.float32)


def gptq() -> Packed:
    qweight = one.pack_rows(draw(4), 4).T.copy()
    qzeros, scales = one.pack_rows(draw(4, 2, ROWS), 4), steps(2, ROWS).astype(np.float16)
    order = np.arange(COLUMNS, dtype=np.int32) // 32
    values = one.decode_gptq(qweight, qzeros, scales, order, 4, 1)
    return Packed({"l.qweight": qweight, "l.qzeros": qzeros, "l.scales": scales}, values, "gptq int4 group=32")


def awq() -> Packed:
    words = np.random.default_rng(9).integers(-(2**31), 2**31, (COLUMNS + 2, ROWS // 8)).astype(np.int32)
    scales = steps(2, ROWS).astype(np.float16)
    parts = {"l.qweight": words[:COLUMNS], "l.qzeros": words[COLUMNS:], "l.scales": scales}
    return Packed(parts, one.decode_awq(words[:COLUMNS], words[COLUMNS:], scales, 32), "awq int4 group=32")


def compressed_integers() -> Packed:
    codes, scales = draw(4), steps(ROWS, 2)
    middle = np.full((ROWS, 2), 8)
    parts = {
        "l.weight_packed": one.pack_rows(codes, 4),
        "l.weight_scale": scales,
        "l.weight_shape": np.array([ROWS, COLUMNS]),
    }
    return Packed(parts, one.decode_blocks(codes, scales, (1, 32), middle), "compressed-tensors int4 group=32")


def compressed_bytes() -> Packed:
    codes, scales = draw(8, signed=True), steps(ROWS, 1)
    parts = {"l.weight": codes.astype(np.int8), "l.weight_scale": scales}
    return Packed(parts, one.decode_blocks(codes, scales, (1, COLUMNS)), "compressed-tensors int8 channel")


def nvfp4_divided() -> Packed:
    codes, scales = draw(4), (0x30 + draw(4, ROWS, COLUMNS // 16)).astype(np.uint8)
    grid = np.vectorize(one.decode_e4m3)(scales).astype(np.float32) / np.float32(7)
    parts = {
        "l.weight_packed": one.pack_rows(codes, 4, np.uint8),
        "l.weight_scale": scales.view(E4M3),
        "l.weight_global_scale": np.array([7], np.float32),
    }
    return Packed(parts, one.decode_blocks(np.vectorize(one.decode_e2m1)(codes), grid, (1, 16)), "nvfp4")


def nvfp4_multiplied() -> Packed:
    codes, scales = draw(4), (0x30 + draw(4, ROWS, COLUMNS // 16)).astype(np.uint8)
    grid = np.vectorize(one.decode_e4m3)(scales).astype(np.float32) * np.float32(0.25)
    parts = {
        "l.weight": one.pack_rows(codes, 4, np.uint8),
        "l.weight_scale": scales.view(E4M3),
        "l.weight_scale_2": np.array(0.25, np.float32),
    }
    return Packed(parts, one.decode_blocks(np.vectorize(one.decode_e2m1)(codes), grid, (1, 16)), "nvfp4")


def mxfp4() -> Packed:
    codes, powers = draw(4), (124 + draw(3, ROWS, COLUMNS // 32)).astype(np.uint8)
    parts = {"l.weight_packed": one.pack_rows(codes, 4, np.uint8), "l.weight_scale": powers}
    grid = np.vectorize(one.decode_e8m0)(powers)
    return Packed(parts, one.decode_blocks(np.vectorize(one.decode_e2m1)(codes), grid, (1, 32)), "mxfp4")


def fp8(grid: tuple[int, int], block: tuple[int, int], word: str) -> Packed:
    codes = (draw(8) & 0xBF).astype(np.uint8)  # no NaN
    scales = steps(*grid)
    parts = {"l.weight": codes.view(E4M3), "l.weight_scale_inv": scales}
    values = one.decode_blocks(np.vectorize(one.decode_e4m3)(codes), scales, block)
    return Packed(parts, values, f"fp8 {word}", config={"quantization_config": {"weight_block_size": list(block)}})


def fp8_channel() -> Packed:
    return fp8((ROWS, 1), (1, COLUMNS), "channel")


def fp8_blocks() -> Packed:
    return fp8((2, 2), (8, 32), "block=8x32")


def mxfp8() -> Packed:
    codes, powers = (draw(8) & 0xBF).astype(np.uint8), (124 + draw(3, ROWS, 2)).astype(np.uint8)
    values = one.decode_blocks(np.vectorize(one.decode_e4m3)(codes), np.vectorize(one.decode_e8m0)(powers), (1, 32))
    return Packed({"l.weight": codes.view(E4M3), "l.weight_scale": powers}, values, "mxfp8")


def bitsandbytes() -> Packed:
    codes, absmax = draw(4).ravel().tolist(), steps(ROWS)
    table = np.linspace(-1, 1, 16, dtype=np.float32)
    state = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [ROWS, COLUMNS]}
    parts = {
        "l.weight": more.pack_nibbles(codes, high_first=True).reshape(-1, 1),
        "l.weight.absmax": absmax,
        "l.weight.quant_map": table,
        "l.weight.quant_state.bitsandbytes__nf4": np.frombuffer(json.dumps(state).encode(), np.uint8),
    }
    return Packed(parts, more.decode_blocks(codes, table.tolist(), absmax, 64), "bnb nf4 group=64")


def llm_int8() -> Packed:
    codes, largest = draw(8, signed=True), steps(ROWS)
    values = np.array(
        [[np.float32(q) * s / np.float32(127) for q in row] for row, s in zip(codes, largest, strict=True)]
    )
    parts = {"l.weight": codes.astype(np.int8), "l.SCB": largest, "l.weight_format": np.array(0, np.uint8)}
    return Packed(parts, values.astype(np.float32), "llm.int8 channel")


def mlx() -> Packed:
    codes, scales, biases = draw(4), steps(ROWS, 1), -steps(ROWS, 1)
    parts = {"l.weight": more.pack_stream(codes, 4), "l.scales": scales, "l.biases": biases}
    config = {"quantization": {"group_size": 64, "bits": 4}}
    return Packed(parts, more.decode_shifted(codes, scales, biases, 64), "mlx int4 group=64", config=config)


def hqq() -> Packed:
    codes, scale, zero = draw(4), steps(ROWS, 1), 4 * steps(ROWS, 1)
    parts = {
        "l.W_q": more.pack_slabs(codes, 4, per_word=2, high_first=True, dtype=np.uint8),
        "l.scale": scale,
        "l.zero": zero,
        "l.nbits": np.array(4, np.int32),
        "l.axis": np.array(1, np.int32),
        "l.group_size": np.array(COLUMNS, np.int32),
        "l.shape": np.array([ROWS, COLUMNS]),
    }
    return Packed(parts, more.decode_groups(codes, scale, zero, COLUMNS), "hqq int4 group=64")


def quanto() -> Packed:
    codes, scale, shift = draw(4), steps(ROWS, 1), steps(ROWS, 1)
    parts = {
        "l.weight._data._data": more.pack_slabs(codes, 4, per_word=2, high_first=False, dtype=np.uint8),
        "l.weight._scale": scale,
        "l.weight._shift": shift,
        "l.bias": np.zeros(ROWS, np.float32),
    }
    return Packed(parts, more.decode_shifted(codes, scale, -shift, COLUMNS), "quanto int4 channel asym")


def torchao() -> Packed:
    codes, scale, zero = draw(8, signed=True), steps(ROWS, 2), draw(3, ROWS, 2)
    parts = {
        "l._weight_qdata": codes.astype(np.int8),
        "l._weight_scale": scale,
        "l._weight_zero_point": zero.astype(np.int8),
    }
    told = {"l.weight": json.dumps({"_type": "Int8Tensor", "_data": {"block_size": [1, 32]}})}
    values = more.decode_groups(codes, scale, zero, 32)
    return Packed(parts, values, "torchao int8 group=32", metadata={**told, "tensor_names": '["l.weight"]'})


def modelopt() -> Packed:
    codes, scale = draw(4, signed=True), steps(ROWS, 2)
    packed = (codes[::2] & 15 | (codes[1::2] & 15) << 4).astype(np.uint8)
    parts = {"l.weight": packed, "l.weight_scale": scale}
    return Packed(parts, one.decode_blocks(codes, scale, (1, 32)), "modelopt int4 group=32")


def gpt_oss() -> Packed:
    blocks, powers = draw(8, 1, ROWS, 2, 16).astype(np.uint8), (124 + draw(3, 1, ROWS, 2)).astype(np.uint8)
    codes = [code for byte in blocks.ravel().tolist() for code in (byte & 15, byte >> 4)]
    values = more.decode_blocks(codes, more.F4, [more.power_of_two(int(code)) for code in powers.ravel()], 32)
    return Packed({"l.weight_blocks": blocks, "l.weight_scales": powers}, values, "gpt-oss mxfp4")


def own() -> Packed:
    codes, scales, zeros = draw(4), steps(ROWS, 2), draw(4, ROWS, 2)
    layout = {"scheme": "int4 asym group=32", "shape": [ROWS, COLUMNS], "view": "0"}
    parts = {
        "l.weight.q_layout": np.frombuffer(json.dumps(layout).encode(), np.uint8),
        "l.weight.q_codes": one.pack_rows(codes, 4, np.uint8),
        "l.weight.q_scales": scales,
        "l.weight.q_zeros": (zeros - 8).astype(np.int8),
    }
    return Packed(parts, one.decode_blocks(codes, scales, (1, 32), zeros), "qanalysis int4 asym group=32")


LAYOUTS: list[Callable[[], Packed]] = [
    gptq, awq, compressed_integers, compressed_bytes, nvfp4_divided, nvfp4_multiplied, mxfp4, fp8_channel, fp8_blocks,
    mxfp8, bitsandbytes, llm_int8, mlx, hqq, quanto, torchao, modelopt, gpt_oss, own,
]  # fmt: skip


def check(table: Table[Any], original: NDArray[np.float32], values: NDArray[np.float32], stored: str) -> None:
    """The row of the packed tensor against sums of float64 over the decoder's values."""
    row = next(row for row in table if row.stored_b)
    x, y = original.astype(np.float64).ravel(), values.astype(np.float64).ravel()
    # Sums of 1024 products of float64 in another order: 1024 roundings of 2^-53 each.
    assert row.sqnr_db == pytest.approx(10 * math.log10((x @ x) / ((y - x) @ (y - x))), rel=1e-12)
    assert row.relative_l2 == pytest.approx(math.sqrt(((y - x) @ (y - x)) / (x @ x)), rel=1e-12)
    assert row.cosine == pytest.approx((x @ y) / math.sqrt((x @ x) * (y @ y)), rel=1e-12)
    assert row.max_abs_error == np.abs(y - x).max()
    assert (row.stored_b, row.status) == (stored, "ok")


def disturb(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values from which the given ones differ by some percent."""
    noise = np.random.default_rng(3).normal(1.0, 0.04, values.shape)
    return (values * noise).astype(np.float32)


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_the_error_of_a_packed_layout_is_that_of_an_independent_decoder(
    tmp_path: Path, make: Callable[[], Packed]
) -> None:
    packed = make()
    if packed.config:
        (tmp_path / "config.json").write_text(json.dumps(packed.config))
    path = write_file(tmp_path / "model.safetensors", packed.parts, packed.metadata)
    original = disturb(packed.values)
    with open_checkpoint(path) as b:
        shape = next(info.shape for info in b.tensors if info.stored)
        table = compare({"model.l.weight": original.reshape(shape)}, b)
        against = compare(b, {"l.weight": original.reshape(shape)})
    check(table, original, packed.values, packed.stored)
    row = next(row for row in table if row.stored_b)
    assert (row.theory_sqnr_db is not None) == packed.predicted
    assert (row.tensor_a, row.tensor_b, row.matched_by) == ("model.l.weight", "l.weight", "prefix")
    assert next(row for row in against if row.stored_a).theory_sqnr_db is None


@pytest.mark.parametrize("word", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q6_K", "BF16", "F16"])
def test_the_error_of_gguf_blocks_is_that_of_the_formats_own_package(tmp_path: Path, word: str) -> None:
    gguf = pytest.importorskip("gguf")
    kind = gguf.GGMLQuantizationType[word]
    x = np.random.default_rng(1).normal(0, 0.02, (8, 256)).astype(np.float32)
    try:
        blocks = gguf.quants.quantize(x, kind)
    except NotImplementedError:  # the package decodes more than it writes: blocks of small bytes
        length, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = (np.arange(8 * 256 // length * size) % 60).astype(np.uint8).reshape(8, -1)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("blk.0.ffn_down.weight", blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    values = gguf.quants.dequantize(blocks, kind).reshape(8, 256)
    with open_checkpoint(tmp_path / "m.gguf") as b:
        table = compare({"model.layers.0.mlp.down_proj.weight": disturb(values)}, b)
    row = table[0]
    expected = 10 * math.log10(
        np.square(disturb(values).astype(np.float64)).sum()
        / np.square(values.astype(np.float64) - disturb(values).astype(np.float64)).sum()
    )
    assert row.sqnr_db == pytest.approx(expected, rel=1e-12)
    assert (row.matched_by, row.status) == ("gguf", "ok")
    assert (row.theory_sqnr_db is None) == (word in ("Q4_K", "Q6_K", "BF16", "F16"))
