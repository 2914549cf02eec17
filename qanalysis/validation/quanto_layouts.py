"""Are files of optimum-quanto read as it decodes them? Every type of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from qanalysis.validation.check import Agreement, Comparison
from qanalysis.validation.stored import Case, compare_cases, draw_weights

KINDS = ("qint2", "qint4", "qint8", "qfloat8")
#: Whole groups of 128, and rows that are none.
SHAPES = ((48, 256), (5, 256), (7, 384), (49, 130))


def compare_layouts() -> Iterator[Comparison]:
    """One comparison for each type, over layers of several shapes."""
    for kind in KINDS:
        yield Comparison(f"stored quanto {kind}: dequantize", "bit-exact", 0, partial(_compare_layers, kind))


def _compare_layers(kind: str) -> Agreement:
    return compare_cases(_pack(kind, *shape) for shape in SHAPES)


def _pack(kind: str, rows: int, columns: int) -> Case:
    import torch
    from optimum.quanto import freeze, qtypes, quantize

    model: Any = torch.nn.Sequential(torch.nn.Linear(columns, rows))
    model[0].weight.data = draw_weights(rows, columns)
    quantize(model, weights=qtypes.get(kind, qtypes["qfloat8_e4m3fn"]))
    freeze(model)
    return Case(model.state_dict(), model[0].weight.dequantize().detach().numpy(), name="0.weight")
