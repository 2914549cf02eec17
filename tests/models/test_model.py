"""Are models loaded as named and measured as their cards say, and is each mistake told on one line?"""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from qanalysis.models.data import load_data
from qanalysis.models.model import count_targets, load_model, measure, run_model, sum_loss
from sample_models import evaluation_path, read_card
from sample_models.evaluate import MODELS, measure_loss

SOURCE = """
import torch
from torch import nn
def net(): return nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)).train()
def number(): return 3
def none(): pass
def bare(): return nn.ReLU()
def lazy(): return nn.LazyLinear(3)
def broken(): raise FileNotFoundError("weights.pt")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    name = f"made_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    return name


@pytest.mark.parametrize("name", MODELS)
def test_a_sample_has_its_shipped_weights_and_is_in_evaluation_mode(name: str) -> None:
    model = load_model(f"sample:{name}")
    assert type(model) is MODELS[name]
    assert not any(part.training for part in model.modules())


def test_a_factory_is_called_and_its_model_put_in_evaluation_mode(module: str) -> None:
    model = load_model(f"{module}:net")
    assert isinstance(model, nn.Sequential)
    assert not any(part.training for part in model.modules())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample:resnet", "no module for sample 'resnet'; unknown name; modules: digits-mlp"),
        ("sample:outliers", "no module for sample 'outliers'; it holds only tensors"),
        ("digits-mlp", "model 'digits-mlp' is neither a sample (sample:digits-mlp, "),
        ("", "model '' is neither a sample"),
        ("no_such_module_here:net", "no module 'no_such_module_here'"),
    ],
    ids=["unknown sample", "only tensors", "no colon", "nothing", "no module"],
)
def test_text_without_a_model_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        load_model(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("number", "returns a value of type 'int'; it must return a torch.nn.Module"),
        ("none", "returns nothing; it must return"),
        ("bare", "has no parameters"),
        ("lazy", "has lazy parameters without a shape"),
        ("broken", "raises FileNotFoundError: weights.pt"),
        ("other", "has no 'other'; of its own it has net, number"),
    ],
)
def test_factory_without_a_model_is_refused(module: str, name: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        load_model(f"{module}:{name}")
    assert said in str(caught.value)
    assert f"{module}:{name}" in str(caught.value)


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn"])
def test_digits_are_measured_as_the_card_says(name: str) -> None:
    data = load_data(None, f"sample:{name}", seed=0)
    score = measure(load_model(data.name), data.held_out_inputs, data.held_out_targets, loss=data.loss)
    card = read_card(name)["held_out"]
    # one image may sit on the border between two logits and fall either way on another processor
    assert score["accuracy"] == pytest.approx(card["accuracy"], abs=1.01 / card["count"])
    assert 0 < score["loss"] < math.log(10)


def test_words_are_measured_as_the_samples_own_measure_does() -> None:
    data, model = load_data(None, "sample:words-transformer", seed=0), load_model("sample:words-transformer")
    score = measure(model, data.held_out_inputs[:400], data.held_out_targets[:400], loss=data.loss, batch=150)
    with np.load(evaluation_path("words-transformer")) as words, torch.inference_mode():
        own = measure_loss(model, torch.from_numpy(words["words"][:400]))
    # float32 sums of at most 512 products err by less than 512 * 2^-24 = 3e-5 of themselves, in three blocks
    assert score["loss"] == pytest.approx(own["loss_nats_per_character"], rel=1e-4)
    assert count_targets(data.held_out_targets[:400]) == own["characters"]


def test_loss_and_accuracy_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)], [5.0, 0.0]])
    score = measure(nn.Identity(), logits, torch.tensor([0, 0, -100]), loss="cross-entropy")
    # shares 3/4 and 1/4 for label 0: -(ln 3/4 + ln 1/4) / 2; the last one is padding
    assert score["loss"] == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2, rel=1e-6)
    assert score["accuracy"] == 0.5


def test_squared_error_by_hand() -> None:
    score = measure(nn.Identity(), torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0]), loss="mse")
    assert score == {"loss": 2.5, "accuracy": None}


def test_the_size_of_the_batches_changes_nothing() -> None:
    data, model = load_data(None, "sample:digits-cnn", seed=0), load_model("sample:digits-cnn")
    whole, parts = (
        measure(model, data.held_out_inputs, data.held_out_targets, loss="cross-entropy", batch=size)
        for size in (450, 64)
    )
    assert parts["accuracy"] == whole["accuracy"]
    assert parts["loss"] == pytest.approx(whole["loss"], rel=512 * 2**-24)  # sums of at most 512 in float32


def test_summed_loss_is_the_one_of_torch() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(4, 5, 3, generator=generator), torch.randint(3, (4, 5), generator=generator)
    labels[0, 3:] = -100
    own = functional.cross_entropy(logits.movedim(2, 1), labels, reduction="sum")
    assert float(sum_loss(logits, labels, "cross-entropy")) == pytest.approx(float(own), rel=20 * 2**-24)
    assert count_targets(labels) == 18
    numbers = torch.randn(4, 5, generator=generator)
    assert float(sum_loss(numbers, numbers + 0.5, "mse")) == pytest.approx(20 * 0.25, rel=1e-5)
    assert count_targets(numbers) == 20


def test_summed_loss_has_gradients() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    torch.autograd.backward(sum_loss(logits, torch.tensor([0]), "cross-entropy"))
    assert logits.grad is not None
    assert logits.grad.tolist() == [[-0.5, 0.5]]


def test_measuring_leaves_modes_statistics_and_gradients_as_they_were() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    model[1].eval()  # a frozen norm in a model that trains
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y = torch.randn(8, 2, generator=torch.Generator().manual_seed(1)), torch.zeros(8, dtype=torch.int64)
    one, two = (measure(model, x, y, loss="cross-entropy") for _ in range(2))
    assert one == two  # dropout is off
    assert [part.training for part in model.modules()] == [True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[0].weight.grad is None
    with pytest.raises(ValueError, match="does not run"):
        measure(model, torch.ones(8, 5), y, loss="cross-entropy")
    assert [part.training for part in model.modules()] == [True, True, False, True]


def test_a_diverged_model_gives_a_value() -> None:
    score = measure(nn.Identity(), torch.full((2, 3), float("nan")), torch.tensor([0, 2]), loss="cross-entropy")
    assert math.isnan(score["loss"])
    assert score["accuracy"] == 0.0


@pytest.mark.parametrize(
    ("logits", "targets", "loss", "said"),
    [
        ((4, 3), torch.tensor([0, 1, 2, 3]), "cross-entropy", "the labels reach 3 and the model has 3 classes"),
        ((4, 3), torch.zeros(4, 3, dtype=torch.int64), "cross-entropy", r"logits are \(4, 3\) and the labels \(4, 3\)"),
        ((4,), torch.zeros(4, dtype=torch.int64), "cross-entropy", r"needs logits \(\.\.\., classes\)"),
        ((4, 3), torch.zeros(4), "mse", r"outputs are \(4, 3\) and the targets \(4,\)"),
        ((4, 3), torch.zeros(4), "l1", "loss 'l1' is not known"),
        ((1, 3), torch.tensor([-100]), "cross-entropy", "nothing to measure"),
    ],
    ids=["class", "one-hot", "no classes", "shapes", "loss", "padding"],
)
def test_targets_that_do_not_fit_are_refused(
    logits: tuple[int, ...], targets: torch.Tensor, loss: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        measure(nn.Identity(), torch.zeros(logits), targets, loss=loss)


def test_inputs_that_do_not_fit_are_told_with_their_shape() -> None:
    model = nn.Linear(2, 3)
    with pytest.raises(
        ValueError, match=r"does not run on inputs float32 \(4, 5\): RuntimeError: mat1 and mat2 shapes"
    ):
        run_model(model, torch.zeros(4, 5))
    with pytest.raises(ValueError, match="integers are taken as tokens, give other inputs as floats"):
        run_model(model, torch.zeros(4, 2, dtype=torch.int64))


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


class Choosy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("only on Sundays")


def test_a_model_that_returns_no_tensor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"returns a value of type 'tuple' for inputs float32 .*; it must return one"):
        run_model(Pair(), torch.zeros(1, 2))


def test_a_models_own_value_error_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match=r"^only on Sundays$"):
        run_model(Choosy(), torch.zeros(1))


def test_samples_train_without_scikit_learn_and_word_list() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from qanalysis.models.data import load_data\n"
        "print(len(load_data(None, 'sample:digits-mlp', seed=0).inputs))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1347\n"
