"""Data that a text names becomes samples, or one line says why it is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.torch_model import TorchModel


class TwoInputs(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, left: torch.Tensor, right: torch.Tensor | None = None) -> torch.Tensor:
        return self.fc(left if right is None else left + right)


@pytest.fixture
def model() -> Runnable:
    return TorchModel(TwoInputs(), "two")


def save(path: Path, **arrays: object) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_arrays_go_by_the_names_of_inputs_and_y_are_labels(model: Runnable, tmp_path: Path) -> None:
    text = save(
        tmp_path / "d.npz", left=np.ones((4, 3)), right=np.zeros((4, 3), np.float16), y=np.array([0, 1, 1, -100])
    )
    data = open_calibration(text, model)
    assert {name: values.dtype for name, values in data.blocks[0].inputs.items()} == {
        "left": torch.float32,
        "right": torch.float32,
    }
    assert (data.loss, data.is_logits, len(data), data.tokens) == ("cross-entropy", True, 4, 3)
    assert data.source is not None
    assert (data.source.path, data.source.size) == ("d.npz", (tmp_path / "d.npz").stat().st_size)


@pytest.mark.parametrize(("name", "kept"), [("x", "x"), ("right", "right"), ("data", "x")])
def test_a_lone_array_is_the_first_input_unless_it_is_named_after_one(
    name: str, kept: str, model: Runnable, tmp_path: Path
) -> None:
    data = open_calibration(save(tmp_path / "d.npz", **{name: np.ones((4, 3))}), model)
    assert list(data.blocks[0].inputs) == [kept]


def test_float_targets_are_numbers_and_an_npy_is_one_input(model: Runnable, tmp_path: Path) -> None:
    data = open_calibration(save(tmp_path / "d.npz", x=np.ones((4, 3)), y=np.ones((4, 2))), model)
    assert (data.loss, data.is_logits) == ("mse", False)
    np.save(tmp_path / "d.npy", np.ones((5, 3), np.float64))
    assert len(open_calibration(str(tmp_path / "d.npy"), model, samples=2)) == 2


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "holds no arrays"),
        ({"x": np.ones((0, 3))}, r"'x' is float32 \(0, 3\), which holds no samples"),
        ({"x": np.float32(3)}, r"'x' is float32 \(\), which holds no samples"),
        ({"x": np.array([[1, np.nan, 2], [np.inf, 1, 2]])}, "'x' holds 2 values that are not finite"),
        ({"x": np.full((2, 3), 1e300)}, "'x' holds 6 values that are not finite in float32"),
        ({"x": np.array([{"a": 1}], object)}, "can not be read .*Object arrays"),
        ({"x": np.array(["a", "b"])}, "'x' holds <U1"),
        ({"x": np.ones((2, 3), complex)}, "'x' holds complex128"),
        ({"x": np.ones((4, 3)), "y": np.array([0, 1, 0])}, "'x' has 4, 'targets' has 3 samples; all need as many"),
        ({"x": np.ones((2, 3)), "y": np.array([0, -1])}, "targets hold the label -1; labels count from 0"),
        ({"x": np.ones((2, 3)), "y": np.array([-100, -100])}, "hold padding"),
        ({"x": np.ones((2, 3)), "y": np.array([0.5, np.nan])}, "targets holds 1 values that are not finite"),
        (
            {"left": np.ones((2, 3)), "wrong": np.ones((2, 3))},
            "has 'wrong', which the model 'two' does not take; it takes left, right",
        ),
    ],
    ids=[
        "nothing", "no samples", "one number", "nan", "beyond float32", "objects", "words", "complex", "unlike lengths",
        "negative label", "all padding", "nan targets", "unknown name",
    ],
)  # fmt: skip
def test_arrays_that_are_no_data_are_told(
    arrays: dict[str, object], said: str, model: Runnable, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        open_calibration(save(tmp_path / "d.npz", **arrays), model)
    assert "\n" not in str(caught.value)
    assert "d.npz" in str(caught.value)


@pytest.mark.parametrize("name", ["d.npz", "d.npy"])
def test_damaged_and_missing_arrays_are_told(name: str, model: Runnable, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        open_calibration(str(tmp_path / name), model)
    (tmp_path / name).write_bytes(b"\x93NUMPY" + bytes(20))
    with pytest.raises(ValueError, match="can not be read"):
        open_calibration(str(tmp_path / name), model)


def test_a_wrong_shape_is_told_by_the_run(model: Runnable, tmp_path: Path) -> None:
    data = open_calibration(save(tmp_path / "d.npz", x=np.ones((4, 5))), model)
    with pytest.raises(ValueError, match=r"does not run on x float32 \(4, 5\)"):
        model.record(data.blocks[0])


def test_a_model_whose_signature_takes_all_names_is_given_all(tmp_path: Path) -> None:
    class Open(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(3, 2)

        def forward(self, **given: torch.Tensor) -> torch.Tensor:
            return self.fc(given["any"] + given["name"])

    model = TorchModel(Open(), "open")
    data = open_calibration(save(tmp_path / "d.npz", any=np.ones((4, 3)), name=np.ones((4, 3))), model)
    assert model.record(data.blocks[0]).outputs.shape == (4, 2)


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    name = f"data_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(
        "import itertools, numpy as np, torch\n"
        "def endless():\n"
        "    for count in itertools.count():\n"
        "        yield {'left': torch.full((2, 3), float(count))}, torch.tensor([0, 1])\n"
        "def failing():\n"
        "    yield torch.ones(2, 3)\n"
        "    raise OSError('the disk is gone')\n"
        "def pair():\n"
        "    return np.ones((4, 3)), np.zeros(4, int)\n"
        "def nothing():\n"
        "    return None\n"
        "def mixed():\n"
        "    return [torch.ones(2, 3), (torch.ones(2, 3), torch.tensor([0, 1]))]\n"
        "def triple():\n"
        "    return [(torch.ones(2, 3),) * 3]\n"
    )
    yield name
    sys.modules.pop(name, None)


def test_a_factory_yields_batches_and_no_more_are_asked_for_than_are_taken(model: Runnable, factory: str) -> None:
    data = open_calibration(f"{factory}:endless", model, samples=5)
    assert (len(data), data.loss, len(data.blocks)) == (5, "cross-entropy", 1)
    assert data.blocks[0].inputs["left"][:, 0].tolist() == [0, 0, 1, 1, 2]


def test_a_factory_may_return_arrays(model: Runnable, factory: str) -> None:
    data = open_calibration(f"{factory}:pair", model)
    assert (len(data), data.loss) == (4, "cross-entropy")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("failing", "after 1 batches it raises OSError: the disk is gone"),
        ("nothing", "is a NoneType; give tensors or arrays"),
        ("mixed", "some batches have labels"),
        ("triple", "batch 0 is a tuple of 3; give"),
        ("absent", "has no 'absent'"),
    ],
)
def test_a_factory_of_no_data_is_told(name: str, said: str, model: Runnable, factory: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_calibration(f"{factory}:{name}", model)


def test_what_is_not_there_lists_what_can_be_given(model: Runnable) -> None:
    with pytest.raises(ValueError, match=r"'nowhere.txt' is not there; give sample, an .npz or .npy file, a text file"):
        open_calibration("nowhere.txt", model)
    with pytest.raises(ValueError, match="'' is not there"):
        open_calibration("", model)
    with pytest.raises(ValueError, match="'two' is no sample and brings no data"):
        open_calibration("sample", model)
    with pytest.raises(ValueError, match="samples 0: at least one"):
        open_calibration("sample", open_model("sample:digits-mlp"), samples=0)
