"""Small models with correlated inputs, and the figures of a repair worked out plainly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.runnable import Layer
from qanalysis.models.running.torch_model import TorchModel


def list_layers(model: TorchModel) -> list[Layer]:
    return [layer for layer in model.layers if layer.tensor.role == "weight"]


@pytest.fixture
def open_module() -> Callable[..., tuple[TorchModel, Calibration, list[Layer]]]:
    """A module as a model, samples drawn for it, and its weights' layers in the order of a run."""

    def make(module: nn.Module, *shape: int, samples: int = 64, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        for parameter in module.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / max(parameter[0].numel(), 1) ** 0.5
        model = TorchModel(module, "test")
        inputs = torch.randn(samples, *shape, generator=generator)
        # features that share a part are correlated, and a mean that is not 0 is what biases are for
        inputs = inputs + 2 * torch.randn(samples, *shape[:-1], 1, generator=generator) + 0.5
        calibration = Calibration((Batch({"x": inputs}),), "test")
        names = [layer.name for layer in model.order(calibration.blocks[0])]
        return model, calibration, sorted(list_layers(model), key=lambda layer: names.index(layer.name))

    return make


def sum_errors(errors: np.ndarray, features: np.ndarray) -> float:
    """The energy of the output's error over all places, straight from the definition."""
    return float(np.square(features @ errors.T).sum())
