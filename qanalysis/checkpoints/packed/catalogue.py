"""Which layouts of packed weights are there? One line each, in the order in which they are asked."""

from __future__ import annotations

from qanalysis.checkpoints.packed import (
    awq,
    bitsandbytes,
    compressed_tensors,
    fp8,
    gpt_oss,
    gptq,
    hqq,
    levels,
    mlx,
    modelopt,
    orphans,
    quanto,
    recognised,
    torchao,
    weight_norm,
)
from qanalysis.checkpoints.packed.parts import PackedLayout

LAYOUTS: tuple[PackedLayout, ...] = (
    *recognised.LAYOUTS,
    awq.LAYOUT,
    bitsandbytes.FOUR_BIT,
    bitsandbytes.STATELESS,
    bitsandbytes.INT8,
    compressed_tensors.PACKED,
    compressed_tensors.BYTES,
    compressed_tensors.SPARSE,
    gpt_oss.LAYOUT,
    gptq.LAYOUT,
    gptq.PERMUTED,
    hqq.LAYOUT,
    levels.LAYOUT,
    mlx.LAYOUT,
    modelopt.LAYOUT,
    quanto.GROUPS,
    quanto.ROWS,
    torchao.LAYOUT,
    weight_norm.LAYOUT,
    fp8.LAYOUT,
    orphans.CODES,
    orphans.SCALES,
)
