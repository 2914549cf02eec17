"""Clear plans stay when scores are drawn anew, close ones fall like a coin, exact scores are not drawn at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.plans.candidates import Candidates, gather_candidates
from qanalysis.plans.certainty import judge_plan
from qanalysis.plans.planner import solve
from qanalysis.plans.problem import Limit, Problem
from qanalysis.plans.stability import Stability, measure_stability
from qanalysis.plans.units import Unit
from qanalysis.results.table import Table
from tests.plans.tables import sweep_candidates

SCHEMES = ("int4 channel", "int8 channel")
BITS = (4.0, 8.0)


def _measure(damages: dict[str, np.ndarray[Any, Any]], *, ends: float = 0.0, samples: bool = True) -> Candidates:
    """Sensitivities whose int4 damage is the mean of each tensor's samples and whose int8 damage is a hundredth of it;
    `ends` is how far intervals reach to each side, as a factor.
    """
    rows = [
        SensitivityRow(
            layer=name,
            tensor=name,
            target="weights",
            mode="enable-one",
            scheme=scheme,
            bits_per_weight=bits,
            size_bytes=round(100 * bits / 8),
            samples=len(values),
            tokens=len(values),
            output_kl=float(values.mean()) * share,
            output_kl_low=float(values.mean()) * share / ends if ends else None,
            output_kl_high=float(values.mean()) * share * ends if ends else None,
        )
        for name, values in damages.items()
        for scheme, bits, share in zip(SCHEMES, BITS, (1.0, 0.01), strict=True)
    ]
    count = len(next(iter(damages.values())))
    cells = [
        {
            "tensor": name,
            "scheme": scheme,
            "target": "weights",
            "mode": "enable-one",
            "kl": (values * share).tolist(),
        }
        for name, values in damages.items()
        for scheme, share in zip(SCHEMES, (1.0, 0.01), strict=True)
    ]
    part = {"samples": count, "measured": count, "tokens": [1] * count, "cells": cells}
    more = {"damages": part} if samples else {}
    return gather_candidates([Table.from_rows(SensitivityRow, rows, more=more)], objective="output_kl")


def _judge(candidates: Candidates, bits: float, resamples: int = 40) -> Stability:
    units = tuple(Unit("", (one,)) for one in candidates.options)
    numel = sum(one.tensor.numel for one in candidates.options)
    limit = Limit("bits per weight", tuple(unit.sum("bits") for unit in units), bits * numel)
    problem = Problem(tuple(unit.sum("costs") for unit in units), (limit,))
    return measure_stability(candidates, units, problem, solve(problem).choice, resamples=resamples, seed=3)


def _draw(mean: float, spread: float, seed: int) -> np.ndarray[Any, Any]:
    """Samples of exactly that mean, normal and clipped above zero."""
    values = np.maximum(np.random.default_rng(seed).normal(mean, spread, 200), 1e-6)
    return values * (mean / values.mean())


def test_well_separated_scores_keep_every_scheme() -> None:
    found = _judge(_measure({"loud": _draw(1.0, 0.2, 0), "quiet": _draw(0.1, 0.02, 1)}), 6.0)
    assert {name: one.share for name, one in found.kept.items()} == {"loud": 1.0, "quiet": 1.0}
    assert found.kept["loud"].counts == {"int8 channel": 40}
    assert (found.method, found.failed) == ("samples", 0)


@pytest.mark.parametrize("samples", [True, False], ids=["samples", "intervals"])
def test_equal_scores_are_kept_by_half_of_the_plans(samples: bool) -> None:
    """Independent draws of equal means are fair coins: the share of 200 lies within 4/(2√200) = 0.14 of a half."""
    candidates = _measure({"a": _draw(1.0, 0.5, 0), "b": _draw(1.0, 0.5, 1)}, ends=1.5, samples=samples)
    found = _judge(candidates, 6.0, resamples=200)
    assert 0.36 < found.kept["a"].share < 0.64
    assert found.kept["a"].share == found.kept["b"].share
    assert found.method == ("samples" if samples else "intervals")


def test_the_interval_of_the_objective_is_that_of_a_mean() -> None:
    """The cost of both tensors is a mean of 200 samples with a standard deviation of 0.1: its 95 % interval reaches
    1.96 · 0.1/√200 = 0.0139 to each side, known to a tenth from 1000 draws' quantiles.
    """
    values = _draw(1.0, 0.1, 0)
    found = _judge(_measure({"a": values, "b": values}), 4.0)
    assert found.objective is not None
    reach = 1.96 * 2 * values.std() / np.sqrt(200)
    assert found.objective[0] == pytest.approx(2 - reach, abs=reach / 5)
    assert found.objective[1] == pytest.approx(2 + reach, abs=reach / 5)


def test_intervals_of_rows_are_those_of_costs() -> None:
    found = _judge(_measure({"a": _draw(1.0, 0.1, 0), "b": _draw(2.0, 0.1, 1)}, ends=2.0), 8.0)
    assert found.costs["b"] == pytest.approx((0.01, 0.04))


def test_the_same_seed_makes_the_same_plans() -> None:
    candidates = _measure({"a": _draw(1.0, 0.5, 0), "b": _draw(1.0, 0.5, 1)})
    assert _judge(candidates, 6.0).kept == _judge(candidates, 6.0).kept


def test_rows_of_a_sweep_are_exact_and_said_to_be() -> None:
    found = _judge(sweep_candidates({"a": (4, 32), "b": (4, 32)}), 5.0)
    assert (found.kept, found.objective, found.method) == ({}, None, "none")
    assert "exact" in found.note


def test_what_a_file_scored_is_not_drawn() -> None:
    candidates = _measure({"a": _draw(1.0, 0.5, 0), "b": _draw(1.0, 0.5, 1)})
    scored = replace(candidates, objective=replace(candidates.objective, scores="scores.json"))
    assert _judge(scored, 6.0).note.startswith("scores.json says nothing")


def test_a_plan_of_least_size_is_made_again_with_its_limit_on_the_loss_drawn() -> None:
    """The limit holds for the point scores exactly: about half of the draws lie above it, and raise one of the two."""
    candidates = _measure({"a": _draw(1.0, 0.5, 0), "b": _draw(1.0, 0.5, 1)})
    units = tuple(Unit("", (one,)) for one in candidates.options)
    limit = Limit("output_kl", tuple(unit.sum("costs") for unit in units), 2.0)
    problem = Problem(tuple(unit.sum("sizes") for unit in units), (limit,))
    found = measure_stability(candidates, units, problem, [0, 0], resamples=100)
    assert 0.3 < sum(one.share for one in found.kept.values()) - 1 < 0.7


def test_a_plan_that_no_score_bounds_does_not_depend_on_them() -> None:
    candidates = _measure({"a": _draw(1.0, 0.5, 0), "b": _draw(1.0, 0.5, 1)})
    units = tuple(Unit("", (one,)) for one in candidates.options)
    limit = Limit("other", (np.array([3.0, 1.0]), np.array([3.0, 1.0])), 4.0)
    found = measure_stability(candidates, units, Problem(tuple(unit.sum("sizes") for unit in units), (limit,)), [0, 1])
    assert "does not depend on them" in found.note
    assert (found.kept, found.method) == ({}, "none")
    assert found.objective is not None


def test_draws_without_a_plan_keep_nothing() -> None:
    candidates = _measure({"a": _draw(1.0, 0.5, 0), "b": _draw(1.0, 0.5, 1)})
    units = tuple(Unit("", (one,)) for one in candidates.options)
    limit = Limit("sizes", (np.array([1.0, 2.0]), np.array([1.0, 2.0])), 1.0)
    problem = Problem(tuple(unit.sum("costs") for unit in units), (limit,))
    found = measure_stability(candidates, units, problem, [0, 0], resamples=3)
    assert (found.failed, found.kept["a"].scheme, found.kept["a"].of) == (3, 0, 3)


def test_no_resample_at_all_is_refused() -> None:
    candidates = _measure({"a": _draw(1.0, 0.5, 0)})
    units = (Unit("", candidates.options),)
    with pytest.raises(ValueError, match="at least 1 plan"):
        measure_stability(candidates, units, Problem((units[0].sum("costs"),)), [0], resamples=0)


def test_a_document_has_the_counts_and_what_is_not_known_as_null() -> None:
    candidates = _measure({"a": _draw(1.0, 0.1, 0), "b": _draw(0.1, 0.01, 1)})
    units = tuple(Unit("", (one,)) for one in candidates.options)
    problem = Problem(tuple(unit.sum("costs") for unit in units))
    stability, told = judge_plan(candidates, units, problem, [1, 1], resamples=5)
    assert told["kept"]["a"] == {"scheme": 5, "bits": 5, "of": 5, "counts": {"int8 channel": 5}}
    assert (told["resamples"], told["objective"]) == (5, "output_kl")
    assert told["interaction"]["ratio"] is None
    assert (told["predicted_low"], told["predicted_high"]) == stability.objective
