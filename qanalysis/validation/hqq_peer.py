"""Are files of HQQ read as HQQ decodes them? Codes of every width, groups along both axes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from qanalysis.validation.check import Agreement, Comparison
from qanalysis.validation.stored import Case, compare_cases, draw_weights

WIDTHS = (1, 2, 3, 4, 5, 8)


def compare_hqq() -> Iterator[Comparison]:
    """One comparison for each width: 3 bits lie ten to a word, the others in bytes."""
    for bits in WIDTHS:
        yield Comparison(f"stored hqq int{bits}: HQQLinear.dequantize", "bit-exact", 0, partial(_compare_layers, bits))


def _compare_layers(bits: int) -> Agreement:
    return compare_cases(_pack(bits, axis) for axis in (0, 1))


def _pack(bits: int, axis: int) -> Case:
    import torch
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    layer = torch.nn.Linear(96, 40, bias=False)
    layer.weight.data = draw_weights(40, 96, seed=bits)
    config = BaseQuantizeConfig(nbits=bits, group_size=32, axis=axis)
    packed = HQQLinear(layer, config, compute_dtype=torch.float32, device="cpu")
    parts = {f"l.{name}": part for name, part in packed.state_dict().items()}
    return Case(parts, packed.dequantize().detach().numpy())
