"""What passes through the layers of a model, as it is and under a change."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qanalysis.models.calibration.samples import Batch
from qanalysis.models.running.runnable import Change
from qanalysis.models.running.torch_model import TorchModel


def test_outputs_are_told_as_they_are_under_a_change_and_the_model_is_as_before() -> None:
    model = TorchModel(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)), "two layers")
    batch = Batch({"x": torch.tensor([[1.0, -2.0], [0.5, 3.0]])})
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    seen = dict[str, Tensor]()
    change = Change({"0.weight": torch.eye(2).numpy()}, {"0": lambda x: 2 * x})
    outputs = model.watch(batch, ["0", "2"], seen.__setitem__, side="output", change=change)
    assert torch.equal(seen["0"], 2 * batch.inputs["x"] + before["0.bias"])
    assert torch.equal(seen["2"], outputs)
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())
    assert not torch.equal(model.watch(batch, [], seen.__setitem__), outputs)


def test_the_layer_of_a_tensor_of_the_whole_model_is_watched_and_turned() -> None:
    model = TorchModel(nn.Linear(2, 2, bias=False), "one layer")
    batch = Batch({"x": torch.ones(1, 2)})
    name = model.layers[0].name
    seen = list[Tensor]()
    model.watch(batch, [name], lambda _name, values: seen.append(values))
    assert torch.equal(seen[0], batch.inputs["x"])
    recording = model.record(batch, keep_bytes=1 << 20)
    assert torch.equal(model.rerun(recording, Change(inputs={name: torch.zeros_like})), torch.zeros(1, 2))
