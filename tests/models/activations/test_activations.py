"""The whole measurement: rows, document, experts in coverage, and what is kept when it is cancelled."""

import json
import threading

import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.activations.activations import measure_activations
from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.results.document import to_json


class Mixture(nn.Module):
    """Three experts, the last of which is never called."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first = x[..., 0] > 0
        y = torch.zeros_like(x)
        y[first], y[~first] = self.experts[0](x[first]), self.experts[1](x[~first])
        return y


def make() -> tuple[TorchModel, Calibration]:
    torch.manual_seed(1)
    return TorchModel(Mixture(), "mixture"), Calibration((Batch({"x": torch.randn(30, 8)}),), "drawn")


def test_a_sample_model_has_rows_of_every_side_and_a_document_that_is_json() -> None:
    model = open_model("sample:words-transformer")
    data = open_calibration("sample", model, samples=2)
    table = measure_activations(
        model,
        data,
        ["int8", "int4 channel"],
        looks=("input", "kv"),
        include=r"layers\.0\.(fc|self_attn:)",
        cure_tokens=20,
    )
    assert len(table) == 2 * (2 + 2)
    assert {row.kind for row in table} == {"activation"}
    assert {row.role for row in table} == {"input", "keys", "values"}
    assert {row.status for row in table} == {"ok"}
    found = json.loads(to_json(table))["activations"]
    assert [one["name"] for one in found["layers"]] == [row.tensor for row in table][::2]
    cures = {one["layer"] for one in found["cures"]}
    assert cures == {one["layer"] for one in found["layers"] if one["side"] == "input"}
    assert all(one["tokens"] <= 20 < one["of_tokens"] for one in found["cures"])
    assert {one["side"] for one in found["heads"]} == {"keys", "values"}
    assert found["expert_calls"] == {}


def test_experts_that_calibration_never_reached_are_said() -> None:
    model, data = make()
    table = measure_activations(model, data, ["int8"])
    found = table.more["activations"]
    first = int((data.blocks[0].inputs["x"][:, 0] > 0).sum())
    assert found["expert_calls"] == {"experts": [first, 30 - first, 0]}
    assert found["never_seen"] == ["experts.2:input"]
    notes = [entry["reason"] for entry in table.coverage]
    assert "never seen in calibration: 1 of 3 experts of experts, 2" in notes
    assert "never seen in calibration: 1 activations, 'experts.2:input'" in notes


def test_cancelling_keeps_what_ran() -> None:
    model, data = make()
    cancel = threading.Event()

    def stop(progress: object) -> None:
        cancel.set()

    table = measure_activations(model, data, ["int8"], batch=10, on_progress=stop, cancel=cancel)
    assert not table.complete
    assert table.settings["samples"] == 10


def test_a_model_that_runs_none_of_the_layers_is_refused() -> None:
    model, data = make()
    with pytest.raises(ValueError, match="no activation was seen: 1 layers never ran on drawn"):
        measure_activations(model, data, ["int8"], include="experts.2")


def test_tokens_that_are_not_finite_are_counted_and_left_out() -> None:
    model, data = make()
    data.blocks[0].inputs["x"][3, 2] = torch.nan
    data.blocks[0].inputs["x"][4, :] = torch.inf
    table = measure_activations(model, data, ["int8", "int8 channel=1"], looks=("input", "output"))
    found = {one["name"]: one for one in table.more["activations"]["layers"]}
    assert sum(found[f"experts.{number}:input"]["non_finite"] for number in (0, 1)) == 9
    assert {row.status for row in table} == {"ok"}
    assert all(one["plain_db"] > 20 for one in table.more["activations"]["cures"])
    json.loads(to_json(table))
