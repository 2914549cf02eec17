"""Are files of MLX read as MLX decodes them? Every width of its affine mode, and its float modes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from qanalysis.validation.check import Agreement, Comparison
from qanalysis.validation.stored import Case, compare_cases, draw_weights

WIDTHS = (2, 3, 4, 5, 6, 8)
LENGTHS = (32, 64, 128)
#: Mode, bits of a code, values that share a scale.
FLOAT_MODES = (("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16))


def compare_mlx() -> Iterator[Comparison]:
    """One comparison for each width over all lengths of groups, and one for each float mode."""
    for bits in WIDTHS:
        yield Comparison(f"stored mlx int{bits}: dequantize", "bit-exact", 0, partial(_compare_affine, bits))
    for mode, bits, length in FLOAT_MODES:
        name = f"stored mlx {mode}: dequantize"
        yield Comparison(name, "bit-exact", 0, partial(_compare_floats, mode, bits, length))


def _to_torch(array: Any) -> Any:
    import torch

    return torch.from_numpy(np.array(array))


def _compare_affine(bits: int) -> Agreement:
    return compare_cases(_pack_affine(bits, length) for length in LENGTHS)


def _pack_affine(bits: int, length: int) -> Case:
    import mlx.core as mx

    packed = mx.quantize(mx.array(draw_weights(5, 384, seed=bits).numpy()), group_size=length, bits=bits)
    values = np.array(mx.dequantize(*packed, group_size=length, bits=bits))
    parts = {f"l.{name}": _to_torch(part) for name, part in zip(("weight", "scales", "biases"), packed, strict=True)}
    return Case(parts, values, config={"quantization": {"bits": bits, "group_size": length}})


def _compare_floats(mode: str, bits: int, length: int) -> Agreement:
    import mlx.core as mx

    weights = mx.array(draw_weights(5, 96).numpy())
    packed = mx.quantize(weights, group_size=length, bits=bits, mode=mode)
    values = np.array(mx.dequantize(*packed, group_size=length, bits=bits, mode=mode, dtype=mx.float32))
    parts = {f"l.{name}": _to_torch(part) for name, part in zip(("weight", "scales"), packed, strict=True)}
    return compare_cases([Case(parts, values)])
