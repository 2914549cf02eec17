"""What a model's own code prints stays off standard output, and its warnings are not shown."""

import sys
import types
import warnings

import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.calibration.samples import Batch
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.torch_model import TorchModel


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


class Leaving(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        raise SystemExit(5)


def test_a_model_that_leaves_the_program_is_a_fault_of_the_model() -> None:
    with pytest.raises(ValueError, match=r"the model does not run on x float32 \(1, 3\): SystemExit: 5"):
        TorchModel(Leaving(3, 2), "leaving").record(Batch({"x": torch.ones(1, 3)}))
