"""Equalisation: the worked example, outputs that stay, ranges that meet, and what it does to the quantized model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.repairs.catalogue import NEAREST, REPAIRS
from qanalysis.models.repairs.equalise import find_factors
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme

EQUALISE = REPAIRS["equalise"]
#: Of 24 bits nothing is lost in rounding but float32's own last bits: the prepared float model, nearly.
FINE = Scheme.parse("int16 channel")


def prepare(module: nn.Module, inputs: torch.Tensor):
    model = TorchModel(module, "test")
    layers = [layer for layer in model.layers if layer.tensor.role == "weight"]
    return model, Calibration((Batch({"x": inputs}),), "test"), layers


def test_the_worked_example() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2, bias=False))
    module[0].weight.data = torch.tensor([[4.0, 0.0], [0.1, 0.2]])
    module[0].bias.data = torch.tensor([0.1, 0.2])
    module[2].weight.data = torch.tensor([[0.5, 2.0], [0.25, 8.0]])
    inputs = torch.tensor([[1.0, -0.5], [-1.0, 2.0], [0.3, 0.1]])
    np.testing.assert_allclose(module(inputs[:1]).detach(), [[2.45, 2.625]], rtol=1e-6)
    np.testing.assert_allclose(find_factors(np.array([4, 0.2]), np.array([0.5, 8])), [2.82842712, 0.15811388])
    model, calibration, layers = prepare(module, inputs)
    repaired = EQUALISE.make(model, calibration, layers, FINE)
    first, second = (repaired.change.weights[name] for name in ("0.weight", "2.weight"))
    # a code of 16 bits is off by at most half of 1/32767 of a row's largest weight
    np.testing.assert_allclose(np.abs(first).max(1), [1.41421356, 1.26491106], rtol=2e-5)
    np.testing.assert_allclose(np.abs(second).max(0), [1.41421356, 1.26491106], rtol=2e-5)
    np.testing.assert_allclose(repaired.change.weights["0.bias"], [0.1 / 2.82842712, 0.2 / 0.15811388], rtol=1e-6)
    np.testing.assert_allclose(repaired.output_scales["0"], [1 / 2.82842712, 1 / 0.15811388], rtol=1e-6)


def _make_network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=seed % 2 == 0),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.ReLU6(),
        nn.Conv2d(6, 4, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 3),
    )
    norm = module[1]
    norm.running_mean, norm.running_var = torch.randn(6), torch.rand(6) + 0.1
    norm.weight.data, norm.bias.data = torch.randn(6), torch.randn(6)
    module[3].weight.data *= torch.logspace(-1, 0.5, 6)[:, None, None, None]
    return module


@pytest.mark.parametrize("seed", [0, 1], ids=["with a bias", "without a bias"])
def test_float_outputs_stay_what_they_are(seed: int) -> None:
    module = _make_network(seed)
    inputs = torch.randn(12, 2, 4, 4)
    model, calibration, layers = prepare(module, inputs)
    with torch.no_grad():
        wanted = module(inputs)
    repaired = EQUALISE.make(model, calibration, layers, FINE)
    assert repaired.touched
    with model.changed(repaired.change), torch.no_grad():
        outputs = module(inputs)
    # rows of 16-bit codes are off by 1/65534 of their largest weight, at most some 1e-4 of the outputs' norm
    assert float((outputs - wanted).norm() / wanted.norm()) < 1e-3
    # and the float tensors that are not quantized alone: the normalisation is left with a shift
    np.testing.assert_array_equal(repaired.change.weights["1.weight"], np.ones(6))
    np.testing.assert_array_equal(repaired.change.weights["1.running_mean"], np.zeros(6))
    with torch.no_grad():
        assert torch.equal(module(inputs), wanted)


def test_one_grid_for_a_tensor_loses_less_where_channels_have_unlike_ranges() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    factors = torch.logspace(-1.5, 1.5, 16)
    with torch.no_grad():  # the same function, its channels scaled apart
        module[0].weight *= factors[:, None]
        module[0].bias *= factors
        module[2].weight /= factors
        inputs = torch.randn(40, 8)
        wanted, errors = module(inputs), []
        model, calibration, layers = prepare(module, inputs)
        for repair in (NEAREST, EQUALISE):
            with model.changed(repair.make(model, calibration, layers, Scheme.parse("int8")).change):
                errors.append(float((module(inputs) - wanted).norm()))
    assert errors[1] < 0.1 * errors[0]


def test_a_channel_that_is_dead_keeps_its_factor_of_one() -> None:
    np.testing.assert_array_equal(find_factors(np.array([0.0, 2.0, 0.0]), np.array([3.0, 0.0, 0.0])), np.ones(3))
    np.testing.assert_array_equal(find_factors(np.array([1e20, 1e-20]), np.array([1e-20, 1e20])), [1e4, 1e-4])


def test_a_model_without_pairs_is_rounded_to_the_nearest_and_says_so(open_module) -> None:
    model, calibration, layers = open_module(nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 2)), 4)
    repaired = EQUALISE.make(model, calibration, layers, Scheme.parse("int4"))
    nearest = NEAREST.make(model, calibration, layers, Scheme.parse("int4"))
    assert "nothing was equalised" in repaired.notes[0]
    for name, values in nearest.change.weights.items():
        np.testing.assert_array_equal(repaired.change.weights[name], values)
