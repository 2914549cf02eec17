"""Are files of bitsandbytes read as bitsandbytes decodes them? Blocks of 4 bits, plain and with nested scales, and
LLM.int8.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from qanalysis.validation.check import Agreement, Comparison
from qanalysis.validation.stored import ROUNDING, Case, compare_cases, compare_rounded, draw_weights

#: A last block that is short, rows that are no whole blocks, rows that are.
SHAPES = ((5, 67), (33, 64), (130, 32))
INT8_REASON = "it multiplies by 1/127, which is rounded; values are q * SCB / 127 here"


def compare_layouts() -> Iterator[Comparison]:
    """One comparison for each kind of block, over ragged shapes."""
    for kind in ("nf4", "fp4"):
        for nested in (False, True):
            name = f"stored bnb {kind}{', nested scales' if nested else ''}: its CPU decoder"
            yield Comparison(name, "bit-exact", 0, partial(_compare_blocks, kind, nested=nested))
    name = "stored llm.int8: int8_vectorwise_dequant"
    yield Comparison(name, "relative", ROUNDING, _compare_int8, INT8_REASON)


def _compare_blocks(kind: str, *, nested: bool) -> Agreement:
    return compare_cases(_pack(kind, shape, nested=nested) for shape in SHAPES)


def _pack(kind: str, shape: tuple[int, int], *, nested: bool) -> Case:
    import torch
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute as decode
    from bitsandbytes.functional import dequantize_blockwise, quantize_4bit

    codes, state = quantize_4bit(draw_weights(*shape), blocksize=64, compress_statistics=nested, quant_type=kind)
    absmax = dequantize_blockwise(state.absmax, state.state2) + state.offset if nested else state.absmax
    # Not `dequantize_4bit`: its loop for the CPU begins a new block with each row shorter than a block.
    values = decode(codes.reshape(-1), absmax.float(), state.code, 64, shape, torch.float32).numpy()
    beside = {f"l.weight.{key}": part for key, part in state.as_dict(packed=True).items()}
    return Case({"l.weight": codes} | beside, values)


def _compare_int8() -> Agreement:
    from bitsandbytes.functional import int8_vectorwise_dequant, int8_vectorwise_quant

    codes, largest, _ = int8_vectorwise_quant(draw_weights(7, 67).half())
    values = int8_vectorwise_dequant(codes, largest).numpy()
    return compare_rounded([Case({"l.weight": codes, "l.SCB": largest}, values)])
