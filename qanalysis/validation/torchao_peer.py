"""Does torchao agree? Its affine primitives for integers, its MX and NVFP4 tensors, its figure of merit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.quantizers.scheme import Scheme
from qanalysis.validation.check import (
    METRIC_DB,
    Agreement,
    Comparison,
    compare_figures,
    count_differing,
    count_ulps,
    read_sqnr_db,
)
from qanalysis.validation.tensors import fit_zero_points, make_tensors, make_weights, round_trip, whole_tensors
from qanalysis.validation.torchao_layouts import compare_layouts

MAPPINGS = {"sym-full": "SYMMETRIC", "sym-noclip": "SYMMETRIC_NO_CLIPPING_ERR", "asym": "ASYMMETRIC"}
LENGTHS = (32, 64, 128)
TINY_REASON = (
    "blocks below 2^(largest exponent - 126): encoded with 2^-126 and decoded with 2^-127 there, which halves the "
    "values; OCP's rule here"
)
SCALE_REASON = (
    "block scales below 2^-6 become 2^-6 there, subnormal E4M3 numbers here; `scale=fp8_e4m3:normal` is the former"
)
ZERO_REASON = "a tensor of zeros divides 0 by 0 there and becomes NaN; zeros stay zeros here"


def compare_torchao() -> Iterator[Comparison]:
    """Everything that torchao can judge on a CPU."""
    for symmetry, mapping in MAPPINGS.items():
        yield Comparison(
            f"int2..int8 {symmetry} channel, groups: {mapping}", "bit-exact", 0, partial(_compare_integers, symmetry)
        )
        yield Comparison(
            f"int4 {symmetry} groups: scales of choose_qparams", "ulp", 1, partial(_compare_scales, symmetry)
        )
    yield Comparison("int4 asym groups: zero points", "bit-exact", 0, _compare_zero_points)
    for word in _list_elements():
        yield Comparison(f"{word}: MXTensor", "bit-exact", 0, partial(_compare_mx, word))
    yield Comparison("MX blocks near the smallest scale: MXTensor", "bit-exact", None, _compare_tiny, TINY_REASON)
    for scheme in ("nvfp4", "nvfp4:one-level scale=fp8_e4m3:normal"):
        yield Comparison(f"{scheme}: NVFP4Tensor", "bit-exact", 0, partial(_compare_nvfp4, scheme))
    yield Comparison(
        "nvfp4:one-level: NVFP4Tensor", "bit-exact", None, partial(_compare_nvfp4, "nvfp4:one-level"), SCALE_REASON
    )
    yield Comparison("nvfp4 of zeros: NVFP4Tensor", "bit-exact", None, _compare_zeros, ZERO_REASON)
    yield Comparison("SQNR: compute_error", "dB", METRIC_DB, _compare_metric)
    yield from compare_layouts()


def _choose_parameters(x: Floats, symmetry: str, bits: int, length: int) -> tuple[Any, Any, tuple[Any, ...]]:
    """Scale, zero point, and what torchao's primitives want besides: block, dtype, smallest and largest code."""
    import torch
    from torchao.quantization.quant_primitives import MappingType, choose_qparams_affine

    signed = symmetry != "asym"
    limits = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    layout = ((1, length), torch.int8 if signed else torch.uint8, *limits)
    block, *target = layout
    scale, zero_point = choose_qparams_affine(
        torch.from_numpy(np.array(x)), MappingType[MAPPINGS[symmetry]], block, *target
    )
    return scale, zero_point, layout


def _fake_quantize(x: Floats, symmetry: str, bits: int, length: int) -> Floats:
    import torch
    from torchao.quantization.quant_primitives import dequantize_affine, quantize_affine

    scale, zero_point, (block, *target) = _choose_parameters(x, symmetry, bits, length)
    codes = quantize_affine(torch.from_numpy(np.array(x)), block, scale, zero_point, *target)
    restored: Floats = dequantize_affine(codes, block, scale, zero_point, *target).numpy()
    return restored


def _compare_integers(symmetry: str) -> Agreement:
    groups = [(x, f"group={length}", length) for x in whole_tensors().values() for length in (32, 128)]
    rows = [(x, "channel", x.shape[1]) for x in make_tensors().values()]
    return count_differing(
        (round_trip(x, f"int{bits} {symmetry} {grouping}"), _fake_quantize(x, symmetry, bits, length))
        for x, grouping, length in groups + rows
        for bits in range(2, 9)
    )


def _compare_scales(symmetry: str) -> Agreement:
    x = make_weights()
    return count_ulps(
        (
            Scheme.parse(f"int4 {symmetry} group={n}").fit(x).step,
            _choose_parameters(x, symmetry, 4, n)[0].numpy().ravel(),
        )
        for n in LENGTHS
    )


def _compare_zero_points() -> Agreement:
    x = make_weights()
    return count_differing(
        (fit_zero_points(x, f"int4 asym group={n}"), _choose_parameters(x, "asym", 4, n)[1].numpy().ravel())
        for n in LENGTHS
    )


def _list_elements() -> dict[str, Any]:
    import torch
    from torchao.prototype.mx_formats.constants import DTYPE_FP6_E2M3, DTYPE_FP6_E3M2

    return {
        "mxfp4": torch.float4_e2m1fn_x2,
        "mxfp6_e2m3": DTYPE_FP6_E2M3,
        "mxfp6_e3m2": DTYPE_FP6_E3M2,
        "mxfp8_e4m3": torch.float8_e4m3fn,
        "mxfp8_e5m2": torch.float8_e5m2,
    }


def _to_mx(x: Floats, word: str) -> Floats:
    import torch
    from torchao.prototype.mx_formats.mx_tensor import MXTensor

    restored: Floats = MXTensor.to_mx(torch.from_numpy(np.array(x)), _list_elements()[word], 32).dequantize().numpy()
    return restored


def _compare_mx(word: str) -> Agreement:
    return count_differing((round_trip(x, word), _to_mx(x, word)) for x in whole_tensors().values())


def _compare_tiny() -> Agreement:
    x = np.ldexp(make_tensors()["heavy tails"], -122).astype(np.float32)
    return count_differing((round_trip(x, word), _to_mx(x, word)) for word in _list_elements())


def _to_nvfp4(x: Floats, scheme: str) -> Floats:
    import torch
    from torchao.prototype.mx_formats.nvfp4_tensor import NVFP4Tensor, per_tensor_amax_to_scale

    tensor = torch.from_numpy(np.array(x))
    outer = None if "one-level" in scheme else per_tensor_amax_to_scale(tensor.abs().max())
    restored: Floats = NVFP4Tensor.to_nvfp4(tensor, per_tensor_scale=outer).dequantize().numpy()
    return restored


def _compare_nvfp4(scheme: str) -> Agreement:
    return count_differing((round_trip(x, scheme), _to_nvfp4(x, scheme)) for x in whole_tensors().values())


def _compare_zeros() -> Agreement:
    zeros = np.zeros((1, 32), np.float32)
    return count_differing([(round_trip(zeros, "nvfp4"), _to_nvfp4(zeros, "nvfp4"))])


def _compare_metric() -> Agreement:
    import torch
    from torchao.quantization.utils import compute_error

    x = make_weights()
    restored = [round_trip(x, scheme) for scheme in ("int4 group=128", "int8 channel", "int3 asym group=32")]
    return compare_figures(
        [
            (read_sqnr_db(x, y), float(compute_error(torch.from_numpy(np.array(x)), torch.from_numpy(y))))
            for y in restored
        ]
    )
