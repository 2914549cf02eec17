"""Does bitsandbytes agree on NF4, plain and with double quantization?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.validation.bitsandbytes_layouts import compare_layouts
from qanalysis.validation.check import SQNR_DB, Agreement, Comparison, compare_sqnr, count_differing
from qanalysis.validation.tensors import make_tensors, make_weights, probe_levels, round_trip, whole_tensors

LENGTHS = (32, 64, 128, 256)
ROW_REASON = "its blocks run on from row to row; groups end with the row here, as they do for every format"


def compare_bitsandbytes() -> Iterator[Comparison]:
    """Blocks that divide the rows, ties, a shorter last block, quantized scales."""
    for length in LENGTHS:
        yield Comparison(f"nf4 group={length}", "bit-exact", 0, partial(_compare_blocks, length))
    yield Comparison("nf4: every level, midpoint and neighbour", "bit-exact", 0, _compare_levels)
    yield Comparison("nf4 group=64, a shorter last block", "dB", SQNR_DB, _compare_tail)
    yield Comparison("nf4 group=64 scale=double", "dB", SQNR_DB, _compare_double)
    yield Comparison("nf4 group=64, rows of 100", "bit-exact", None, _compare_rows, ROW_REASON)
    yield from compare_layouts()


def _quantize(x: Floats, length: int, *, double: bool = False) -> Floats:
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    codes, state = quantize_4bit(
        torch.from_numpy(np.array(x)), blocksize=length, quant_type="nf4", compress_statistics=double
    )
    restored: Floats = dequantize_4bit(codes, state).numpy()
    return restored


def _compare_blocks(length: int) -> Agreement:
    return count_differing(
        (round_trip(x, f"nf4 group={length}"), _quantize(x, length)) for x in whole_tensors().values()
    )


def _compare_levels() -> Agreement:
    from bitsandbytes.functional import get_4bit_type

    probes = probe_levels(get_4bit_type("nf4", device="cpu").numpy())
    # Every block holds 1, so that all have the scale 1.
    filled = np.ones((-(-probes.size // 63), 64), np.float32)
    filled[:, 1:].flat[: probes.size] = probes
    return count_differing([(round_trip(filled, "nf4 group=64"), _quantize(filled, 64))])


def _compare_tail() -> Agreement:
    x = make_weights().reshape(1, -1)[:, :1000]
    return compare_sqnr([(x, round_trip(x, "nf4 group=64"), _quantize(x, 64))])


def _compare_double() -> Agreement:
    tensors = [make_tensors()[name] for name in ("weights", "heavy tails")]
    return compare_sqnr((x, round_trip(x, "nf4 group=64 scale=double"), _quantize(x, 64, double=True)) for x in tensors)


def _compare_rows() -> Agreement:
    x = make_tensors()["ragged"]
    return count_differing([(round_trip(x, "nf4 group=64"), _quantize(x, 64))])
