"""What a model's own code prints stays off standard output, and its warnings are not shown."""

import sys
import types
import warnings

import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.calibration.samples import Batch
from qanalysis.models.running.opening import open_model


class Talking(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        print("run")
        warnings.warn("running", stacklevel=1)
        return super().forward(x)


def make() -> nn.Module:
    print("made")
    warnings.warn("making", stacklevel=1)
    return Talking(3, 2)


def test_standard_output_is_left_to_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = types.ModuleType("talking")
    module.make = make
    monkeypatch.setitem(sys.modules, "talking", module)
    model = open_model("talking:make")
    model.record(Batch({"x": torch.ones(1, 3)}))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "made\nrun\n")
