"""Programs of torch.export run part by part as their module did, and only where their maker is trusted."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.results.table import Table


class Small(nn.Module):
    """A convolution, a normalisation, a transposed convolution in groups, a matrix, and a table that is tied to it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8)
        self.up, self.drop = nn.ConvTranspose2d(8, 6, 3, groups=2), nn.Dropout(0.5)
        self.head, self.table = nn.Linear(6, 5), nn.Embedding(5, 6)
        self.table.weight = self.head.weight

    def forward(self, image: Tensor, word: Tensor) -> dict[str, Tensor]:
        x = self.up(torch.relu_(self.norm(self.conv(image)))).mean((2, 3))
        return {"word": word, "logits": self.head(self.drop(x + self.table(word)))}


INPUTS = {"image": torch.linspace(-1, 2, 7 * 2 * 6 * 6).reshape(7, 2, 6, 6).sin(), "word": torch.arange(7) % 5}


def save(path: Path, module: nn.Module, count: int, *, is_free: bool) -> str:
    given = tuple(values[:count] for values in INPUTS.values())
    size = torch.export.Dim("size", min=1, max=4096)
    shapes = ({0: size}, {0: size}) if is_free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module, given, dynamic_shapes=shapes), path)
    return str(path)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("programs")
    return {
        "any number": save(folder / "any.pt2", Small().eval(), 4, is_free=True),
        "four": save(folder / "four.pt2", Small().eval(), 4, is_free=False),
    }


def measure(model: Runnable, data: Calibration) -> Table[SensitivityRow]:
    return measure_sensitivity(
        model, data, ["int4 channel"], targets=["weights", "both"], measures=(), floor=False, additivity=False
    )


@pytest.mark.parametrize("kind", ["any number", "four"])
def test_a_program_measures_what_its_module_does(kind: str, programs: dict[str, str]) -> None:
    data = Calibration((Batch(INPUTS),), "data", is_logits=True)
    program = open_model(programs[kind], trust_code=True)
    expected = measure(TorchModel(Small(), "small"), data)
    found = measure(program, data)
    key = {(row.tensor, row.target): row.output_relative_l2 for row in expected}
    named = {(next(iter(program.find(row.tensor).info.aliases), row.tensor), row.target): row for row in found}
    named |= {(row.tensor, row.target): row for row in found}
    assert len(found) == len(expected) == 6
    # Pieces of another size may sum their products in another order: float32, a hundred terms.
    for place, value in key.items():
        assert named[place].output_relative_l2 == pytest.approx(value, rel=1e-4), place
    assert program.identity.path == Path(programs[kind]).name


def test_layers_of_a_program_see_no_sample_that_was_filled_up(programs: dict[str, str]) -> None:
    program, seen = open_model(programs["four"], trust_code=True), list[Tensor]()
    outputs = program.watch(Batch(INPUTS), ["head"], lambda _name, values: seen.append(values))
    assert [len(values) for values in seen] == [4, 3]
    module = Small().eval()
    with torch.no_grad():
        assert torch.allclose(outputs, module(**INPUTS)["logits"], atol=1e-6)
    assert program.notes == ("the program takes 4 samples at a time",)


def test_inputs_of_a_program_go_by_their_names(programs: dict[str, str]) -> None:
    program = open_model(programs["any number"], trust_code=True)
    turned = dict(reversed(INPUTS.items()))
    assert torch.equal(program.record(Batch(turned)).outputs, program.record(Batch(INPUTS)).outputs)
    assert list(program.input_names) == ["image", "word"]


def test_a_program_takes_weights_of_a_file(programs: dict[str, str], tmp_path: Path) -> None:
    state = {name: value + 1 for name, value in Small().state_dict().items() if value.is_floating_point()}
    state["table.weight"] = state["head.weight"].clone()
    save_file(state, tmp_path / "other.safetensors")
    program = open_model(programs["any number"], weights=str(tmp_path / "other.safetensors"), trust_code=True)
    assert torch.equal(program.find("conv.weight").value, state["conv.weight"])
    assert program.identity.path == "other.safetensors"


def test_a_program_of_an_untrusted_maker_is_not_loaded(
    programs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.export, "load", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(ValueError, match="may run code of its maker; say --trust-code") as caught:
        open_model(programs["four"])
    assert "\n" not in str(caught.value)


def test_what_is_no_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'nowhere.pt2' does not exist"):
        open_model("nowhere.pt2", trust_code=True)
    (tmp_path / "damaged.pt2").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ValueError, match=r"damaged.pt2' can not be loaded") as caught:
        open_model(str(tmp_path / "damaged.pt2"), trust_code=True)
    assert "\n" not in str(caught.value)


def test_a_program_in_training_mode_is_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()
    torch.export.save(torch.export.export(module, (torch.zeros(4, 3),)), tmp_path / "training.pt2")
    with pytest.raises(ValueError, match="was exported in training mode"):
        open_model(str(tmp_path / "training.pt2"), trust_code=True)


def test_a_program_of_torchscript_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "old.pt")
    with pytest.raises(ValueError, match="a program of TorchScript, whose layers can not be changed"):
        open_model(str(tmp_path / "old.pt"), trust_code=True)


def test_a_wrong_number_of_inputs_is_told_in_one_line(programs: dict[str, str]) -> None:
    program = open_model(programs["any number"], trust_code=True)
    with pytest.raises(ValueError, match=r"does not run on x float32 \(2, 3\)") as caught:
        program.record(Batch({"x": torch.zeros(2, 3)}))
    assert "\n" not in str(caught.value)
    assert math.isfinite(float(program.record(Batch(INPUTS)).outputs.sum()))


class Scaled(nn.Module):
    """A program with an input that is called as one that is given by place, behind another."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(3, 2)

    def forward(self, scale: Tensor, x: Tensor) -> Tensor:
        output: Tensor = self.part(x) * scale
        return output


def test_an_input_called_x_is_given_once_and_in_its_place(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, given = Scaled().eval(), {"x": torch.randn(2, 3), "scale": torch.rand(2, 1)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module, (given["scale"], given["x"])), tmp_path / "scaled.pt2")
    program = open_model(str(tmp_path / "scaled.pt2"), trust_code=True)
    with torch.no_grad():
        assert torch.equal(program.record(Batch(given)).outputs, module(**given))
