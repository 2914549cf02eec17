"""Bias correction: the worked example, means that vanish, and what can not be corrected."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.repairs.catalogue import REPAIRS
from qanalysis.models.running.runnable import Change
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme

BIAS = REPAIRS["bias"]


def test_the_worked_example() -> None:
    """W in steps of 0.25, which a third row of 0.75 = 3 steps brings about, and a mean input of (2, 1)."""
    module = nn.Sequential(nn.Linear(2, 3))
    module[0].weight.data = torch.tensor([[0.34, 0.36], [-0.44, 0.12], [0.75, 0.0]])
    module[0].bias.data = torch.zeros(3)
    model = TorchModel(module, "test")
    calibration = Calibration((Batch({"x": torch.tensor([[1.0, 3.0], [3.0, -1.0]])}),), "test")
    repaired = BIAS.make(model, calibration, model.layers[:1], Scheme.parse("int3"))
    np.testing.assert_array_equal(repaired.change.weights["0.weight"], np.float32([[0.25, 0.25], [-0.5, 0], [0.75, 0]]))
    # float32 holds the weights to half an ulp, 1.5e-8, and so the bias
    np.testing.assert_allclose(repaired.change.weights["0.bias"], [0.29, 0.24, 0], atol=1e-7)
    assert repaired.touched == ["0.bias"]


MODULES = {
    "linear": (nn.Sequential(nn.Linear(8, 5)), (8,)),
    "linear after linear": (nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 5)), (8,)),
    "rows of tokens": (nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 3)), (7, 6)),
    "padded convolution in groups": (nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2)), (4, 5, 5)),
    "transposed convolution": (nn.Sequential(nn.ConvTranspose1d(3, 4, 3, stride=2)), (3, 6)),
}


@pytest.mark.parametrize("kind", MODULES)
def test_no_channel_of_any_layer_has_another_mean_afterwards(open_module, kind: str) -> None:
    module, shape = MODULES[kind]
    model, calibration, layers = open_module(module, *shape)
    repaired = BIAS.make(model, calibration, layers, Scheme.parse("int3 channel"))
    batch = calibration.blocks[0]
    names = [layer.name for layer in layers]
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    model.watch(batch, names, lambda name, values: seen[name].append(values.clone()), side="output")
    with model.changed(repaired.change):
        model.watch(batch, names, lambda name, values: seen[name].append(values.clone()), side="output")
    for layer in layers:
        before, after = (one.double() for one in seen[layer.name])
        is_linear = layer.is_linear
        error = (after - before) if is_linear else (after - before).movedim(1, -1)
        channels = error.reshape(-1, error.shape[-1])
        # outputs of a few units are sums of at most 54 products in float32, whose roundings have random signs: the mean
        # of them stays below an ulp of the largest output, and the bias itself is rounded by half an ulp
        bound = float(before.abs().max()) * 2**-22
        assert float(channels.mean(0).abs().max()) < bound
        assert float(channels.abs().max()) > 1000 * bound, "the layer was quantized"


def test_inputs_of_the_float_model_need_one_run_and_leave_what_earlier_layers_did(open_module) -> None:
    model, calibration, layers = open_module(nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 5)), 8)
    scheme = Scheme.parse("int3 channel")
    repaired = BIAS.make(model, calibration, layers, scheme, is_sequential=False)
    first, second = (model.find(name).value.detach().double().numpy() for name in ("0.weight", "2.weight"))
    inputs = calibration.blocks[0].inputs["x"].double().numpy()
    hidden = np.maximum(inputs @ first.T + model.find("0.bias").value.detach().numpy(), 0)
    error = second - repaired.change.weights["2.weight"]
    wanted = model.find("2.bias").value.detach().numpy() + error @ hidden.mean(0)
    # hidden values come in float32: 1e-6 is some ulps of them
    np.testing.assert_allclose(repaired.change.weights["2.bias"], wanted, atol=1e-6)


def test_a_layer_without_a_bias_stays_and_is_named(open_module) -> None:
    model, calibration, layers = open_module(nn.Sequential(nn.Linear(8, 4, bias=False), nn.Linear(4, 3)), 8)
    repaired = BIAS.make(model, calibration, layers, Scheme.parse("int4"))
    assert repaired.notes == ("0: it has no bias, and no batch normalisation behind it, that could be corrected",)
    assert repaired.touched == ["1.bias"]


def test_a_batch_normalisation_behind_a_layer_takes_the_place_of_its_bias(open_module) -> None:
    module = nn.Sequential(nn.Conv1d(3, 4, 3, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(6, 2))
    model, calibration, layers = open_module(module, 3, 8)
    module[1].running_mean.copy_(torch.linspace(-1, 1, 4))
    repaired = BIAS.make(model, calibration, layers, Scheme.parse("int3 channel"))
    assert repaired.touched == ["1.running_mean", "3.bias"]
    means = []
    for change in (Change(), repaired.change):
        model.watch(
            calibration.blocks[0],
            ["1"],
            lambda _name, values: means.append(values.double().mean((0, 2))),
            side="output",
            change=change,
        )
    # outputs of some units in float32, of which the mean is a sum of 384
    torch.testing.assert_close(means[0], means[1], atol=1e-6, rtol=0)
