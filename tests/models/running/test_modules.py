"""What a factory of the user's may return, and what it is told otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.running.opening import open_model

Write = Callable[[str], str]
HEAD = "import torch\nfrom torch import nn\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Write]:
    """Writes a module with a function `make` whose body is given; the factory's text."""
    monkeypatch.chdir(tmp_path)
    name = f"made_{abs(hash(request.node.name))}"

    def make(body: str) -> str:
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        (tmp_path / f"{name}.py").write_text(f"{HEAD}def make():\n{lines}\n")
        return f"{name}:make"

    yield make
    sys.modules.pop(name, None)


def test_a_model_in_training_mode_is_measured_in_evaluation_mode(write: Write) -> None:
    model = open_model(write("return nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()"))
    assert not any(part.training for part in model.module.modules())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrapper", ["nn.DataParallel(model)", "torch.compile(model)"])
def test_a_wrapped_model_is_unwrapped(wrapper: str, write: Write) -> None:
    model = open_model(write(f"model = nn.Linear(3, 2)\nreturn {wrapper}"))
    assert [info.name for info in model.tensors] == ["weight", "bias"]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_precisions_are_computed_in_float32_and_told(dtype: str, write: Write) -> None:
    model = open_model(write(f"return nn.Linear(3, 2).to(torch.{dtype})"))
    assert model.notes == (f"computed in float32, the model is in {dtype}",)
    assert {info.dtype for info in model.tensors} == {"float32"}


def test_a_factory_may_bring_its_data(write: Write) -> None:
    model = open_model(write("return nn.Linear(3, 2), (torch.ones(5, 3), torch.tensor([0, 1, 0, 1, 1]))"))
    data = open_calibration("sample", model)
    assert (len(data), data.loss) == (5, "cross-entropy")
    assert len(open_calibration("sample", model, samples=2)) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('no\\nroom')", "raises RuntimeError: no room"),
        ("return 7", "returns a value of type 'int'; it must return a torch.nn.Module"),
        ("return", "returns nothing"),
        ("return nn.ReLU()", "has no parameters"),
        ("return nn.LazyLinear(3)", "lazy parameters without a shape"),
        ("return nn.Linear(3, 2, device='meta')", "has no values"),
        ("return torch.jit.script(nn.Linear(3, 2))", "is a program of TorchScript"),
        ("return nn.Linear(3, 2), 7", "is a int"),
        ("return nn.Linear(3, 2), []", "yields no samples"),
    ],
    ids=["raises", "number", "nothing", "no parameters", "lazy", "meta", "script", "no data", "empty data"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_model_is_told_in_one_line(body: str, said: str, write: Write) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        open_model(write(body))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["nowhere", "nowhere/model", "", "\0"])
def test_what_names_nothing_lists_what_can_be_given(text: str) -> None:
    with pytest.raises(ValueError, match=r"there is no model .*; give sample:NAME, package.module:factory"):
        open_model(text)


def test_a_file_of_weights_is_no_model(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2, 3)}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="a file of weights with --weights"):
        open_model(str(tmp_path / "weights.pt"))
