"""Are data read as what they are, split by their seed, and is each mistake in them told on one line?"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import torch

from qanalysis.models.data import Data, load_data
from sample_models.training import IGNORED

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10) % 3


@pytest.fixture
def save(tmp_path: Path):
    def save_arrays(**arrays: object) -> str:
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return str(path)

    return save_arrays


def read(text: str | None, *, seed: int = 1, share: float = 0.2) -> Data:
    return load_data(text, "my:model", seed=seed, held_out_share=share)


def refuse(text: str | None) -> str:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("sample", "train", "held_out"),
    [("digits-mlp", 1347, 450), ("digits-cnn", 1347, 450), ("words-transformer", 60_000, 4000)],
)
def test_a_sample_brings_its_own_data_whatever_the_seed(sample: str, train: int, held_out: int) -> None:
    data, other = load_data(None, f"sample:{sample}", seed=1), load_data("sample", f"sample:{sample}", seed=2)
    assert (len(data.inputs), len(data.held_out_inputs)) == (train, held_out)
    assert (data.loss, data.name) == ("cross-entropy", f"sample:{sample}")
    assert torch.equal(data.targets, other.targets)
    assert torch.equal(data.held_out_inputs, other.held_out_inputs)


def test_words_are_tokens_with_padding_among_the_labels() -> None:
    data = load_data(None, "sample:words-transformer", seed=1)
    assert data.inputs.dtype == data.targets.dtype == torch.int64
    assert int(data.targets.min()) == IGNORED
    assert int((data.held_out_targets != IGNORED).sum()) == 42388  # characters on the card


def test_a_model_of_ones_own_may_learn_from_a_samples_data() -> None:
    assert len(read("sample:digits-mlp").inputs) == 1347


@pytest.mark.parametrize("text", [None, "sample"])
def test_a_model_that_is_no_sample_needs_data(text: str | None) -> None:
    assert refuse(text).startswith("model 'my:model' is no sample and brings no data; give an .npz with x and y")


@pytest.mark.parametrize(("name", "said"), [("outliers", "no training data"), ("resnet", "unknown sample model")])
def test_samples_without_data_are_refused(name: str, said: str) -> None:
    assert said in refuse(f"sample:{name}")


def test_integers_are_labels_and_floats_are_numbers(save) -> None:
    data = read(save(x=X, y=Y.astype(np.uint8)))
    assert (data.loss, data.inputs.dtype, data.targets.dtype) == ("cross-entropy", torch.float32, torch.int64)
    data = read(save(x=X.astype(np.int32), y=Y.astype(np.float16)))
    assert (data.loss, data.inputs.dtype, data.targets.dtype) == ("mse", torch.int64, torch.float32)
    assert read(save(x=X, y=Y > 0)).targets.dtype == torch.int64


def test_the_split_holds_every_item_once_and_keeps_its_target(save) -> None:
    data = read(save(x=X, y=Y))
    assert (len(data.inputs), len(data.held_out_inputs)) == (8, 2)
    items = torch.cat([data.inputs, data.held_out_inputs])[:, 0]
    assert sorted(items.tolist()) == X[:, 0].tolist()
    assert torch.equal(torch.cat([data.targets, data.held_out_targets]), (items.long() // 2) % 3)


def test_the_split_is_that_of_its_seed(save) -> None:
    path = save(x=np.arange(100.0).reshape(100, 1), y=np.zeros(100))
    one, same, other = read(path, seed=1), read(path, seed=1), read(path, seed=2)
    assert torch.equal(one.inputs, same.inputs)
    assert not torch.equal(one.inputs, other.inputs)


@pytest.mark.parametrize(("share", "held_out"), [(0.01, 1), (0.5, 5), (0.99, 9)])
def test_each_part_keeps_an_item_at_least(save, share: float, held_out: int) -> None:
    assert len(read(save(x=X, y=Y), share=share).held_out_inputs) == held_out


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"held-out share .* is not above 0 and below 1"):
        read(None, share=share)


def test_a_seed_below_0_is_refused() -> None:
    with pytest.raises(ValueError, match="seed -1 is below 0"):
        read("sample:digits-mlp", seed=-1)


def test_a_test_part_is_taken_as_it_is(save) -> None:
    data = read(save(x=X, y=Y, x_test=X[:3], y_test=Y[:3], note=np.zeros(1)))
    assert len(data.inputs) == 10
    assert data.held_out_targets.tolist() == [0, 1, 2]


def test_texts_may_be_longer_in_one_part(save) -> None:
    long, short = np.ones((4, 9), dtype=int), np.ones((2, 5), dtype=int)
    assert read(save(x=long, y=long, x_test=short, y_test=short)).held_out_inputs.shape == (2, 5)


def test_a_factory_gives_arrays_tensors_or_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"made_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(
        "import numpy, torch\n"
        "def lists(): return [[1.0], [2.0], [3.0]], [0, 1, 0]\n"
        "def tensors(): return torch.ones(4, 2, dtype=torch.bfloat16, requires_grad=True), torch.ones(4)\n"
        "def four(): return numpy.ones((3, 2)), numpy.ones(3, int), numpy.ones((1, 2)), numpy.ones(1, int)\n"
        "def three(): return 1, 2, 3\n"
        "def none(): pass\n"
        "def ragged(): return [[1.0], [2.0, 3.0]], [0, 1]\n"
        "def complex(): return torch.ones(2, dtype=torch.complex64), torch.ones(2)\n"
        "def sparse(): return torch.eye(2).to_sparse(), torch.ones(2)\n"
    )
    assert read(f"{name}:lists").targets.dtype == torch.int64
    assert read(f"{name}:tensors").inputs.dtype == torch.float32
    assert not read(f"{name}:tensors").inputs.requires_grad
    assert len(read(f"{name}:four").held_out_inputs) == 1
    assert "returns a tuple of 3; give" in refuse(f"{name}:three")
    assert "returns a NoneType; give" in refuse(f"{name}:none")
    assert "x is no array" in refuse(f"{name}:ragged")
    assert "x holds torch.complex64" in refuse(f"{name}:complex")
    assert "x holds torch.float32 (torch.sparse_coo)" in refuse(f"{name}:sparse")
    assert "has no 'other'" in refuse(f"{name}:other")


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.npz' does not exist; give an .npz with x and y" in refuse(str(tmp_path / "nowhere.npz"))
    assert "data file 'numbers' does not exist" in refuse("numbers")
    assert "does not exist" in refuse(str(tmp_path))
    assert "does not exist" in refuse("x" * 300 + ".npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half"], ids=["empty", "text", "half"])
def test_a_file_of_another_kind_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    assert "is no .npz archive; save it with `numpy.savez(path, x=x, y=y)`" in refuse(str(path))


def test_a_damaged_archive_is_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.random.default_rng(1).normal(size=(100, 4)), y=np.zeros(100))
    content = bytearray(path.read_bytes())
    content[200:1200] = bytes(1000)
    path.write_bytes(content)
    assert "can not be read" in refuse(str(path))


def test_object_arrays_are_never_unpickled(save) -> None:
    assert "can not be read (ValueError: Object arrays cannot be loaded" in refuse(
        save(x=np.array([{}, 1], dtype=object), y=Y)
    )


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        pytest.param({"x": X}, "holds x; it needs x (inputs) and y (targets)", id="y is missing"),
        pytest.param({"a": X, "y": Y}, "holds y, a; it needs", id="x is missing"),
        pytest.param({}, "holds no arrays; it needs", id="no arrays"),
        pytest.param({"x": X, "y": Y, "x_test": X}, "x_test with y_test or neither", id="half a test part"),
        pytest.param({"x": X, "y": Y[:9]}, "x has 10 items and data.npz: y has 9", id="lengths differ"),
        pytest.param({"x": X[:0], "y": Y[:0]}, "x is float32 (0, 2), which holds no items", id="empty"),
        pytest.param({"x": X, "y": np.int64(3)}, "y is int64 (), which holds no items", id="a single number"),
        pytest.param({"x": X[:1], "y": Y[:1]}, "1 item can not be split", id="one item"),
        pytest.param({"x": X * np.nan, "y": Y}, "x holds 20 values that are not finite", id="NaN"),
        pytest.param({"x": X * 1e300, "y": Y}, "x holds 19 values that are not finite in float32", id="above float32"),
        pytest.param(
            {"x": X, "y": np.append(Y[:9] / 1.0, np.inf)}, "y holds 1 values that are not", id="infinite target"
        ),
        pytest.param({"x": X, "y": Y - 1}, "y holds the label -1; labels count from 0", id="negative label"),
        pytest.param({"x": X, "y": Y * 0 - 100}, "y holds padding (-100) alone", id="all padding"),
        pytest.param({"x": X, "y": Y.astype(str)}, "y holds <U21, not real numbers", id="words as labels"),
        pytest.param({"x": X * 1j, "y": Y}, "x holds complex128, not real numbers", id="complex"),
        pytest.param(
            {"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y},
            "x is float32 (10, 2) and x_test is float32 (10, 1); both parts need one type",
            id="shapes of the parts differ",
        ),
        pytest.param(
            {"x": X, "y": Y, "x_test": X, "y_test": Y * 1.0},
            "y is int64 (10,) and y_test is float32 (10,)",
            id="kinds of the parts differ",
        ),
        pytest.param({"x": X, "y": Y, "x_test": X[:2], "y_test": Y[:1]}, "has 2 items", id="test lengths differ"),
    ],
)
def test_wrong_arrays_are_told_by_name(
    save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, object], said: str
) -> None:
    save(**arrays)
    monkeypatch.chdir(tmp_path)
    message = refuse("data.npz")
    assert "data.npz" in message
    assert said in message


def test_an_unknown_loss_is_refused() -> None:
    x, y = torch.ones(2, 1), torch.ones(2)
    with pytest.raises(ValueError, match="mine: loss 'l1' is not known; choose cross-entropy or mse"):
        Data(x, y, x, y, "l1", "mine")
