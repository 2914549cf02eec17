"""Plans for tests of recipes: tensors with shapes and schemes, without a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qanalysis.plans.plan import Plan
from qanalysis.plans.row import PlanRow
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.identity import SourceIdentity


def make_plan(
    planned: Mapping[str, tuple[tuple[int, ...], str]],
    *,
    kept: Mapping[str, int] | None = None,
    dtype: str = "float32",
    path: str = "model.safetensors",
    stored: str = "",
    **more: Any,
) -> Plan:
    """A plan of tensors by name, each with its shape and its scheme."""
    rows = [_make_row(name, shape, scheme, dtype) for name, (shape, scheme) in planned.items()]
    numel = sum(row.numel for row in rows)
    return Plan.from_rows(
        PlanRow,
        rows,
        source=SourceIdentity(path, 1, None, stored=stored),
        more={
            "assignments": {row.tensor: row.scheme for row in rows},
            "objective": 1.0,
            "objective_column": "relative_error_energy",
            "bits_per_weight": sum(row.bits_per_weight * row.numel for row in rows) / numel,
            "bytes": sum(row.size_bytes for row in rows),
            "front": [],
            "kept_float": dict(kept or {}),
            "constraints": {},
            "candidates": {},
            **more,
        },
    )


def make_header(tensor: str, shape: str, **facts: Any) -> dict[str, Any]:
    """What a plan's document says of a tensor beside its row."""
    usual = {
        "role": "weight",
        "dtype": "float32",
        "stored": "",
        "view": "0",
        "numel": 1,
        "size_bytes": 1,
        "aliases": [],
    }
    return {"tensor": tensor, "shape": shape, **usual, **facts}


def _make_row(name: str, shape: tuple[int, ...], text: str, dtype: str) -> PlanRow:
    scheme, numel = Scheme.parse(text), math.prod(shape)
    code, group = scheme.storage_bits
    columns = scheme.grouping.columns or shape[-1]
    bits = code + group / columns
    return PlanRow(
        tensor=name,
        shape="x".join(map(str, shape)),
        dtype=dtype,
        numel=numel,
        scheme=str(scheme),
        bits_per_weight=bits,
        size_bytes=math.ceil(bits * numel / 8),
        cost=0.1,
        options=3,
    )
