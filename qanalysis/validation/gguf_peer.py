"""Does the gguf package agree on the blocks it can write?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from qanalysis.validation.check import Agreement, Comparison, count_differing
from qanalysis.validation.tensors import Floats, round_trip, whole_tensors

BLOCKS = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4")
LARGEST_HALF = 65504  # no block's scale is larger than its largest magnitude, save the range of q4_1 and q5_1, a seventh of it at most
HALF_REASON = "a scale that float16 can not hold becomes inf there and the block inf or NaN; the largest float16 here"
TIES_REASON = "ties between two levels go toward zero in GGUF's MXFP4, to the even mantissa in OCP's; `gguf:mxfp4` names the former"


def compare_gguf() -> Iterator[Comparison]:
    """Each block format, quantized and restored by the package."""
    for word in BLOCKS:
        yield Comparison(f"gguf:{word}: quantize, dequantize", "bit-exact", 0, partial(_compare_blocks, f"gguf:{word}", word))
    yield Comparison("gguf:q4_0, scales beyond float16", "bit-exact", None, partial(_compare_blocks, "gguf:q4_0", "q4_0", beyond=True), HALF_REASON)
    yield Comparison("mxfp4 (OCP): MXFP4 of GGUF", "bit-exact", None, partial(_compare_blocks, "mxfp4", "mxfp4"), TIES_REASON)


def _compare_blocks(scheme: str, word: str, *, beyond: bool = False) -> Agreement:
    """Over the rows whose scales float16 holds, or over those `beyond`."""
    rows = [x[(np.abs(x).max(axis=1) > LARGEST_HALF) == beyond] for x in whole_tensors().values()]
    return count_differing((round_trip(x, scheme), _quantize(x, word)) for x in rows if x.size)


def _quantize(x: Floats, word: str) -> Floats:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    block = GGMLQuantizationType[word.upper()]
    with np.errstate(all="ignore"):
        restored: Floats = dequantize(quantize(x, block), block)
    return restored
