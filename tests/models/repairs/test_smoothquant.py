"""Smoothing: factors, outputs that stay, and outliers of an input that no longer cost what they did."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.activations.turns import calibrate_inputs
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.repairs.catalogue import NEAREST, REPAIRS, find_repair
from qanalysis.models.repairs.repair import Repair
from qanalysis.models.repairs.smoothquant import find_factors
from qanalysis.models.running.runnable import Change
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme

INT8, FINE = Scheme.parse("int8"), Scheme.parse("int16 channel")


class Block(nn.Module):
    """A norm before two layers, and a layer whose input comes through a GELU."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.a, self.b, self.c = nn.LayerNorm(8), nn.Linear(8, 12), nn.Linear(8, 12), nn.Linear(12, 4)
        with torch.no_grad():  # two features are outliers, which weights make up for
            self.norm.weight[2:4] *= 50
            for layer in (self.a, self.b):
                layer.weight[:, 2:4] /= 50

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        out: Tensor = self.c(nn.functional.gelu(self.a(y)) + self.b(y).sin())
        return out


@pytest.fixture
def block():
    module = Block()
    inputs = torch.randn(32, 5, 8, generator=torch.Generator().manual_seed(1))
    model = TorchModel(module, "block")
    layers = [layer for layer in model.layers if layer.tensor.role == "weight"]
    return model, Calibration((Batch({"x": inputs}),), "test"), layers


def measure(block, repair: Repair, weights: Scheme, inputs: Scheme | None) -> float:
    """Relative error of the outputs with weights and inputs quantized."""
    model, calibration, layers = block
    repaired = repair.make(model, calibration, layers, weights, activation_scheme=inputs)
    turns = dict(repaired.change.inputs)
    if inputs is not None:
        grids = calibrate_inputs(model, calibration, layers, [inputs], change=repaired.change)
        for layer in layers:
            own, turn = repaired.change.inputs.get(layer.name, lambda values: values), grids.turn(layer, inputs)
            turns[layer.name] = lambda values, own=own, turn=turn: turn(own(values))
    recording = model.record(calibration.blocks[0])
    outputs = model.rerun(recording, Change(repaired.change.weights, turns))
    return float((outputs - recording.outputs).norm() / recording.outputs.norm())


def test_the_factor_is_the_geometric_mean_of_both_ranges_ratio() -> None:
    # √16 / √4 = 2; a feature or weight that is 0 keeps 1; ends are 10⁻⁴ and 10⁴
    found = find_factors(np.array([16.0, 0.0, 3.0, 1e12]), np.array([4.0, 1.0, 0.0, 1e-12]), 0.5)
    np.testing.assert_allclose(found, [2, 1, 1, 1e4])
    np.testing.assert_allclose(find_factors(np.array([16.0]), np.array([4.0]), 1.0), [16])
    np.testing.assert_allclose(find_factors(np.array([16.0]), np.array([4.0]), 0.0), [0.25])


@pytest.mark.parametrize("name", ["smoothquant", "smoothquant:best"])
def test_float_outputs_stay_what_they_are(block, name: str) -> None:
    # codes of 16 bits alone change them: half a step is 1/65534 of a row's largest weight
    assert measure(block, REPAIRS[name], FINE, None) < 1e-4


def test_the_norm_takes_the_division_for_both_layers_and_the_other_is_divided_as_it_runs(block) -> None:
    model, calibration, layers = block
    repaired = REPAIRS["smoothquant"].make(model, calibration, layers, FINE, activation_scheme=INT8)
    assert list(repaired.change.inputs) == ["c"]
    assert {"norm.weight", "norm.bias", "a.weight", "b.weight", "c.weight"} <= set(repaired.touched)
    assert any(note.startswith("c: no norm or layer before it") for note in repaired.notes)
    largest = calibration.blocks[0].inputs["x"]
    with torch.no_grad():
        largest = model.module.norm(largest).abs().amax((0, 1)).double().numpy()
    weights = np.abs(np.concatenate([model.read(model.find(f"{one}.weight").info) for one in "ab"])).max(0)
    wanted = model.read(model.find("norm.weight").info) / np.sqrt(largest / weights)
    np.testing.assert_allclose(repaired.change.weights["norm.weight"], wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["smoothquant", "smoothquant:best", "smoothquant+gptq+bias"])
def test_outliers_cost_less_where_inputs_are_quantized(block, name: str) -> None:
    weights = Scheme.parse("int8 channel")
    assert measure(block, find_repair(name), weights, INT8) < 0.5 * measure(block, NEAREST, weights, INT8)


def test_weights_alone_are_smoothed_with_a_note(block) -> None:
    model, calibration, layers = block
    repaired = REPAIRS["smoothquant"].make(model, calibration, layers, FINE)
    assert "inputs stay float here; smoothing is for models whose inputs are quantized, too" in repaired.notes


def test_a_convolution_is_smoothed_by_its_channels() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 4, 3, groups=2))
    inputs = torch.randn(16, 3, 6, 6) * torch.tensor([1.0, 30.0, 0.1])[:, None, None]
    model = TorchModel(module, "test")
    layers = [layer for layer in model.layers if layer.tensor.role == "weight"]
    found = model, Calibration((Batch({"x": inputs}),), "test"), layers
    assert measure(found, REPAIRS["smoothquant"], FINE, None) < 1e-4
    # the outputs of GELU differ from those without outliers: here the division as it runs is what is looked at
    assert set(REPAIRS["smoothquant"].make(*found, FINE).change.inputs) == {"0", "2"}
