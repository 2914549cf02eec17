"""Before and after, against runs by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch import nn

from qanalysis.models.repairs.catalogue import NEAREST, find_repair
from qanalysis.models.repairs.measuring import ALL_LAYERS, measure_repairs
from qanalysis.quantizers.scheme import Scheme

SCHEME = Scheme.parse("int3 channel")


def test_figures_are_those_of_runs_by_hand(open_module) -> None:
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5))
    model, calibration, layers = open_module(module, 8)
    rows = measure_repairs(model, calibration, layers, SCHEME, ["gptq", "equalise+bias"])
    assert [(row.repair, row.layer) for row in rows] == [
        (name, layer) for name in ("gptq", "equalise+bias") for layer in (ALL_LAYERS, "0", "2")
    ]
    batch = calibration.blocks[0]
    recording = model.record(batch)
    energy = float(recording.outputs.double().square().sum())
    for name in ("gptq", "equalise+bias"):
        whole, _first, last = (row for row in rows if row.repair == name)
        lost = [
            float(
                (model.rerun(recording, repair.make(model, calibration, layers, SCHEME).change) - recording.outputs)
                .double()
                .square()
                .sum()
            )
            for repair in (NEAREST, find_repair(name))
        ]
        # energies are sums of float32 errors: 1e-6 relative is some of their ulps
        assert whole.output_sqnr_db_before == pytest.approx(10 * math.log10(energy / lost[0]), abs=1e-5)
        assert whole.output_sqnr_db == pytest.approx(10 * math.log10(energy / lost[1]), abs=1e-5)
        assert whole.sqnr_gain_db == pytest.approx(10 * math.log10(lost[0] / lost[1]), abs=1e-5)
        assert whole.sqnr_gain_db_low < whole.sqnr_gain_db < whole.sqnr_gain_db_high
        # the last layer's outputs are the model's
        assert last.layer_error == pytest.approx(math.sqrt(lost[1] / energy), rel=1e-5)
        assert last.layer_error_before == pytest.approx(math.sqrt(lost[0] / energy), rel=1e-5)
        assert whole.loss is None


def test_an_equalised_layer_is_compared_at_the_scale_of_the_float_model(open_module) -> None:
    model, calibration, layers = open_module(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5)), 8)
    fine = Scheme.parse("int16 channel")
    _whole, first, _last = measure_repairs(model, calibration, layers, fine, ["equalise"])
    assert first.layer_error < 1e-4
    repaired = find_repair("equalise").make(model, calibration, layers, fine)
    assert np.abs(np.log(repaired.output_scales["0"])).max() > 0.1


def test_other_samples_than_those_of_the_repair_can_judge_it(open_module) -> None:
    model, calibration, layers = open_module(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5)), 8)
    few = calibration.limit(4)
    own = measure_repairs(model, few, layers, SCHEME, ["gptq"])[0]
    others = measure_repairs(model, few, layers, SCHEME, ["gptq"], evaluation=calibration)[0]
    assert (own.samples, others.samples) == (4, 64)
    assert others.sqnr_gain_db < own.sqnr_gain_db
