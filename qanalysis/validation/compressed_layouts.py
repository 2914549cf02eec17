"""Are files of compressed-tensors read as it decodes them? Packed and plain integers, small floats, and the files of
AutoAWQ, ModelOpt and DeepSeek, which it converts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

from qanalysis.arrays import Floats
from qanalysis.validation.check import Agreement, Comparison
from qanalysis.validation.stored import Case, compare_cases, draw_weights

WIDTHS = (2, 3, 4, 5, 8)
#: Rows that are no whole words of zero points.
SHAPE = (37, 160)
BLOCK = 128
GPTQ_WIDTHS = (2, 3, 4, 8)


def compare_layouts() -> Iterator[Comparison]:
    """Each layout over its widths, groupings and ragged shapes."""
    for symmetric in (True, False):
        word = "" if symmetric else " asym"
        name = f"stored compressed-tensors int2 to int8{word}: PackedQuantizationCompressor"
        yield Comparison(name, "bit-exact", 0, partial(_compare_packed, symmetric=symmetric))
    for kind, word in (("int", "int8"), ("float", "fp8")):
        name = f"stored {word} tensor, channel, group=32: NaiveQuantizationCompressor"
        yield Comparison(name, "bit-exact", 0, partial(_compare_naive, kind))
    name = f"stored fp8 block={BLOCK}x{BLOCK}, ragged: FP8BlockDequantizer"
    yield Comparison(name, "bit-exact", 0, _compare_fp8_blocks)
    for word in ("nvfp4", "mxfp4", "mxfp6"):
        # Its decoder works in bfloat16: scales that are powers of two leave nothing to round.
        name = f"stored {word}, scales of powers of two: {word.upper()} compressor"
        yield Comparison(name, "bit-exact", 0, partial(_compare_small_floats, word))
    for bits in GPTQ_WIDTHS:
        name = f"stored gptq int{bits} groups: unpack_from_int32, dequantize"
        yield Comparison(name, "bit-exact", 0, partial(_compare_gptq, bits))
    yield Comparison("stored awq int4 groups: AutoAWQConverter", "bit-exact", 0, _compare_awq)
    name = "stored ModelOpt nvfp4, scales of powers of two: ModelOptNvfp4Converter"
    yield Comparison(name, "bit-exact", 0, _compare_modelopt)


def _describe(bits: int, **settings: Any) -> Any:
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    return QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(num_bits=bits, **settings))


def _decode(layout: str, compressor: str, state: dict[str, Any], scheme: Any) -> Floats:
    module = import_module(f"compressed_tensors.compressors.{layout}.base")
    values: Floats = getattr(module, compressor).decompress(dict(state), scheme)["weight"].float().numpy()
    return values


def _name(state: dict[str, Any]) -> dict[str, Any]:
    return {f"l.{name}": part for name, part in state.items()}


def _draw_scales(*shape: int) -> Any:
    import torch

    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) / 4 + 0.01


def _compare_packed(*, symmetric: bool) -> Agreement:
    return compare_cases(
        _pack_integers(bits, strategy, symmetric=symmetric) for bits in WIDTHS for strategy in ("channel", "group")
    )


def _pack_integers(bits: int, strategy: str, *, symmetric: bool) -> Case:
    import torch
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor

    group = {"group_size": 32} if strategy == "group" else {}
    scheme = _describe(bits, symmetric=symmetric, strategy=strategy, **group)
    grid = (SHAPE[0], SHAPE[1] // 32 if group else 1)
    state = {"weight": draw_weights(*SHAPE, seed=bits), "weight_scale": _draw_scales(*grid)}
    if not symmetric:
        limit, draw = 1 << (bits - 1), torch.Generator().manual_seed(bits)
        state["weight_zero_point"] = torch.randint(-limit, limit, grid, generator=draw, dtype=torch.int8)
    stored = PackedQuantizationCompressor.compress(state, scheme)
    values = _decode("pack_quantized", "PackedQuantizationCompressor", stored, scheme)
    told = {"num_bits": bits, "type": "int", "strategy": strategy, **group}
    config = {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": told}}}}
    return Case(_name(stored), values, config=config)


def _compare_naive(kind: str) -> Agreement:
    grids = {"tensor": (1,), "channel": (SHAPE[0], 1), "group": (SHAPE[0], SHAPE[1] // 32)}
    return compare_cases(_pack_naive(kind, strategy, grid) for strategy, grid in grids.items())


def _pack_naive(kind: str, strategy: str, grid: tuple[int, ...]) -> Case:
    from compressed_tensors.compressors.naive_quantized import base

    compressor = {"int": "IntQuantizationCompressor", "float": "FloatQuantizationCompressor"}[kind]
    scheme = _describe(8, type=kind, strategy=strategy, **({"group_size": 32} if strategy == "group" else {}))
    state = {"weight": draw_weights(*SHAPE), "weight_scale": _draw_scales(*grid)}
    stored = getattr(base, compressor).compress(state, scheme)
    return Case(_name(stored), _decode("naive_quantized", compressor, stored, scheme))


def _compare_fp8_blocks() -> Agreement:
    import torch
    from compressed_tensors.entrypoints.convert.converters import FP8BlockDequantizer

    judge = FP8BlockDequantizer(weight_block_size=(BLOCK, BLOCK), dtype=torch.float32)

    def pack(rows: int, columns: int) -> Case:
        weight = draw_weights(rows, columns).clamp(-448, 448).to(torch.float8_e4m3fn)
        grid = (-(-rows // BLOCK), -(-columns // BLOCK))
        stored = {"l.weight": weight, "l.weight_scale_inv": _draw_scales(*grid)}
        return Case(stored, judge.process(dict(stored))["l.weight"].numpy())

    return compare_cases(pack(*shape) for shape in ((256, 384), (200, 300), (576, 130)))


def _draw_small_floats(word: str) -> tuple[dict[str, Any], int]:
    """Bytes of codes with the scales of (8, 96) values, and the bits of a code."""
    import torch

    draw, bits = torch.Generator().manual_seed(2), 6 if word == "mxfp6" else 4
    packed = torch.randint(0, 256, (8, 96 * bits // 8), generator=draw, dtype=torch.uint8)
    if word == "nvfp4":
        scales = 2.0 ** torch.randint(-4, 5, (8, 6), generator=draw).float()
        beside = {"weight_scale": scales.to(torch.float8_e4m3fn), "weight_global_scale": torch.tensor([8.0])}
    else:
        beside = {"weight_scale": torch.randint(100, 150, (8, 3), generator=draw, dtype=torch.uint8)}
    return {"weight_packed": packed} | beside, bits


def _compare_small_floats(word: str) -> Agreement:
    state, bits = _draw_small_floats(word)
    settings = (
        {"strategy": "tensor_group", "group_size": 16} if word == "nvfp4" else {"strategy": "group", "group_size": 32}
    )
    scheme = _describe(bits, type="float", **settings)
    compressor = f"{word.upper()}PackedCompressor"
    return compare_cases([Case(_name(state), _decode(word, compressor, state, scheme))])


def _compare_modelopt() -> Agreement:
    import torch
    from compressed_tensors.entrypoints.convert.converters import ModelOptNvfp4Converter

    state, _ = _draw_small_floats("nvfp4")
    stored = {
        "l.weight": state["weight_packed"],
        "l.weight_scale": state["weight_scale"],
        "l.weight_scale_2": torch.tensor(0.125),
    }
    converted = ModelOptNvfp4Converter(targets=["re:.*"]).process(dict(stored))
    theirs = {name.removeprefix("l."): part for name, part in converted.items()}
    scheme = _describe(4, type="float", strategy="tensor_group", group_size=16)
    return compare_cases([Case(stored, _decode("nvfp4", "NVFP4PackedCompressor", theirs, scheme))])


def _compare_awq() -> Agreement:
    return compare_cases(_convert_awq(group) for group in (32, 96))


def _convert_awq(group: int) -> Case:
    from compressed_tensors.entrypoints.convert.converters import AutoAWQConverter

    rows, columns = 40, 192
    state = _draw_words({"qweight": (columns, rows // 8), "qzeros": (columns // group, rows // 8)}, seed=group)
    state["scales"] = _draw_scales(columns // group, rows).half()
    # In float32, as the formula says: the library's decoder keeps the type of the scales.
    float_state = _name(state | {"scales": state["scales"].float()})
    converted = AutoAWQConverter(group_size=group).process(float_state)
    theirs = {name.removeprefix("l."): part for name, part in converted.items()}
    scheme = _describe(4, symmetric=False, strategy="group", group_size=group)
    values = _decode("pack_quantized", "PackedQuantizationCompressor", theirs, scheme)
    return Case(_name(state), values)


def _compare_gptq(bits: int) -> Agreement:
    return compare_cases(_pack_gptq(bits, group) for group in (32, 96))


def _pack_gptq(bits: int, group: int) -> Case:
    """Words as GPTQ has them are streams of bits too: down the columns for codes, along the rows for zero points."""
    import torch
    from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
    from compressed_tensors.quantization.lifecycle.forward import dequantize

    rows, columns = 64, 192
    groups = columns // group
    words = {"qweight": (columns * bits // 32, rows), "qzeros": (groups, rows * bits // 32)}
    state = _draw_words(words, seed=bits)
    state["scales"] = _draw_scales(groups, rows).half()
    codes = unpack_from_int32(state["qweight"], bits, (columns, rows), packed_dim=0)
    zeros = unpack_from_int32(state["qzeros"], bits, (groups, rows)).int() + 1  # the first version leaves out 1
    settings = _describe(bits, symmetric=False, strategy="group", group_size=group).weights
    scales = state["scales"].float().T.contiguous()
    values = dequantize(codes.T.contiguous(), scales, zeros.T.contiguous(), settings, dtype=torch.float32)
    state["g_idx"] = torch.arange(columns, dtype=torch.int32) // group
    return Case(_name(state), values.numpy())


def _draw_words(shapes: dict[str, tuple[int, int]], *, seed: int) -> dict[str, Any]:
    import torch

    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.randint(-(2**31), 2**31, shape, generator=draw, dtype=torch.int64).int()
        for name, shape in shapes.items()
    }
