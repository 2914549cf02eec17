"""Are the experts of gpt-oss and fp8 in blocks read as transformers decodes them when it loads them?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from qanalysis.validation.check import Agreement, Comparison
from qanalysis.validation.stored import Case, compare_cases, draw_weights

#: Experts, rows, groups of 32 columns.
STACKS = ((1, 1, 1), (2, 5, 3), (3, 10, 4))


def compare_transformers() -> Iterator[Comparison]:
    """Blocks of MXFP4, and scale grids that divide the weight, which alone it takes."""
    yield Comparison("stored gpt-oss mxfp4: convert_moe_packed_tensors", "bit-exact", 0, _compare_experts)
    for word in ("float32", "uint8"):
        name = f"stored fp8 in blocks, scales of {word}: Fp8Dequantize"
        yield Comparison(name, "bit-exact", 0, partial(_compare_fp8, word))


def _compare_experts() -> Agreement:
    return compare_cases(_pack_experts(*stack) for stack in STACKS)


def _pack_experts(experts: int, rows: int, groups: int) -> Case:
    import torch
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    draw = torch.Generator().manual_seed(rows)
    blocks = torch.randint(0, 256, (experts, rows, groups, 16), generator=draw, dtype=torch.uint8)
    # Exponents as weights have: its ldexp leaves float32 through its subnormals.
    scales = torch.randint(90, 160, (experts, rows, groups), generator=draw, dtype=torch.uint8)
    values = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).transpose(1, 2).contiguous()
    parts = {"mlp.experts.down_proj_blocks": blocks, "mlp.experts.down_proj_scales": scales}
    return Case(parts, values.numpy(), name="mlp.experts.down_proj")


def _compare_fp8(word: str) -> Agreement:
    blocks = ((128, 128), (1, 32)) if word == "float32" else ((1, 32),)
    return compare_cases(_pack_fp8(word, *block) for block in blocks)


def _pack_fp8(word: str, height: int, width: int) -> Case:
    import torch
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    rows, columns = 256, 384
    weight = draw_weights(rows, columns).clamp(-448, 448).to(torch.float8_e4m3fn)
    scales: Any = torch.rand(rows // height, columns // width, generator=torch.Generator().manual_seed(1)) / 100
    if word == "uint8":
        scales = (scales * 1000 + 110).to(torch.uint8)
    # Where the scales are bytes its result is bfloat16, which holds 4 bits times a power of two.
    judge: Any = Fp8Dequantize
    values = judge(None).convert({"weight": weight, "weight_scale_inv": scales})["weight"].float().numpy()
    return Case({"l.weight": weight, "l.weight_scale": scales}, values)
