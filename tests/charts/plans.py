"""Plans whose numbers follow a rule, of any number of layers, with a front of greedy steps: for charts, pages and a browser."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from qanalysis.plans.plan import Plan
from qanalysis.plans.reopening import assign
from qanalysis.plans.row import PlanRow, PointRow
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.results.identity import SourceIdentity

GROUPINGS = {"tensor": 0.0, "channel": 0.03, "group=128": 0.25, "group=32": 1.0}
GAINS = {"tensor": 1.0, "channel": 0.6, "group=128": 0.45, "group=32": 0.3}


def make_plan(layers: int = 6, *, seed: int = 0, evil: str = "") -> Plan:
    """A plan of layers in blocks of five, 28 candidates each, at its largest size; `evil` names the first layer."""
    rng = np.random.default_rng(seed)
    names = [f"model.layers.{place // 5}.part{place % 5}.weight" for place in range(layers)]
    names[0] = evil or names[0]
    numel = {name: int(1024 * rng.integers(1, 40)) for name in names}
    candidates = {name: _list_candidates(numel[name], float(rng.lognormal())) for name in names}
    rows = [_make_row(name, numel[name], candidates[name]) for name in names]
    more = {
        "assignments": {},
        "objective": 0.0,
        "objective_column": "relative_error_energy",
        "bits_per_weight": 0.0,
        "bytes": 0,
        "front": [],
        "kept_float": {"norm.bias": 4096},
        "constraints": {},
        "candidates": candidates,
    }
    source = SourceIdentity("own.safetensors", 1_000_000, None)
    plan = Plan.from_rows(PlanRow, rows, totals=_list_uniforms(names, numel, candidates), source=source, more=more)
    front = _trace_front(names, numel, candidates)
    full = replace(plan, more={**more, "front": front})
    return assign(full, {row.tensor: row.scheme for row in rows})


def _list_candidates(numel: int, size: float) -> dict[str, list[Any]]:
    schemes = [str(one) for one in default_schemes()]
    bits, costs = [], []
    for text in schemes:
        width, _, grouping = text.partition(" ")
        bits.append(float(width[3:]) + GROUPINGS[grouping or "tensor"])
        costs.append(size * GAINS[grouping or "tensor"] * 4.0 ** -float(width[3:]))
    return {
        "scheme": schemes,
        "bits_per_weight": bits,
        "size_bytes": [int(numel * one / 8) for one in bits],
        "cost": costs,
    }


def _make_row(name: str, numel: int, own: dict[str, list[Any]]) -> PlanRow:
    return PlanRow(
        tensor=name,
        role="weight",
        shape=f"{numel // 32}x32",
        dtype="float32",
        numel=numel,
        scheme=own["scheme"][-1],
        bits_per_weight=own["bits_per_weight"][-1],
        size_bytes=own["size_bytes"][-1],
        cost=own["cost"][-1],
        sqnr_db=float(-10 * np.log10(own["cost"][-1])),
        options=len(own["scheme"]),
    )


def _list_uniforms(names: list[str], numel: dict[str, int], candidates: dict[str, Any]) -> list[PointRow]:
    total = sum(numel.values())
    return [
        PointRow(
            point="uniform",
            scheme=scheme,
            tensors=len(names),
            bits_per_weight=sum(candidates[name]["bits_per_weight"][at] * numel[name] for name in names) / total,
            bytes=sum(candidates[name]["size_bytes"][at] for name in names) + 4096,
            objective=sum(candidates[name]["cost"][at] for name in names),
            within=True,
        )
        for at, scheme in enumerate(candidates[names[0]]["scheme"])
    ]


def _trace_front(names: list[str], numel: dict[str, int], candidates: dict[str, Any]) -> list[dict[str, Any]]:
    """From the smallest choice upwards, always the step along a layer's own hull that gains most for its bits."""
    hulls = {name: _find_hull(candidates[name]) for name in names}
    steps = []
    for place, name in enumerate(names):
        own = candidates[name]
        for one, other in pairwise(hulls[name]):
            gain = own["cost"][one] - own["cost"][other]
            size = (own["bits_per_weight"][other] - own["bits_per_weight"][one]) * numel[name]
            steps.append((-gain / size, place, other))
    choice = [hulls[name][0] for name in names]
    points = [_describe(choice, names, numel, candidates)]
    for _slope, place, other in sorted(steps):
        choice[place] = other
        points.append(_describe(choice, names, numel, candidates))
    return points


def _find_hull(own: dict[str, list[Any]]) -> list[int]:
    """The candidates on the lower hull of cost over bits, ascending in bits."""
    hull = list[int]()
    for at in sorted(range(len(own["cost"])), key=lambda at: (own["bits_per_weight"][at], own["cost"][at])):
        if hull and own["cost"][at] >= own["cost"][hull[-1]]:
            continue
        while len(hull) > 1 and _slope(own, hull[-2], hull[-1]) >= _slope(own, hull[-1], at):
            hull.pop()
        hull.append(at)
    return hull


def _slope(own: dict[str, list[Any]], one: int, other: int) -> float:
    bits = own["bits_per_weight"]
    return float((own["cost"][other] - own["cost"][one]) / (bits[other] - bits[one]))


def _describe(choice: list[int], names: list[str], numel: dict[str, int], candidates: dict[str, Any]) -> dict[str, Any]:
    chosen = [(candidates[name], at, numel[name]) for name, at in zip(names, choice, strict=True)]
    return {
        "kind": "hull",
        "choice": list(choice),
        "objective": sum(own["cost"][at] for own, at, _count in chosen),
        "objective_column": "relative_error_energy",
        "bits_per_weight": sum(own["bits_per_weight"][at] * count for own, at, count in chosen) / sum(numel.values()),
        "bytes": sum(own["size_bytes"][at] for own, at, _count in chosen) + 4096,
    }
