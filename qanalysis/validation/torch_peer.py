"""Does torch agree? Its fake quantization of integers, its casts, its figures of merit, its calibrated range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.sums import measure
from qanalysis.validation.check import METRIC_DB, Agreement, Comparison, compare_figures, count_differing, read_sqnr_db
from qanalysis.validation.float_peers import compare_halves, compare_levels, compare_scaled
from qanalysis.validation.tensors import make_tensors, make_weights, map_groups, round_trip
from qanalysis.validation.torch_layouts import compare_layouts

if TYPE_CHECKING:
    import torch

GROUPINGS = ("tensor", "channel", "group=32", "group=128")


def compare_torch() -> Iterator[Comparison]:
    """Everything that torch itself can judge."""
    for symmetry in ("sym", "asym"):
        for grouping in GROUPINGS:
            yield Comparison(
                f"int2..int8 {symmetry} {grouping}: fake_quantize",
                "bit-exact",
                0,
                partial(_compare_integers, symmetry, grouping),
            )
    yield from _list_casts()
    yield Comparison("SQNR, normalised L2, cosine: torch.ao.ns", "dB", METRIC_DB, _compare_metrics)
    yield Comparison("range=mse at least as good as HistogramObserver", "dB", 0, _compare_ranges)
    yield from compare_layouts()


def _compare_integers(symmetry: str, grouping: str) -> Agreement:
    length = {"tensor": None, "group=32": 32, "group=128": 128}
    return count_differing(
        (
            round_trip(x, f"int{bits} {symmetry} {grouping}"),
            map_groups(x, length.get(grouping, x.shape[1]), partial(_fake_quantize, bits=bits, symmetry=symmetry)),
        )
        for x in make_tensors().values()
        for bits in range(2, 9)
    )


def _fake_quantize(groups: Floats, bits: int, symmetry: str) -> Floats:
    import torch

    x = torch.from_numpy(np.array(groups))
    low, high = x.amin(1).clamp(max=0), x.amax(1).clamp(min=0)
    if symmetry == "sym":
        code_min, code_max = 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1
        scale = torch.maximum(-low, high) / code_max
    else:
        code_min, code_max = 0, 2**bits - 1
        scale = (high - low) / code_max
    scale = torch.where(scale == 0, 1.0, scale)
    zero_point = torch.zeros_like(low) if symmetry == "sym" else (-torch.round(low / scale)).clamp(code_min, code_max)
    return torch.fake_quantize_per_channel_affine(x, scale, zero_point.int(), 0, code_min, code_max).numpy()


def _list_casts() -> Iterator[Comparison]:
    import torch

    for word, dtype in (("fp8_e4m3", torch.float8_e4m3fn), ("fp8_e5m2", torch.float8_e5m2)):
        levels, cast = torch.arange(256, dtype=torch.uint8).view(dtype).float().numpy(), partial(_cast, dtype=dtype)
        yield Comparison(
            f"{word}: every level, midpoint and neighbour: cast",
            "bit-exact",
            0,
            partial(compare_levels, word, levels, cast),
        )
        yield Comparison(
            f"{word} tensor, channel, group=32: cast",
            "bit-exact",
            0,
            partial(compare_scaled, word, cast, torch.finfo(dtype).max),
        )
    for word, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        yield Comparison(
            f"{word}: all exponents and subnormals: cast",
            "bit-exact",
            0,
            partial(compare_halves, word, partial(_cast, dtype=dtype)),
        )


def _cast(x: Floats, dtype: torch.dtype) -> Floats:
    import torch

    restored: Floats = torch.from_numpy(np.array(x)).to(dtype).float().numpy()
    return restored


def _list_round_trips() -> Iterator[tuple[Floats, Floats]]:
    for scheme in ("int4 group=128", "int8 channel", "int3 asym group=32"):
        for name in ("weights", "heavy tails", "ragged"):
            yield make_tensors()[name], round_trip(make_tensors()[name], scheme)


def _compare_metrics() -> Agreement:
    """All three in dB, so that one limit suits them."""
    import torch
    from torch.ao.ns.fx.utils import compute_cosine_similarity, compute_normalized_l2_error, compute_sqnr

    figures = []
    for x, y in _list_round_trips():
        ours, pair = measure(x, y), (torch.from_numpy(x.ravel().copy()), torch.from_numpy(y.ravel()))
        figures.append((read_sqnr_db(x, y), float(compute_sqnr(*pair))))
        ratios = (
            (ours.relative_l2, compute_normalized_l2_error(*pair)),
            (ours.cosine, compute_cosine_similarity(*pair)),
        )
        figures += [(20 * math.log10(mine or 0), 20 * math.log10(float(theirs))) for mine, theirs in ratios]
    return compare_figures(figures)


def _compare_ranges() -> Agreement:
    """How many dB the observer's grid is ahead of the best of 100 clips; never counted below 0."""
    import torch
    from torch.ao.quantization.observer import HistogramObserver

    x = make_weights()
    ahead = []
    for bits in (4, 8):
        observer = HistogramObserver(dtype=torch.quint8, quant_min=0, quant_max=2**bits - 1)
        observer(torch.from_numpy(np.array(x)))
        scale, zero_point = observer.calculate_qparams()
        theirs = torch.fake_quantize_per_tensor_affine(
            torch.from_numpy(np.array(x)), float(scale), int(zero_point), 0, 2**bits - 1
        ).numpy()
        ahead.append(max(0.0, read_sqnr_db(x, theirs) - read_sqnr_db(x, round_trip(x, f"int{bits} asym range=mse"))))
    return Agreement(max(ahead), 2 * x.size)
