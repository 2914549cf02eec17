"""Calls of experts, as modules and as stacks, counted against the routing of the models themselves."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.activations.experts import count_expert_calls
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.torch_model import TorchModel


class Block(nn.Module):
    """A token takes its best experts of four; experts are modules, or one stack that is not told of the choice."""

    def __init__(self, *, stacked: bool, top_k: int | None = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate = nn.Linear(6, 4)
        self.gate.bias.data[3] = -1e3  # never chosen
        self.choice, self.stacked = 2, stacked
        if top_k is not None:
            self.top_k = top_k
        self.experts: nn.Module = (
            Stack() if stacked else nn.ModuleList(nn.Sequential(nn.Linear(6, 6)) for _ in range(4))
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, 6)
        shares = self.gate(tokens).softmax(-1)
        values, chosen = shares.topk(self.choice, dim=-1)
        if self.stacked:
            routed = torch.zeros_like(shares).scatter(1, chosen, values)
            return self.experts(tokens, routed).reshape(x.shape)
        y = torch.zeros_like(tokens)
        assert isinstance(self.experts, nn.ModuleList)
        for number, expert in enumerate(self.experts):
            places = (chosen == number).any(-1)
            y[places] += expert(tokens[places])
        return y.reshape(x.shape)


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(4, 6, 6))

    def forward(self, tokens: Tensor, routed: Tensor) -> Tensor:
        return torch.einsum("tn,nij,tj->ti", routed, self.up, tokens)


def make_calibration() -> Calibration:
    torch.manual_seed(3)
    return Calibration((Batch({"x": torch.randn(9, 5, 6)}),), "drawn")


def count_by_hand(block: Block, calibration: Calibration) -> list[int]:
    with torch.no_grad():
        chosen = block.gate(calibration.blocks[0].inputs["x"].reshape(-1, 6)).topk(2, dim=-1).indices
    return np.bincount(chosen.reshape(-1).numpy(), minlength=4).tolist()


@pytest.mark.parametrize("stacked", [False, True], ids=["modules", "stack"])
@pytest.mark.parametrize("batch", [2, 64])
def test_tokens_are_counted_as_they_are_routed(stacked: bool, batch: int) -> None:
    block, data = Block(stacked=stacked), make_calibration()
    (found,) = count_expert_calls(TorchModel(nn.Sequential(block), "experts"), data, batch=batch)
    assert found.layer == "0.experts"
    assert found.calls == count_by_hand(block, data)
    assert found.never_seen == [3]
    told = found.describe()
    assert told["coverage"] == 0.75
    assert told["how"] == ("the 2 largest outputs of 0.gate" if stacked else "inputs of the experts' own modules")


def test_a_stack_whose_choice_nothing_tells_says_so() -> None:
    block = Block(stacked=True, top_k=None)
    (found,) = count_expert_calls(TorchModel(nn.Sequential(block), "experts"), make_calibration())
    assert found.calls is None
    assert found.never_seen == []
    assert found.how.startswith("unknown")
    assert found.describe()["coverage"] is None


def test_models_without_experts_have_none() -> None:
    assert count_expert_calls(TorchModel(nn.Sequential(nn.Conv1d(3, 4, 2)), "none"), make_calibration()) == []


@pytest.mark.filterwarnings("ignore")  # what other packages say while transformers looks for them
def test_a_mixture_of_transformers_is_counted_by_the_choice_it_hands_to_its_experts() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    config = transformers.MixtralConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=4,
        num_experts_per_tok=2,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = TorchModel(transformers.MixtralForCausalLM(config), "mixture")
    data = Calibration((Batch({"input_ids": torch.randint(0, 32, (3, 7))}),), "drawn")
    found = count_expert_calls(model, data)
    assert [one.count for one in found] == [4]
    logits = list[Tensor]()
    model.watch(data.blocks[0], [found[0].router or "none"], lambda _name, x: logits.append(x), side="output")
    chosen = logits[0].reshape(-1, 4).topk(2).indices.reshape(-1)
    assert found[0].calls == np.bincount(chosen.numpy(), minlength=4).tolist()
    assert sum(found[0].calls or []) == 2 * 21


class Bare(nn.Module):
    """A stack that belongs to the whole model."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(6, 4), nn.Parameter(torch.randn(4, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("...n,nij,...j->...i", self.gate(x).softmax(-1), self.up, x)


def test_a_stack_of_the_whole_model_is_told_of() -> None:
    (found,) = count_expert_calls(TorchModel(Bare(), "bare"), make_calibration())
    assert (found.layer, found.router, found.calls) == ("up", "gate", None)
