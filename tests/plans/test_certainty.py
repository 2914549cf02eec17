"""A sensitivity's own samples and joint runs say how far a plan's real damage may lie from its sum, and it lies there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.running.opening import open_model
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.plans.candidates import gather_candidates
from qanalysis.plans.certainty import judge_plan
from qanalysis.plans.planner import solve
from qanalysis.plans.planning import plan_bits
from qanalysis.plans.problem import Limit, Problem
from qanalysis.plans.proof import prove_plan
from qanalysis.plans.units import Unit

MODEL = "sample:digits-mlp"
SCHEMES = ["int3 channel", "int4 channel", "int8 channel"]


def test_a_plan_of_measured_damages_keeps_its_word() -> None:
    """The same samples, so that what is predicted differs from what is measured by interactions alone."""
    with open_model(MODEL) as model:
        data = open_calibration("sample", model, samples=100)
        rows = measure_sensitivity(model, data, SCHEMES, measures=(), floor=False)
        candidates = gather_candidates([rows])
        units = tuple(Unit("", (one,)) for one in candidates.options)
        numel = sum(one.tensor.numel for one in candidates.options)
        limit = Limit("bits per weight", tuple(unit.sum("bits") for unit in units), 4.3 * numel)
        problem = Problem(tuple(unit.sum("costs") for unit in units), (limit,))
        solution = solve(problem)
        stability, told = judge_plan(candidates, units, problem, solution.choice)
        plan = plan_bits(rows, budget_bpw=4.3)
        plan = replace(plan, more={**plan.more, "certainty": told})
        forward = prove_plan(plan, model, data)
    assert plan.objective == pytest.approx(solution.cost)
    assert stability.method == "samples"
    assert told["objective_low"] < solution.cost < told["objective_high"]
    assert told["interaction"]["sets"] > 1
    assert told["predicted_low"] <= told["objective_low"]
    assert forward["predicted"] == plan.objective
    assert told["interaction"]["ratio_low"] <= forward["ratio"] <= told["interaction"]["ratio_high"]
    assert forward["is_inside"]
