"""Weights that are computed in every run become plain ones that give the same outputs."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from qanalysis.models.running.parametrizations import fold_parametrizations
from qanalysis.models.running.weights import load_weights


def make(kind: str) -> nn.Module:
    torch.manual_seed(1)
    conv = nn.Conv1d(3, 4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "hooks":
            conv = nn.utils.weight_norm(conv)
        elif kind == "weight norm":
            conv = nn.utils.parametrizations.weight_norm(conv)
        else:
            conv = nn.utils.parametrizations.spectral_norm(conv)
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()


@pytest.mark.parametrize("kind", ["hooks", "weight norm", "spectral norm"])
def test_outputs_stay_what_they_were(kind: str) -> None:
    module, inputs = make(kind), torch.linspace(-1, 1, 36).reshape(2, 3, 6)
    with torch.no_grad():
        before = module(inputs)
        note = fold_parametrizations(module)
        assert torch.equal(module(inputs), before)
    assert set(dict(module.named_parameters())) == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert note[0].startswith("1 weights that are computed from others")
    assert fold_parametrizations(module) == ()


@pytest.mark.parametrize("kind", ["hooks", "weight norm", "spectral norm"])
def test_weights_of_such_a_model_get_into_it(kind: str, tmp_path: Path) -> None:
    saved, module, inputs = make(kind), make(kind), torch.linspace(-1, 1, 36).reshape(2, 3, 6)
    with torch.no_grad():
        for value in saved.parameters():
            value.mul_(1.5)
    save_file({name: value.contiguous() for name, value in saved.state_dict().items()}, tmp_path / "w.safetensors")
    load_weights(module, str(tmp_path / "w.safetensors"), model="small")
    fold_parametrizations(module)
    with torch.no_grad():
        # The file's reader computes the weight in its own order: float32, nine terms.
        assert torch.allclose(module(inputs), saved(inputs), rtol=1e-5, atol=1e-6)
