"""Values of a checkpoint get into a model by name and shape, or one line says what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from qanalysis.models.running.opening import open_model
from qanalysis.models.running.renaming import Renaming, find_renaming
from qanalysis.models.running.weights import load_weights
from sample_models import weights_path
from sample_models.evaluate import load_model


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 6)
        self.head.weight = self.table.weight


def fill(module: nn.Module, start: float) -> dict[str, Tensor]:
    """Values of a state dict that differ everywhere."""
    state, count = {}, start
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            state[name] = torch.arange(value.numel(), dtype=torch.float32).reshape(value.shape) + count
            count += 100
    state["head.weight"] = state["table.weight"].clone()
    return state


def save(path: Path, state: dict[str, Tensor], prefix: str = "") -> str:
    save_file({prefix + name: value.clone().contiguous() for name, value in state.items()}, path)
    return str(path)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "module._orig_mod.", "net.encoder."])
def test_names_may_have_a_wrapper_in_front(prefix: str, tmp_path: Path) -> None:
    module = Tied()
    state = fill(module, 1)
    source = load_weights(module, save(tmp_path / "w.safetensors", state, prefix), model="tied")
    assert all(torch.equal(module.state_dict()[name], value) for name, value in state.items())
    assert (source.path, source.size) == ("w.safetensors", (tmp_path / "w.safetensors").stat().st_size)
    assert source.digest is not None


def test_a_model_may_have_a_wrapper_that_the_file_lacks(tmp_path: Path) -> None:
    inner = Tied()
    state = fill(inner, 1)
    load_weights(nn.ModuleDict({"backbone": inner}), save(tmp_path / "w.safetensors", state), model="tied")
    assert all(torch.equal(inner.state_dict()[name], value) for name, value in state.items())


def test_a_training_checkpoint_of_torch_is_taken_with_its_optimizer_left_aside(tmp_path: Path) -> None:
    module = Tied()
    optimizer = torch.optim.Adam(module.parameters())
    sum(value.sum() for value in module.parameters()).backward()
    optimizer.step()
    torch.save({"model": module.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "last.pt")
    other = Tied()
    load_weights(other, str(tmp_path / "last.pt"), model="tied")
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))


def test_buffers_may_be_missing_and_keep_their_values(tmp_path: Path) -> None:
    module = Tied()
    module.norm.running_mean.fill_(7)
    state = {name: value for name, value in fill(module, 1).items() if "running" not in name}
    load_weights(module, save(tmp_path / "w.safetensors", state), model="tied")
    assert module.norm.running_mean.tolist() == [7] * 4


def test_one_name_of_a_tied_tensor_suffices(tmp_path: Path) -> None:
    module = Tied()
    state = fill(module, 1)
    state.pop("table.weight")
    load_weights(module, save(tmp_path / "w.safetensors", state), model="tied")
    assert torch.equal(module.table.weight, state["head.weight"])
    assert module.table.weight is module.head.weight


def test_unlike_values_for_a_tied_tensor_are_refused(tmp_path: Path) -> None:
    state = fill(Tied(), 1)
    state["head.weight"] += 1
    with pytest.raises(ValueError, match=r"ties 'table.weight' to 'head.weight', and the file has unlike values"):
        load_weights(Tied(), save(tmp_path / "w.safetensors", state), model="tied")


def test_what_does_not_fit_is_counted_and_named_in_one_line(tmp_path: Path) -> None:
    state = fill(Tied(), 1)
    state["norm.weight"] = torch.zeros(5)
    state["extra.weight"], state["extra.bias"] = torch.zeros(3, 4), torch.zeros(3)
    state.pop("head.bias")
    with pytest.raises(ValueError, match="do not fit the model 'tied'") as caught:
        load_weights(Tied(), save(tmp_path / "w.safetensors", state), model="tied")
    said = str(caught.value)
    assert "1 of the model's 7 tensors are not in the file (head.bias)" in said
    assert "2 of the file's are not in the model (extra.bias, extra.weight)" in said
    assert "1 have another shape (norm.weight 5 against 4)" in said
    assert "\n" not in said


def test_a_hundred_missing_names_are_cut(tmp_path: Path) -> None:
    module = nn.Sequential(*[nn.Linear(2, 2, bias=False) for _ in range(100)])
    with pytest.raises(ValueError, match="99 of the model's 100") as caught:
        load_weights(module, save(tmp_path / "w.safetensors", {"0.weight": torch.zeros(2, 2)}), model="deep")
    assert len(str(caught.value)) < 400


def test_half_precision_and_numpy_archives_are_widened(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    np.savez(tmp_path / "w.npz", weight=np.float16([[1, 2, 3], [4, 5, 6]]), bias=np.float64([0.5, 1e-3]))
    load_weights(module, str(tmp_path / "w.npz"), model="fc")
    assert module.weight.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert module.bias.tolist() == [0.5, float(np.float32(1e-3))]


def test_a_sample_runs_with_weights_of_a_file() -> None:
    model = open_model("sample:digits-mlp", weights=str(weights_path("digits-mlp")))
    assert all(
        torch.equal(a, b) for a, b in zip(model.module.parameters(), load_model("digits-mlp").parameters(), strict=True)
    )
    assert (model.name, model.identity.path) == ("sample:digits-mlp", weights_path("digits-mlp").name)


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit the model 'sample:digits-mlp'"):
        open_model("sample:digits-mlp", weights=str(weights_path("digits-cnn")))


def test_weights_that_are_not_there_are_told() -> None:
    with pytest.raises(ValueError, match=r"weights: .*nowhere\.safetensors"):
        open_model("sample:digits-mlp", weights="nowhere.safetensors")


def test_most_tensors_decide_what_stands_in_front() -> None:
    saved = {"ema.fc.weight": (2, 3), "net.fc.weight": (2, 3), "net.fc.bias": (2,)}
    assert find_renaming(saved, {"fc.weight": (2, 3), "fc.bias": (2,)}) == Renaming(taken="net.")
    assert find_renaming({}, {"fc.weight": (2, 3)}) == Renaming()
