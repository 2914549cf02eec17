"""A plan run for real gives what torch gives by hand, beside what its sum predicted."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn import functional

import sample_models
from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.running.opening import open_model
from qanalysis.plans.plan import Plan
from qanalysis.plans.planning import plan_bits
from qanalysis.plans.proof import prove_plan
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep
from sample_models.digits_mlp import DigitsMLP

MODEL = "sample:digits-mlp"
WEIGHTS = Path(sample_models.__file__).parent / "digits-mlp.safetensors"


@cache
def _plan() -> Plan:
    """The digits MLP at no more than 4.5 bits per weight: two widths at least."""
    with open_checkpoint(MODEL) as source:
        rows = sweep(source, ["int3 channel", "int4 channel", "int8 channel"])
    return plan_bits(rows, budget_bpw=4.5)


def _prove(plan: Plan, **options: Any) -> dict[str, Any]:
    with open_model(MODEL) as model:
        return prove_plan(plan, model, open_calibration("sample", model), **options)


def _run_by_hand(plan: Plan) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The outputs of the float model and of one whose weights are replaced, float64, and the labels."""
    with open_model(MODEL) as model:
        batches = list(open_calibration("sample", model).batches(1024))
    x = torch.cat([next(iter(batch.inputs.values())) for batch in batches])
    labels = torch.cat([batch.targets for batch in batches if batch.targets is not None])
    own = DigitsMLP().eval()
    own.load_state_dict({name: torch.from_numpy(values) for name, values in load_file(WEIGHTS).items()})
    with torch.no_grad():
        y = own(x).double()
        for name, text in plan.assignments.items():
            weight = own.get_parameter(name)
            scheme, values = Scheme.parse(text), weight.numpy()
            weight.copy_(torch.from_numpy(scheme.fit(values).round_trip(values)))
        q = own(x).double()
    return y, q, labels


def test_a_joint_run_is_that_of_torch_by_hand() -> None:
    """Both run in float32 and add up in float64; outputs differ by batches in the last digits alone, some 1e-7 of a
    logit, and the error they are part of is a hundredth of one: 1e-4 of its energy.
    """
    plan = _plan()
    assert len(set(plan.assignments.values())) > 1
    y, q, labels = _run_by_hand(plan)
    found = _prove(plan)
    nsr = float(((q - y) ** 2).sum() / (y**2).sum())
    log_y, log_q = (functional.log_softmax(one, -1) for one in (y, q))
    assert found["output_nsr"] == pytest.approx(nsr, rel=1e-4)
    assert found["output_sqnr_db"] == pytest.approx(-10 * math.log10(nsr), abs=1e-3)
    assert found["output_kl"] == pytest.approx(float((log_y.exp() * (log_y - log_q)).sum(-1).mean()), rel=1e-3)
    assert found["loss"] == pytest.approx(float(functional.cross_entropy(q, labels)), rel=1e-5)
    assert found["accuracy"] == float((q.argmax(-1) == labels).double().mean())
    assert found["float_loss"] == pytest.approx(float(functional.cross_entropy(y, labels)), rel=1e-5)
    assert found["float_accuracy"] == float((y.argmax(-1) == labels).double().mean())
    assert (found["tensors"], found["samples"], found["complete"]) == (3, len(labels), True)


def test_batches_change_no_figure() -> None:
    few, many = _prove(_plan(), batch=7), _prove(_plan(), batch=400)
    assert few["output_nsr"] == pytest.approx(many["output_nsr"], rel=1e-4)
    assert few["accuracy"] == many["accuracy"]


def test_a_sum_of_weights_errors_predicts_no_figure_of_outputs() -> None:
    found = _prove(_plan())
    assert (found["predicted"], found["ratio"]) == (None, None)
    assert "relative_error_energy predicts no figure" in found["note"]


@pytest.mark.parametrize(
    ("low", "high", "is_inside"), [(0.0, 1.0, True), (0.5, 1.0, False), (None, None, None)], ids=["in", "out", "none"]
)
def test_a_damage_of_outputs_is_held_against_its_prediction(low: Any, high: Any, is_inside: Any) -> None:
    plan = _plan()
    certainty = {"predicted_low": low, "predicted_high": high}
    more = {**plan.more, "objective": 0.01, "objective_column": "output_nsr", "certainty": certainty}
    found = _prove(replace(plan, more=more))
    assert found["predicted"] == 0.01
    assert found["measured"] == found["output_nsr"]
    assert found["ratio"] == pytest.approx(found["output_nsr"] / 0.01)
    assert found["is_inside"] is is_inside


def test_imported_scores_predict_nothing() -> None:
    plan = _plan()
    scored = {"scores": {"file": "s.json"}, "objective": "KL weighed by s.json"}
    more = {**plan.more, "objective_column": "output_nsr", "certainty": scored}
    assert "KL weighed by s.json" in _prove(replace(plan, more=more))["note"]


def test_a_plan_of_another_model_is_refused() -> None:
    with open_model("sample:digits-cnn") as model:
        data = open_calibration("sample", model)
        with pytest.raises(ValueError, match=r"3 of its 3 tensors are not in .*digits-cnn"):
            prove_plan(_plan(), model, data)


def test_another_shape_is_refused() -> None:
    plan = _plan()
    rows = [replace(row, shape="3x5") for row in plan]
    with pytest.raises(ValueError, match=r"has the shape 3x5 there and [0-9]+x[0-9]+ in"):
        _prove(Plan.from_rows(plan.row_type, rows, more=plan.more))


def test_a_scheme_that_does_not_fit_is_refused() -> None:
    plan = _plan()
    changed = replace(plan[0], scheme="int4 channel=5")
    with pytest.raises(ValueError, match="does not run under the plan"):
        _prove(Plan.from_rows(plan.row_type, [changed], more=plan.more))


def test_a_run_that_was_cancelled_at_once_is_no_proof() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(ValueError, match="cancelled before the first"):
        _prove(_plan(), cancel=cancel)


def test_progress_counts_the_runs() -> None:
    seen = []
    found = _prove(_plan(), batch=300, on_progress=seen.append)
    assert [step.done for step in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].total == len(seen) == math.ceil(found["samples"] / 300)
    assert np.isfinite(found["output_sqnr_db"])
